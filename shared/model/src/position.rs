//! Where records lie.

/// Where a record lies: which input, which record of it, and, where the format has them, byte and line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which of the import's inputs, from 0.
    pub input: u32,
    /// The record's number within the input, from 1, a header not counted. `None` where a program of before wrote it.
    pub record: Option<u64>,
    /// **Bytes** from the start of the decompressed input, header included.
    pub byte: Option<u64>,
    /// The line it begins on, from 1.
    pub line: Option<u64>,
}

impl Position {
    /// Of what is only looked at: on this line of the first input, and nothing else is known.
    #[must_use]
    pub const fn of_line(line: u64) -> Self {
        Self {
            input: 0,
            record: None,
            byte: None,
            line: Some(line),
        }
    }
}

/// Where a run of whole records lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Of its first record, or of the empty lines before it.
    pub start: Position,
    /// **Bytes** from the start of the decompressed input to the byte after its last.
    pub end_byte: Option<u64>,
    /// Never 0.
    pub record_count: u64,
}
