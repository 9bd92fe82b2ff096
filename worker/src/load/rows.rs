//! From a chunk's bytes to rows that are ready to be sent, and rejects.
//!
//! Knows the target's columns and what fills them; knows neither SQL nor how a format is written. Blocking CPU work: call it
//! off the runtime.

use std::cmp::Ordering;

use format::{
    csv::{grammar::Grammar, read::RecordReader},
    jsonl::{
        self,
        read::ObjectReader,
        shape::{ObjectShape, RepeatedName, Takes},
    },
    record::{Defect, Field, Records},
};
use ledger::{LedgerError, imports::Import, inputs, rejects::Reject};
use model::{AddedValue, CsvDialect, FormatSpec, ImportSpec, LongRows, Position, QuotedFields, ShortRows, Span};
use sqlx::PgConnection;
use target::{
    Column, ColumnType, Nature,
    forms::{Form, FormError, NotOfForm},
    values::{self, ValueError, ValueOutput},
};

use super::sink::Sink;

/// How the records of an import become rows.
#[derive(Debug, Clone)]
pub struct RecordShape {
    /// The target's columns that are filled: by fields in their order, and then the others.
    pub columns: Vec<Column>,
    /// For each of those that fields fill.
    fields: Vec<FieldRule>,
    /// Fields of a record, those that fill no column among them.
    field_count: usize,
    /// For each of the other columns.
    added: Vec<Added>,
    rules: RecordRules,
    format: RecordFormat,
}

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

/// What a column's fields mean.
#[derive(Debug, Clone)]
struct FieldRule {
    /// Which of a record's fields it is, from 0.
    field: usize,
    /// How many before it fill no column, from the last that does.
    passed: usize,
    /// Which of them are NULL.
    null: NullRule,
    /// How the values are written, if not as Postgres writes them.
    form: Option<Form>,
}

/// What fills a column that no field fills.
#[derive(Debug, Clone)]
enum Added {
    Null,
    /// The binary form of a value that all records have.
    Same(Vec<u8>),
    /// By the number of the input.
    OfInput(Vec<Vec<u8>>),
    Line,
}

/// How records are told from one another, and what their fields are.
#[derive(Debug, Clone)]
enum RecordFormat {
    Csv(Box<Grammar>),
    JsonLines(ObjectShape),
}

/// What becomes of a record, whatever its format.
#[derive(Debug, Clone, Default)]
struct RecordRules {
    /// Fields that read like one of these are NULL where an empty one is.
    null: Vec<String>,
    short_rows: ShortRows,
    long_rows: LongRows,
    /// What stood between the fields of a record that has too many.
    delimiter: Vec<u8>,
    /// Whether the format itself says how an unquoted number is written.
    numbers_are_plain: bool,
}

/// Why an import's records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    Key(#[from] RepeatedName),
    #[error("the column '{column}' cannot hold what every record has there: {source}")]
    Added { column: String, source: ValueError },
}

/// What is known of an import beside its spec, for columns that hold it.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub import: i64,
    /// What its inputs are called, by their numbers.
    pub inputs: Vec<String>,
}

/// Which fields are NULL in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NullRule {
    /// An unquoted one that is one of the null texts.
    unquoted: bool,
    /// The same of a quoted one.
    quoted: bool,
    /// An unquoted one that is empty.
    empty_unquoted: bool,
    /// A quoted one that is empty.
    empty_quoted: bool,
}

impl NullRule {
    fn of_csv(column: &Column, dialect: &CsvDialect) -> Self {
        if dialect.force_not_null.has(&column.name) {
            return Self {
                unquoted: false,
                quoted: false,
                empty_unquoted: false,
                empty_quoted: false,
            };
        }
        let is_text = column.kind.is_text();
        // A column of text that takes no NULL takes the empty string.
        let takes_empty = is_text && !column.nullable;
        let quoted = dialect.quoted_fields == QuotedFields::AsUnquoted || dialect.force_null.has(&column.name);
        Self {
            unquoted: true,
            quoted,
            empty_unquoted: !takes_empty,
            // No other type has a value that reads like this.
            empty_quoted: !is_text || quoted && !takes_empty,
        }
    }

    /// A null is an unquoted empty field; a string is a quoted one.
    fn of_json(column: &Column) -> Self {
        Self {
            unquoted: true,
            quoted: false,
            empty_unquoted: true,
            empty_quoted: !column.kind.is_text(),
        }
    }

    fn is_null(self, field: Field<'_>, texts: &[String]) -> bool {
        let (in_question, empty) = if field.quoted {
            (self.quoted, self.empty_quoted)
        } else {
            (self.unquoted, self.empty_unquoted)
        };
        if field.value.is_empty() {
            return empty;
        }
        in_question && texts.iter().any(|text| text.as_bytes() == field.value)
    }
}

impl About {
    /// What `spec`, which is the import's, asks for.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub async fn read(conn: &mut PgConnection, import: &Import, spec: &ImportSpec) -> Result<Self, LedgerError> {
        let names_inputs = spec.mapping.added.iter().any(|added| added.value == AddedValue::File);
        Ok(Self {
            import: import.id.0,
            inputs: if names_inputs {
                inputs::names(conn, import).await?
            } else {
                Vec::new()
            },
        })
    }
}

impl RecordShape {
    /// Of the target's columns that the mapping fills, in its order.
    ///
    /// # Errors
    /// [`ShapeError`], when values cannot be written like this in these columns.
    pub fn new(columns: Vec<Column>, spec: &ImportSpec, about: &About) -> Result<Self, ShapeError> {
        let field_count = spec.mapping.fields.len();
        let filling: Vec<usize> = (0..field_count)
            .filter(|&field| {
                spec.mapping
                    .fields
                    .get(field)
                    .is_some_and(|field| field.column().is_some())
            })
            .collect();
        let by_fields = columns.get(..filling.len()).unwrap_or_default();
        let (nulls, rules, format) = match &spec.format {
            FormatSpec::Csv(dialect) => (
                by_fields
                    .iter()
                    .map(|column| NullRule::of_csv(column, dialect))
                    .collect::<Vec<_>>(),
                RecordRules {
                    null: dialect.null.clone(),
                    short_rows: dialect.short_rows,
                    long_rows: dialect.long_rows,
                    delimiter: dialect.delimiter.as_bytes().to_vec(),
                    numbers_are_plain: false,
                },
                RecordFormat::Csv(Box::new(Grammar::new(
                    dialect,
                    Some(field_count),
                    spec.split.max_record,
                ))),
            ),
            FormatSpec::JsonLines(json) => {
                let shape = ObjectShape::new(&json.keys, json.unknown_keys)?.taking(by_fields.iter().map(takes));
                (
                    by_fields.iter().map(NullRule::of_json).collect(),
                    RecordRules {
                        numbers_are_plain: true,
                        ..RecordRules::default()
                    },
                    RecordFormat::JsonLines(shape),
                )
            }
        };
        let forms = Form::of_columns(&spec.values, by_fields)?;
        let mut next = 0;
        let fields = filling
            .iter()
            .zip(nulls.into_iter().zip(forms))
            .map(|(&field, (null, form))| {
                let passed = field - std::mem::replace(&mut next, field + 1);
                FieldRule {
                    field,
                    passed,
                    null,
                    form,
                }
            });
        let fields = fields.collect();
        let added = std::iter::zip(columns.iter().skip(filling.len()), &spec.mapping.added)
            .map(|(column, added)| Added::new(column, &added.value, about))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            fields,
            field_count,
            added,
            rules,
            format,
            columns,
        })
    }

    /// The column that a field fills.
    fn column_of(&self, field: usize) -> Option<&Column> {
        let rule = self.fields.iter().position(|rule| rule.field == field)?;
        self.columns.get(rule)
    }
}

impl Added {
    fn new(column: &Column, value: &AddedValue, about: &About) -> Result<Self, ShapeError> {
        let encode = |text: &str| {
            let mut bytes = Vec::new();
            encode(column, text.as_bytes(), &mut bytes)
                .map(|()| bytes)
                .map_err(|source| ShapeError::Added {
                    column: column.name.clone(),
                    source,
                })
        };
        match value {
            AddedValue::Constant(text) if text.is_empty() && !column.kind.is_text() => Ok(Self::Null),
            AddedValue::Constant(text) => encode(text).map(Self::Same),
            AddedValue::Import => encode(&about.import.to_string()).map(Self::Same),
            AddedValue::File => about
                .inputs
                .iter()
                .map(|name| encode(name))
                .collect::<Result<_, _>>()
                .map(Self::OfInput),
            AddedValue::Line => Ok(Self::Line),
        }
    }
}

/// What a column can hold of a JSON value.
fn takes(column: &Column) -> Takes {
    match &column.kind {
        ColumnType::Text { .. } => Takes::Text,
        ColumnType::Other { nature, .. } => match nature {
            Nature::Json => Takes::Json,
            Nature::Jsonb => Takes::Jsonb,
            Nature::Text => Takes::Text,
            Nature::Bytes | Nature::Other => Takes::Scalars,
        },
        _ => Takes::Scalars,
    }
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
        let position = if with_lines { reader.position() } else { span.start };
        if let Err(defect) = push_record(&mut rows, &reader, shape, position, clean, &mut rewritten) {
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
    position: Position,
    clean: bool,
    rewritten: &mut Vec<u8>,
) -> Result<(), Defect> {
    if let Some(defect) = record.defect() {
        return Err(defect);
    }
    let whole = rows.len();
    rows.begin();
    let pushed = push_fields(rows, record, shape, clean, rewritten).and_then(|()| push_added(rows, shape, position));
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
        for _ in 0..rule.passed {
            fields.next();
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
fn push_added(rows: &mut Sink, shape: &RecordShape, position: Position) -> Result<(), Defect> {
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

#[inline(always)] // as above
fn encode(column: &Column, value: &[u8], out: &mut impl ValueOutput) -> Result<(), ValueError> {
    match &column.characters {
        None => values::encode(&column.kind, value, out),
        Some(characters) => values::encode_held(&column.kind, characters, value, out),
    }
}

#[cfg(test)]
mod tests;
