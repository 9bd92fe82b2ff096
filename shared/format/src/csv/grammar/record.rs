//! Reads one record: where it ends, and what its fields are.
//!
//! A line without quotes is cut at its delimiters. One with quotes is gone through field by field; a quote where none can be is noted, and the
//! line is mended where it is certain what was meant.

use memchr::{memchr, memchr2, memchr3, memmem};
use model::StrayQuotes;

use super::{After, Cell, Cells, Grammar, StrayQuoteKind, scan::RecordEnd};
use crate::csv::mend;

/// There are quotes on the line.
struct Quotes;

impl Grammar {
    /// The first line at or after `from`, in a grammar of [`lines`](Self::lines): where its text begins and ends, and where its line end does.
    pub(crate) fn next_line(&self, bytes: &[u8], from: usize) -> Option<(usize, usize, usize)> {
        let begin = self.skip_to_record(bytes, from, true).ok()?;
        let (end, next) = self.line_without_quotes(bytes, begin, true)?.ok()?;
        Some((begin, end, next))
    }

    /// Where the record that begins at `start` ends, its line end included; `None` when more bytes decide. Quicker than reading it.
    pub(in crate::csv) fn record_end(
        &self,
        bytes: &[u8],
        start: usize,
        ended: bool,
        cells: &mut Cells,
    ) -> Option<usize> {
        match self.line_without_quotes(bytes, start, ended)? {
            Ok((_, next)) => Some(next),
            Err(Quotes) => self
                .certain_end(bytes, start)
                .or_else(|| self.read_quoted(bytes, start, ended, cells)),
        }
    }

    /// Where a record ends all of whose quotes are in their places; `None` where that takes a closer look.
    fn certain_end(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let (quote, delimiter) = (self.quote?, self.delimiter.as_byte()?);
        if self.trim || self.escape.is_some() {
            return None;
        }
        let mut at = start;
        loop {
            let found = at + memchr3(quote, b'\r', b'\n', bytes.get(at..)?)?;
            if *bytes.get(found)? != quote {
                return Some(found + 1).filter(|end| end - start <= self.max_record);
            }
            // Only here does a field begin.
            if found > start && *bytes.get(found - 1)? != delimiter {
                return None;
            }
            let mut inside = found + 1;
            let (close, next) = loop {
                let close = inside + memchr(quote, bytes.get(inside..)?)?;
                let next = *bytes.get(close + 1)?;
                if next != quote || !self.doubled {
                    break (close, next);
                }
                inside = close + 2;
            };
            // One that runs on may have to be mended, if its fields are not as many as they should be.
            if self.fields.is_some() && memchr2(b'\r', b'\n', bytes.get(found..close)?).is_some() {
                return None;
            }
            match next {
                b'\r' | b'\n' => return Some(close + 2).filter(|end| end - start <= self.max_record),
                next if next == delimiter => at = close + 2,
                _ => return None,
            }
        }
    }

    /// Reads the record that begins at `start`; returns where it ends, its line end included, or `None` when more bytes decide.
    pub(in crate::csv) fn read(&self, bytes: &[u8], start: usize, ended: bool, cells: &mut Cells) -> Option<usize> {
        if let Some(scan) = &self.scan {
            cells.clear();
            match scan.fields(bytes, start, cells) {
                RecordEnd::At(next) if next - start <= self.max_record => return Some(next),
                RecordEnd::Open if !cells.cells.iter().any(|cell| cell.quoted) => {
                    return ended.then_some(bytes.len());
                }
                // There is a quote on its first line.
                RecordEnd::Unclear => return self.read_quoted(bytes, start, ended, cells),
                _ => {}
            }
        }
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
        let first_line = || {
            let rest = bytes.get(start..)?;
            let length = memchr2(b'\r', b'\n', rest);
            length.map(|length| start + length).or(ended.then_some(bytes.len()))
        };
        if too_long || cells.never_closed {
            // The quote closes nothing, as far as can be seen: the record is its first line.
            let line_end = first_line()?;
            if !self.mend(bytes, start, line_end, cells) {
                self.walk_line(bytes, start, line_end, cells);
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
        self.walk_line(bytes, start, line_end, cells);
        let stray = cells.stray;
        cells.clear();
        for piece in pieces {
            if piece.quoted {
                self.unescape(bytes, start + piece.start, start + piece.end, cells);
            } else {
                cells.push(start + piece.start, start + piece.end);
            }
        }
        cells.stray = stray.filter(|_| self.stray_quotes != StrayQuotes::Keep);
        true
    }

    /// Goes through a line with a wrong quote as if nothing followed it, for what is wrong with a record must not depend on what does.
    fn walk_line(&self, bytes: &[u8], start: usize, line_end: usize, cells: &mut Cells) {
        cells.clear();
        self.walk(bytes.get(..line_end).unwrap_or_default(), start, true, cells);
        cells.note(StrayQuoteKind::NeverClosed);
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
        let mut from = at;
        let (end, next, more) = loop {
            // Most fields are short: looking at each byte is quicker than to look for several at once.
            let rest = bytes.get(from..).unwrap_or_default();
            let Some(length) = rest
                .iter()
                .position(|byte| self.special.get(usize::from(*byte)) == Some(&true))
            else {
                if !ended {
                    return None;
                }
                break (bytes.len(), bytes.len(), false);
            };
            let found = from + length;
            if bytes.get(found).copied() == self.quote && self.minds_strays() {
                cells.note(StrayQuoteKind::Inside);
            }
            match self.after(bytes, found, ended) {
                After::Delimiter(next) => break (found, next, true),
                After::End(next) => break (found, next, false),
                After::Text => from = found + 1,
                After::Unknown => return None,
            }
        };
        let (from, to) = if self.trim {
            self.trimmed(bytes, at, end)
        } else {
            (at, end)
        };
        cells.push(from, to);
        Some((next, more))
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
}
