//! A submission that was looked at and understood, before anything is stored.

use ledger::inputs::Holder;
use model::{
    AddedValue, ColumnChoice, ConflictSpec, FieldSpec, FormatSpec, IdentitySpec, ImportSpec, JsonLinesSpec,
    MappingSpec, SourceKind, SourceSpec, UnknownKeys,
};
use source::Fingerprint;
use target::{ColumnType, FieldNames, NO_COLUMN, Target, find_alike, forms::Form, map_fields};

use super::{
    Event, KeyChoice, LoadedBefore, Request, SubmitError,
    beginning::{Beginning, Reading},
    fitting::fitting,
    identity::Keys,
    inputs::{Header, Input, Inputs, describe, look, refuse_same_content},
};
use crate::chunks::{Expected, SourceChunks};

/// The inputs of a submission, and what their fields are called.
pub(super) struct Looked {
    pub inputs: Vec<Input>,
    /// The only input, at its first record.
    only: Option<Beginning>,
    pub reading: Reading,
    found_delimiter: bool,
    pub found: Header,
    /// The names that the source gives, if they can be read.
    pub header: Option<Vec<String>>,
    /// How objects spell the keys that somebody named.
    named: Option<Vec<String>>,
    absent_keys: Vec<String>,
    /// Known beforehand for regular files.
    pub fingerprint: Option<Fingerprint>,
}

/// What a submission would store, and what it would load.
pub(super) struct Prepared {
    /// What the inputs are called together.
    pub origin: String,
    pub looked: Looked,
    pub aim: Aim,
    pub chunks: SourceChunks,
    pub resumable: bool,
}

/// What a submission means for a table.
pub(super) struct Aim {
    pub target: Target,
    pub spec: ImportSpec,
    pub keys: Option<Keys>,
    /// Those that each of several inputs would have alone; none where it has no records, or is not known by its content.
    pub input_keys: Vec<Option<Keys>>,
}

impl Looked {
    /// Looks at the inputs.
    pub(super) async fn new(request: &Request) -> Result<Self, SubmitError> {
        request.format.check()?;
        let reading = Reading {
            text: request.text.clone(),
            format: request.format.clone(),
            find_delimiter: request.find_delimiter,
            split: request.split,
            by_reference: request.by_reference,
            fields: request.columns.as_ref().map(Vec::len),
        };
        let Inputs {
            inputs,
            only,
            reading,
            found_delimiter,
            header: mut found,
        } = look(&request.sources, reading).await?;
        // Names that somebody gave need no header that can be read.
        let mut header = match found.names.take() {
            Some(Err(_)) if request.columns.is_some() => None,
            header => header.transpose()?,
        };
        let mut absent_keys = Vec::new();
        if let (FormatSpec::JsonLines(_), None, Some(header)) = (&reading.format, &request.columns, &mut header) {
            // An object at the end may have what none at the beginning has.
            let renamed = request.mapping.renamed.iter().map(|(field, _)| field);
            absent_keys.extend(
                renamed
                    .filter(|field| find_alike(header.iter().map(String::as_str), field).is_empty())
                    .cloned(),
            );
            header.extend(absent_keys.iter().cloned());
        }
        let named = match (&reading.format, &request.columns) {
            (FormatSpec::JsonLines(_), Some(named)) => Some(find_named(named, header.as_deref(), &mut absent_keys)),
            _ => None,
        };
        Ok(Self {
            fingerprint: all_fingerprints(&inputs),
            inputs,
            only,
            reading,
            found_delimiter,
            found,
            header,
            named,
            absent_keys,
        })
    }

    /// What is worth a word of how the inputs are read.
    pub(super) fn tell(&self, observe: &(dyn Fn(Event) + Send + Sync)) {
        if let (true, FormatSpec::Csv(dialect)) = (self.found_delimiter, &self.reading.format) {
            observe(Event::FoundDelimiter(dialect.delimiter));
        }
        if !self.absent_keys.is_empty() {
            observe(Event::AbsentKeys(self.absent_keys.clone()));
        }
    }

    /// What the fields are called.
    pub(super) fn names<'n>(&'n self, request: &'n Request) -> FieldNames<'n> {
        match (&request.columns, &self.header) {
            (Some(columns), _) => FieldNames::Given(columns),
            (None, Some(header)) => FieldNames::OfSource(header),
            (None, None) => FieldNames::None,
        }
    }

    /// How the source is loaded into `target`, but for what becomes of rows that are there already.
    pub(super) fn spec(&self, request: &Request, target: &Target) -> Result<ImportSpec, SubmitError> {
        let layout = Layout::new(
            target,
            &self.reading.format,
            self.names(request),
            self.named.clone(),
            request,
        );
        let layout = layout.map_err(|source| SubmitError::Mapping {
            origin: self.found.origin_of(source.field().unwrap_or(0)).to_owned(),
            source,
            fits: match request.columns {
                Some(_) => None,
                None => fitting(target, &self.found.bytes, &self.reading.format, &request.mapping),
            },
        })?;
        Ok(self.spec_of(request, target, layout))
    }

    fn spec_of(&self, request: &Request, target: &Target, layout: Layout) -> ImportSpec {
        ImportSpec {
            source: SourceSpec {
                kind: match &self.fingerprint {
                    Some(_) => SourceKind::File,
                    None => SourceKind::Stream,
                },
                by_reference: request.by_reference,
            },
            text: self.reading.text.clone(),
            format: layout.format,
            mapping: layout.mapping,
            values: request.values.clone(),
            split: request.split,
            load: request.load,
            identity: target.identity.spec(),
            conflict: ConflictSpec::Fail,
            rejects: request.rejects,
            completion: request.completion,
        }
    }

    /// Settles how the source is loaded into `target`, and by what the submission is known again.
    pub(super) fn aim(&self, request: &Request, target: Target, conflict: ConflictSpec) -> Result<Aim, SubmitError> {
        let mut spec = ImportSpec {
            conflict,
            ..self.spec(request, &target)?
        };
        if let (IdentitySpec::Transaction { import_column }, ConflictSpec::Fail) = (&mut spec.identity, &spec.conflict)
        {
            *import_column = find_import_column(&target, &spec.mapping);
        }
        self.check(request, &target, &spec)?;
        let mut keys = None;
        let mut input_keys = Vec::new();
        match (&request.key, &self.fingerprint) {
            (KeyChoice::Force, _) | (KeyChoice::Content, None) => {}
            (KeyChoice::Given(key), _) => {
                refuse_same_content(&self.inputs)?;
                keys = Some(Keys::given(key));
            }
            (KeyChoice::Content, Some(content)) => {
                keys = Some(Keys::of_content(content, &target, &spec)?);
                if self.inputs.len() > 1 {
                    refuse_same_content(&self.inputs)?;
                    for input in &self.inputs {
                        input_keys.push(self.input_keys_of(input, request, &target, &spec)?);
                    }
                }
            }
        }
        if self.inputs.len() > 1 {
            input_keys.resize_with(self.inputs.len(), || None);
        }
        Ok(Aim {
            target,
            spec,
            keys,
            input_keys,
        })
    }

    /// Refuses what no row of the table could hold as it is asked for.
    fn check(&self, request: &Request, target: &Target, spec: &ImportSpec) -> Result<(), SubmitError> {
        if let FormatSpec::Csv(dialect) = &self.reading.format {
            for choice in [&dialect.force_null, &dialect.force_not_null] {
                check_choice(choice, &spec.mapping)?;
            }
        }
        target.check_method(request.load.method, &spec.mapping.columns())?;
        let by_fields: Vec<_> = filled_by_fields(&spec.mapping);
        let by_fields: Vec<_> = target.select(&by_fields)?.into_iter().cloned().collect();
        Form::of_columns(&request.values, &by_fields)?;
        #[cfg(feature = "parquet")]
        super::parquet::check_types(
            &self.inputs,
            &spec.mapping.fields,
            &by_fields,
            request.values.time_zone.is_some(),
        )?;
        Ok(())
    }

    /// The keys that an input would have if it were submitted alone.
    fn input_keys_of(
        &self,
        input: &Input,
        request: &Request,
        target: &Target,
        spec: &ImportSpec,
    ) -> Result<Option<Keys>, SubmitError> {
        let Some(content) = input.fingerprint.as_ref().filter(|_| !input.has_no_records) else {
            return Ok(None);
        };
        // The keys of objects may be others in each of them.
        let format = &self.reading.format;
        let names = match (format, &request.columns) {
            (FormatSpec::JsonLines(_), None) => input.keys.as_deref(),
            _ => None,
        };
        let own = names.and_then(|names| Layout::new(target, format, FieldNames::OfSource(names), None, request).ok());
        match own {
            Some(layout) => {
                let spec = ImportSpec {
                    conflict: spec.conflict.clone(),
                    ..self.spec_of(request, target, layout)
                };
                Keys::of_content(content, target, &spec).map(Some)
            }
            None => Keys::of_content(content, target, spec).map(Some),
        }
    }

    /// The chunks of the inputs, from their beginning, as `spec` has them read. What is open already goes to the first who asks.
    pub(super) fn chunks(&mut self, spec: &ImportSpec) -> SourceChunks {
        SourceChunks::new(self.inputs.clone(), self.only.take(), self.expected(spec))
    }

    /// The same of files, which are opened once more.
    pub(super) fn chunks_of_files(&self, spec: &ImportSpec) -> SourceChunks {
        SourceChunks::new(self.inputs.clone(), None, self.expected(spec))
    }

    fn expected(&self, spec: &ImportSpec) -> Expected {
        let header = match &spec.format {
            FormatSpec::Csv(_) => self.header.clone(),
            FormatSpec::JsonLines(_) => None,
        };
        Expected {
            // With the keys that were found.
            reading: Reading {
                format: spec.format.clone(),
                ..self.reading.clone()
            },
            fields: spec.mapping.fields.len(),
            header: header.map(|names| (self.found.origin_of(0).to_owned(), names)),
        }
    }
}

/// A column that has the import's id, and in which it can be found.
fn find_import_column(target: &Target, mapping: &MappingSpec) -> Option<String> {
    let has_id = |name: &str| {
        let mut columns = target.columns.iter();
        columns.any(|column| column.name == name && column.kind == ColumnType::Int8)
    };
    let mut added = mapping.added.iter();
    let column = added.find(|added| added.value == AddedValue::Import && has_id(&added.column))?;
    Some(column.column.clone())
}

/// The names of the columns that fields fill, in the order of these.
pub(super) fn filled_by_fields(mapping: &MappingSpec) -> Vec<String> {
    let columns = mapping.fields.iter().filter_map(FieldSpec::column);
    columns.map(str::to_owned).collect()
}

impl Prepared {
    /// Settles how the inputs are loaded into `target`.
    pub(super) fn new(
        request: &Request,
        mut looked: Looked,
        target: Target,
        conflict: ConflictSpec,
    ) -> Result<Self, SubmitError> {
        let aim = looked.aim(request, target, conflict)?;
        let chunks = looked.chunks(&aim.spec);
        Ok(Self::with(looked, aim, chunks))
    }

    pub(super) fn with(looked: Looked, aim: Aim, chunks: SourceChunks) -> Self {
        Self {
            origin: describe(&looked.inputs),
            // Who has no key cannot be found again by the same command.
            resumable: looked.fingerprint.is_some() && aim.keys.is_some(),
            looked,
            aim,
            chunks,
        }
    }

    /// Has the chunks cut as an earlier submission cut them.
    pub(super) fn cut_as(&mut self, spec: ImportSpec) {
        let fields = spec.mapping.fields.len();
        let reading = Reading {
            text: spec.text,
            format: spec.format,
            find_delimiter: false,
            split: spec.split,
            by_reference: spec.source.by_reference,
            fields: Some(fields),
        };
        // What is in a header was looked at before, and the content is the same.
        let expected = Expected {
            reading,
            fields,
            header: None,
        };
        self.chunks = SourceChunks::new(self.looked.inputs.clone(), None, expected);
        self.aim.spec.source.by_reference = spec.source.by_reference;
    }

    /// The inputs for the ledger, which has none of an import of one.
    pub(super) fn ledger_inputs(&self, aim: &Aim) -> Vec<ledger::inputs::Input> {
        let inputs = std::iter::zip(&self.looked.inputs, &aim.input_keys);
        let known = inputs.filter_map(|(input, keys)| {
            let fingerprint = input.fingerprint.as_ref()?;
            Some(ledger::inputs::Input {
                name: input.origin.clone(),
                key: keys.as_ref().map(|keys| keys.new.clone()),
                fingerprint: fingerprint.hash.clone(),
                size: fingerprint.size,
            })
        });
        known.collect()
    }

    /// That an import has one of the inputs already.
    pub(super) fn loaded_before(&self, holder: Holder) -> SubmitError {
        let has_key = |keys: &Option<Keys>| keys.iter().flat_map(Keys::all).any(|key| key == holder.key);
        let inputs = std::iter::zip(&self.looked.inputs, &self.aim.input_keys);
        let mut those = inputs.filter_map(|(input, keys)| has_key(keys).then_some(&input.origin));
        let origin = those.next().unwrap_or(&self.origin).clone();
        SubmitError::LoadedBefore(Box::new(LoadedBefore { origin, holder }))
    }
}

/// What fills the columns, and by what the values of an object are fields.
struct Layout {
    format: FormatSpec,
    mapping: MappingSpec,
}

impl Layout {
    /// With the names that the fields have, and how objects spell those that somebody named.
    fn new(
        target: &Target,
        format: &FormatSpec,
        names: FieldNames<'_>,
        named: Option<Vec<String>>,
        request: &Request,
    ) -> Result<Self, target::MappingError> {
        let mut mapping = map_fields(target, names, &request.mapping)?;
        mapping.given = matches!(names, FieldNames::Given(_)) && format.names_fields();
        let FormatSpec::JsonLines(json) = format else {
            let format = format.clone();
            return Ok(Self { format, mapping });
        };
        let spelled = match (named, names) {
            (Some(named), _) => named,
            (None, FieldNames::OfSource(names)) => names.to_vec(),
            (None, _) => mapping.field_names(),
        };
        // What fills no column is not looked for.
        let wanted: Vec<bool> = mapping.fields.iter().map(|field| field.column().is_some()).collect();
        let keys = std::iter::zip(spelled, &wanted)
            .filter_map(|(key, wanted)| wanted.then_some(key))
            .collect();
        mapping.fields.retain(|field| field.column().is_some());
        let unknown_keys = if request.mapping.ignores_extra {
            UnknownKeys::Ignore
        } else {
            json.unknown_keys
        };
        Ok(Self {
            format: FormatSpec::JsonLines(JsonLinesSpec { keys, unknown_keys }),
            mapping,
        })
    }
}

/// The keys that somebody named, as objects spell them: as names of columns are found. Added to `absent` are those that no object of the
/// samples has, or that several could be. Without samples, as they were named.
fn find_named(named: &[String], known: Option<&[String]>, absent: &mut Vec<String>) -> Vec<String> {
    let spelled = named.iter().map(|name| {
        let name = name.trim();
        let Some(known) = known.filter(|_| name != NO_COLUMN) else {
            return name.to_owned();
        };
        if let [key] = find_alike(known.iter().map(String::as_str), name).as_slice() {
            return (*key).to_owned();
        }
        absent.push(name.to_owned());
        name.to_owned()
    });
    spelled.collect()
}

/// The fingerprint of all inputs, if each has one.
fn all_fingerprints(inputs: &[Input]) -> Option<Fingerprint> {
    let each: Option<Vec<Fingerprint>> = inputs.iter().map(|input| input.fingerprint.clone()).collect();
    each.map(|each| Fingerprint::of_all(&each))
}

/// Refuses a choice of columns that no field fills.
fn check_choice(choice: &ColumnChoice, mapping: &MappingSpec) -> Result<(), SubmitError> {
    let ColumnChoice::These(chosen) = choice else {
        return Ok(());
    };
    let filled = filled_by_fields(mapping);
    match chosen.iter().find(|name| !filled.contains(name)) {
        Some(unknown) => Err(SubmitError::NotLoaded {
            column: unknown.clone(),
            known: filled.join(", "),
        }),
        None => Ok(()),
    }
}
