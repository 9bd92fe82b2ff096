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

#[cfg(test)]
mod tests {
    use model::{
        CompletionSpec, ConflictSpec, CsvDialect, FormatSpec, IdentitySpec, LoadMethod, LoadSpec, MappingSpec,
        Position, RejectsSpec, Replace, SourceKind, SourceSpec, SplitSpec, TextSpec,
    };
    use sqlx::postgres::types::Oid;

    use super::*;

    fn finder(names: &[&str], values: &ValuesSpec) -> TypesFinder {
        let columns = names.iter().map(|name| Column {
            name: (*name).to_owned(),
            kind: ColumnType::Text { max_chars: None },
            nullable: true,
            optional: true,
            element_oid: Oid(0),
            array_oid: Oid(0),
            characters: None,
        });
        let dialect = CsvDialect {
            null: vec!["NA".to_owned()],
            ..CsvDialect::plain(b';', false)
        };
        let spec = ImportSpec {
            source: SourceSpec {
                kind: SourceKind::File,
                by_reference: false,
            },
            text: TextSpec::default(),
            format: FormatSpec::Csv(dialect),
            mapping: MappingSpec::of_columns(names.iter().map(|name| (*name).to_owned()).collect()),
            values: values.clone(),
            split: SplitSpec {
                chunk_rows: 1000,
                chunk_bytes: 1 << 20,
                max_record: 1 << 20,
            },
            load: LoadSpec {
                method: LoadMethod::Insert,
            },
            identity: IdentitySpec::Transaction { import_column: None },
            conflict: ConflictSpec::Fail,
            rejects: RejectsSpec::default(),
            completion: CompletionSpec {
                replace: Replace::Never,
            },
        };
        TypesFinder::new(columns.collect(), &spec, values).unwrap()
    }

    fn span(record_count: u64) -> Span {
        Span {
            start: Position::of_line(1),
            end_byte: None,
            record_count,
        }
    }

    #[test]
    fn all_chunks_decide_and_records_that_are_rejected_do_not() {
        let mut finder = finder(&["a", "b", "c", "d"], &ValuesSpec::default());
        finder
            .add(b"1;NA;;x\n2;2026-01-31;;y\nx\nx;x;x;x;x\n\xff;x;x;x\n", span(5))
            .unwrap();
        finder.add(b"3.5;2026-02-01;;\"\"\n", span(1)).unwrap();
        let kinds: Vec<String> = finder.kinds().iter().map(ToString::to_string).collect();
        assert_eq!(kinds, ["numeric", "date", "text", "text"]);
        assert_eq!((finder.records, finder.rejected), (6, 3));
        assert!(finder.add(b"1\n", span(2)).is_err());
    }

    #[test]
    fn values_are_looked_at_as_they_are_rewritten() {
        let values = ValuesSpec {
            column_formats: [("b".to_owned(), "DD.MM.YY".to_owned())].into(),
            on_nul: OnNul::Strip,
            decimal_separator: Some(','),
            ..ValuesSpec::default()
        };
        let mut finder = finder(&["a", "b"], &values);
        finder.add(b"1,5;31.01.26\n2;\n", span(2)).unwrap();
        let kinds: Vec<String> = finder.kinds().iter().map(ToString::to_string).collect();
        assert_eq!(
            (kinds, finder.rejected),
            (vec!["numeric".to_owned(), "date".to_owned()], 0)
        );
    }
}
