//! A submission that was looked at and understood, before anything is stored.

use ledger::inputs::Holder;
use model::{ColumnChoice, FormatSpec, ImportSpec, JsonLinesSpec, MappingSpec, SourceKind, SourceSpec};
use source::Fingerprint;
use target::{Target, forms::Form, map_fields};

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
    pub(super) async fn new(request: &Request, target: Target) -> Result<Self, SubmitError> {
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
        let header = match found.names.take() {
            Some(Err(_)) if request.columns.is_some() => None,
            header => header.transpose()?,
        };
        let names = request.columns.as_deref().or(header.as_deref());
        let (keys, absent_keys) = match (&reading.format, &request.columns) {
            (FormatSpec::JsonLines(_), Some(named)) => find_named(named, header.as_deref()),
            _ => (names.map(<[String]>::to_vec), Vec::new()),
        };
        let layout = Layout::new(&target, &reading.format, names, keys).map_err(|source| SubmitError::Mapping {
            origin: found.origin_of(source.field().unwrap_or(0)).to_owned(),
            source,
            fits: match request.columns {
                Some(_) => None,
                None => fitting(&target, &found.bytes, &reading.format),
            },
        })?;
        if let FormatSpec::Csv(dialect) = &reading.format {
            for choice in [&dialect.force_null, &dialect.force_not_null] {
                check_choice(choice, &layout.columns)?;
            }
        }
        target.check_method(request.load.method, &layout.columns)?;
        let filled: Vec<_> = target.select(&layout.columns)?.into_iter().cloned().collect();
        Form::of_columns(&request.values, &filled)?;
        #[cfg(feature = "parquet")]
        super::parquet::check_types(&inputs, &filled, request.values.time_zone.is_some())?;
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
            mapping: MappingSpec::of_columns(layout.columns),
            values: request.values.clone(),
            split: request.split,
            load: request.load,
            identity: target.identity.spec(),
            conflict: request.conflict,
            completion: request.completion,
        };
        let fields = layout.columns.len();
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

/// Which columns the fields of records fill.
struct Layout {
    format: FormatSpec,
    columns: Vec<String>,
}

impl Layout {
    /// With the names that the fields have, if they have any, and how objects spell them.
    fn new(
        target: &Target,
        format: &FormatSpec,
        names: Option<&[String]>,
        keys: Option<Vec<String>>,
    ) -> Result<Self, target::MappingError> {
        let columns = map_fields(target, names)?;
        let format = match format {
            FormatSpec::Csv(dialect) => FormatSpec::Csv(dialect.clone()),
            FormatSpec::JsonLines(json) => FormatSpec::JsonLines(JsonLinesSpec {
                keys: keys.unwrap_or_else(|| columns.clone()),
                ..json.clone()
            }),
        };
        Ok(Self { format, columns })
    }
}

/// The keys that somebody named, as objects spell them: exactly, or else without regard to case and to white space round them, as with the
/// names of columns; and those that no object of the samples has. Without samples, as they were named.
fn find_named(named: &[String], known: Option<&[String]>) -> (Option<Vec<String>>, Vec<String>) {
    let mut absent = Vec::new();
    let spelled = named.iter().map(|name| {
        let name = name.trim();
        let Some(known) = known.filter(|known| !known.iter().any(|key| key == name)) else {
            return name.to_owned();
        };
        let folded = name.to_lowercase();
        let mut alike = known.iter().filter(|key| key.trim().to_lowercase() == folded);
        match (alike.next(), alike.next()) {
            (Some(key), None) => key.clone(),
            _ => {
                absent.push(name.to_owned());
                name.to_owned()
            }
        }
    });
    (Some(spelled.collect()), absent)
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
    let own = names.and_then(|names| Layout::new(target, format, Some(names), Some(names.to_vec())).ok());
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

/// Refuses a choice of columns that are none of the file's.
fn check_choice(choice: &ColumnChoice, columns: &[String]) -> Result<(), SubmitError> {
    let ColumnChoice::These(chosen) = choice else {
        return Ok(());
    };
    match chosen.iter().find(|name| !columns.contains(name)) {
        Some(unknown) => Err(SubmitError::NotLoaded {
            column: unknown.clone(),
            known: columns.join(", "),
        }),
        None => Ok(()),
    }
}
