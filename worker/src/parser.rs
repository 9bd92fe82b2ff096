//! From a chunk's bytes to rows that are ready to be sent, and rejects.
//!
//! Knows CSV and the target's columns; knows neither SQL nor the database. Blocking CPU work: call it off the runtime.

use shared::{
    model::LoadMethod,
    store::rejects::Reject,
    target::{Column, ColumnType},
};

use crate::{encode::Rows, values};

/// How the records of an import become rows.
#[derive(Debug, Clone)]
pub struct RecordShape {
    /// The target's column for each field.
    pub columns: Vec<Column>,
    pub delimiter: u8,
    /// A field that reads like this is NULL, beside the empty one.
    pub null: Option<String>,
    pub method: LoadMethod,
    /// **Bytes** of the id's integer type.
    pub id_width: i16,
}

/// A chunk's records, each either a row or a reject.
#[derive(Debug)]
pub struct ParsedChunk {
    pub rows: Rows,
    pub rejects: Vec<Reject>,
}

/// A chunk that is not what the splitter stored.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the stored payload cannot be read as CSV")]
    Csv(#[from] csv_async::Error),
    #[error("the stored payload holds {found} records, but the splitter counted {expected}")]
    RecordCount { expected: u64, found: u64 },
}

/// Where a chunk begins in its source, and what it must hold.
#[derive(Debug, Clone, Copy)]
pub struct ChunkOrigin {
    pub start_byte: u64,
    pub first_line: u64,
    pub record_count: u64,
}

/// Parses a chunk.
///
/// # Errors
/// [`ParseError`], when the bytes are not the chunk that the splitter stored. Bad records are no error: they are rejects.
pub fn parse(bytes: &[u8], shape: &RecordShape, origin: ChunkOrigin) -> Result<ParsedChunk, ParseError> {
    // The bytes are in memory, so the future never waits.
    futures::executor::block_on(parse_records(bytes, shape, origin))
}

/// The CSV reader drops a byte-order mark at the start of what it reads; here one is data, and an empty line before it keeps it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

async fn parse_records(bytes: &[u8], shape: &RecordShape, origin: ChunkOrigin) -> Result<ParsedChunk, ParseError> {
    use tokio::io::AsyncReadExt as _;
    let guard: &[u8] = if bytes.starts_with(BYTE_ORDER_MARK) { b"\n" } else { b"" };
    let mut reader = csv_async::AsyncReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(shape.delimiter)
        .buffer_capacity(64 << 10)
        .create_reader(guard.chain(bytes));
    let mut rows = match shape.method {
        LoadMethod::Insert => Rows::arrays(&shape.columns),
        LoadMethod::Copy => Rows::tuples(shape.columns.len(), shape.id_width),
    };
    // Looked at once for all; else each field is looked at by itself, and the bad ones are found.
    let clean = shape.delimiter.is_ascii()
        && shape.columns.iter().all(|column| column.characters.is_none())
        && memchr::memchr(0, bytes).is_none()
        && std::str::from_utf8(bytes).is_ok();
    let mut rejects = Vec::new();
    let mut lines = LineCounter {
        at: 0,
        line: origin.first_line,
    };
    let mut record = csv_async::ByteRecord::new();
    let mut found = 0;
    let mut begin = 0;
    while reader.read_byte_record(&mut record).await? {
        found += 1;
        let end = usize::try_from(reader.position().byte())
            .unwrap_or(usize::MAX)
            .saturating_sub(guard.len());
        if let Err(fault) = push_record(&mut rows, &record, shape, clean) {
            let (start, raw) = trim_line_ends(bytes, begin, end);
            rejects.push(Reject {
                start_byte: origin.start_byte + start as u64,
                line: lines.line_of(bytes, start),
                column: fault
                    .column
                    .and_then(|index| shape.columns.get(index))
                    .map(|column| column.name.clone()),
                reason: fault.reason,
                raw: raw.to_vec(),
            });
        }
        begin = end;
    }
    if found != origin.record_count {
        return Err(ParseError::RecordCount {
            expected: origin.record_count,
            found,
        });
    }
    Ok(ParsedChunk { rows, rejects })
}

/// What is wrong with a record.
struct Fault {
    column: Option<usize>,
    reason: String,
}

/// Adds a record to the rows, whole or not at all. The fields of a `clean` chunk are known to be UTF-8 without NUL, of characters that the
/// database can hold.
fn push_record(rows: &mut Rows, record: &csv_async::ByteRecord, shape: &RecordShape, clean: bool) -> Result<(), Fault> {
    if record.len() != shape.columns.len() {
        let (expected, found) = (shape.columns.len(), record.len());
        return Err(Fault {
            column: None,
            reason: format!("expected {expected} fields, found {found}"),
        });
    }
    let whole = rows.len();
    rows.begin();
    for (index, (field, column)) in std::iter::zip(record, &shape.columns).enumerate() {
        if let Err(reason) = push_field(rows, index, field, column, shape.null.as_deref(), clean) {
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
    rows: &mut Rows,
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

/// A record without the line ends round it: those of empty lines before, its own after. Returns where it starts.
fn trim_line_ends(bytes: &[u8], begin: usize, end: usize) -> (usize, &[u8]) {
    let is_line_end = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
    let span = bytes.get(begin..end.min(bytes.len())).unwrap_or_default();
    let before = span.iter().take_while(is_line_end).count();
    let after = span.iter().rev().take_while(is_line_end).count();
    (begin + before, span.get(before..span.len() - after).unwrap_or_default())
}

/// Counts lines as the splitter does: each `\n`, and each `\r` without one, ends a line.
struct LineCounter {
    at: usize,
    line: u64,
}

impl LineCounter {
    /// The line on which the byte `target` lies; targets ascend.
    fn line_of(&mut self, bytes: &[u8], target: usize) -> u64 {
        while self.at < target {
            let ends_line = match bytes.get(self.at) {
                Some(b'\n') => true,
                Some(b'\r') => bytes.get(self.at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends_line);
            self.at += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests;
