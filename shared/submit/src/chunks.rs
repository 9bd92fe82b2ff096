//! The chunks of a source, each with its place.

use format::csv::split::SplitError;
use model::{Position, Span};
use source::Fingerprint;

use crate::submission::SourceSplitter;

/// Reads the chunks of a source, one after the other. Reading may block for as long as it likes.
pub struct SourceChunks {
    splitter: SourceSplitter,
    next_record: u64,
}

impl SourceChunks {
    pub(crate) fn new(splitter: SourceSplitter) -> Self {
        Self {
            splitter,
            next_record: 1,
        }
    }

    /// Where the next chunk lies, and its bytes; `None` at the end.
    ///
    /// # Errors
    /// [`SplitError`], when the source cannot be read or cut.
    pub fn next_chunk(&mut self) -> Result<Option<(Span, Vec<u8>)>, SplitError> {
        let Some(chunk) = self.splitter.next_chunk()? else {
            return Ok(None);
        };
        let start = Position {
            input: 0,
            record: Some(self.next_record),
            byte: Some(chunk.span.start),
            line: Some(chunk.first_line),
        };
        self.next_record += chunk.record_count;
        let span = Span {
            start,
            end_byte: Some(chunk.span.end),
            record_count: chunk.record_count,
        };
        Ok(Some((span, chunk.bytes)))
    }

    /// **Bytes** of the source that were read so far.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.splitter.reader().reader().raw_bytes()
    }

    /// Reads what is no record any more: it belongs to the content all the same.
    pub(crate) fn drain(self) -> Result<Fingerprint, SplitError> {
        let mut reader = self.splitter.into_reader().into_reader();
        reader.drain().map_err(SplitError::Read)
    }
}
