//! From a chunk's bytes to rows that are ready to be sent, and rejects.
//!
//! Knows the target's columns and what a field means in them; knows neither SQL nor how a format is written. Blocking CPU work: call it
//! off the runtime.

use format::csv::read::{ReadError, RecordReader};
use ledger::rejects::Reject;
use model::{FormatSpec, Span};
use target::{Column, ColumnType, values};

use super::sink::Sink;

/// How the records of an import become rows.
#[derive(Debug, Clone)]
pub struct RecordShape {
    /// The target's column for each field.
    pub columns: Vec<Column>,
    pub format: FormatSpec,
}

/// A chunk's records, each either a row or a reject.
#[derive(Debug)]
pub struct ParsedChunk {
    pub rows: Sink,
    /// In the order of the records.
    pub rejects: Vec<Reject>,
    /// For each reject, how many rows come before it.
    rows_before: Vec<usize>,
}

impl ParsedChunk {
    /// Which of the chunk's records, from 0, became the row of this index.
    #[must_use]
    pub fn record_of_row(&self, row: usize) -> usize {
        row + self.rows_before.partition_point(|&before| before <= row)
    }
}

/// A chunk that is not what the splitter stored.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the stored payload cannot be read")]
    Read(#[from] ReadError),
    #[error("the stored payload holds {found} records, but the splitter counted {expected}")]
    RecordCount { expected: u64, found: u64 },
}

/// Parses a chunk that lies at `span` into `rows`, which are empty.
///
/// # Errors
/// [`ParseError`], when the bytes are not the chunk that the splitter stored. Bad records are no error: they are rejects.
pub fn parse(bytes: &[u8], shape: &RecordShape, span: Span, mut rows: Sink) -> Result<ParsedChunk, ParseError> {
    let FormatSpec::Csv(dialect) = &shape.format;
    let mut reader = RecordReader::new(bytes, dialect, span.start);
    // Looked at once for all; else each field is looked at by itself, and the bad ones are found.
    let clean = dialect.delimiter.is_ascii()
        && shape.columns.iter().all(|column| column.characters.is_none())
        && memchr::memchr(0, bytes).is_none()
        && std::str::from_utf8(bytes).is_ok();
    let null = dialect.null.as_deref();
    let (mut rejects, mut rows_before) = (Vec::new(), Vec::new());
    while reader.advance()? {
        if let Err(fault) = push_record(&mut rows, reader.fields(), &shape.columns, null, clean) {
            rows_before.push(rows.len());
            rejects.push(Reject {
                position: reader.position(),
                column: fault
                    .column
                    .and_then(|index| shape.columns.get(index))
                    .map(|column| column.name.clone()),
                reason: fault.reason,
                raw: reader.raw().to_vec(),
            });
        }
    }
    if reader.count() != span.record_count {
        return Err(ParseError::RecordCount {
            expected: span.record_count,
            found: reader.count(),
        });
    }
    Ok(ParsedChunk {
        rows,
        rejects,
        rows_before,
    })
}

/// What is wrong with a record.
struct Fault {
    column: Option<usize>,
    reason: String,
}

/// Adds a record to the rows, whole or not at all. The fields of a `clean` chunk are known to be UTF-8 without NUL, of characters that the
/// database can hold.
fn push_record(
    rows: &mut Sink,
    record: &csv_async::ByteRecord,
    columns: &[Column],
    null: Option<&str>,
    clean: bool,
) -> Result<(), Fault> {
    if record.len() != columns.len() {
        let (expected, found) = (columns.len(), record.len());
        return Err(Fault {
            column: None,
            reason: format!("expected {expected} fields, found {found}"),
        });
    }
    let whole = rows.len();
    rows.begin();
    for (index, (field, column)) in std::iter::zip(record, columns).enumerate() {
        if let Err(reason) = push_field(rows, index, field, column, null, clean) {
            rows.rollback(whole);
            return Err(Fault {
                column: Some(index),
                reason,
            });
        }
    }
    Ok(())
}

fn push_field(
    rows: &mut Sink,
    index: usize,
    field: &[u8],
    column: &Column,
    null: Option<&str>,
    clean: bool,
) -> Result<(), String> {
    let reads_as_null = field.is_empty() || null.is_some_and(|null| field == null.as_bytes());
    let value = |out: &mut Vec<u8>| match column.kind {
        ColumnType::Text { max_chars: None } if clean => {
            out.extend_from_slice(field);
            Ok(())
        }
        _ => match &column.characters {
            None => values::encode(&column.kind, field, out),
            Some(characters) => values::encode_held(&column.kind, characters, field, out),
        },
    };
    match (reads_as_null, column.nullable) {
        (true, true) => rows.push(index, None::<fn(&mut Vec<u8>) -> Result<(), values::ValueError>>),
        // A column of text that takes no NULL takes the empty string.
        (true, false) if field.is_empty() && matches!(column.kind, ColumnType::Text { .. }) => {
            rows.push(index, Some(value))
        }
        (true, false) => return Err("no value, but the column is NOT NULL".to_owned()),
        (false, _) => rows.push(index, Some(value)),
    }
    .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
