//! The beginning of a source: opened, fingerprinted, its header taken off.

use std::path::PathBuf;

use super::SubmitError;
use format::csv::read::header_names;
use format::csv::split::{Position, SplitError, Splitter, SplitterConfig};
use format::encoding::foreign_mark;
use model::{FormatSpec, SplitSpec};
use source::{Fingerprint, Source, SourceError, SourceReader, fingerprint};

/// Why the beginning of a source cannot be used.
enum BeginningError {
    Source(SourceError),
    Header(SplitError),
    HeaderText { line: u64 },
    Encoding { name: &'static str },
}

impl BeginningError {
    fn into_submit_error(self, origin: &str) -> SubmitError {
        let origin = origin.to_owned();
        match self {
            Self::Source(error) => error.into(),
            Self::Header(source) => SubmitError::Header { origin, source },
            Self::HeaderText { line } => SubmitError::HeaderText { origin, line },
            Self::Encoding { name } => SubmitError::Encoding { origin, name },
        }
    }
}

/// What is left of the source, the header's fields if it has one, and the fingerprint of a regular file.
pub(super) type Beginning = (Splitter<SourceReader>, Option<Vec<String>>, Option<Fingerprint>);

/// Begins to read a source. Reading may block for as long as it likes (a pipe whose writer sleeps): it has a thread of its own.
pub(super) async fn read(source: &Source, format: &FormatSpec, split: SplitSpec) -> Result<Beginning, SubmitError> {
    let origin = source.describe();
    let (source, format) = (source.clone(), format.clone());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody listens any more when the submission was given up.
    std::thread::spawn(move || drop(sender.send(read_blocking(&source, &format, split))));
    receiver
        .await
        .map_err(|_| SubmitError::Header {
            origin: origin.clone(),
            source: SplitError::Read(std::io::Error::other("the reading thread ended unexpectedly")),
        })?
        .map_err(|error| error.into_submit_error(&origin))
}

/// Opens a source, fingerprints a regular file, and takes the header off.
fn read_blocking(source: &Source, format: &FormatSpec, split: SplitSpec) -> Result<Beginning, BeginningError> {
    let mut reader = source.open().map_err(BeginningError::Source)?;
    let known = source.regular_file().map(PathBuf::from);
    let fingerprint = known
        .map(|path| fingerprint(&path))
        .transpose()
        .map_err(BeginningError::Source)?;
    let beginning = reader
        .peek(4)
        .map_err(|source| BeginningError::Header(SplitError::Read(source)))?;
    if let Some(name) = foreign_mark(beginning) {
        return Err(BeginningError::Encoding { name });
    }
    let FormatSpec::Csv(dialect) = format;
    let mut splitter = Splitter::new(reader, SplitterConfig::new(dialect, &split), Position::START);
    let header = if dialect.header {
        splitter.read_header().map_err(BeginningError::Header)?
    } else {
        None
    };
    let fields = header
        .map(|header| {
            header_names(&header.bytes, dialect).ok_or(BeginningError::HeaderText {
                line: header.first_line,
            })
        })
        .transpose()?;
    Ok((splitter, fields, fingerprint))
}
