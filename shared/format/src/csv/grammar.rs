//! Where a record ends and what its fields are: the one answer, for the splitter and for the reader.
//!
//! A record is read at a time, from its first byte. What follows it decides nothing, but for the line end that closes its last field, so
//! that a chunk reads as the whole stream did. Knows bytes; must not know columns, chunks or files.

use memchr::{memchr, memchr2, memchr3, memmem};
use model::{CsvDialect, Delimiter, Escape, StrayQuotes};

use super::mend;

/// How records are written, made ready for reading.
#[derive(Debug, Clone)]
pub struct Grammar {
    pub(super) delimiter: Delimiter,
    pub(super) quote: Option<u8>,
    /// What stands before a quote inside quotes, if it is not another quote.
    pub(super) escape: Option<u8>,
    /// Whether two quotes inside quotes are one.
    pub(super) doubled: bool,
    comment: Option<Vec<u8>>,
    pub(super) trim: bool,
    stray_quotes: StrayQuotes,
    /// How many fields a record should have, once it is known.
    fields: Option<usize>,
    /// **Bytes** of a record, at most.
    max_record: usize,
}

/// A quote where none can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrayQuote {
    /// The field, from 0.
    pub field: usize,
    pub kind: StrayQuoteKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayQuoteKind {
    Inside,
    BeforeText,
    NeverClosed,
}

impl StrayQuoteKind {
    /// What is wrong, for the reason of a reject.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Inside => "a quote inside an unquoted field",
            Self::BeforeText => "text after a closing quote",
            Self::NeverClosed => "a quote that is never closed",
        }
    }
}

/// The fields of one record; those of one with a stray quote are not to be relied on. Kept from record to record, for its room.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub cells: Vec<Cell>,
    /// The values that do not stand in the source as they are.
    pub unescaped: Vec<u8>,
    pub stray: Option<StrayQuote>,
}

/// Where a field's value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub start: usize,
    pub end: usize,
    /// In `unescaped` rather than in the source.
    pub unescaped: bool,
    pub quoted: bool,
}

/// What stands at a place after a field.
pub(super) enum After {
    /// A delimiter that ends here.
    Delimiter(usize),
    /// A line end that ends here, or the end of the input.
    End(usize),
    Text,
    /// More bytes decide.
    Unknown,
}

impl Cells {
    fn clear(&mut self) {
        self.cells.clear();
        self.unescaped.clear();
        self.stray = None;
    }

    /// The value of a field of the record in `bytes`.
    #[inline]
    pub(super) fn value<'c>(&'c self, bytes: &'c [u8], cell: &Cell) -> &'c [u8] {
        let from = if cell.unescaped {
            self.unescaped.as_slice()
        } else {
            bytes
        };
        from.get(cell.start..cell.end).unwrap_or_default()
    }

    fn push(&mut self, start: usize, end: usize) {
        self.cells.push(Cell {
            start,
            end,
            unescaped: false,
            quoted: false,
        });
    }

    fn note(&mut self, kind: StrayQuoteKind) {
        let field = self.cells.len();
        self.stray.get_or_insert(StrayQuote { field, kind });
    }
}

impl Grammar {
    /// Of records with `fields` fields, where that is known, that are at most `max_record` **bytes** long.
    #[must_use]
    pub fn new(dialect: &CsvDialect, fields: Option<usize>, max_record: usize) -> Self {
        let escape = match dialect.escape {
            Escape::Byte(byte) if Some(byte) != dialect.quote.0 => Some(byte),
            _ => None,
        };
        Self {
            delimiter: dialect.delimiter,
            quote: dialect.quote.0,
            escape,
            doubled: escape.is_none() && dialect.escape != Escape::Never,
            comment: dialect.comment.as_ref().map(|comment| comment.as_bytes().to_vec()),
            trim: dialect.trim,
            stray_quotes: dialect.stray_quotes,
            fields,
            max_record,
        }
    }

    /// The same for records of so many fields.
    pub fn expect_fields(&mut self, fields: usize) {
        self.fields = Some(fields);
    }

    /// **Bytes** of a record, at most.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.max_record
    }

    /// Whether a field of UTF-8 text is UTF-8 text: every byte with a meaning is ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.delimiter.as_bytes().is_ascii()
            && self.quote.is_none_or(|q| q.is_ascii())
            && self.escape.is_none_or(|e| e.is_ascii())
    }

    /// Whether a quote in a wrong place is a fault, and an open one ends with its line if nothing closes it.
    fn minds_strays(&self) -> bool {
        self.stray_quotes != StrayQuotes::AsData
    }

    /// Where the next record begins at or after `at`, which is the beginning of a line: empty lines and comments are passed.
    pub(super) fn skip_to_record(&self, bytes: &[u8], mut at: usize, ended: bool) -> Result<usize, Undecided> {
        let undecided = |at, gap| {
            Err(Undecided {
                resume: at,
                gap_until: gap,
            })
        };
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match rest.first() {
                None => return undecided(at, at),
                Some(b'\r' | b'\n') => at += 1,
                Some(_) => {
                    let Some(comment) = &self.comment else { return Ok(at) };
                    if !rest.starts_with(comment) {
                        let begins_one = !ended && comment.starts_with(rest);
                        return if begins_one { undecided(at, at) } else { Ok(at) };
                    }
                    match memchr2(b'\r', b'\n', rest) {
                        Some(length) => at += length + 1,
                        None if ended => at = bytes.len(),
                        None => return undecided(at, bytes.len()),
                    }
                }
            }
        }
    }

    /// Where the record that begins at `start` ends, its line end included; `None` when more bytes decide. Quicker than reading it.
    pub(super) fn record_end(&self, bytes: &[u8], start: usize, ended: bool, cells: &mut Cells) -> Option<usize> {
        match self.line_without_quotes(bytes, start, ended)? {
            Ok((_, next)) => Some(next),
            Err(Quotes) => self.read_quoted(bytes, start, ended, cells),
        }
    }

    /// Reads the record that begins at `start`; returns where it ends, its line end included, or `None` when more bytes decide.
    pub(super) fn read(&self, bytes: &[u8], start: usize, ended: bool, cells: &mut Cells) -> Option<usize> {
        match self.line_without_quotes(bytes, start, ended)? {
            Ok((end, next)) => {
                cells.clear();
                self.split_line(bytes, start, end, cells);
                Some(next)
            }
            Err(Quotes) => self.read_quoted(bytes, start, ended, cells),
        }
    }

    /// The end of the line's text and of the line, unless there is a quote on it.
    #[inline]
    fn line_without_quotes(&self, bytes: &[u8], start: usize, ended: bool) -> Option<Result<(usize, usize), Quotes>> {
        let rest = bytes.get(start..)?;
        let found = match self.quote {
            Some(quote) => memchr3(quote, b'\r', b'\n', rest),
            None => memchr2(b'\r', b'\n', rest),
        };
        match found.and_then(|at| rest.get(at).map(|byte| (at, byte))) {
            Some((at, b'\r' | b'\n')) => Some(Ok((start + at, start + at + 1))),
            Some(_) => Some(Err(Quotes)),
            None => ended.then_some(Ok((bytes.len(), bytes.len()))),
        }
    }

    /// Fields between delimiters, and nothing else.
    #[inline]
    fn split_line(&self, bytes: &[u8], start: usize, end: usize, cells: &mut Cells) {
        let line = bytes.get(start..end).unwrap_or_default();
        let mut from = 0;
        let mut field = |from: usize, to: usize| {
            let (from, to) = if self.trim {
                self.trimmed(line, from, to)
            } else {
                (from, to)
            };
            cells.push(start + from, start + to);
        };
        if let Some(byte) = self.delimiter.as_byte() {
            for at in memchr::memchr_iter(byte, line) {
                field(from, at);
                from = at + 1;
            }
        } else {
            let delimiter = self.delimiter.as_bytes();
            for at in memmem::find_iter(line, delimiter) {
                field(from, at);
                from = at + delimiter.len();
            }
        }
        field(from, line.len());
    }

    /// A record with quotes, perhaps over several lines.
    #[inline(never)]
    fn read_quoted(&self, bytes: &[u8], start: usize, ended: bool, cells: &mut Cells) -> Option<usize> {
        cells.clear();
        let end = self.walk(bytes, start, ended, cells);
        if !self.minds_strays() {
            return end;
        }
        let bytes_seen = end.unwrap_or(bytes.len()) - start;
        let too_long = bytes_seen > self.max_record;
        if end.is_none() && !too_long && !ended {
            return None;
        }
        let never_closed = cells
            .stray
            .is_some_and(|stray| stray.kind == StrayQuoteKind::NeverClosed);
        let first_line = || {
            let rest = bytes.get(start..)?;
            let length = memchr2(b'\r', b'\n', rest);
            length.map(|length| start + length).or(ended.then_some(bytes.len()))
        };
        if too_long || never_closed {
            // The quote closes nothing, as far as can be seen: the record is its first line.
            let line_end = first_line()?;
            if !never_closed {
                cells.note(StrayQuoteKind::NeverClosed);
            }
            if !self.mend(bytes, start, line_end, cells) {
                // Some of the fields lie beyond it.
                cells.cells.clear();
            }
            return Some(bytes.len().min(line_end + 1));
        }
        let line_end = first_line()?;
        let end = end?;
        let runs_on = line_end + 1 < end;
        let odd = cells.stray.is_some() || runs_on && self.fields.is_some_and(|fields| fields != cells.cells.len());
        if odd && self.mend(bytes, start, line_end, cells) {
            return Some(bytes.len().min(line_end + 1));
        }
        Some(end)
    }

    /// Reads the line anew if it has one reading with as many fields as there should be; what was wrong stays noted unless it is to be kept.
    fn mend(&self, bytes: &[u8], start: usize, line_end: usize, cells: &mut Cells) -> bool {
        let Some(fields) = self.fields else { return false };
        let line = bytes.get(start..line_end).unwrap_or_default();
        let Some(pieces) = mend::only_reading(self, line, fields) else {
            return false;
        };
        let stray = cells.stray.unwrap_or(StrayQuote {
            field: fields.saturating_sub(1),
            kind: StrayQuoteKind::NeverClosed,
        });
        cells.clear();
        for piece in pieces {
            if piece.quoted {
                self.unescape(bytes, start + piece.start, start + piece.end, cells);
            } else {
                cells.push(start + piece.start, start + piece.end);
            }
        }
        cells.stray = (self.stray_quotes != StrayQuotes::Keep).then_some(stray);
        true
    }

    /// Goes through a record field by field. A quote where none can be is noted, and data.
    fn walk(&self, bytes: &[u8], start: usize, ended: bool, cells: &mut Cells) -> Option<usize> {
        let mut at = start;
        loop {
            let begin = if self.trim { self.skip_spaces(bytes, at) } else { at };
            let quoted = self.quote.is_some() && bytes.get(begin).copied() == self.quote;
            let (next, more) = if quoted {
                self.quoted_field(bytes, begin, ended, cells)?
            } else {
                self.unquoted_field(bytes, at, ended, cells)?
            };
            if !more {
                return Some(next);
            }
            at = next;
        }
    }

    /// Where the field that begins at `at` with no quote ends, and whether another follows.
    fn unquoted_field(&self, bytes: &[u8], at: usize, ended: bool, cells: &mut Cells) -> Option<(usize, bool)> {
        let (end, next, more) = self.field_end(bytes, at, ended)?;
        let value = bytes.get(at..end).unwrap_or_default();
        if self.minds_strays() && self.quote.is_some_and(|quote| memchr(quote, value).is_some()) {
            cells.note(StrayQuoteKind::Inside);
        }
        let (from, to) = if self.trim {
            self.trimmed(bytes, at, end)
        } else {
            (at, end)
        };
        cells.push(from, to);
        Some((next, more))
    }

    /// The end of an unquoted text, what follows its delimiter or line end, and whether it is a delimiter.
    pub(super) fn field_end(&self, bytes: &[u8], at: usize, ended: bool) -> Option<(usize, usize, bool)> {
        let delimiter = self.delimiter.as_bytes();
        let first = delimiter.first().copied().unwrap_or(b'\n');
        let mut from = at;
        loop {
            let Some(length) = memchr3(first, b'\r', b'\n', bytes.get(from..).unwrap_or_default()) else {
                return ended.then_some((bytes.len(), bytes.len(), false));
            };
            let found = from + length;
            match self.after(bytes, found, ended) {
                After::Delimiter(next) => return Some((found, next, true)),
                After::End(next) => return Some((found, next, false)),
                After::Text => from = found + 1,
                After::Unknown => return None,
            }
        }
    }

    fn quoted_field(&self, bytes: &[u8], begin: usize, ended: bool, cells: &mut Cells) -> Option<(usize, bool)> {
        let quote = self.quote?;
        let mut at = begin + 1;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let found = match self.escape {
                Some(escape) => memchr2(quote, escape, rest),
                None => memchr(quote, rest),
            };
            let Some(found) = found.map(|length| at + length) else {
                if !ended {
                    return None;
                }
                if self.minds_strays() {
                    cells.note(StrayQuoteKind::NeverClosed);
                }
                self.unescape(bytes, begin + 1, bytes.len(), cells);
                return Some((bytes.len(), false));
            };
            if let Some(length) = self.pair(bytes, found) {
                at = found + length;
                continue;
            }
            if found + 1 == bytes.len() && !ended {
                return None;
            }
            if bytes.get(found).copied() != self.quote {
                at = found + 1;
                continue;
            }
            let closed = found + 1;
            let after = if self.trim {
                self.skip_spaces(bytes, closed)
            } else {
                closed
            };
            match self.after(bytes, after, ended) {
                After::Unknown => return None,
                After::Delimiter(next) => {
                    self.unescape(bytes, begin + 1, found, cells);
                    return Some((next, true));
                }
                After::End(next) => {
                    self.unescape(bytes, begin + 1, found, cells);
                    return Some((next, false));
                }
                After::Text => {
                    let (end, next, more) = self.field_end(bytes, closed, ended)?;
                    if self.minds_strays() {
                        cells.note(StrayQuoteKind::BeforeText);
                    }
                    self.unescape(bytes, begin + 1, found, cells);
                    self.append(bytes, closed, end, cells);
                    return Some((next, more));
                }
            }
        }
    }

    /// **Bytes** of an escaped quote or escape at `at` inside quotes, if there is one.
    pub(super) fn pair(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let (first, second) = (bytes.get(at).copied()?, bytes.get(at + 1).copied()?);
        let is_pair = match self.escape {
            Some(escape) => first == escape && (Some(second) == self.quote || second == escape),
            None => self.doubled && Some(first) == self.quote && Some(second) == self.quote,
        };
        is_pair.then_some(2)
    }

    /// What stands at `at`.
    pub(super) fn after(&self, bytes: &[u8], at: usize, ended: bool) -> After {
        let rest = bytes.get(at..).unwrap_or_default();
        let delimiter = self.delimiter.as_bytes();
        match rest.first() {
            None if ended => After::End(at),
            Some(b'\r' | b'\n') => After::End(at + 1),
            _ if rest.starts_with(delimiter) => After::Delimiter(at + delimiter.len()),
            _ if !ended && delimiter.starts_with(rest) => After::Unknown,
            _ => After::Text,
        }
    }

    /// Adds a quoted field whose inside lies there.
    fn unescape(&self, bytes: &[u8], start: usize, end: usize, cells: &mut Cells) {
        let inside = bytes.get(start..end).unwrap_or_default();
        let marks = match (self.escape, self.quote) {
            (Some(escape), Some(quote)) => memchr2(escape, quote, inside),
            (None, Some(quote)) => memchr(quote, inside),
            _ => None,
        };
        let mut cell = Cell {
            start,
            end,
            unescaped: false,
            quoted: true,
        };
        if marks.is_some() {
            cell.start = cells.unescaped.len();
            let mut at = start;
            while let Some(&byte) = bytes.get(..end).and_then(|bytes| bytes.get(at)) {
                let pair = self.pair(bytes.get(..end).unwrap_or_default(), at);
                let kept = pair.map_or(byte, |_| bytes.get(at + 1).copied().unwrap_or(byte));
                cells.unescaped.push(kept);
                at += pair.unwrap_or(1);
            }
            cell.end = cells.unescaped.len();
            cell.unescaped = true;
        }
        cells.cells.push(cell);
    }

    /// Adds text to the last field.
    fn append(&self, bytes: &[u8], start: usize, end: usize, cells: &mut Cells) {
        let Some(cell) = cells.cells.last_mut() else { return };
        if !cell.unescaped {
            let value = bytes.get(cell.start..cell.end).unwrap_or_default();
            cell.start = cells.unescaped.len();
            cells.unescaped.extend_from_slice(value);
            cell.unescaped = true;
        }
        cells
            .unescaped
            .extend_from_slice(bytes.get(start..end).unwrap_or_default());
        cell.end = cells.unescaped.len();
    }

    fn is_space(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && !self.delimiter.as_bytes().contains(&byte)
    }

    pub(super) fn skip_spaces(&self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| self.is_space(**byte)).count()
    }

    pub(super) fn trimmed(&self, bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
        let text = bytes.get(start..end).unwrap_or_default();
        let before = text.iter().take_while(|byte| self.is_space(**byte)).count();
        let after = text.iter().rev().take_while(|byte| self.is_space(**byte)).count();
        (start + before, (end - after).max(start + before))
    }
}

/// No record begins in what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecided {
    /// Where to look again when there is more.
    pub resume: usize,
    /// How far empty lines and comments reach for certain.
    pub gap_until: usize,
}

/// There are quotes on the line.
struct Quotes;
