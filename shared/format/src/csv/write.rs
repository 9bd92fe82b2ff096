//! Writes rejected records as they were, with a header of the same dialect, and beside them why they were rejected.

use std::io::{self, Write};

use model::CsvDialect;

use super::QUOTE;

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
            out.write_all(&[dialect.delimiter])?;
        }
        field(out, column, dialect.delimiter)?;
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

/// Writes a record of these fields, separated by commas.
///
/// # Errors
/// From `out`.
pub fn record(out: &mut impl Write, fields: &[&str]) -> io::Result<()> {
    for (index, text) in fields.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        field(out, text, b',')?;
    }
    out.write_all(b"\n")
}

fn field(out: &mut impl Write, text: &str, delimiter: u8) -> io::Result<()> {
    let special = |byte: &u8| matches!(*byte, QUOTE | b'\r' | b'\n') || *byte == delimiter;
    if text.as_bytes().iter().any(special) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        out.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_otherwise_is_quoted() {
        let mut out = Vec::new();
        record(&mut out, &["1", "a,b", "say \"no\"", ""]).unwrap();
        assert_eq!(out, b"1,\"a,b\",\"say \"\"no\"\"\",\n");
    }

    #[test]
    fn a_header_is_written_in_the_dialect_of_the_records() {
        let mut dialect = CsvDialect {
            delimiter: b';',
            header: true,
            null: None,
        };
        let columns = ["a;b".to_owned(), "c,d".to_owned()];
        let mut out = Vec::new();
        header(&mut out, &columns, &dialect).unwrap();
        assert_eq!(out, b"\"a;b\";c,d\n");
        dialect.header = false;
        out.clear();
        header(&mut out, &columns, &dialect).unwrap();
        assert!(out.is_empty());
    }
}
