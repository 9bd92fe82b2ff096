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

/// Writes the header of the reasons.
///
/// # Errors
/// From `out`.
pub fn reasons_header(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"line,column,reason\n")
}

/// Writes why a record was rejected.
///
/// # Errors
/// From `out`.
pub fn reason(out: &mut impl Write, line: Option<u64>, column: Option<&str>, reason: &str) -> io::Result<()> {
    if let Some(line) = line {
        write!(out, "{line}")?;
    }
    writeln!(out, ",{},{}", quoted(column.unwrap_or_default()), quoted(reason))
}

fn field(out: &mut impl Write, text: &str, delimiter: u8) -> io::Result<()> {
    let special = |byte: &u8| matches!(*byte, QUOTE | b'\r' | b'\n') || *byte == delimiter;
    if text.as_bytes().iter().any(special) {
        out.write_all(quoted(text).as_bytes())
    } else {
        out.write_all(text.as_bytes())
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_record_whatever_it_says() {
        let mut out = Vec::new();
        reasons_header(&mut out).unwrap();
        reason(&mut out, Some(7), Some("a,b"), "say \"no\"").unwrap();
        reason(&mut out, None, None, "x").unwrap();
        assert_eq!(out, b"line,column,reason\n7,\"a,b\",\"say \"\"no\"\"\"\n,\"\",\"x\"\n");
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
