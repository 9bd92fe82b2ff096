//! Reads the records of a chunk, each with its fields, where it lies, what it looked like, and which of its fields were quoted.
//!
//! Blocking CPU work on bytes in memory: this is the hot path, and nothing is allocated for a record.

use model::{CsvDialect, Position};

use super::grammar::{Cells, Grammar, StrayQuote, StrayQuoteKind};
use crate::record::{Defect, Field, Places, Records};

/// Reads records from bytes that begin with one.
pub struct RecordReader<'b> {
    bytes: &'b [u8],
    grammar: Grammar,
    cells: Cells,
    /// The records read, this one included.
    count: u64,
    /// Where the last record lies in `bytes`, its line end included.
    begin: usize,
    end: usize,
    places: Places,
}

impl<'b> RecordReader<'b> {
    /// `bytes` begin at `start`, or with empty lines and comments before it.
    #[must_use]
    pub fn new(bytes: &'b [u8], grammar: Grammar, start: Position) -> Self {
        Self {
            bytes,
            grammar,
            cells: Cells::default(),
            count: 0,
            begin: 0,
            end: 0,
            places: Places::new(start),
        }
    }

    /// The first quote of the record that stands where none can be, if that makes it a reject.
    #[must_use]
    pub fn stray_quote(&self) -> Option<StrayQuote> {
        self.cells.stray
    }
}

impl Records for RecordReader<'_> {
    fn advance(&mut self) -> bool {
        let Ok(begin) = self.grammar.skip_to_record(self.bytes, self.end, true) else {
            return false;
        };
        let Some(end) = self.grammar.read(self.bytes, begin, true, &mut self.cells) else {
            return false;
        };
        (self.begin, self.end) = (begin, end);
        self.count += 1;
        true
    }

    #[inline]
    fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        self.cells.cells.iter().map(|cell| Field {
            value: self.cells.value(self.bytes, cell),
            quoted: cell.quoted,
        })
    }

    fn defect(&self) -> Option<Defect> {
        self.stray_quote().map(|stray| Defect {
            field: Some(stray.field),
            reason: stray.kind.reason().to_owned(),
        })
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn position(&mut self) -> Position {
        self.places.position(self.bytes, self.begin, self.count)
    }

    fn raw(&self) -> &[u8] {
        let span = self.bytes.get(self.begin..self.end).unwrap_or_default();
        let after = span.iter().rev().take_while(|byte| is_line_end(**byte)).count();
        span.get(..span.len() - after).unwrap_or_default()
    }
}

/// Why a header's record names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the header is not UTF-8 text: is this a CSV file, uncompressed?")]
    NotText,
    #[error("the header has {}", .0.reason())]
    StrayQuote(StrayQuoteKind),
}

/// The names in a header's record.
///
/// # Errors
/// [`HeaderError`].
pub fn header_names(bytes: &[u8], dialect: &CsvDialect) -> Result<Vec<String>, HeaderError> {
    let start = Position {
        input: 0,
        record: None,
        byte: None,
        line: None,
    };
    let mut reader = RecordReader::new(bytes, Grammar::new(dialect, None, bytes.len()), start);
    reader.advance();
    if let Some(stray) = reader.stray_quote() {
        return Err(HeaderError::StrayQuote(stray.kind));
    }
    let name = |field: Field<'_>| String::from_utf8(field.value.to_vec()).map_err(|_| HeaderError::NotText);
    reader.fields().map(name).collect()
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
