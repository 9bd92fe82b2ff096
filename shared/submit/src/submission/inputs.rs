//! The inputs of an import: all looked at before anything is stored, then read one after the other.

use std::collections::HashMap;

use format::csv::split::SplitError;
use model::{FormatSpec, TextSpec};
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
    /// The fields' names, if it has any that can be read.
    pub names: Option<Vec<String>>,
    /// Whether it certainly has none; known only where there are several inputs.
    pub has_no_records: bool,
}

/// What the inputs of an import have in common, and the first of them.
pub(crate) struct Inputs {
    /// Never empty.
    pub inputs: Vec<Input>,
    /// The first input, at its first record.
    pub first: Beginning,
    /// How all of them are read.
    pub reading: Reading,
    /// The fields' names, or why they cannot be read.
    pub header: Option<Result<Vec<String>, InputError>>,
    /// Where they were found, and the header as it stands there.
    pub header_origin: String,
    pub header_bytes: Vec<u8>,
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

/// Opens the first input to be read as an earlier submission did.
pub(crate) async fn reopen(source: &Source, reading: &Reading) -> Result<Beginning, InputError> {
    let (source, reading) = (source.clone(), reading.clone());
    in_thread(move || beginning::open(&source, &reading)).await
}

/// Does what may block for ever, which a task of the runtime may not: it would keep the process from ending.
async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InputError> + Send + 'static,
) -> Result<T, InputError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Nobody listens any more when the submission was given up.
    std::thread::spawn(move || drop(sender.send(work())));
    receiver.await.map_err(|_| InputError::Reader {
        origin: "the source".to_owned(),
    })?
}

/// What the inputs before have settled.
struct Settled {
    origin: String,
    text: TextSpec,
    header: Option<Result<Vec<String>, InputError>>,
    header_bytes: Vec<u8>,
}

fn look_blocking(sources: Vec<Source>, mut reading: Reading) -> Result<Inputs, InputError> {
    let several = sources.len() > 1;
    let mut inputs: Vec<Input> = Vec::with_capacity(sources.len());
    let mut first = None;
    let mut settled: Option<Settled> = None;
    for (number, source) in (0..).zip(sources) {
        let origin = source.describe();
        let fingerprint = source.fingerprint()?;
        if several && fingerprint.is_none() {
            // To open a directory, or what is not there, says what is wrong with it.
            source.open()?;
            return Err(InputError::Stream { origin });
        }
        let mut beginning = beginning::open(&source, &reading)?;
        let has_no_records = several && beginning.has_no_records(&origin)?;
        let names = match &beginning.header {
            Some(Ok(names)) => Some(names.clone()),
            _ => None,
        };
        // A file without anything in it says nothing of the others.
        if !(has_no_records && beginning.header.is_none()) {
            match &mut settled {
                None => {
                    reading.format = beginning.format.clone();
                    reading.find_delimiter = false;
                    settled = Some(Settled {
                        origin: origin.clone(),
                        text: beginning.text.clone(),
                        header: beginning.header.take(),
                        header_bytes: std::mem::take(&mut beginning.header_bytes),
                    });
                }
                Some(settled) => settled.compare(&origin, &mut beginning, reading.fields.is_some())?,
            }
        }
        inputs.push(Input {
            number,
            source,
            origin,
            fingerprint,
            names,
            has_no_records,
        });
        first.get_or_insert(beginning);
    }
    let Some(mut first) = first else {
        return Err(InputError::Reader {
            origin: "no source".to_owned(),
        });
    };
    reading.text = settled
        .as_ref()
        .map_or_else(|| first.text.clone(), |settled| settled.text.clone());
    let (header_origin, header, header_bytes) = match settled {
        Some(settled) => (settled.origin, settled.header, settled.header_bytes),
        None => (String::new(), first.header.take(), Vec::new()),
    };
    Ok(Inputs {
        inputs,
        first,
        reading,
        header,
        header_origin,
        header_bytes,
    })
}

impl Settled {
    /// Refuses an input that is not like the first, and learns what a later one may add.
    /// Where the columns are named, a header need not be one that can be read.
    fn compare(&mut self, origin: &str, other: &mut Beginning, columns_named: bool) -> Result<(), InputError> {
        if other.text != self.text {
            let name = |text: &TextSpec| text.encoding.clone().unwrap_or_else(|| "UTF-8".to_owned());
            return Err(InputError::OtherEncoding {
                origin: origin.to_owned(),
                encoding: name(&other.text),
                first: self.origin.clone(),
                first_encoding: name(&self.text),
            });
        }
        let (Some(Ok(known)), Some(Ok(names))) = (&mut self.header, &other.header) else {
            return match other.header.take() {
                Some(Err(error)) if !columns_named => Err(error),
                _ => Ok(()),
            };
        };
        match &other.format {
            FormatSpec::Csv(_) => compare_headers(origin, names, &self.origin, known),
            // An object names its own fields.
            FormatSpec::JsonLines(_) => {
                let new: Vec<String> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
                known.extend(new);
                Ok(())
            }
        }
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
