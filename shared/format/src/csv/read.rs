//! Reads the records of a chunk, each with its fields, and on request where it lies, what it looked like, and which of its fields were
//! quoted.
//!
//! Blocking CPU work on bytes in memory: this is the hot path, and nothing is allocated for a record.

use futures::FutureExt as _;
use memchr::memchr;
use model::{CsvDialect, Position};
use tokio::io::{AsyncReadExt as _, Chain};

use super::{BYTE_ORDER_MARK, QUOTE};

/// Bytes that cannot be read as CSV.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the record cannot be read as CSV")]
    Csv(#[from] csv_async::Error),
    /// Bytes in memory are always there.
    #[error("the reader waited for bytes that are in memory")]
    Waited,
}

/// Reads records from bytes that begin with one.
pub struct RecordReader<'b> {
    bytes: &'b [u8],
    delimiter: u8,
    reader: csv_async::AsyncReader<Chain<&'b [u8], &'b [u8]>>,
    /// **Bytes** that were put before `bytes`.
    guard: usize,
    record: csv_async::ByteRecord,
    /// The records read, this one included.
    count: u64,
    /// Where the last record lies in `bytes`, with the line ends round it.
    begin: usize,
    end: usize,
    start: Position,
    lines: LineCounter,
}

impl<'b> RecordReader<'b> {
    /// `bytes` begin at `start`, or with empty lines before it.
    #[must_use]
    pub fn new(bytes: &'b [u8], dialect: &CsvDialect, start: Position) -> Self {
        // The reader drops a byte-order mark at the start of what it reads; here one is data, and an empty line before it keeps it.
        let guard: &[u8] = if bytes.starts_with(BYTE_ORDER_MARK) { b"\n" } else { b"" };
        Self {
            bytes,
            delimiter: dialect.delimiter,
            reader: csv_async::AsyncReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .delimiter(dialect.delimiter)
                .buffer_capacity(64 << 10)
                .create_reader(guard.chain(bytes)),
            guard: guard.len(),
            record: csv_async::ByteRecord::new(),
            count: 0,
            begin: 0,
            end: 0,
            start,
            lines: LineCounter {
                at: 0,
                line: start.line.unwrap_or(1),
            },
        }
    }

    /// Reads the next record; `false` when there is none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        self.begin = self.end;
        let read = self.reader.read_byte_record(&mut self.record).now_or_never();
        if !read.ok_or(ReadError::Waited)?? {
            return Ok(false);
        }
        self.count += 1;
        self.end = usize::try_from(self.reader.position().byte())
            .unwrap_or(usize::MAX)
            .saturating_sub(self.guard)
            .min(self.bytes.len());
        Ok(true)
    }

    /// The fields of the record, without their quotes.
    #[must_use]
    pub fn fields(&self) -> &csv_async::ByteRecord {
        &self.record
    }

    /// The records read so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where the record lies. Each call must be for a later record than the one before.
    pub fn position(&mut self) -> Position {
        let offset = self.begin + self.leading_line_ends();
        let line = self.lines.line_of(self.bytes, offset);
        Position {
            input: self.start.input,
            record: self.start.record.map(|first| first + self.count.saturating_sub(1)),
            byte: self.start.byte.map(|byte| byte + offset as u64),
            line: self.start.line.map(|_| line),
        }
    }

    /// The record as it stood in the source, without the line ends round it: those of empty lines before, its own after.
    #[must_use]
    pub fn raw(&self) -> &'b [u8] {
        let span = self.span();
        let after = span.iter().rev().take_while(|byte| is_line_end(**byte)).count();
        let before = self.leading_line_ends();
        span.get(before..span.len() - after).unwrap_or_default()
    }

    /// Whether each field of the record was quoted, in their order. Looks at the record's bytes again: for dialects in which it counts.
    pub fn quoted(&self) -> impl Iterator<Item = bool> + use<'b> {
        let (raw, delimiter) = (self.raw(), self.delimiter);
        let mut at = Some(0);
        std::iter::from_fn(move || {
            let start = at?;
            let quoted = raw.get(start) == Some(&QUOTE);
            let end = if quoted { end_of_quoted(raw, start) } else { start };
            at = raw
                .get(end..)
                .and_then(|rest| memchr(delimiter, rest))
                .map(|length| end + length + 1);
            Some(quoted)
        })
    }

    fn span(&self) -> &'b [u8] {
        self.bytes.get(self.begin..self.end).unwrap_or_default()
    }

    fn leading_line_ends(&self) -> usize {
        self.span().iter().take_while(|byte| is_line_end(**byte)).count()
    }
}

/// The names in a header's record; `None` when they are not text.
#[must_use]
pub fn header_names(bytes: &[u8], dialect: &CsvDialect) -> Option<Vec<String>> {
    let start = Position {
        input: 0,
        record: None,
        byte: None,
        line: None,
    };
    let mut reader = RecordReader::new(bytes, dialect, start);
    if !reader.advance().ok()? {
        return None;
    }
    let name = |field: &[u8]| String::from_utf8(field.to_vec()).ok();
    reader.fields().iter().map(name).collect()
}

/// Where the quotes that open at `start` close; the end of the bytes where they do not. Doubled quotes are data, and so is what follows
/// the closing one until the delimiter, quotes that open again among it.
fn end_of_quoted(raw: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(length) = raw.get(at..).and_then(|rest| memchr(QUOTE, rest)) {
        at += length + 1;
        match raw.get(at) {
            Some(&QUOTE) => at += 1,
            _ => return at,
        }
    }
    raw.len()
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Counts lines as the splitter does: each `\n`, and each `\r` without one, ends a line.
struct LineCounter {
    at: usize,
    line: u64,
}

impl LineCounter {
    /// The line on which the byte `target` lies; targets ascend.
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

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: CsvDialect = CsvDialect {
        delimiter: b';',
        header: false,
        null: None,
    };
    const START: Position = Position {
        input: 0,
        record: Some(11),
        byte: Some(100),
        line: Some(10),
    };

    fn read(bytes: &[u8]) -> RecordReader<'_> {
        let mut reader = RecordReader::new(bytes, &DIALECT, START);
        assert!(reader.advance().unwrap());
        reader
    }

    #[test]
    fn a_record_has_its_place_and_its_bytes() {
        let mut reader = read(b"a;1\r\n\r\n\"c\nd\";2\r\ne;3");
        assert_eq!((reader.position(), reader.raw()), (START, b"a;1".as_slice()));
        assert!(reader.advance().unwrap());
        let position = reader.position();
        assert_eq!(
            (position.record, position.byte, position.line),
            (Some(12), Some(107), Some(12))
        );
        assert_eq!(reader.raw(), b"\"c\nd\";2");
        assert!(reader.advance().unwrap());
        assert_eq!(reader.position().line, Some(14));
        assert!(!reader.advance().unwrap());
        assert_eq!(reader.count(), 3);
    }

    #[test]
    fn a_byte_order_mark_within_a_stream_is_data() {
        let reader = read(b"\xef\xbb\xbfa;b\n");
        assert_eq!(reader.fields().get(0), Some(b"\xef\xbb\xbfa".as_slice()));
        assert_eq!(reader.raw(), b"\xef\xbb\xbfa;b");
    }

    #[test]
    fn each_field_says_whether_it_was_quoted() {
        for (bytes, quoted) in [
            (b"a;\"b\";;\"\"\n".as_slice(), vec![false, true, false, true]),
            (b"\"a;\"\";b\";c", vec![true, false]),
            (b"a\"b;\"c\nd\"", vec![false, true]),
            (b"\"a\"b;c", vec![true, false]),
            (b"x;", vec![false, false]),
        ] {
            let reader = read(bytes);
            assert_eq!(reader.quoted().collect::<Vec<_>>(), quoted, "{bytes:?}");
            assert_eq!(reader.fields().len(), quoted.len(), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_that_is_not_text_has_no_names() {
        assert_eq!(header_names(b"a;\"b c\"\n", &DIALECT).unwrap(), ["a", "b c"]);
        assert_eq!(header_names(b"\xff\xfea;b\n", &DIALECT), None);
    }
}
