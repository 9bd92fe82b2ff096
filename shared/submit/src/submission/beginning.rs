//! The beginning of an input: opened, its header taken off.

use format::csv::split::{Position, Splitter, SplitterConfig};
use format::csv::{grammar::Grammar, read::header_names, sniff};
use format::{
    footer::WithoutFooter,
    jsonl::{self, KeysError},
    sample::{SAMPLE_BYTES, clip},
};
use model::{BadBytes, Container, CsvDialect, FormatSpec, SplitSpec, TextSpec};
use source::{OpenedSource, Source, SourceReader};

use super::{
    fitting::{Fitting, looks_like_json},
    input_error::InputError,
};

/// **Bytes** that a footer may have in any case.
const FOOTER_BYTES: usize = 1 << 20;

/// What an encoding is called that changes nothing.
const UTF_8: &str = "UTF-8";

/// Cuts an input into chunks.
pub(crate) type InputSplitter = Splitter<WithoutFooter<SourceReader>>;

/// How an input is read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// Without an encoding, the one that a byte-order mark names.
    pub text: TextSpec,
    pub format: FormatSpec,
    pub find_delimiter: bool,
    pub split: SplitSpec,
    /// Whether it is read by ranges of its bytes, too.
    pub by_reference: bool,
    /// How many fields a record should have, if that does not depend on the header.
    pub fields: Option<usize>,
}

/// An input of which the header was read.
pub(crate) struct Beginning {
    /// How it is encoded.
    pub text: TextSpec,
    /// How it is written, with the delimiter that was found.
    pub format: FormatSpec,
    /// What is left of it.
    pub splitter: InputSplitter,
    /// Where its first record may begin.
    pub begins: Position,
    /// The fields' names, if the input has any, or why they cannot be read.
    pub header: Option<Result<Vec<String>, InputError>>,
    /// The header as it stands there, if it is a record.
    pub header_bytes: Vec<u8>,
    /// What the columns hold, of a Parquet file.
    #[cfg(feature = "parquet")]
    pub columns: Option<Vec<source::Column>>,
}

/// Opens an input and takes the header off. Reading may block for as long as it likes.
pub(crate) fn open(source: &Source, reading: &Reading) -> Result<Beginning, InputError> {
    let origin = source.describe();
    let of_split = |source| InputError::Header {
        origin: origin.clone(),
        source,
    };
    let of_decode = |source| InputError::Decode {
        origin: origin.clone(),
        source,
    };
    let opened = source.open()?;
    let mut text = reading.text.clone();
    if text.container == Container::Plain {
        if opened.is_parquet() {
            return Err(InputError::Parquet { origin });
        }
        if text.encoding.is_none() {
            let marked = opened.marked_encoding().map_err(|error| of_decode(error.into()))?;
            text.encoding = marked.map(str::to_owned);
        }
    }
    if reading.by_reference {
        check_reference(source, &opened, &text)?;
    }
    let reader = opened.decode(&text).map_err(of_decode)?;
    #[cfg(feature = "parquet")]
    let columns = reader.columns().map(<[_]>::to_vec);
    let skip_footer = match &reading.format {
        FormatSpec::Csv(dialect) => dialect.skip_footer,
        FormatSpec::JsonLines(_) => 0,
    };
    let reader = WithoutFooter::new(reader, skip_footer, FOOTER_BYTES.max(reading.split.max_record));
    let config = SplitterConfig::new(&reading.format, &reading.split);
    let mut splitter = Splitter::new(reader, config, Position::START);
    let mut format = reading.format.clone();
    if let (true, FormatSpec::Csv(dialect)) = (reading.find_delimiter, &mut format) {
        let (sample, complete) = splitter.peek(SAMPLE_BYTES).map_err(of_split)?;
        // A source without any record has no delimiter either.
        if !(complete && sample.trim_ascii().is_empty()) {
            let (sample, complete) = clip(sample, complete, SAMPLE_BYTES);
            let found = sniff::delimiter(sample, complete, dialect);
            dialect.delimiter = found.ok_or_else(|| InputError::NoDelimiter { origin: origin.clone() })?;
        }
        splitter.set_grammar(Grammar::new(dialect, None, reading.split.max_record));
    }
    let (header, header_bytes) = match &format {
        FormatSpec::Csv(dialect) => take_header(&mut splitter, dialect, reading.fields, &origin)?,
        // They were found before.
        FormatSpec::JsonLines(json) if !json.keys.is_empty() => (None, Vec::new()),
        // Somebody named the keys, and a stream is not waited for.
        FormatSpec::JsonLines(_) if reading.fields.is_some() && !source.can_be_read_again() => (None, Vec::new()),
        FormatSpec::JsonLines(_) => (find_keys(&mut splitter, reading, &origin)?, Vec::new()),
    };
    Ok(Beginning {
        text,
        format,
        begins: splitter.position(),
        splitter,
        header,
        header_bytes,
        #[cfg(feature = "parquet")]
        columns,
    })
}

/// Refuses a source whose bytes are not its text, or cannot be had from the middle.
fn check_reference(source: &Source, opened: &OpenedSource, text: &TextSpec) -> Result<(), InputError> {
    let why = match (source, opened.compression(), &text.encoding) {
        (Source::File(_) | Source::StandardInput | Source::Stream(_), ..) => {
            "it can be read only once, or by this machine alone".to_owned()
        }
        _ if text.container == Container::Parquet => {
            "a Parquet file is no text, of which parts could be read".to_owned()
        }
        (_, Some(compression), _) => format!("it is compressed ({compression}), and cannot be read from the middle"),
        (_, _, Some(encoding)) if encoding != UTF_8 => format!("it is {encoding} text, and workers read UTF-8"),
        _ if text.on_bad_bytes == BadBytes::Replace => "--on-bad-bytes replace changes its bytes".to_owned(),
        _ => return Ok(()),
    };
    Err(InputError::ByReference {
        origin: source.describe(),
        why,
    })
}

/// The names of a header, or why they cannot be read, and the header as it stands there.
type NamesAndBytes = (Option<Result<Vec<String>, InputError>>, Vec<u8>);

/// Takes off what is before the first record.
fn take_header(
    splitter: &mut InputSplitter,
    dialect: &CsvDialect,
    fields: Option<usize>,
    origin: &str,
) -> Result<NamesAndBytes, InputError> {
    let of_split = |source| InputError::Header {
        origin: origin.to_owned(),
        source,
    };
    splitter.skip_lines(dialect.skip_lines).map_err(of_split)?;
    for _ in 0..dialect.header_above {
        splitter.read_header().map_err(of_split)?;
    }
    if let Some(fields) = fields {
        splitter.expect_fields(fields);
    }
    let header = if dialect.header {
        splitter.read_header().map_err(of_split)?
    } else {
        None
    };
    let Some(header) = header else {
        return Ok((None, Vec::new()));
    };
    let names = header_names(&header.bytes, dialect).map_err(|source| InputError::Names {
        origin: origin.to_owned(),
        line: header.first_line,
        source,
        fits: looks_like_json(&header.bytes).then_some(Fitting::JsonLines),
    });
    if let (true, Ok(names)) = (dialect.stop_at_header, &names) {
        splitter.stop_at(names.clone());
    }
    Ok((Some(names), header.bytes))
}

/// The keys of the objects at the beginning; none without any object.
fn find_keys(
    splitter: &mut InputSplitter,
    reading: &Reading,
    origin: &str,
) -> Result<Option<Result<Vec<String>, InputError>>, InputError> {
    let mut sample_of = |bytes: usize| {
        let (sample, complete) = splitter.peek(bytes).map_err(|source| InputError::Header {
            origin: origin.to_owned(),
            source,
        })?;
        Ok::<_, InputError>(jsonl::keys(sample, complete, bytes))
    };
    let found = match sample_of(SAMPLE_BYTES)? {
        Err(KeysError::LongLine(_)) => sample_of(SAMPLE_BYTES.max(reading.split.max_record))?,
        found => found,
    };
    let of_keys = |source| InputError::Keys {
        origin: origin.to_owned(),
        source,
    };
    match found {
        Ok(keys) => Ok(Some(Ok(keys))),
        Err(KeysError::NoRecord) => Ok(None),
        // Of these each line would be read as what it is not.
        Err(source @ (KeysError::Unfinished { .. } | KeysError::Array { .. })) => Err(of_keys(source)),
        Err(source) => Ok(Some(Err(of_keys(source)))),
    }
}
