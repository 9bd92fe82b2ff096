//! What the reader of every format says of a record: its fields, and where it lies.
//!
//! Knows bytes and lines; must not know how a format is written.

use model::Position;

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'r> {
    /// Without its quotes.
    pub value: &'r [u8],
    pub quoted: bool,
}

/// What makes a record a reject, whatever its fields are worth in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Which of the fields it is about, from 0, if one.
    pub field: Option<usize>,
    pub reason: String,
}

/// A reader of records, one after the other, whatever their format.
pub trait Records {
    /// Reads the next record, good or bad; `false` when there is none.
    fn advance(&mut self) -> bool;

    /// The fields of the record; those of one with a defect are not to be relied on.
    fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>>;

    /// What is wrong with the record, if that makes it a reject.
    fn defect(&self) -> Option<Defect>;

    /// The records read so far.
    fn count(&self) -> u64;

    /// Where the record lies. No call may be for an earlier record than the one before.
    fn position(&mut self) -> Position;

    /// The record as it stood in the source, without its line end.
    fn raw(&self) -> &[u8];
}

/// Tells where the records of some bytes lie, one after the other.
pub(crate) struct Places {
    start: Position,
    /// How far lines were counted, and the line there.
    at: usize,
    line: u64,
}

impl Places {
    /// The first record lies at `start`, or after what is no record.
    pub(crate) fn new(start: Position) -> Self {
        Self {
            start,
            at: 0,
            line: start.line.unwrap_or(1),
        }
    }

    /// Where the record lies that is the `count`th, from 1, and begins at `begin` in `bytes`. No call may be for an earlier record than
    /// the one before.
    pub(crate) fn position(&mut self, bytes: &[u8], begin: usize, count: u64) -> Position {
        let line = self.line_of(bytes, begin);
        Position {
            input: self.start.input,
            record: self.start.record.map(|first| first + count.saturating_sub(1)),
            byte: self.start.byte.map(|byte| byte + begin as u64),
            line: self.start.line.map(|_| line),
        }
    }

    /// The line on which the byte `target` of `bytes` lies; targets ascend. Lines are counted as the splitter counts them: each `\n`, and each `\r`
    /// without one, ends a line.
    pub(crate) fn line_of(&mut self, bytes: &[u8], target: usize) -> u64 {
        while self.at < target {
            let ends_line = match bytes.get(self.at) {
                Some(b'\n') => true,
                Some(b'\r') => bytes.get(self.at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends_line);
            self.at += 1;
        }
        self.line
    }
}
