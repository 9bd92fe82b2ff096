//! What was meant by a line with a quote in a wrong place, where that is certain.
//!
//! A field that begins with a quote is either quoted, and then ends at the first quote before a delimiter or the line's end, unless one
//! inside it looks as if another field began there; or it is unquoted and that quote is data, which it can only be if there is no other one
//! in it. A quote anywhere else is data. Two unquoted fields with such quotes could be the ends of one quoted text that lost its beginning, and
//! make no reading, unless each quote is the last character of its field, as inches are. Of all readings of a line, exactly one must have as
//! many fields as a record should have.

use memchr::memchr;

use super::grammar::{After, Grammar};

/// How often a search may go through a line, so that none takes long; a line that takes more has too many readings to be certain of one.
const PASSES: usize = 50;

/// A field: its text, or what lies inside its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
}

/// The only reading of a line with so many fields.
pub(super) fn only_reading(grammar: &Grammar, line: &[u8], fields: usize) -> Option<Vec<Piece>> {
    let mut search = Search {
        grammar,
        line,
        fields,
        path: Vec::new(),
        untried: Vec::new(),
        found: None,
        bytes_left: PASSES * (line.len() + 100),
    };
    search.run()?;
    search.found
}

struct Search<'a> {
    grammar: &'a Grammar,
    line: &'a [u8],
    fields: usize,
    path: Vec<Piece>,
    /// What was not tried yet, the last of it first. A line may have more fields than a stack has room for calls.
    untried: Vec<Step>,
    found: Option<Vec<Piece>>,
    /// **Bytes** that may still be looked at.
    bytes_left: usize,
}

/// One way to read a field.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// How many fields come before it.
    before: usize,
    piece: Piece,
    /// Where the next field begins, if there is one.
    next: Option<usize>,
}

impl Search<'_> {
    /// Tries every reading of the line; `None` when there is no use in going on.
    fn run(&mut self) -> Option<()> {
        self.try_field(0)?;
        while let Some(Step { before, piece, next }) = self.untried.pop() {
            self.path.truncate(before);
            self.path.push(piece);
            match next {
                Some(next) => self.try_field(next)?,
                None if self.path.len() == self.fields => self.complete()?,
                None => {}
            }
        }
        Some(())
    }

    /// Finds the ways to read the field that begins there.
    fn try_field(&mut self, at: usize) -> Option<()> {
        if self.path.len() >= self.fields {
            return Some(());
        }
        let begin = if self.grammar.trim {
            self.grammar.skip_spaces(self.line, at)
        } else {
            at
        };
        let opens = self.grammar.quote.is_some() && self.line.get(begin).copied() == self.grammar.quote;
        let unquoted = self.unquoted(at);
        let field_end = unquoted.map_or(self.line.len(), |(piece, _)| piece.end);
        self.look_at(field_end.saturating_sub(at))?;
        if !opens {
            let (piece, next) = unquoted?;
            self.will_try(piece, next);
            return Some(());
        }
        let quoted = self.quoted(begin);
        let quoted_end = quoted.map_or(self.line.len(), |(piece, _)| piece.end);
        self.look_at(quoted_end.saturating_sub(begin))?;
        let (piece, next) = unquoted?;
        let inside = self.line.get(begin + 1..piece.end).unwrap_or_default();
        if self.grammar.quote.is_some_and(|quote| memchr(quote, inside).is_none()) {
            self.will_try(piece, next);
        }
        if let Some((piece, next)) = quoted {
            self.will_try(piece, next);
        }
        Some(())
    }

    fn will_try(&mut self, piece: Piece, next: Option<usize>) {
        let before = self.path.len();
        self.untried.push(Step { before, piece, next });
    }

    fn look_at(&mut self, bytes: usize) -> Option<()> {
        self.bytes_left = self.bytes_left.checked_sub(bytes + 1)?;
        Some(())
    }

    /// Whether the quotes that are data in unquoted fields are just that.
    fn is_certain(&self) -> bool {
        let Some(quote) = self.grammar.quote else { return true };
        let unquoted = self.path.iter().filter(|piece| !piece.quoted);
        let texts = unquoted.filter_map(|piece| self.line.get(piece.start..piece.end));
        let (mut with_quotes, mut all_last) = (0, true);
        for text in texts {
            let Some(first) = memchr(quote, text) else { continue };
            with_quotes += 1;
            all_last &= first + 1 == text.len();
        }
        with_quotes <= 1 || all_last
    }

    /// Takes the path for a reading; a second one ends the search.
    fn complete(&mut self) -> Option<()> {
        self.look_at(self.line.len())?;
        if !self.is_certain() {
            return Some(());
        }
        let first = self.found.is_none();
        self.found = first.then(|| self.path.clone());
        first.then_some(())
    }

    /// The field up to the next delimiter, and where the one after it begins.
    fn unquoted(&self, at: usize) -> Option<(Piece, Option<usize>)> {
        let (end, next, more) = self.grammar.field_end(self.line, at, true)?;
        let (start, end) = if self.grammar.trim {
            self.grammar.trimmed(self.line, at, end)
        } else {
            (at, end)
        };
        let piece = Piece {
            start,
            end,
            quoted: false,
        };
        Some((piece, more.then_some(next)))
    }

    /// The field up to the first quote that can close it.
    fn quoted(&self, begin: usize) -> Option<(Piece, Option<usize>)> {
        let mut at = begin + 1;
        loop {
            if let Some(length) = self.grammar.pair(self.line, at) {
                at += length;
                continue;
            }
            if self.line.get(at).copied()? == self.grammar.quote? {
                let closed = at + 1;
                let after = if self.grammar.trim {
                    self.grammar.skip_spaces(self.line, closed)
                } else {
                    closed
                };
                let next = match self.grammar.after(self.line, after, true) {
                    After::Delimiter(next) => Some(Some(next)),
                    After::End(_) => Some(None),
                    After::Text | After::Unknown => None,
                };
                let begins_another = self.line.get(..at)?.ends_with(self.grammar.delimiter.as_bytes());
                if next.is_none() && begins_another && at > begin + 1 {
                    return None;
                }
                if let Some(next) = next {
                    let piece = Piece {
                        start: begin + 1,
                        end: at,
                        quoted: true,
                    };
                    return Some((piece, next));
                }
            }
            at += 1;
        }
    }
}
