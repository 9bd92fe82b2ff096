//! A submission that was looked at and understood, before anything is stored.

use ledger::inputs::Holder;
use model::{
    ColumnChoice, ConflictSpec, FieldSpec, FormatSpec, ImportSpec, JsonLinesSpec, MappingSpec, SourceKind, SourceSpec,
    UnknownKeys,
};
use source::Fingerprint;
use sqlx::PgPool;
use target::{ConflictChoice, FieldNames, NO_COLUMN, Target, find_alike, forms::Form, map_fields};

use super::{
    KeyChoice, LoadedBefore, Request, SubmitError,
    beginning::Reading,
    fitting::fitting,
    identity::Keys,
    inputs::{Input, Inputs, describe, look, refuse_same_content},
};
use crate::chunks::{Expected, SourceChunks};

/// What a submission would store, and what it would load.
pub(super) struct Prepared {
    /// What the inputs are called together.
    pub origin: String,
    pub inputs: Vec<Input>,
    pub target: Target,
    pub spec: ImportSpec,
    pub chunks: SourceChunks,
    /// Known beforehand for regular files.
    pub fingerprint: Option<Fingerprint>,
    pub resumable: bool,
    pub keys: Option<Keys>,
    /// Whether the delimiter was asked for and found.
    pub found_delimiter: bool,
    /// Keys that were named, and that no object of the samples has.
    pub absent_keys: Vec<String>,
    /// Those that each of several inputs would have alone; none where it has no records, or is not known by its content.
    pub input_keys: Vec<Option<Keys>>,
}

impl Prepared {
    /// Looks at the inputs and settles how they are loaded into `target`.
    pub(super) async fn new(pool: &PgPool, request: &Request, target: Target) -> Result<Self, SubmitError> {
        request.format.check()?;
        let reading = Reading {
            text: request.text.clone(),
            format: request.format.clone(),
            find_delimiter: request.find_delimiter,
            split: request.split,
            fields: request.columns.as_ref().map(Vec::len),
        };
        let Inputs {
            inputs,
            only,
            mut reading,
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
        let names = match (&request.columns, &header) {
            (Some(columns), _) => FieldNames::Given(columns),
            (None, Some(header)) => FieldNames::OfSource(header),
            (None, None) => FieldNames::None,
        };
        let named = match (&reading.format, &request.columns) {
            (FormatSpec::JsonLines(_), Some(named)) => Some(find_named(named, header.as_deref(), &mut absent_keys)),
            _ => None,
        };
        let layout =
            Layout::new(&target, &reading.format, names, named, request).map_err(|source| SubmitError::Mapping {
                origin: found.origin_of(source.field().unwrap_or(0)).to_owned(),
                source,
                fits: match request.columns {
                    Some(_) => None,
                    None => fitting(&target, &found.bytes, &reading.format, &request.mapping),
                },
            })?;
        if let FormatSpec::Csv(dialect) = &reading.format {
            for choice in [&dialect.force_null, &dialect.force_not_null] {
                check_choice(choice, &layout.mapping)?;
            }
        }
        target.check_method(request.load.method, &layout.mapping.columns())?;
        let conflict = match request.conflict.choice {
            ConflictChoice::Error => ConflictSpec::Fail,
            ConflictChoice::Ignore | ConflictChoice::Update => {
                let mut conn = pool.acquire().await.map_err(SubmitError::Connect)?;
                let filled = layout.mapping.columns();
                target.resolve_conflict(&mut conn, &request.conflict, &filled).await?
            }
        };
        let by_fields: Vec<_> = layout
            .mapping
            .fields
            .iter()
            .filter_map(FieldSpec::column)
            .map(str::to_owned)
            .collect();
        let by_fields: Vec<_> = target.select(&by_fields)?.into_iter().cloned().collect();
        Form::of_columns(&request.values, &by_fields)?;
        #[cfg(feature = "parquet")]
        super::parquet::check_types(
            &inputs,
            &layout.mapping.fields,
            &by_fields,
            request.values.time_zone.is_some(),
        )?;
        let fingerprint = all_fingerprints(&inputs);
        let spec_of = |layout: Layout| ImportSpec {
            source: SourceSpec {
                kind: match &fingerprint {
                    Some(_) => SourceKind::File,
                    None => SourceKind::Stream,
                },
            },
            text: reading.text.clone(),
            format: layout.format,
            mapping: layout.mapping,
            values: request.values.clone(),
            split: request.split,
            load: request.load,
            identity: target.identity.spec(),
            conflict: conflict.clone(),
            rejects: request.rejects,
            completion: request.completion,
        };
        let fields = layout.mapping.fields.len();
        let spec = spec_of(layout);
        let mut keys = None;
        let mut input_keys = Vec::new();
        match (&request.key, &fingerprint) {
            (KeyChoice::Force, _) | (KeyChoice::Content, None) => {}
            (KeyChoice::Given(key), _) => {
                refuse_same_content(&inputs)?;
                keys = Some(Keys::given(key));
            }
            (KeyChoice::Content, Some(content)) => {
                keys = Some(Keys::of_content(content, &target, &spec)?);
                if inputs.len() > 1 {
                    refuse_same_content(&inputs)?;
                    for input in &inputs {
                        input_keys.push(input_keys_of(input, request, &target, &spec, &reading.format, spec_of)?);
                    }
                }
            }
        }
        if inputs.len() > 1 {
            input_keys.resize_with(inputs.len(), || None);
        }
        let header = match &spec.format {
            FormatSpec::Csv(_) => header.map(|names| (found.origin_of(0).to_owned(), names)),
            FormatSpec::JsonLines(_) => None,
        };
        // With the keys that were found.
        reading.format = spec.format.clone();
        let expected = Expected {
            reading,
            fields,
            header,
        };
        Ok(Self {
            origin: describe(&inputs),
            chunks: SourceChunks::new(inputs.clone(), only, expected),
            // Who has no key cannot be found again by the same command.
            resumable: fingerprint.is_some() && keys.is_some(),
            inputs,
            target,
            spec,
            fingerprint,
            keys,
            found_delimiter,
            absent_keys,
            input_keys,
        })
    }

    /// Has the chunks cut as an earlier submission cut them.
    pub(super) fn cut_as(&mut self, spec: ImportSpec) {
        let fields = spec.mapping.fields.len();
        let reading = Reading {
            text: spec.text,
            format: spec.format,
            find_delimiter: false,
            split: spec.split,
            fields: Some(fields),
        };
        // What is in a header was looked at before, and the content is the same.
        let expected = Expected {
            reading,
            fields,
            header: None,
        };
        self.chunks = SourceChunks::new(self.inputs.clone(), None, expected);
    }

    /// The inputs for the ledger, which has none of an import of one.
    pub(super) fn ledger_inputs(&self) -> Vec<ledger::inputs::Input> {
        let inputs = std::iter::zip(&self.inputs, &self.input_keys);
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
        let inputs = std::iter::zip(&self.inputs, &self.input_keys);
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

/// The keys that an input would have if it were submitted alone.
fn input_keys_of(
    input: &Input,
    request: &Request,
    target: &Target,
    spec: &ImportSpec,
    format: &FormatSpec,
    spec_of: impl Fn(Layout) -> ImportSpec,
) -> Result<Option<Keys>, SubmitError> {
    let Some(content) = input.fingerprint.as_ref().filter(|_| !input.has_no_records) else {
        return Ok(None);
    };
    // The keys of objects may be others in each of them.
    let names = match (format, &request.columns) {
        (FormatSpec::JsonLines(_), None) => input.keys.as_deref(),
        _ => None,
    };
    let own = names.and_then(|names| Layout::new(target, format, FieldNames::OfSource(names), None, request).ok());
    match own {
        Some(layout) => Keys::of_content(content, target, &spec_of(layout)).map(Some),
        None => Keys::of_content(content, target, spec).map(Some),
    }
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
    let filled: Vec<&str> = mapping.fields.iter().filter_map(FieldSpec::column).collect();
    match chosen.iter().find(|name| !filled.contains(&name.as_str())) {
        Some(unknown) => Err(SubmitError::NotLoaded {
            column: unknown.clone(),
            known: filled.join(", "),
        }),
        None => Ok(()),
    }
}
