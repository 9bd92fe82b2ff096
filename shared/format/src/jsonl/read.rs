//! Reads the records of a chunk, each with its fields in the order of the keys, where it lies, what it looked like, and what is wrong with it.
//!
//! Blocking CPU work on bytes in memory: this is the hot path, and nothing is allocated for a good record, unless its values are nested.

use memchr::memmem;
use model::Position;

use super::{Grammar, fault::RecordFault, object::Cells, shape::ObjectShape};
use crate::record::{Defect, Field, Places, Records};

/// Reads records from bytes that begin with one.
///
/// A string is a quoted field, with the text that it stands for. An array or an object is a quoted field, with its JSON as it stands. A number,
/// true or false is an unquoted field, as it stands. Null is an unquoted empty field, and so is a key that an object does not have.
pub struct ObjectReader<'b> {
    bytes: &'b [u8],
    shape: &'b ObjectShape,
    grammar: Grammar,
    cells: Cells<'b>,
    fault: Option<RecordFault>,
    /// The records read, this one included.
    count: u64,
    /// Where the last record lies in `bytes`, without its line end.
    begin: usize,
    end: usize,
    /// Where its line end ends.
    next: usize,
    places: Places,
}

impl<'b> ObjectReader<'b> {
    /// `bytes` begin at `start`, or with empty lines before it.
    #[must_use]
    pub fn new(bytes: &'b [u8], shape: &'b ObjectShape, start: Position) -> Self {
        Self {
            bytes,
            shape,
            grammar: Grammar::lines(bytes.len()),
            cells: Cells::default(),
            fault: None,
            count: 0,
            begin: 0,
            end: 0,
            next: 0,
            places: Places::new(start),
        }
    }

    /// What is wrong with the record, if that makes it a reject.
    fn fault(&self) -> Option<&RecordFault> {
        self.fault.as_ref()
    }

    /// The record without its line end and the spaces before it.
    fn line(&self) -> &'b [u8] {
        self.bytes.get(self.begin..self.end).unwrap_or_default()
    }
}

/// A record has as many fields as there are keys, in their order, each of them UTF-8 text.
impl Records for ObjectReader<'_> {
    fn advance(&mut self) -> bool {
        let Some((begin, end, next)) = self.grammar.next_line(self.bytes, self.next) else {
            return false;
        };
        (self.begin, self.end, self.next) = (begin, end, next);
        self.count += 1;
        self.fault = self.cells.read(self.line(), self.shape).err();
        true
    }

    #[inline]
    fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        self.cells.values().map(|(value, quoted)| Field { value, quoted })
    }

    fn defect(&self) -> Option<Defect> {
        self.fault().map(|fault| Defect {
            field: fault.key,
            reason: fault.to_string(),
        })
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn position(&mut self) -> Position {
        self.places.position(self.bytes, self.begin, self.count)
    }

    fn raw(&self) -> &[u8] {
        self.line()
    }
}

/// Whether no field of these records can hold a NUL. It stands in no good record, but a string may spell it.
#[must_use]
pub fn is_free_of_nul(bytes: &[u8]) -> bool {
    memmem::find(bytes, br"\u0000").is_none()
}

#[cfg(test)]
mod tests;
