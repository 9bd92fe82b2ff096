//! The beginning of a source: opened, fingerprinted, its header taken off.

use std::path::PathBuf;

use super::SubmitError;
use format::csv::read::header_names;
use format::csv::split::{Position, SplitError, Splitter, SplitterConfig};
use format::footer::WithoutFooter;
use model::{FormatSpec, SplitSpec, TextSpec};
use source::{EncodingError, Fingerprint, Source, SourceError, SourceReader, fingerprint};

/// **Bytes** that a footer may have in any case.
const FOOTER_BYTES: usize = 1 << 20;

/// Why the beginning of a source cannot be used.
enum BeginningError {
    Source(SourceError),
    Header(SplitError),
    Encoding(EncodingError),
}

impl BeginningError {
    fn into_submit_error(self, origin: &str) -> SubmitError {
        let origin = origin.to_owned();
        match self {
            Self::Source(error) => error.into(),
            Self::Header(source) => SubmitError::Header { origin, source },
            Self::Encoding(source) => SubmitError::Encoding { origin, source },
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
    pub split: SplitSpec,
    /// How many fields a record should have, if that does not depend on the header.
    pub fields: Option<usize>,
}

/// A source of which the header was read.
pub(super) struct Beginning {
    /// How it is encoded.
    pub text: TextSpec,
    /// What is left of the source.
    pub splitter: SourceSplitter,
    /// The header's fields, if it has one, or why they cannot be read.
    pub header: Option<Result<Vec<String>, SubmitError>>,
    /// The header as it stands there.
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
    let FormatSpec::Csv(dialect) = &reading.format;
    let reader = WithoutFooter::new(reader, dialect.skip_footer, FOOTER_BYTES.max(reading.split.max_record));
    let mut splitter = Splitter::new(reader, SplitterConfig::new(dialect, &reading.split), Position::START);
    splitter
        .skip_lines(dialect.skip_lines)
        .map_err(BeginningError::Header)?;
    for _ in 0..dialect.header_above {
        splitter.read_header().map_err(BeginningError::Header)?;
    }
    if let Some(fields) = reading.fields {
        splitter.expect_fields(fields);
    }
    let header = if dialect.header {
        splitter.read_header().map_err(BeginningError::Header)?
    } else {
        None
    };
    let header_bytes = header.as_ref().map(|header| header.bytes.clone()).unwrap_or_default();
    let names = header.map(|header| {
        header_names(&header.bytes, dialect).map_err(|error| {
            let (origin, line, source) = (source.describe(), header.first_line, error);
            SubmitError::Names { origin, line, source }
        })
    });
    if let (true, Some(Ok(names))) = (dialect.stop_at_header, &names) {
        splitter.stop_at(names.clone());
    }
    Ok(Beginning {
        text,
        splitter,
        header: names,
        header_bytes,
        fingerprint,
    })
}
