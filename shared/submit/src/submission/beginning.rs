//! The beginning of a source: opened, fingerprinted, its header taken off.

use std::path::PathBuf;

use super::{
    SubmitError,
    fitting::{Fitting, looks_like_json},
};
use format::csv::split::{Position, SplitError, Splitter, SplitterConfig};
use format::csv::{grammar::Grammar, read::header_names, sniff};
use format::{
    footer::WithoutFooter,
    jsonl::{self, KeysError},
    sample::SAMPLE_BYTES,
};
use model::{CsvDialect, FormatSpec, SplitSpec, TextSpec};
use source::{EncodingError, Fingerprint, Source, SourceError, SourceReader, fingerprint};

/// **Bytes** that a footer may have in any case.
const FOOTER_BYTES: usize = 1 << 20;

/// Why the beginning of a source cannot be used.
enum BeginningError {
    Source(SourceError),
    Header(SplitError),
    Encoding(EncodingError),
    Keys(KeysError),
    NoDelimiter,
}

impl BeginningError {
    fn into_submit_error(self, origin: &str) -> SubmitError {
        let origin = origin.to_owned();
        match self {
            Self::Source(error) => error.into(),
            Self::Header(source) => SubmitError::Header { origin, source },
            Self::Encoding(source) => SubmitError::Encoding { origin, source },
            Self::Keys(source) => SubmitError::Keys { origin, source },
            Self::NoDelimiter => SubmitError::NoDelimiter { origin },
        }
    }
}

/// Cuts a source into chunks.
pub(crate) type SourceSplitter = Splitter<WithoutFooter<SourceReader>>;

/// How a source is read.
#[derive(Clone)]
pub(super) struct Reading {
    /// Without an encoding, the one that a byte-order mark names.
    pub text: TextSpec,
    pub format: FormatSpec,
    pub find_delimiter: bool,
    pub split: SplitSpec,
    /// How many fields a record should have, if that does not depend on the header.
    pub fields: Option<usize>,
}

/// A source of which the header was read.
pub(super) struct Beginning {
    /// How it is encoded.
    pub text: TextSpec,
    /// How it is written, with the delimiter that was found.
    pub format: FormatSpec,
    /// What is left of the source.
    pub splitter: SourceSplitter,
    /// The fields' names, if the source has any, or why they cannot be read.
    pub header: Option<Result<Vec<String>, SubmitError>>,
    /// The header as it stands there, if it is a record.
    pub header_bytes: Vec<u8>,
    /// Of a regular file.
    pub fingerprint: Option<Fingerprint>,
}

/// Begins to read a source. Reading may block for as long as it likes (a pipe whose writer sleeps): it has a thread of its own.
pub(super) async fn read(source: &Source, reading: Reading) -> Result<Beginning, SubmitError> {
    let origin = source.describe();
    let source = source.clone();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody listens any more when the submission was given up.
    std::thread::spawn(move || drop(sender.send(read_blocking(&source, &reading))));
    receiver
        .await
        .map_err(|_| SubmitError::Header {
            origin: origin.clone(),
            source: SplitError::Read(std::io::Error::other("the reading thread ended unexpectedly")),
        })?
        .map_err(|error| error.into_submit_error(&origin))
}

/// Opens a source, fingerprints a regular file, and takes the header off.
fn read_blocking(source: &Source, reading: &Reading) -> Result<Beginning, BeginningError> {
    let opened = source.open().map_err(BeginningError::Source)?;
    let known = source.regular_file().map(PathBuf::from);
    let fingerprint = known
        .map(|path| fingerprint(&path))
        .transpose()
        .map_err(BeginningError::Source)?;
    let mut text = reading.text.clone();
    if text.encoding.is_none() {
        let marked = opened.marked_encoding().map_err(BeginningError::Encoding)?;
        text.encoding = marked.map(str::to_owned);
    }
    let reader = opened.decode(&text).map_err(BeginningError::Encoding)?;
    let skip_footer = match &reading.format {
        FormatSpec::Csv(dialect) => dialect.skip_footer,
        FormatSpec::JsonLines(_) => 0,
    };
    let reader = WithoutFooter::new(reader, skip_footer, FOOTER_BYTES.max(reading.split.max_record));
    let config = SplitterConfig::new(&reading.format, &reading.split);
    let mut splitter = Splitter::new(reader, config, Position::START);
    let mut format = reading.format.clone();
    if let (true, FormatSpec::Csv(dialect)) = (reading.find_delimiter, &mut format) {
        let (sample, complete) = splitter.peek(SAMPLE_BYTES).map_err(BeginningError::Header)?;
        // A source without any record has no delimiter either.
        if !(complete && sample.trim_ascii().is_empty()) {
            dialect.delimiter = sniff::delimiter(sample, complete, dialect).ok_or(BeginningError::NoDelimiter)?;
        }
        splitter.set_grammar(Grammar::new(dialect, None, reading.split.max_record));
    }
    let (header, header_bytes) = match &format {
        FormatSpec::Csv(dialect) => take_header(&mut splitter, dialect, reading.fields, &source.describe())?,
        // Somebody named the keys, or they were found before.
        FormatSpec::JsonLines(_) if reading.fields.is_some() => (None, Vec::new()),
        FormatSpec::JsonLines(_) => (find_keys(&mut splitter)?.map(Ok), Vec::new()),
    };
    Ok(Beginning {
        text,
        format,
        splitter,
        header,
        header_bytes,
        fingerprint,
    })
}

/// The names of a header, or why they cannot be read, and the header as it stands there.
type NamesAndBytes = (Option<Result<Vec<String>, SubmitError>>, Vec<u8>);

/// Takes off what is before the first record.
fn take_header(
    splitter: &mut SourceSplitter,
    dialect: &CsvDialect,
    fields: Option<usize>,
    origin: &str,
) -> Result<NamesAndBytes, BeginningError> {
    splitter
        .skip_lines(dialect.skip_lines)
        .map_err(BeginningError::Header)?;
    for _ in 0..dialect.header_above {
        splitter.read_header().map_err(BeginningError::Header)?;
    }
    if let Some(fields) = fields {
        splitter.expect_fields(fields);
    }
    let header = if dialect.header {
        splitter.read_header().map_err(BeginningError::Header)?
    } else {
        None
    };
    let Some(header) = header else {
        return Ok((None, Vec::new()));
    };
    let names = header_names(&header.bytes, dialect).map_err(|source| SubmitError::Names {
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
fn find_keys(splitter: &mut SourceSplitter) -> Result<Option<Vec<String>>, BeginningError> {
    let (sample, complete) = splitter.peek(SAMPLE_BYTES).map_err(BeginningError::Header)?;
    match jsonl::keys(sample, complete) {
        Ok(keys) => Ok(Some(keys)),
        Err(KeysError::NoRecord) => Ok(None),
        Err(error) => Err(BeginningError::Keys(error)),
    }
}
