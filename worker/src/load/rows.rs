//! From a chunk's bytes to rows that are ready to be sent, and rejects.
//!
//! Knows the target's columns and what fills them; knows neither SQL nor how a format is written. Blocking CPU work: call it
//! off the runtime.

use std::cmp::Ordering;

use format::{
    csv::read::RecordReader,
    jsonl::{self, read::ObjectReader},
    record::{Defect, Field, Records},
};
use ledger::rejects::Reject;
use model::{LongRows, Position, ShortRows, Span};
use target::{
    Column, ColumnType,
    forms::NotOfForm,
    values::{ValueError, ValueOutput as _},
};

use super::{
    shape::{Added, FieldRule, RecordFormat, RecordRules, RecordShape, encode},
    sink::Sink,
};

/// Why a field is no value of its column.
#[derive(Debug, thiserror::Error)]
enum FieldError {
    #[error("no value, but the column is NOT NULL")]
    Required,
    #[error(transparent)]
    Form(#[from] NotOfForm),
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// The fields that a record is too short for.
const MISSING: Field<'static> = Field {
    value: b"",
    quoted: false,
};

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
    /// Takes the rows out; which records they were is still known.
    #[must_use]
    pub fn take_rows(&mut self) -> Sink {
        std::mem::replace(&mut self.rows, Sink::arrays(&[]))
    }

    /// Which of the chunk's records, from 0, became the row of this index.
    #[must_use]
    pub fn record_of_row(&self, row: usize) -> usize {
        row + self.rows_before.partition_point(|&before| before <= row)
    }
}

/// A chunk that is not what the splitter stored.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the stored payload holds {found} records, but the splitter counted {expected}")]
    RecordCount { expected: u64, found: u64 },
}

/// Parses a chunk that lies at `span` into `rows`, which are empty.
///
/// # Errors
/// [`ParseError`], when the bytes are not the chunk that the splitter stored. Bad records are no error: they are rejects.
pub fn parse(bytes: &[u8], shape: &RecordShape, span: Span, rows: Sink) -> Result<ParsedChunk, ParseError> {
    // Looked at once for all; else each field is looked at by itself, and the bad ones are found.
    let clean = shape.columns.iter().all(|column| column.characters.is_none())
        && memchr::memchr(0, bytes).is_none()
        && std::str::from_utf8(bytes).is_ok();
    match &shape.format {
        RecordFormat::Csv(grammar) => {
            let clean = clean && grammar.is_ascii();
            let reader = RecordReader::new(bytes, (**grammar).clone(), span.start);
            parse_records(reader, shape, clean, span, rows)
        }
        RecordFormat::JsonLines(objects) => {
            let clean = clean && jsonl::read::is_free_of_nul(bytes);
            let reader = ObjectReader::new(bytes, objects, span.start);
            parse_records(reader, shape, clean, span, rows)
        }
    }
}

fn parse_records(
    mut reader: impl Records,
    shape: &RecordShape,
    clean: bool,
    span: Span,
    mut rows: Sink,
) -> Result<ParsedChunk, ParseError> {
    let (mut rejects, mut rows_before, mut rewritten) = (Vec::new(), Vec::new(), Vec::new());
    let with_lines = shape.added.iter().any(|added| matches!(added, Added::Line));
    while reader.advance() {
        let position = with_lines.then(|| reader.position());
        if let Err(defect) = push_record(
            &mut rows,
            &reader,
            shape,
            position.as_ref().unwrap_or(&span.start),
            clean,
            &mut rewritten,
        ) {
            rows_before.push(rows.len());
            rejects.push(Reject {
                position: reader.position(),
                column: defect
                    .field
                    .and_then(|field| shape.column_of(field))
                    .map(|column| column.name.clone()),
                reason: defect.reason,
                raw: reader.raw().to_vec(),
                refusal: None,
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

/// The values of a chunk's first records that are none to be rejected for their fields: for each column that a field fills, the text that is
/// loaded, or `None` for NULL.
#[must_use]
pub fn show(bytes: &[u8], shape: &RecordShape, span: Span, records: usize) -> Vec<Vec<Option<String>>> {
    match &shape.format {
        RecordFormat::Csv(grammar) => show_records(
            RecordReader::new(bytes, (**grammar).clone(), span.start),
            shape,
            records,
        ),
        RecordFormat::JsonLines(objects) => show_records(ObjectReader::new(bytes, objects, span.start), shape, records),
    }
}

fn show_records(mut reader: impl Records, shape: &RecordShape, records: usize) -> Vec<Vec<Option<String>>> {
    let mut shown = Vec::new();
    while shown.len() < records && reader.advance() {
        if reader.defect().is_some() {
            continue;
        }
        let fields: Vec<Field<'_>> = reader.fields().collect();
        let values = shape.fields.iter().map(|rule| {
            let field = fields.get(rule.field).copied().unwrap_or(MISSING);
            let is_null = rule.null.is_null(field, &shape.rules.null);
            (!is_null).then(|| String::from_utf8_lossy(field.value).into_owned())
        });
        shown.push(values.collect());
    }
    shown
}

/// Where a record of a chunk lies, and its bytes as they stood in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRecord {
    pub position: Position,
    pub raw: Vec<u8>,
}

/// Finds some of a chunk's records again, by their numbers from 0, which ascend.
#[must_use]
pub fn find(bytes: &[u8], shape: &RecordShape, span: Span, records: &[usize]) -> Vec<FoundRecord> {
    match &shape.format {
        RecordFormat::Csv(grammar) => find_records(RecordReader::new(bytes, (**grammar).clone(), span.start), records),
        RecordFormat::JsonLines(objects) => find_records(ObjectReader::new(bytes, objects, span.start), records),
    }
}

fn find_records(mut reader: impl Records, records: &[usize]) -> Vec<FoundRecord> {
    let (mut found, mut at) = (Vec::with_capacity(records.len()), 0);
    for &record in records {
        // Each is read once: they ascend.
        while at <= record {
            if !reader.advance() {
                return found;
            }
            at += 1;
        }
        found.push(FoundRecord {
            position: reader.position(),
            raw: reader.raw().to_vec(),
        });
    }
    found
}

/// Adds a record to the rows, whole or not at all. The fields of a `clean` chunk are known to be UTF-8 without NUL, of characters that the
/// database can hold. `rewritten` is room.
fn push_record(
    rows: &mut Sink,
    record: &impl Records,
    shape: &RecordShape,
    position: &Position,
    clean: bool,
    rewritten: &mut Vec<u8>,
) -> Result<(), Defect> {
    if let Some(defect) = record.defect() {
        return Err(defect);
    }
    let whole = rows.len();
    rows.begin();
    let mut pushed = push_fields(rows, record, shape, clean, rewritten);
    if pushed.is_ok() && !shape.added.is_empty() {
        pushed = push_added(rows, shape, position);
    }
    if pushed.is_err() {
        rows.rollback(whole);
    }
    pushed
}

fn push_fields(
    rows: &mut Sink,
    record: &impl Records,
    shape: &RecordShape,
    clean: bool,
    rewritten: &mut Vec<u8>,
) -> Result<(), Defect> {
    let rules = &shape.rules;
    let mut fields = record.fields();
    let (expected, found) = (shape.field_count, fields.len());
    let joined = match (found.cmp(&expected), rules.short_rows, rules.long_rows) {
        (Ordering::Equal, ..) | (Ordering::Less, ShortRows::Pad, _) | (Ordering::Greater, _, LongRows::Truncate) => {
            None
        }
        (Ordering::Greater, _, LongRows::Join) => Some(join(record, expected - 1, &rules.delimiter)),
        (Ordering::Less, ShortRows::Reject, _) | (Ordering::Greater, _, LongRows::Reject) => {
            return Err(Defect {
                field: None,
                reason: format!("expected {expected} fields, found {found}"),
            });
        }
    };
    for (index, (column, rule)) in shape.columns.iter().zip(&shape.fields).enumerate() {
        if rule.passed > 0 {
            fields.nth(rule.passed - 1);
        }
        let field = match &joined {
            Some(value) if rule.field + 1 == expected => Field { value, quoted: true },
            _ => fields.next().unwrap_or(MISSING),
        };
        push_field(rows, index, field, column, rule, rules, clean, rewritten).map_err(|error| Defect {
            field: Some(rule.field),
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

/// Adds what no field says of a record that lies there.
#[inline(never)] // rare
fn push_added(rows: &mut Sink, shape: &RecordShape, position: &Position) -> Result<(), Defect> {
    let columns = shape.columns.iter().enumerate().skip(shape.fields.len());
    for ((index, column), added) in columns.zip(&shape.added) {
        match added {
            Added::Null => rows.push_null(index),
            Added::Same(value) => rows.value(index).put_bytes(value),
            Added::OfInput(values) => {
                let value = usize::try_from(position.input).ok().and_then(|input| values.get(input));
                rows.value(index)
                    .put_bytes(value.map(Vec::as_slice).unwrap_or_default());
            }
            Added::Line => {
                let line = position.line.or(position.record).unwrap_or_default().to_string();
                encode(column, line.as_bytes(), &mut rows.value(index)).map_err(|error| Defect {
                    field: None,
                    reason: format!("its line, for the column '{}': {error}", column.name),
                })?;
            }
        }
    }
    Ok(())
}

/// The fields from `first` on as one, as if their delimiters were data.
fn join(record: &impl Records, first: usize, delimiter: &[u8]) -> Vec<u8> {
    let fields: Vec<&[u8]> = record.fields().skip(first).map(|field| field.value).collect();
    fields.join(delimiter)
}

#[allow(clippy::too_many_arguments)] // the inside of the innermost loop: as a call it takes a quarter more time
#[inline(always)]
fn push_field<'r>(
    rows: &mut Sink,
    index: usize,
    mut field: Field<'r>,
    column: &Column,
    rule: &FieldRule,
    rules: &RecordRules,
    clean: bool,
    rewritten: &'r mut Vec<u8>,
) -> Result<(), FieldError> {
    let mut is_null = rule.null.is_null(field, &rules.null);
    if let Some(form) = &rule.form
        && !is_null
        && (field.quoted || !(rules.numbers_are_plain && form.is_of_numbers()))
    {
        rewritten.clear();
        form.rewrite(field.value, rewritten)?;
        field.value = rewritten;
        is_null = form.leaves_a_field() && rule.null.is_null(field, &rules.null);
    }
    if is_null {
        if !column.nullable {
            return Err(FieldError::Required);
        }
        rows.push_null(index);
        return Ok(());
    }
    let mut out = rows.value(index);
    if clean && matches!(column.kind, ColumnType::Text { max_chars: None }) {
        out.put_bytes(field.value);
        return Ok(());
    }
    Ok(encode(column, field.value, &mut out)?)
}

#[cfg(test)]
mod tests;
