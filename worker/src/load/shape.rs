//! How the records of an import become rows: made once of its spec and the target's columns, and used for each of its chunks.
//!
//! Knows what fills a column, and when a field is NULL; knows neither SQL nor how a format is written.

use format::{
    csv::grammar::Grammar,
    jsonl::{
        array::Elements,
        shape::{ObjectShape, RepeatedName, Takes},
    },
    record::Field,
};
use ledger::{LedgerError, imports::Import, inputs};
use model::{AddedValue, CsvDialect, FormatSpec, ImportSpec, LongRows, QuotedFields, ShortRows};
use sqlx::PgConnection;
use target::{
    Column, ColumnType, Nature,
    forms::{Form, FormError},
    values::{self, ValueError, ValueOutput},
};

/// How the records of an import become rows.
#[derive(Debug, Clone)]
pub struct RecordShape {
    /// The target's columns that are filled: by fields in their order, and then the others.
    pub columns: Vec<Column>,
    /// For each of those that fields fill.
    pub(super) fields: Vec<FieldRule>,
    /// Fields of a record, those that fill no column among them.
    pub(super) field_count: usize,
    /// For each of the other columns.
    pub(super) added: Vec<Added>,
    pub(super) rules: RecordRules,
    pub(super) format: RecordFormat,
}

/// What a column's fields mean.
#[derive(Debug, Clone)]
pub(super) struct FieldRule {
    /// Which of a record's fields it is, from 0.
    pub(super) field: usize,
    /// How many before it fill no column, from the last that does.
    pub(super) passed: usize,
    /// Which of them are NULL.
    pub(super) null: NullRule,
    /// How the values are written, if not as Postgres writes them.
    pub(super) form: Option<Form>,
}

/// What fills a column that no field fills.
#[derive(Debug, Clone)]
pub(super) enum Added {
    Null,
    /// The binary form of a value that all records have.
    Same(Vec<u8>),
    /// By the number of the input.
    OfInput(Vec<Vec<u8>>),
    Line,
}

/// How records are told from one another, and what their fields are.
#[derive(Debug, Clone)]
pub(super) enum RecordFormat {
    Csv(Box<Grammar>),
    JsonLines(ObjectShape),
}

/// What becomes of a record, whatever its format.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordRules {
    /// Fields that read like one of these are NULL where an empty one is.
    pub(super) null: Vec<String>,
    pub(super) short_rows: ShortRows,
    pub(super) long_rows: LongRows,
    /// What stood between the fields of a record that has too many.
    pub(super) delimiter: Vec<u8>,
    /// Whether the format itself says how an unquoted number is written.
    pub(super) numbers_are_plain: bool,
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
pub(super) struct NullRule {
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

    pub(super) fn is_null(self, field: Field<'_>, texts: &[String]) -> bool {
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
    pub(super) fn column_of(&self, field: usize) -> Option<&Column> {
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
            Nature::Array => Takes::Array(Elements::Values),
            Nature::JsonArray => Takes::Array(Elements::Json),
            Nature::Bytes | Nature::MayBeEmpty | Nature::Other => Takes::Scalars,
        },
        _ => Takes::Scalars,
    }
}

#[inline(always)] // in the innermost loop
pub(super) fn encode(column: &Column, value: &[u8], out: &mut impl ValueOutput) -> Result<(), ValueError> {
    match &column.characters {
        None => values::encode(&column.kind, value, out),
        Some(characters) => values::encode_held(&column.kind, characters, value, out),
    }
}
