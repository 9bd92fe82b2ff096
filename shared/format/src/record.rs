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

    /// Where the record lies that is the `count`th, from 1, and begins at `begin` in `bytes`. Each call must be for a later record than the
    /// one before.
    pub(crate) fn position(&mut self, bytes: &[u8], begin: usize, count: u64) -> Position {
        let line = self.line_of(bytes, begin);
        Position {
            input: self.start.input,
            record: self.start.record.map(|first| first + count.saturating_sub(1)),
            byte: self.start.byte.map(|byte| byte + begin as u64),
            line: self.start.line.map(|_| line),
        }
    }

    /// The line on which the byte `target` lies; targets ascend. Lines are counted as the splitter counts them: each `\n`, and each `\r`
    /// without one, ends a line.
    fn line_of(&mut self, bytes: &[u8], target: usize) -> u64 {
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
