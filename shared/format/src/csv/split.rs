//! Cuts a byte stream into chunks of whole records, at constant memory.
//!
//! Where one record ends and the next begins is the grammar's answer; how they become chunks is decided here. Knows bytes, records and
//! lines; must not know encodings, columns, files or the database.
//!
//! An empty line is no record, and a comment is none. It belongs to the record before it, or, at the very beginning, to the first record. So every cut falls on the first byte of a record, never between `\r` and `\n`; every chunk holds a
//! record; and empty lines at the end join the last chunk. The price is that a chunk is returned only once the next
//! record's first byte, or the end, was seen.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr_iter, memchr2};
use model::{FormatSpec, SplitSpec};

use super::{
    BYTE_ORDER_MARK,
    grammar::{Cells, Grammar},
};

/// Large enough that reads cost little, small enough that a block stays in the processor's cache until it is looked at.
const BLOCK_BYTES: usize = 256 * 1024;

/// How records are written, and how large chunks may become.
#[derive(Debug, Clone)]
pub struct SplitterConfig {
    /// With the most **bytes** of a record, whose line end counts. The empty lines and comments before the next one may be as long once
    /// more: they count for themselves.
    pub grammar: Grammar,
    /// Most records in one chunk; 0 counts as 1.
    pub chunk_rows: u64,
    /// Most **bytes** in one chunk, unless its only record is longer.
    pub chunk_bytes: usize,
}

impl SplitterConfig {
    /// The splitter of an import.
    #[must_use]
    pub fn new(format: &FormatSpec, split: &SplitSpec) -> Self {
        let grammar = match format {
            FormatSpec::Csv(dialect) => Grammar::new(dialect, None, split.max_record),
            FormatSpec::JsonLines(_) => Grammar::lines(split.max_record),
        };
        Self {
            grammar,
            chunk_rows: split.chunk_rows,
            chunk_bytes: split.chunk_bytes,
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
    /// A chunk holds the lines after its last record, so these cannot be endless.
    #[error(
        "the empty lines and comments from line {line} (byte {byte}) on are longer than {limit} bytes: \
         remove them, or allow longer records"
    )]
    GapTooLong { line: u64, byte: u64, limit: usize },
}

/// Cuts what a reader yields into [`Chunk`]s.
///
/// Holds the chunk being built, a block read beyond it, and the record that lies across its end with the empty lines after it: at most about
/// `chunk_bytes` and twice `max_record`. How the reader portions its bytes makes no difference to the chunks.
pub struct Splitter<R> {
    reader: R,
    config: SplitterConfig,
    ended: bool,
    block: Box<[u8]>,
    /// What was read and not returned: the chunk being built, and what follows it.
    pending: Vec<u8>,
    /// Where `pending` begins in the stream. Lengths and offsets below count from there.
    start: Position,
    /// What the chunk being built holds so far.
    accepted: usize,
    accepted_records: u64,
    /// Where the latest record begins, or 0 while there are only empty lines.
    record_start: usize,
    /// Where it ends, its line end included, or its beginning until that is seen.
    record_end: usize,
    /// Whether a record lies past `accepted`, complete or not.
    has_candidate: bool,
    /// Whether that record is seen only in part.
    within_record: bool,
    /// How far `pending` was looked at.
    scanned: usize,
    /// The fields of a record that begins another table.
    stop_at: Option<Vec<String>>,
    /// Room for fields that nobody asks for.
    cells: Cells,
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
            pending: Vec::new(),
            start,
            accepted: 0,
            accepted_records: 0,
            record_start: 0,
            record_end: 0,
            has_candidate: false,
            within_record: false,
            scanned: 0,
            stop_at: None,
            cells: Cells::default(),
        }
    }

    /// The records from here on should have so many fields. Nothing may have been looked at beyond [`position`](Self::position).
    pub fn expect_fields(&mut self, fields: usize) {
        self.config.grammar.expect_fields(fields);
        // A record that was seen already is read anew.
        (self.scanned, self.within_record, self.has_candidate) = (0, false, false);
        (self.record_start, self.record_end) = (0, 0);
    }

    /// Records are written like this, as far as is known by now. Nothing may have been looked at but by [`peek`](Self::peek).
    pub fn set_grammar(&mut self, grammar: Grammar) {
        self.config.grammar = grammar;
    }

    /// A record of these fields ends the input: it is the header of another table.
    pub fn stop_at(&mut self, header: Vec<String>) {
        self.stop_at = Some(header);
    }

    /// What comes next, so many **bytes** or more if there are as many, and whether nothing comes after it.
    ///
    /// # Errors
    ///
    /// [`SplitError::Read`].
    pub fn peek(&mut self, bytes: usize) -> Result<(&[u8], bool), SplitError> {
        while !self.ended && self.pending.len() < bytes {
            self.fill(bytes - self.pending.len())?;
        }
        Ok((&self.pending, self.ended))
    }

    /// Passes so many lines, whatever is in them, or what there is; call it before anything else.
    ///
    /// # Errors
    ///
    /// [`SplitError::Read`].
    pub fn skip_lines(&mut self, count: u64) -> Result<(), SplitError> {
        for _ in 0..count {
            loop {
                let found = memchr2(b'\r', b'\n', &self.pending);
                let end = match found.map(|at| (at, &self.pending[at..])) {
                    Some((at, [b'\r', b'\n', ..])) => Some(at + 2),
                    // What follows decides whether the line ends here.
                    Some((_, [b'\r'])) if !self.ended => None,
                    Some((at, _)) => Some(at + 1),
                    None => None,
                };
                if let Some(end) = end {
                    self.pass(end, 1);
                    break;
                }
                // A line may be longer than memory.
                let kept = usize::from(self.pending.ends_with(b"\r"));
                self.pass(self.pending.len() - kept, 0);
                if self.ended {
                    return Ok(());
                }
                self.fill(1)?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, bytes: usize, lines: u64) {
        self.pending.drain(..bytes);
        self.start.byte += bytes as u64;
        self.start.line += lines;
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
    /// When reading fails, or when the next record or what follows it is too long; the records before it are returned first. No
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
            if self.ended {
                let end = self.at_border(self.pending.len(), max_records)?;
                let end = end.or((self.accepted > 0).then_some(self.accepted));
                return Ok(end.map(|end| self.take(end)));
            }
            // A record that is seen in part is read from its beginning again: after as much more, so that no byte is looked at often.
            let seen = self.pending.len() - self.record_start;
            self.fill(if self.within_record { seen } else { 1 })?;
        }
    }

    /// Looks at what was read; stops early when that shows where the chunk ends.
    fn scan(&mut self, max_records: u64) -> Result<Option<usize>, SplitError> {
        loop {
            if self.within_record {
                let grammar = &self.config.grammar;
                let end = match &self.stop_at {
                    None => grammar.record_end(&self.pending, self.record_start, self.ended, &mut self.cells),
                    Some(_) => grammar.read(&self.pending, self.record_start, self.ended, &mut self.cells),
                };
                match end {
                    Some(_) if self.begins_another_table() => {
                        self.ended = true;
                        self.pending.truncate(self.record_start);
                        (self.within_record, self.has_candidate) = (false, false);
                        return Ok(None);
                    }
                    Some(end) => (self.scanned, self.record_end, self.within_record) = (end, end, false),
                    // It may turn out to end before what is seen of it, unless that is one line.
                    None if self.pending.len() - self.record_start > grammar.max_record() => {
                        self.record_end = self.pending.len();
                        let outgrown = self.outgrown(self.record_end)?;
                        return Ok(outgrown.then_some(self.accepted));
                    }
                    None => return Ok(None),
                }
            }
            match self
                .config
                .grammar
                .skip_to_record(&self.pending, self.scanned, self.ended)
            {
                Err(undecided) => {
                    self.scanned = undecided.resume;
                    // The gap belongs to the record before it.
                    let outgrown = self.outgrown(undecided.gap_until)?;
                    return Ok(outgrown.then_some(self.accepted));
                }
                Ok(border) => {
                    self.scanned = border;
                    if let Some(end) = self.at_border(border, max_records)? {
                        return Ok(Some(end));
                    }
                    (self.record_start, self.record_end) = (border, border);
                    self.has_candidate = true;
                    self.within_record = true;
                }
            }
        }
    }

    /// Whether the record that was just read is the header of another table.
    fn begins_another_table(&self) -> bool {
        let Some(header) = &self.stop_at else { return false };
        let cells = &self.cells;
        cells.stray.is_none()
            && cells.cells.len() == header.len()
            && std::iter::zip(&cells.cells, header)
                .all(|(cell, name)| cells.value(&self.pending, cell) == name.as_bytes())
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

    /// Whether the latest record, seen with what follows it until `offset`, must be left to the next chunk. It is an error when no chunk
    /// can take it.
    #[inline]
    fn outgrown(&mut self, offset: usize) -> Result<bool, SplitError> {
        let limit = self.config.grammar.max_record();
        let too_long = self.record_end - self.record_start > limit || offset - self.record_end > limit;
        if self.accepted > 0 {
            return Ok(too_long || offset > self.config.chunk_bytes);
        }
        if too_long { Err(self.too_long()) } else { Ok(false) }
    }

    #[cold]
    fn too_long(&self) -> SplitError {
        let limit = self.config.grammar.max_record();
        let place = |offset: usize| {
            let line = self.start.line + count_lines(&self.pending[..offset]);
            (line, self.start.byte + offset as u64)
        };
        if self.record_end - self.record_start > limit {
            let (line, byte) = place(self.record_start);
            return SplitError::RecordTooLong { line, byte, limit };
        }
        // The second byte of the record's line end is no empty line.
        let crlf =
            self.pending[..self.record_end].ends_with(b"\r") && self.pending[self.record_end..].starts_with(b"\n");
        let (line, byte) = place(self.record_end + usize::from(crlf));
        SplitError::GapTooLong { line, byte, limit }
    }

    /// Returns the accepted records, which end at `end`, and makes what follows them the beginning of the next chunk.
    fn take(&mut self, end: usize) -> Chunk {
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
        self.record_end = self.record_end.saturating_sub(end);
        self.scanned = self.scanned.saturating_sub(end);
        self.accepted = 0;
        Chunk {
            span: first.byte..self.start.byte,
            first_line: first.line,
            record_count: std::mem::take(&mut self.accepted_records),
            bytes,
        }
    }

    /// Reads `wanted` **bytes** more, or what there is before the end.
    fn fill(&mut self, wanted: usize) -> Result<(), SplitError> {
        let at_stream_start = self.start.byte == 0 && self.pending.is_empty();
        let wanted = if at_stream_start { BYTE_ORDER_MARK.len() } else { wanted };
        let enough = self.pending.len() + wanted;
        while !self.ended && self.pending.len() < enough {
            match self.reader.read(&mut self.block) {
                Ok(0) => self.ended = true,
                Ok(count) => self.pending.extend_from_slice(&self.block[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SplitError::Read(error)),
            }
        }
        if at_stream_start && self.pending.starts_with(BYTE_ORDER_MARK) {
            self.pass(BYTE_ORDER_MARK.len(), 0);
        }
        Ok(())
    }
}

/// Line endings in `bytes`, which must not end between `\r` and `\n`.
#[must_use]
pub fn count_lines(bytes: &[u8]) -> u64 {
    let newlines = memchr_iter(b'\n', bytes).count();
    let lone_returns = memchr_iter(b'\r', bytes)
        .filter(|&at| bytes.get(at + 1) != Some(&b'\n'))
        .count();
    (newlines + lone_returns) as u64
}

#[cfg(test)]
mod tests;
