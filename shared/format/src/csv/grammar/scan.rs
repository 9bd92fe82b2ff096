//! Finds the bytes that have a meaning, eight at a time: where most fields are short, to look for each of them anew costs more than the
//! looking.

use memchr::memchr3;

use super::Cells;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const BLOCK: usize = 8;

/// The bytes with a meaning, where delimiters are single bytes and nothing is trimmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    delimiter: u8,
    quote: Option<u8>,
    escaped: bool,
    /// Eight of each; without a quote, delimiters again.
    delimiters: u64,
    quotes: u64,
}

/// How a record ends whose quotes, if it has any, are all in their places and on its line.
pub(super) enum RecordEnd {
    /// With its line end, which ends here.
    At(usize),
    /// It takes a closer look.
    Unclear,
    /// With the bytes.
    Open,
}

impl Scan {
    /// Where `escaped`, quotes inside quotes may be written with another byte, and no quoted field is clear.
    pub(super) fn new(delimiter: u8, quote: Option<u8>, escaped: bool) -> Self {
        let delimiters = LOW * u64::from(delimiter);
        Self {
            delimiter,
            quote,
            escaped,
            delimiters,
            quotes: quote.map_or(delimiters, |quote| LOW * u64::from(quote)),
        }
    }

    /// Adds the fields of the record that begins at `start`.
    #[inline]
    pub(super) fn fields(&self, bytes: &[u8], start: usize, cells: &mut Cells) -> RecordEnd {
        // Where the field begins, and how far was looked.
        let (mut from, mut at) = (start, start);
        'blocks: loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let (word, seen) = match rest.first_chunk::<BLOCK>() {
                Some(block) => (u64::from_le_bytes(*block), BLOCK),
                None if rest.is_empty() => {
                    cells.push(from, bytes.len());
                    return RecordEnd::Open;
                }
                None => (last_word(rest), rest.len()),
            };
            let mut found = equal(word, self.delimiters) | equal(word, self.quotes) | below_14(word);
            if seen < BLOCK {
                found &= (1 << (8 * seen)) - 1;
            }
            while found != 0 {
                let place = at + found.trailing_zeros() as usize / 8;
                found &= found - 1;
                let byte = bytes.get(place).copied().unwrap_or(b'\n');
                if byte == self.delimiter {
                    cells.push(from, place);
                    from = place + 1;
                } else if matches!(byte, b'\r' | b'\n') {
                    cells.push(from, place);
                    return RecordEnd::At(place + 1);
                } else if Some(byte) == self.quote {
                    let Some((close, next)) = self.closing_quote(bytes, place).filter(|_| place == from) else {
                        return RecordEnd::Unclear;
                    };
                    cells.push_quoted(place + 1, close);
                    if next != self.delimiter {
                        return RecordEnd::At(close + 2);
                    }
                    (from, at) = (close + 2, close + 2);
                    continue 'blocks;
                }
            }
            at += seen;
        }
    }

    /// Where the quoted field that begins at `open` is closed, and the delimiter or the line end behind it.
    #[inline]
    fn closing_quote(&self, bytes: &[u8], open: usize) -> Option<(usize, u8)> {
        let quote = self.quote.filter(|_| !self.escaped)?;
        let close = open + 1 + memchr3(quote, b'\r', b'\n', bytes.get(open + 1..)?)?;
        let next = *bytes.get(close + 1)?;
        let is_clear = bytes.get(close) == Some(&quote) && (next == self.delimiter || matches!(next, b'\r' | b'\n'));
        is_clear.then_some((close, next))
    }
}

/// Fewer bytes than a block, and zeros.
fn last_word(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The high bit of each byte that is the same in both.
#[inline]
fn equal(word: u64, others: u64) -> u64 {
    let differing = word ^ others;
    !(((differing & !HIGH) + !HIGH) | differing) & HIGH
}

/// The high bit of each byte below 14, line ends among them.
#[inline]
fn below_14(word: u64) -> u64 {
    !((word | HIGH) - LOW * 14) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_wherever_it_stands_and_no_other() {
        for at in 0..BLOCK {
            for byte in 0..=u8::MAX {
                for around in [0, b' ', b';', 0x7f, 0x80, 0xff] {
                    let mut block = [around; BLOCK];
                    block[at] = byte;
                    let word = u64::from_le_bytes(block);
                    let marks = |holds: fn(u8) -> bool| {
                        let mark = |byte: u8| if holds(byte) { 0x80 } else { 0 };
                        u64::from_le_bytes(block.map(mark))
                    };
                    assert_eq!(
                        equal(word, LOW * u64::from(b';')),
                        marks(|byte| byte == b';'),
                        "{block:?}"
                    );
                    assert_eq!(below_14(word), marks(|byte| byte < 14), "{block:?}");
                }
            }
        }
    }
}
