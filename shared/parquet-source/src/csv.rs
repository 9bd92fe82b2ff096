//! The records of the stream as CSV.
//!
//! NULL is written out, as `\N`: an empty field would be the empty string in a text column that is NOT NULL, and a record of nothing but one
//! would be an empty line, which is no record. Whatever is not a number, a time or a truth value is in quotes, so that no text is taken for
//! NULL.

use memchr::memchr;
use model::CsvDialect;

/// What stands for NULL.
pub(crate) const NULL: &str = r"\N";
pub(crate) const DELIMITER: u8 = b',';
const QUOTE: u8 = b'"';

/// How the stream is written.
#[must_use]
pub fn dialect() -> CsvDialect {
    let delimiter = CsvDialect::plain(DELIMITER, true).delimiter;
    CsvDialect {
        null: vec![NULL.to_owned()],
        ..CsvDialect::strict(delimiter, true)
    }
}

/// Writes a field in quotes.
pub(crate) fn quoted(out: &mut Vec<u8>, mut value: &[u8]) {
    out.push(QUOTE);
    while let Some(at) = memchr(QUOTE, value) {
        let (before, after) = value.split_at(at + 1);
        out.extend_from_slice(before);
        out.push(QUOTE);
        value = after;
    }
    out.extend_from_slice(value);
    out.push(QUOTE);
}

/// Writes the record that names the columns.
pub(crate) fn header<'n>(out: &mut Vec<u8>, names: impl Iterator<Item = &'n str>) {
    for (at, name) in names.enumerate() {
        if at > 0 {
            out.push(DELIMITER);
        }
        quoted(out, name.as_bytes());
    }
    out.push(b'\n');
}
