//! Cuts a byte stream into chunks of whole CSV records, at constant memory.
//!
//! Owns the question of where one record ends and the next begins, and answers it exactly as the `csv` crate does with
//! its default settings, a chosen delimiter, `flexible(true)` and `has_headers(false)`. Knows bytes, records and lines;
//! it must not know fields, encodings, columns, files or the database.
//!
//! An empty line is no record. It belongs to the record before it, and empty lines at the very beginning belong to the
//! first record. So every cut falls on the first byte of a record, never between `\r` and `\n`; every chunk holds a
//! record; and empty lines at the end join the last chunk. The price is that a chunk is returned only once the next
//! record's first byte, or the end, was seen.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr3};
use model::{CsvDialect, SplitSpec};

use super::{BYTE_ORDER_MARK, QUOTE};

/// Large enough that reads cost little, small enough that a block stays in the processor's cache until it is copied.
const BLOCK_BYTES: usize = 256 * 1024;

/// How records are delimited, and how large chunks may become.
#[derive(Debug, Clone)]
pub struct SplitterConfig {
    /// Separates fields. Neither `"` nor `\r` nor `\n`: whoever takes it from a user refuses those.
    pub delimiter: u8,
    /// Most records in one chunk; 0 counts as 1.
    pub chunk_rows: u64,
    /// Most bytes in one chunk, unless its only record is longer.
    pub chunk_bytes: usize,
    /// Most bytes in one record, its line ending and the empty lines after it included.
    pub max_record: usize,
}

impl SplitterConfig {
    /// The splitter of an import.
    #[must_use]
    pub fn new(dialect: &CsvDialect, split: &SplitSpec) -> Self {
        Self {
            delimiter: dialect.delimiter,
            chunk_rows: split.chunk_rows,
            chunk_bytes: split.chunk_bytes,
            max_record: split.max_record,
        }
    }
}

/// Where reading (re)starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes from the start of the decompressed stream.
    pub byte: u64,
    /// The line that this byte is on, counted from 1.
    pub line: u64,
}

impl Position {
    /// The beginning of a stream.
    pub const START: Self = Self { byte: 0, line: 1 };
}

/// A run of whole records.
///
/// The `csv` crate drops a byte-order mark at the start of whatever it parses. The splitter has already skipped the
/// stream's own, so one at the start of `bytes` is data: its parser must be fed an empty line (`\n`) first, which the
/// `csv` crate does not count as a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes from the start of the decompressed stream, end-exclusive. Each chunk begins where the last one ended.
    pub span: Range<u64>,
    /// The line of the span's first byte, counted from 1. Every `\n`, and every `\r` without one, ends a line, also
    /// inside quotes.
    pub first_line: u64,
    /// Never 0.
    pub record_count: u64,
    pub bytes: Vec<u8>,
}

/// The first record, with the empty lines around it. `bytes` are to be parsed like a [`Chunk`]'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub span: Range<u64>,
    pub first_line: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("cannot read the input")]
    Read(#[source] io::Error),
    #[error(
        "the record at line {line} (byte {byte}) is longer than {limit} bytes: \
         close its quote if one is left open, or allow longer records"
    )]
    RecordTooLong { line: u64, byte: u64, limit: usize },
}

/// What the next byte can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside any record: line endings are empty lines (or the `\n` of a `\r\n`), all else begins a record.
    Between,
    /// Only here does a quote open a quoted field.
    FieldStart,
    /// A quote is data like any other byte.
    Unquoted,
    Quoted,
    /// After a quote inside quotes: another makes an escaped quote, all else shows that the first one closed.
    QuoteInQuoted,
}

/// Cuts what a reader yields into [`Chunk`]s.
///
/// Holds one read block and the chunk being built: at most about `chunk_bytes` or `max_record`, whichever is larger.
/// How the reader portions its bytes makes no difference to the chunks.
pub struct Splitter<R> {
    reader: R,
    config: SplitterConfig,
    ended: bool,
    block: Box<[u8]>,
    /// `block[copied..filled]` is not in `pending` yet; `block[scanned..filled]` was not looked at either.
    copied: usize,
    scanned: usize,
    filled: usize,
    state: State,
    /// The chunk being built, followed by what is known of the record after it.
    pending: Vec<u8>,
    /// Where `pending` begins in the stream. Lengths and offsets below count from there.
    start: Position,
    /// What the chunk being built holds so far.
    accepted: usize,
    accepted_records: u64,
    /// Where the latest record begins, or 0 while there are only empty lines.
    record_start: usize,
    /// Whether a record lies past `accepted`, complete or not.
    has_candidate: bool,
}

impl<R: Read> Splitter<R> {
    /// `reader` yields the bytes from `start` on. `start` must be [`Position::START`] or where a header or chunk
    /// ended. A byte-order mark is skipped at the start of the stream only.
    pub fn new(reader: R, config: SplitterConfig, start: Position) -> Self {
        Self {
            reader,
            config,
            ended: false,
            block: vec![0; BLOCK_BYTES].into_boxed_slice(),
            copied: 0,
            scanned: 0,
            filled: 0,
            state: State::Between,
            pending: Vec::new(),
            start,
            accepted: 0,
            accepted_records: 0,
            record_start: 0,
            has_candidate: false,
        }
    }

    /// Takes the first record off the stream; call it before [`next_chunk`](Self::next_chunk). `None` when the input
    /// has no record.
    ///
    /// # Errors
    ///
    /// As [`next_chunk`](Self::next_chunk).
    pub fn read_header(&mut self) -> Result<Option<Header>, SplitError> {
        Ok(self.next_records(1)?.map(|record| Header {
            span: record.span,
            first_line: record.first_line,
            bytes: record.bytes,
        }))
    }

    /// The next chunk, or `None` when no record is left. Input of nothing but empty lines has no chunk.
    ///
    /// # Errors
    ///
    /// When reading fails, or when the next record is too long; the records before a long one are returned first. No
    /// more can be read after an error: start a new splitter at [`position`](Self::position) to try again.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, SplitError> {
        self.next_records(self.config.chunk_rows)
    }

    /// Where the last header or chunk returned ended, thus where a new splitter can go on.
    pub fn position(&self) -> Position {
        self.start
    }

    /// What the bytes are read from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Gives the reader back. Up to one block was read beyond [`position`](Self::position).
    pub fn into_reader(self) -> R {
        self.reader
    }

    fn next_records(&mut self, max_records: u64) -> Result<Option<Chunk>, SplitError> {
        loop {
            if let Some(end) = self.scan(max_records)? {
                return Ok(Some(self.take(end)));
            }
            self.copy_until(self.filled);
            if self.outgrown(self.pending.len())? {
                return Ok(Some(self.take(self.accepted)));
            }
            if !self.fill()? {
                let end = self.at_border(self.pending.len(), max_records)?;
                let end = end.or((self.accepted > 0).then_some(self.accepted));
                return Ok(end.map(|end| self.take(end)));
            }
        }
    }

    /// Looks at the rest of the block; stops early when that shows where the chunk ends.
    fn scan(&mut self, max_records: u64) -> Result<Option<usize>, SplitError> {
        while self.scanned < self.filled {
            if self.state == State::Between {
                if matches!(self.block[self.scanned], b'\r' | b'\n') {
                    self.scanned += 1;
                    continue;
                }
                let border = self.pending.len() + self.scanned - self.copied;
                if let Some(end) = self.at_border(border, max_records)? {
                    return Ok(Some(end));
                }
                self.record_start = border;
                self.has_candidate = true;
                self.state = State::FieldStart;
            }
            let rest = &self.block[self.scanned..self.filled];
            let (length, state) = skip_record(rest, self.state, self.config.delimiter);
            self.scanned += length;
            self.state = state;
        }
        Ok(None)
    }

    /// Decides what becomes of the record that turned out to end at `border`; returns where the chunk ends, if here or
    /// before. Asked again about the same border after such a cut, it decides for the next chunk.
    fn at_border(&mut self, border: usize, max_records: u64) -> Result<Option<usize>, SplitError> {
        if self.outgrown(border)? {
            return Ok(Some(self.accepted));
        }
        if self.has_candidate {
            self.has_candidate = false;
            self.accepted = border;
            self.accepted_records += 1;
            if self.accepted_records >= max_records || border >= self.config.chunk_bytes {
                return Ok(Some(border));
            }
        }
        Ok(None)
    }

    /// Whether the latest record, seen until `offset`, must be left to the next chunk. It is an error when no chunk
    /// can take it.
    #[inline]
    fn outgrown(&mut self, offset: usize) -> Result<bool, SplitError> {
        let too_long = offset - self.record_start > self.config.max_record;
        if self.accepted > 0 {
            return Ok(too_long || offset > self.config.chunk_bytes);
        }
        if too_long { Err(self.too_long()) } else { Ok(false) }
    }

    #[cold]
    fn too_long(&mut self) -> SplitError {
        self.copy_until(self.scanned);
        let empty_lines = &self.pending[..self.record_start];
        SplitError::RecordTooLong {
            line: self.start.line + count_lines(empty_lines),
            byte: self.start.byte + empty_lines.len() as u64,
            limit: self.config.max_record,
        }
    }

    fn copy_until(&mut self, block_offset: usize) {
        self.pending.extend_from_slice(&self.block[self.copied..block_offset]);
        self.copied = block_offset;
    }

    /// Returns the accepted records, which end at `end`, and makes what follows them the beginning of the next chunk.
    fn take(&mut self, end: usize) -> Chunk {
        if let Some(missing) = end.checked_sub(self.pending.len()) {
            self.copy_until(self.copied + missing);
        }
        let mut rest = self.pending.split_off(end);
        // Chunks of one file are alike: room for one a little larger spares the next most of its growing.
        let likely = end.min(self.config.chunk_bytes);
        rest.reserve(likely + likely / 8);
        let bytes = std::mem::replace(&mut self.pending, rest);

        let first = self.start;
        self.start = Position {
            byte: first.byte + bytes.len() as u64,
            line: first.line + count_lines(&bytes),
        };
        self.record_start = self.record_start.saturating_sub(end);
        self.accepted = 0;
        Chunk {
            span: first.byte..self.start.byte,
            first_line: first.line,
            record_count: std::mem::take(&mut self.accepted_records),
            bytes,
        }
    }

    /// Replaces the block, which must be used up, by the next one; false at the end of the input.
    fn fill(&mut self) -> Result<bool, SplitError> {
        (self.copied, self.scanned, self.filled) = (0, 0, 0);
        let at_stream_start = self.start.byte == 0 && self.pending.is_empty();
        let wanted = if at_stream_start { BYTE_ORDER_MARK.len() } else { 1 };
        while !self.ended && self.filled < wanted {
            match self.reader.read(&mut self.block[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SplitError::Read(error)),
            }
        }
        let got_any = self.filled > 0;
        if at_stream_start && self.block[..self.filled].starts_with(BYTE_ORDER_MARK) {
            self.start.byte += BYTE_ORDER_MARK.len() as u64;
            (self.copied, self.scanned) = (BYTE_ORDER_MARK.len(), BYTE_ORDER_MARK.len());
        }
        Ok(got_any)
    }
}

/// Goes through `bytes`, which begin inside a record, until its line ending was passed or they are used up. Returns how
/// far it came, and the state there.
#[inline]
fn skip_record(bytes: &[u8], mut state: State, delimiter: u8) -> (usize, State) {
    let mut at = 0;
    while state != State::Between && at < bytes.len() {
        let byte = bytes[at];
        (at, state) = match state {
            State::FieldStart | State::QuoteInQuoted if byte == QUOTE => (at + 1, State::Quoted),
            State::Quoted => match memchr(QUOTE, &bytes[at..]) {
                Some(length) => (at + length + 1, State::QuoteInQuoted),
                None => (bytes.len(), State::Quoted),
            },
            State::QuoteInQuoted if byte == delimiter => (at + 1, State::FieldStart),
            _ => {
                let found = memchr3(QUOTE, b'\r', b'\n', &bytes[at..]);
                let stop = found.map_or(bytes.len(), |length| at + length);
                let field_starts = stop > at && bytes[stop - 1] == delimiter;
                match bytes.get(stop) {
                    None if field_starts => (stop, State::FieldStart),
                    None => (stop, State::Unquoted),
                    Some(&QUOTE) if field_starts => (stop + 1, State::Quoted),
                    Some(&QUOTE) => (stop + 1, State::Unquoted),
                    Some(_) => (stop + 1, State::Between),
                }
            }
        };
    }
    (at, state)
}

/// Line endings in `bytes`, which must not end between `\r` and `\n`.
fn count_lines(bytes: &[u8]) -> u64 {
    let newlines = memchr_iter(b'\n', bytes).count();
    let lone_returns = memchr_iter(b'\r', bytes)
        .filter(|&at| bytes.get(at + 1) != Some(&b'\n'))
        .count();
    (newlines + lone_returns) as u64
}

#[cfg(test)]
mod tests;
