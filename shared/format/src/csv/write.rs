//! Writes rejected records as they were, with a header of the same dialect.

use std::io::{self, Write};

use model::{CsvDialect, Escape};

/// Writes the header of a file with these columns, if the dialect has one.
///
/// # Errors
/// From `out`.
pub fn header(out: &mut impl Write, columns: &[String], dialect: &CsvDialect) -> io::Result<()> {
    if !dialect.header {
        return Ok(());
    }
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.write_all(dialect.delimiter.as_bytes())?;
        }
        field(out, column.as_bytes(), dialect)?;
    }
    out.write_all(b"\n")
}

/// Writes a record as it stood in the source.
///
/// # Errors
/// From `out`.
pub fn raw_record(out: &mut impl Write, raw: &[u8]) -> io::Result<()> {
    out.write_all(raw)?;
    out.write_all(b"\n")
}

fn field(out: &mut impl Write, text: &[u8], dialect: &CsvDialect) -> io::Result<()> {
    let Some(quote) = dialect.quote.0.filter(|_| needs_quotes(text, dialect)) else {
        return out.write_all(text);
    };
    let escape = match dialect.escape {
        Escape::Doubled => Some(quote),
        Escape::Byte(byte) => Some(byte),
        Escape::Never => None,
    };
    out.write_all(&[quote])?;
    for &byte in text {
        match escape {
            Some(escape) if byte == quote || byte == escape => out.write_all(&[escape, byte])?,
            _ => out.write_all(&[byte])?,
        }
    }
    out.write_all(&[quote])
}

fn needs_quotes(text: &[u8], dialect: &CsvDialect) -> bool {
    let delimiter = dialect.delimiter.as_bytes();
    let special =
        |byte: &u8| matches!(*byte, b'\r' | b'\n') || Some(*byte) == dialect.quote.0 || delimiter.contains(byte);
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    text.is_empty()
        || text.iter().any(special)
        || dialect.trim && (is_space(text.first()) || is_space(text.last()))
        || dialect
            .comment
            .as_ref()
            .is_some_and(|comment| text.starts_with(comment.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_in_the_dialect_of_the_records() {
        let mut dialect = CsvDialect::plain(b';', true);
        let columns = ["a;b".to_owned(), "c,d".to_owned()];
        let mut out = Vec::new();
        header(&mut out, &columns, &dialect).unwrap();
        assert_eq!(out, b"\"a;b\";c,d\n");
        dialect.quote = model::Quote(Some(b'\''));
        dialect.escape = Escape::Byte(b'\\');
        dialect.comment = Some("#".to_owned());
        out.clear();
        header(&mut out, &["#a".to_owned(), "b'c".to_owned()], &dialect).unwrap();
        assert_eq!(out, b"'#a';'b\\'c'\n");
        dialect.header = false;
        out.clear();
        header(&mut out, &columns, &dialect).unwrap();
        assert!(out.is_empty());
    }
}
