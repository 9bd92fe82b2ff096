//! Which types the columns of a table could have that is yet to be made: by the values that a load would put there, read by the loader itself.
//!
//! Records that a load would reject whatever the types, for their number of fields for instance, say nothing. Blocking CPU work.

use model::{ImportSpec, OnNul, Span, ValuesSpec};
use target::{Column, ColumnType, Nature, forms::FormError, guess::TypeGuess};

use super::{
    rows::{self, ParseError},
    shape::{About, RecordShape, ShapeError},
    sink::{ArrayBuffer, Sink},
};

/// What is found out of columns, chunk by chunk.
#[derive(Debug)]
pub struct TypesFinder {
    shape: RecordShape,
    columns: Vec<ColumnFinder>,
    /// Whose room serves the next chunk.
    rows: Sink,
    strips_nul: bool,
    pub records: u64,
    /// Those of them that say nothing.
    pub rejected: u64,
}

#[derive(Debug)]
struct ColumnFinder {
    guess: TypeGuess,
    /// Whether values come as they stand in JSON.
    json: bool,
    /// Whether one of them was an array or an object.
    nested: bool,
}

impl TypesFinder {
    /// Of columns that fields fill, which are of text, or of `json` where values are to be taken as they stand there. `spec` says how records are
    /// read, and `values` how values are written.
    ///
    /// # Errors
    /// [`ShapeError`], when values cannot be written like this.
    pub fn new(columns: Vec<Column>, spec: &ImportSpec, values: &ValuesSpec) -> Result<Self, ShapeError> {
        let finders = columns.iter().map(|column| {
            let values = ValuesSpec {
                // Those of other columns are checked when all types are known.
                column_formats: values
                    .column_formats
                    .iter()
                    .filter(|(name, _)| **name == column.name)
                    .map(|(name, pattern)| (name.clone(), pattern.clone()))
                    .collect(),
                ..values.clone()
            };
            Ok(ColumnFinder {
                guess: TypeGuess::of_column(&column.name, &values)?,
                json: !matches!(column.kind, ColumnType::Text { .. }),
                nested: false,
            })
        });
        let finders = finders.collect::<Result<_, FormError>>()?;
        let as_text = ImportSpec {
            values: ValuesSpec {
                on_nul: values.on_nul,
                ..ValuesSpec::default()
            },
            ..spec.clone()
        };
        Ok(Self {
            rows: Sink::arrays(&columns),
            shape: RecordShape::new(columns, &as_text, &About::default())?,
            columns: finders,
            strips_nul: values.on_nul == OnNul::Strip,
            records: 0,
            rejected: 0,
        })
    }

    /// Takes the records of a chunk that lies at `span`.
    ///
    /// # Errors
    /// [`ParseError`], when the bytes are not the chunk that was cut.
    pub fn add(&mut self, bytes: &[u8], span: Span) -> Result<(), ParseError> {
        let mut rows = std::mem::replace(&mut self.rows, Sink::arrays(&[]));
        rows.clear();
        let parsed = rows::parse(bytes, &self.shape, span, rows)?;
        self.records += span.record_count;
        self.rejected += parsed.rejects.len() as u64;
        self.rows = parsed.rows;
        let Sink::Arrays(arrays) = &self.rows else {
            return Ok(());
        };
        for (column, values) in self.columns.iter_mut().zip(arrays) {
            column.add(values, self.strips_nul);
        }
        Ok(())
    }

    /// The type of each column, in their order; one without any value is of text.
    #[must_use]
    pub fn kinds(&self) -> Vec<ColumnType> {
        self.columns.iter().map(ColumnFinder::kind).collect()
    }
}

impl ColumnFinder {
    fn add(&mut self, values: &ArrayBuffer, strips_nul: bool) {
        let mut room = Vec::new();
        for value in values.elements().flatten() {
            match value {
                _ if !self.json => self.guess.add(value, 0),
                [b'{' | b'[', ..] => self.nested = true,
                [b'"', ..] => match format::jsonl::text_of(value, &mut room) {
                    // What no text holds is rejected, whatever the others are.
                    Some(text) if strips_nul || !text.contains(&0) => self.guess.add_string(text),
                    _ => {}
                },
                bare => self.guess.add_bare(bare),
            }
        }
    }

    fn kind(&self) -> ColumnType {
        if self.nested { jsonb() } else { self.guess.kind() }
    }
}

fn jsonb() -> ColumnType {
    ColumnType::Other {
        type_name: "jsonb".to_owned(),
        sql_name: "pg_catalog.jsonb".to_owned(),
        nature: Nature::Jsonb,
    }
}
