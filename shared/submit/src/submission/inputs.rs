//! The inputs of an import: all looked at before anything is stored, then read one after the other.

use std::collections::{HashMap, HashSet};

use format::csv::split::{Position, SplitError};
use model::{FormatSpec, SplitSpec, TextSpec};
use source::{Fingerprint, Source};

use super::{
    beginning::{self, Beginning, Reading},
    input_error::InputError,
};

/// An input that was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Its number, from 0.
    pub number: u32,
    pub source: Source,
    /// What it is called.
    pub origin: String,
    /// Of a regular file.
    pub fingerprint: Option<Fingerprint>,
    /// The keys of its objects, where it has some of its own.
    pub keys: Option<Vec<String>>,
    /// Where its first record may begin.
    pub begins: Position,
    /// Whether it certainly has no records; known only where there are several inputs.
    pub has_no_records: bool,
    /// What its columns hold, of a Parquet file.
    #[cfg(feature = "parquet")]
    pub columns: Option<Vec<source::Column>>,
}

/// What the inputs of an import have in common.
pub(crate) struct Inputs {
    /// Never empty.
    pub inputs: Vec<Input>,
    /// The only input, at its first record; of several none is kept open.
    pub only: Option<Beginning>,
    /// How all of them are read.
    pub reading: Reading,
    /// Whether the delimiter was asked for and found.
    pub found_delimiter: bool,
    pub header: Header,
}

/// What the fields of all inputs are called.
#[derive(Default)]
pub(crate) struct Header {
    /// Their names, or why they cannot be read; none where no input has a header.
    pub names: Option<Result<Vec<String>, InputError>>,
    /// The header as it stands in the first input that has one.
    pub bytes: Vec<u8>,
    /// In which input names are first found: the number of the first of these, from 0, and what the input is called.
    origins: Vec<(usize, String)>,
}

impl Header {
    /// The input in which a field's name is first found, by the field's number, from 0.
    pub(crate) fn origin_of(&self, field: usize) -> &str {
        let at = self.origins.partition_point(|(first, _)| *first <= field);
        self.origins.get(at.saturating_sub(1)).map_or("", |(_, origin)| origin)
    }
}

/// What inputs are called together.
pub(crate) fn describe(inputs: &[Input]) -> String {
    match inputs {
        [] => String::new(),
        [only] => only.origin.clone(),
        [first, _] => format!("{} and 1 more file", first.origin),
        [first, others @ ..] => format!("{} and {} more files", first.origin, others.len()),
    }
}

/// Looks at every input: that it can be read, and is like the others. Reading may block for as long as it likes (a pipe whose writer
/// sleeps): it has a thread of its own.
pub(crate) async fn look(sources: &[Source], reading: Reading) -> Result<Inputs, InputError> {
    let sources = sources.to_vec();
    in_thread(move || look_blocking(sources, reading)).await
}

/// Does what may block for ever, which a task of the runtime may not: it would keep the process from ending.
pub(super) async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InputError> + Send + 'static,
) -> Result<T, InputError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody listens any more when the submission was given up.
    std::thread::spawn(move || drop(sender.send(work())));
    receiver.await.map_err(|_| InputError::Reader {
        origin: "the source".to_owned(),
    })?
}

fn look_blocking(sources: Vec<Source>, reading: Reading) -> Result<Inputs, InputError> {
    if let [only] = sources.as_slice() {
        return look_at_one(only, reading);
    }
    let mut inputs: Vec<Input> = Vec::with_capacity(sources.len());
    let mut settled: Option<Settled> = None;
    // One record is enough to say that there is any.
    let mut probe = Reading {
        split: SplitSpec {
            chunk_rows: 1,
            ..reading.split
        },
        ..reading.clone()
    };
    for (number, source) in (0..).zip(sources) {
        let origin = source.describe();
        let fingerprint = source.fingerprint()?;
        if fingerprint.is_none() {
            // To open a directory, or what is not there, says what is wrong with it.
            source.open()?;
            return Err(InputError::Stream { origin });
        }
        let mut beginning = beginning::open(&source, &probe)?;
        let has_no_records = matches!(beginning.splitter.next_chunk(), Ok(None));
        let keys = own_keys(&beginning);
        let begins = beginning.begins;
        #[cfg(feature = "parquet")]
        let columns = beginning.columns.take();
        // A file without anything in it says nothing of the others.
        if !(has_no_records && beginning.header.is_none()) {
            match &mut settled {
                None => {
                    probe.format = beginning.format.clone();
                    probe.find_delimiter = false;
                    settled = Some(Settled::new(&origin, beginning));
                }
                Some(settled) => settled.compare(&origin, beginning, reading.fields.is_some())?,
            }
        }
        inputs.push(Input {
            number,
            source,
            origin,
            fingerprint,
            keys,
            begins,
            has_no_records,
            #[cfg(feature = "parquet")]
            columns,
        });
    }
    let text = settled.as_ref().map_or(reading.text, |settled| settled.text.clone());
    Ok(Inputs {
        inputs,
        only: None,
        found_delimiter: reading.find_delimiter && !probe.find_delimiter,
        reading: Reading {
            text,
            split: reading.split,
            ..probe
        },
        header: settled.map(|settled| settled.header).unwrap_or_default(),
    })
}

fn look_at_one(source: &Source, reading: Reading) -> Result<Inputs, InputError> {
    let fingerprint = source.fingerprint()?;
    let mut only = beginning::open(source, &reading)?;
    let origin = source.describe();
    Ok(Inputs {
        inputs: vec![Input {
            number: 0,
            source: source.clone(),
            origin: origin.clone(),
            fingerprint,
            keys: None,
            begins: only.begins,
            has_no_records: false,
            #[cfg(feature = "parquet")]
            columns: only.columns.take(),
        }],
        found_delimiter: reading.find_delimiter,
        reading: Reading {
            text: only.text.clone(),
            format: only.format.clone(),
            find_delimiter: false,
            ..reading
        },
        header: Header {
            names: only.header.take(),
            bytes: std::mem::take(&mut only.header_bytes),
            origins: vec![(0, origin)],
        },
        only: Some(only),
    })
}

fn own_keys(beginning: &Beginning) -> Option<Vec<String>> {
    match (&beginning.format, &beginning.header) {
        (FormatSpec::JsonLines(_), Some(Ok(keys))) => Some(keys.clone()),
        _ => None,
    }
}

/// What the inputs before have settled.
struct Settled {
    text: TextSpec,
    header: Header,
    /// The names of the header, to be found.
    known: HashSet<String>,
}

impl Settled {
    fn new(origin: &str, first: Beginning) -> Self {
        let known = match &first.header {
            Some(Ok(names)) => names.iter().cloned().collect(),
            _ => HashSet::new(),
        };
        Self {
            text: first.text,
            header: Header {
                names: first.header,
                bytes: first.header_bytes,
                origins: vec![(0, origin.to_owned())],
            },
            known,
        }
    }

    /// Refuses an input that is not like the first, and learns what a later one may add. Where the columns are named, a header need not be
    /// one that can be read.
    fn compare(&mut self, origin: &str, other: Beginning, columns_named: bool) -> Result<(), InputError> {
        if other.text != self.text {
            let name = |text: &TextSpec| text.encoding.clone().unwrap_or_else(|| "UTF-8".to_owned());
            return Err(InputError::OtherEncoding {
                origin: origin.to_owned(),
                encoding: name(&other.text),
                first: self.header.origin_of(0).to_owned(),
                first_encoding: name(&self.text),
            });
        }
        let (known, names) = match (&mut self.header.names, other.header) {
            (Some(Ok(known)), Some(Ok(names))) => (known, names),
            (_, Some(Err(error))) if !columns_named => return Err(error),
            _ => return Ok(()),
        };
        match &other.format {
            FormatSpec::Csv(_) => {
                let first = self.header.origins.first().map_or("", |(_, origin)| origin);
                compare_headers(origin, &names, first, known)?;
            }
            // An object names its own fields.
            FormatSpec::JsonLines(_) => {
                let first_new = known.len();
                known.extend(names.into_iter().filter(|name| self.known.insert(name.clone())));
                if known.len() > first_new {
                    self.header.origins.push((first_new, origin.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// Refuses a header that is not the expected one, and says where they differ.
pub(crate) fn compare_headers(
    origin: &str,
    names: &[String],
    first: &str,
    expected: &[String],
) -> Result<(), InputError> {
    let difference = match std::iter::zip(names, expected).position(|(name, expected)| name != expected) {
        Some(at) => format!(
            "its column {} is '{}', there it is '{}'",
            at + 1,
            names[at],
            expected[at]
        ),
        None if names.len() != expected.len() => {
            format!("it has {} columns, there are {} there", names.len(), expected.len())
        }
        None => return Ok(()),
    };
    Err(InputError::OtherHeader {
        origin: origin.to_owned(),
        first: first.to_owned(),
        difference,
    })
}

/// Refuses two inputs with the same records.
pub(crate) fn refuse_same_content(inputs: &[Input]) -> Result<(), InputError> {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for input in inputs {
        let Some(fingerprint) = input.fingerprint.as_ref().filter(|_| !input.has_no_records) else {
            continue;
        };
        if let Some(other) = seen.insert(&fingerprint.hash, &input.origin) {
            return Err(InputError::SameContent {
                origin: input.origin.clone(),
                other: other.to_owned(),
            });
        }
    }
    Ok(())
}

/// How an input's records are cut, in the words of an error.
pub(crate) fn of_split(origin: &str) -> impl FnOnce(SplitError) -> InputError {
    let origin = origin.to_owned();
    move |source| InputError::Split { origin, source }
}
