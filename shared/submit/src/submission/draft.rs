//! A submission whose table is not there yet: what the table would be, and what says which types its columns have.

use format::{csv::read::header_names, sample::SAMPLE_BYTES};
use model::{ConflictSpec, Container, FormatSpec, ImportSpec, Span, ValuesSpec};
use target::{Column, ColumnType, FieldNames, Nature, NewColumn, NewTable, NewTableError, Place, name_columns};

use super::{
    Request, SubmitError,
    fitting::{Fitting, looks_like_json, usual_delimiters},
    inputs::{describe, in_thread},
    prepared::{Looked, filled_by_fields},
};
use crate::chunks::SourceChunks;

/// A submission whose table is to be made.
pub struct Draft {
    pub(super) place: Place,
    pub(super) looked: Looked,
    /// Those that fields fill, and then the others.
    columns: Vec<NewColumn>,
    /// How many of them fields fill.
    by_fields: usize,
    /// How the source is read while the types are not known.
    spec: ImportSpec,
    /// Of a stream, which can be read only once: what was looked at is still to come.
    pub(super) stream: Option<SourceChunks>,
    /// Whether the source itself says the types.
    has_types: bool,
}

/// What says which types the columns have.
pub struct Evidence {
    /// The columns that fields fill, of text, or of `json` where values are to be taken as they stand there.
    pub columns: Vec<Column>,
    /// How the records are read.
    pub spec: ImportSpec,
    /// How values are written.
    pub values: ValuesSpec,
    pub records: Records,
}

/// The records to look at.
pub enum Records {
    /// All of them: the files can be read again.
    All(Box<SourceChunks>),
    /// Those that a stream begins with.
    Beginning(Vec<(Span, Vec<u8>)>),
}

impl Draft {
    pub(super) async fn new(request: &Request, place: Place, mut looked: Looked) -> Result<Self, SubmitError> {
        let of_new = |source, fits| SubmitError::NewTable {
            origin: describe(&looked.inputs),
            source,
            fits,
        };
        let names = looked.names(request);
        if let Some((name, fits)) = find_other_reading(&looked, names) {
            return Err(of_new(NewTableError::OneName { name }, fits));
        }
        let mut columns = name_columns(names, &request.mapping).map_err(|source| of_new(source, None))?;
        let by_fields = columns.len() - request.mapping.added.len();
        if matches!(looked.reading.format, FormatSpec::JsonLines(_)) {
            for column in columns.iter_mut().take(by_fields) {
                column.kind = json();
            }
        }
        // Names that are there twice are refused here.
        let imagined = NewTable::new(place.clone(), columns.clone(), &[]).map_err(|source| of_new(source, None))?;
        let imagined = imagined.imagined();
        let spec = looked.spec(request, &imagined)?;
        imagined.check_method(request.load.method, &[])?;
        if request.identity == model::IdentityChoice::Sequence {
            return Err(target::TargetError::NoId { name: imagined.name }.into());
        }
        let has_types = looked.reading.text.container == Container::Parquet;
        #[cfg(feature = "parquet")]
        if has_types {
            let kinds = super::parquet::new_columns(&looked.inputs, &spec.mapping.fields)?;
            for (column, kind) in columns.iter_mut().zip(kinds) {
                column.kind = kind;
            }
        }
        let mut stream = None;
        if looked.fingerprint.is_none() && !has_types {
            let mut chunks = looked.chunks(&spec);
            stream = Some(in_thread(move || chunks.look_ahead(SAMPLE_BYTES).map(drop).map(|()| chunks)).await?);
        }
        Ok(Self {
            place,
            looked,
            columns,
            by_fields,
            spec,
            stream,
            has_types,
        })
    }

    /// What says which types the columns have; `None` where the source itself does.
    ///
    /// # Errors
    /// [`SubmitError`], when what a stream begins with cannot be read.
    pub fn evidence(&mut self, request: &Request) -> Result<Option<Evidence>, SubmitError> {
        if self.has_types {
            return Ok(None);
        }
        let imagined = self.table(&self.columns, &[])?.imagined();
        let columns = imagined.select(&filled_by_fields(&self.spec.mapping))?;
        let columns = columns.into_iter().cloned().collect();
        let records = match &mut self.stream {
            Some(stream) => Records::Beginning(stream.look_ahead(0)?.iter().cloned().collect()),
            None => Records::All(Box::new(self.looked.chunks_of_files(&self.spec))),
        };
        Ok(Some(Evidence {
            columns,
            spec: self.spec.clone(),
            values: request.values.clone(),
            records,
        }))
    }

    /// The table, with the types that were found of the columns that fields fill, in their order. What is said of no type stays as it is.
    ///
    /// # Errors
    /// [`SubmitError`], when its columns could not hold what is asked for.
    pub fn finish(
        &self,
        request: &Request,
        kinds: Option<Vec<ColumnType>>,
        primary_key: &[String],
    ) -> Result<NewTable, SubmitError> {
        let mut columns = self.columns.clone();
        for (column, kind) in columns.iter_mut().take(self.by_fields).zip(kinds.into_iter().flatten()) {
            column.kind = kind;
        }
        let table = self.table(&columns, primary_key)?;
        self.looked.aim(request, table.imagined(), ConflictSpec::Fail)?;
        Ok(table)
    }

    fn table(&self, columns: &[NewColumn], primary_key: &[String]) -> Result<NewTable, SubmitError> {
        let table = NewTable::new(self.place.clone(), columns.to_vec(), primary_key);
        table.map_err(|source| SubmitError::NewTable {
            origin: describe(&self.looked.inputs),
            source,
            fits: None,
        })
    }
}

/// The only name of a header that is no single name if it is read otherwise, and how.
fn find_other_reading(looked: &Looked, names: FieldNames<'_>) -> Option<(String, Option<Fitting>)> {
    let (FieldNames::OfSource([name]), FormatSpec::Csv(dialect), Container::Plain) =
        (names, &looked.reading.format, looked.reading.text.container)
    else {
        return None;
    };
    if looks_like_json(&looked.found.bytes) {
        return Some((shown(name), Some(Fitting::JsonLines)));
    }
    let several = usual_delimiters(dialect)
        .find(|(_, dialect)| header_names(&looked.found.bytes, dialect).is_ok_and(|names| names.len() > 1));
    several.map(|(delimiter, _)| (shown(name), Some(Fitting::Delimiter(delimiter))))
}

/// The beginning of a long name.
fn shown(name: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = name.chars().take(SHOWN).collect();
    if name.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn json() -> ColumnType {
    ColumnType::Other {
        type_name: "json".to_owned(),
        sql_name: "pg_catalog.json".to_owned(),
        nature: Nature::Json,
    }
}
