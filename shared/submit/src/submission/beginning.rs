//! The beginning of a source: opened, fingerprinted, its header taken off.

use std::path::PathBuf;

use super::SubmitError;
use format::csv::split::{Position, SplitError, Splitter, SplitterConfig};
use model::ImportOptions;
use source::{Fingerprint, Source, SourceError, SourceReader, fingerprint};

/// Why the beginning of a source cannot be used.
enum BeginningError {
    Source(SourceError),
    Header(SplitError),
    HeaderText { line: u64 },
}

impl BeginningError {
    fn into_submit_error(self, origin: &str) -> SubmitError {
        let origin = origin.to_owned();
        match self {
            Self::Source(error) => error.into(),
            Self::Header(source) => SubmitError::Header { origin, source },
            Self::HeaderText { line } => SubmitError::HeaderText { origin, line },
        }
    }
}

/// What is left of the source, the header's fields if it has one, and the fingerprint of a regular file.
pub(super) type Beginning = (Splitter<SourceReader>, Option<Vec<String>>, Option<Fingerprint>);

/// Begins to read a source. Reading may block for as long as it likes (a pipe whose writer sleeps): it has a thread of its own.
pub(super) async fn read(source: &Source, options: &ImportOptions) -> Result<Beginning, SubmitError> {
    let origin = source.describe();
    let (source, options) = (source.clone(), options.clone());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody listens any more when the submission was given up.
    std::thread::spawn(move || drop(sender.send(read_blocking(&source, &options))));
    receiver
        .await
        .map_err(|_| SubmitError::Header {
            origin: origin.clone(),
            source: SplitError::Read(std::io::Error::other("the reading thread ended unexpectedly")),
        })?
        .map_err(|error| error.into_submit_error(&origin))
}

/// Opens a source, fingerprints a regular file, and takes the header off.
fn read_blocking(source: &Source, options: &ImportOptions) -> Result<Beginning, BeginningError> {
    let reader = source.open().map_err(BeginningError::Source)?;
    let known = source.regular_file().map(PathBuf::from);
    let fingerprint = known
        .map(|path| fingerprint(&path))
        .transpose()
        .map_err(BeginningError::Source)?;
    let config = SplitterConfig {
        delimiter: options.delimiter,
        chunk_rows: options.chunk_rows,
        chunk_bytes: options.chunk_bytes,
        max_record: options.max_record,
    };
    let mut splitter = Splitter::new(reader, config, Position::START);
    let header = if options.header {
        splitter.read_header().map_err(BeginningError::Header)?
    } else {
        None
    };
    let fields = header
        .map(|header| {
            header_fields(&header.bytes, options.delimiter).ok_or(BeginningError::HeaderText {
                line: header.first_line,
            })
        })
        .transpose()?;
    Ok((splitter, fields, fingerprint))
}

/// The fields of a header's record; `None` when they are not text.
fn header_fields(bytes: &[u8], delimiter: u8) -> Option<Vec<String>> {
    // An empty line first, or the reader would drop a second byte-order mark.
    let guarded = [b"\n", bytes].concat();
    let mut reader = csv_async::AsyncReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .create_reader(guarded.as_slice());
    let mut record = csv_async::StringRecord::new();
    // The bytes are in memory: the future is ready at once.
    match futures::executor::block_on(reader.read_record(&mut record)) {
        Ok(true) => Some(record.iter().map(str::to_owned).collect()),
        _ => None,
    }
}
