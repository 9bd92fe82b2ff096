//! Where a record ends and what its fields are: the one answer, for the splitter and for the reader.
//!
//! A record is read at a time, from its first byte. What follows it decides nothing, but for the line end that closes its last field, so
//! that a chunk reads as the whole stream did. Knows bytes; must not know columns, chunks or files.

mod record;
mod scan;

use memchr::{memchr2, memchr3};
use model::{CsvDialect, Delimiter, Escape, Quote, StrayQuotes};
use scan::Scan;

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
    /// Whether spaces and tabs before a record are no part of it.
    spaces_before: bool,
    pub(super) trim: bool,
    stray_quotes: StrayQuotes,
    /// How many fields a record should have, once it is known.
    fields: Option<usize>,
    /// **Bytes** of a record, at most.
    max_record: usize,
    /// How clear records are read, if every byte with a meaning stands alone.
    scan: Option<Scan>,
    /// Of each byte, whether it may end an unquoted field or be a quote in one.
    special: [bool; 256],
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
    /// The first quote in a wrong place.
    pub stray: Option<StrayQuote>,
    /// Whether any quote is left open.
    pub never_closed: bool,
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
        self.never_closed = false;
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

    fn push_quoted(&mut self, start: usize, end: usize) {
        self.cells.push(Cell {
            start,
            end,
            unescaped: false,
            quoted: true,
        });
    }

    fn note(&mut self, kind: StrayQuoteKind) {
        let field = self.cells.len();
        self.stray.get_or_insert(StrayQuote { field, kind });
        self.never_closed |= kind == StrayQuoteKind::NeverClosed;
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
        let mut special = [false; 256];
        for byte in [
            dialect.delimiter.as_bytes().first().copied(),
            dialect.quote.0,
            Some(b'\r'),
            Some(b'\n'),
        ]
        .into_iter()
        .flatten()
        {
            if let Some(is_special) = special.get_mut(usize::from(byte)) {
                *is_special = true;
            }
        }
        let scan = dialect.delimiter.as_byte().filter(|_| !dialect.trim);
        Self {
            special,
            scan: scan.map(|delimiter| Scan::new(delimiter, dialect.quote.0, escape.is_some())),
            delimiter: dialect.delimiter,
            quote: dialect.quote.0,
            escape,
            doubled: escape.is_none() && dialect.escape != Escape::Never,
            comment: dialect.comment.as_ref().map(|comment| comment.as_bytes().to_vec()),
            spaces_before: false,
            trim: dialect.trim,
            stray_quotes: dialect.stray_quotes,
            fields,
            max_record,
        }
    }

    /// Of records that are one line each, and not CSV: no byte but a line end has a meaning, and lines of nothing but spaces and tabs are
    /// empty. The spaces and tabs before a record count as empty lines do.
    #[must_use]
    pub fn lines(max_record: usize) -> Self {
        let dialect = CsvDialect {
            quote: Quote(None),
            escape: Escape::Never,
            ..CsvDialect::plain(b'\n', false)
        };
        Self {
            spaces_before: true,
            ..Self::new(&dialect, None, max_record)
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
                Some(b' ' | b'\t') if self.spaces_before => at += 1,
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
