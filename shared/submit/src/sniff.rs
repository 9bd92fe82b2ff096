//! What a source seems to be, and how it would be read: what `enqueue sniff` proposes.

use std::io::Read;

use format::{
    csv::{grammar::Grammar, read::RecordReader, sniff},
    jsonl::{
        self, KeysError,
        read::ObjectReader,
        shape::{ObjectShape, RepeatedName},
    },
    record::{Field, Records},
    sample::{SAMPLE_BYTES, whole_lines},
};
use model::{Container, CsvDialect, Delimiter, FormatSpec, JsonLinesSpec, Position, TextSpec, UnknownKeys};
use serde::Serialize;
use source::{Compression, DecodeError, Source, SourceError};
use target::guess::{TypeGuess, is_typed};

/// Rows that are shown.
const SHOWN_ROWS: usize = 5;

/// The encoding of what is not UTF-8 and has no mark: most such files come from Windows, in which every byte is some character.
const USUAL_ENCODING: &str = "windows-1252";

/// What a source seems to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub compression: Option<Compression>,
    /// Without an encoding, it is UTF-8.
    pub text: TextSpec,
    pub format: FormatSpec,
    /// Records that were looked at, and those of them that have as many fields as there are columns.
    pub records: u64,
    pub agreeing: u64,
    /// The line of the header, if it has one.
    pub header_line: Option<u64>,
    /// Whether each record has one more field, which the header does not name and in which there is nothing.
    pub has_nameless: bool,
    pub columns: Vec<FoundColumn>,
    /// The first rows as they would be loaded; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A column of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundColumn {
    /// Without a header, none.
    pub name: Option<String>,
    /// In the words of SQL.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// The line of the value that decided which type it is; none where every value is NULL.
    pub decided_on_line: Option<u64>,
}

/// Why nothing can be said of a source.
#[derive(Debug, thiserror::Error)]
pub enum SniffError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{origin}: {source}")]
    Decode { origin: String, source: DecodeError },
    #[error("{origin}: cannot be read")]
    Read { origin: String, source: std::io::Error },
    #[error("{origin} has no record")]
    Empty { origin: String },
    #[error("{origin}: no line ends within the first {SAMPLE_BYTES} bytes: this is no text, or one long record")]
    NoLine { origin: String },
    #[error("{origin}: {source}")]
    Keys { origin: String, source: RepeatedName },
    #[error("{origin}: {source}")]
    NotLines { origin: String, source: KeysError },
}

/// Looks at the beginning of a source. Blocks as long as it has to be read.
///
/// # Errors
/// [`SniffError`].
pub fn sniff(source: &Source) -> Result<Finding, SniffError> {
    let origin = source.describe();
    let mut sample = read_sample(source, &TextSpec::default(), &origin)?;
    #[cfg(feature = "parquet")]
    if let Some(columns) = sample.columns.take() {
        return Ok(of_parquet(sample, &columns));
    }
    let is_utf8 = std::str::from_utf8(&sample.lines).is_ok();
    if sample.text.encoding.is_none() && !is_utf8 && source.can_be_read_again() {
        let usual = TextSpec {
            encoding: Some(USUAL_ENCODING.to_owned()),
            ..TextSpec::default()
        };
        sample = read_sample(source, &usual, &origin)?;
    }
    if sample.lines.trim_ascii().is_empty() {
        return Err(SniffError::Empty { origin });
    }
    let begins_an_object = sample.lines.trim_ascii_start().starts_with(b"{");
    match jsonl::keys(&sample.lines, true, sample.lines.len()) {
        Ok(keys) if begins_an_object => of_json(sample, keys, origin),
        Err(source @ (KeysError::Unfinished { .. } | KeysError::Array { .. })) => {
            Err(SniffError::NotLines { origin, source })
        }
        _ => Ok(of_csv(sample)),
    }
}

/// The beginning of a source.
struct Sample {
    compression: Option<Compression>,
    text: TextSpec,
    /// Whole lines.
    lines: Vec<u8>,
    /// What the columns hold, of a Parquet file.
    #[cfg(feature = "parquet")]
    columns: Option<Vec<source::Column>>,
}

fn read_sample(source: &Source, text: &TextSpec, origin: &str) -> Result<Sample, SniffError> {
    let of_decode = |source| SniffError::Decode {
        origin: origin.to_owned(),
        source,
    };
    let opened = source.open()?;
    let compression = opened.compression();
    let mut text = text.clone();
    if opened.is_parquet() {
        text.container = Container::Parquet;
    } else if text.encoding.is_none() {
        let marked = opened.marked_encoding().map_err(|error| of_decode(error.into()))?;
        text.encoding = marked.map(str::to_owned);
    }
    let mut reader = opened.decode(&text).map_err(of_decode)?;
    #[cfg(feature = "parquet")]
    let columns = reader.columns().map(<[_]>::to_vec);
    let mut bytes = Vec::new();
    let more = SAMPLE_BYTES as u64 + 1;
    reader
        .by_ref()
        .take(more)
        .read_to_end(&mut bytes)
        .map_err(|source| SniffError::Read {
            origin: origin.to_owned(),
            source,
        })?;
    let complete = bytes.len() <= SAMPLE_BYTES;
    let lines = whole_lines(&bytes, complete).to_vec();
    if lines.is_empty() && !complete {
        return Err(SniffError::NoLine {
            origin: origin.to_owned(),
        });
    }
    Ok(Sample {
        compression,
        text,
        lines,
        #[cfg(feature = "parquet")]
        columns,
    })
}

fn of_json(sample: Sample, keys: Vec<String>, origin: String) -> Result<Finding, SniffError> {
    let shape = ObjectShape::new(&keys, UnknownKeys::Ignore).map_err(|source| SniffError::Keys { origin, source })?;
    let mut reader = ObjectReader::new(&sample.lines, &shape, Position::of_line(1));
    let mut columns = Columns::new(keys.iter().cloned().map(Some).collect());
    while reader.advance() {
        columns.add(&mut reader);
    }
    let Columns { records, agreeing, .. } = columns;
    let (columns, rows) = columns.end();
    Ok(Finding {
        compression: sample.compression,
        text: sample.text,
        format: FormatSpec::JsonLines(JsonLinesSpec {
            keys,
            unknown_keys: UnknownKeys::default(),
        }),
        records,
        agreeing,
        header_line: None,
        has_nameless: false,
        columns,
        rows,
    })
}

/// The footer says what the columns are; the values are looked at for the first rows alone.
#[cfg(feature = "parquet")]
fn of_parquet(sample: Sample, columns: &[source::Column]) -> Finding {
    let dialect = source::parquet_dialect();
    let grammar = Grammar::new(&dialect, Some(columns.len()), sample.lines.len());
    let mut reader = RecordReader::new(&sample.lines, grammar, Position::of_line(1));
    // The header.
    reader.advance();
    let mut found = Columns::new(columns.iter().map(|column| Some(column.name.clone())).collect());
    found.null.clone_from(&dialect.null);
    while reader.advance() {
        found.add(&mut reader);
    }
    let agreeing = found.agreeing;
    let (mut columns_found, rows) = found.end();
    for (found, column) in columns_found.iter_mut().zip(columns) {
        found.type_name = crate::submission::parquet::sql_type(column.kind);
        found.decided_on_line = None;
    }
    Finding {
        compression: sample.compression,
        text: sample.text,
        format: FormatSpec::Csv(dialect),
        // One that the sample cuts off is none.
        records: agreeing,
        agreeing,
        header_line: None,
        has_nameless: false,
        columns: columns_found,
        rows,
    }
}

fn of_csv(sample: Sample) -> Finding {
    let (dialect, fields) = match sniff::sniff(&sample.lines, true) {
        Some(found) => (found.dialect, found.fields),
        // One column, in which the usual delimiter does not stand.
        None => (CsvDialect::strict(Delimiter::default(), true), 1),
    };
    let (below, line) = sniff::below_preamble(&sample.lines, &dialect);
    let grammar = Grammar::new(&dialect, Some(fields), sample.lines.len());
    let ends_in_delimiter = fields > 1 && ends_in_delimiter(below, grammar.clone(), fields);
    let named = if ends_in_delimiter { fields - 1 } else { fields };
    let mut reader = RecordReader::new(below, grammar, Position::of_line(line));
    let mut header_line = None;
    let mut columns = Columns::new(vec![None; fields]);
    while reader.advance() {
        if reader.count() == 1
            && reader.fields().len() == fields
            && let Some(names) = names(reader.fields().take(named))
        {
            header_line = reader.position().line;
            let names = names.into_iter().map(Some).chain(std::iter::repeat(None));
            columns = Columns::new(names.take(fields).collect());
        } else {
            columns.add(&mut reader);
        }
    }
    let Columns { records, agreeing, .. } = columns;
    let (mut columns, mut rows) = columns.end();
    let has_nameless = ends_in_delimiter && header_line.is_some();
    if has_nameless {
        columns.pop();
        rows.iter_mut().for_each(|row| row.truncate(named));
    }
    Finding {
        compression: sample.compression,
        text: sample.text,
        format: FormatSpec::Csv(CsvDialect {
            header: header_line.is_some(),
            ..dialect
        }),
        records,
        agreeing,
        header_line,
        has_nameless,
        columns,
        rows,
    }
}

/// Whether every record with so many fields ends in a delimiter, so that the last of them is nothing.
fn ends_in_delimiter(records: &[u8], grammar: Grammar, fields: usize) -> bool {
    let mut reader = RecordReader::new(records, grammar, Position::of_line(1));
    let mut any = false;
    while reader.advance() {
        if reader.fields().len() == fields {
            any = true;
            if reader.fields().last().is_some_and(|field| !field.value.is_empty()) {
                return false;
            }
        }
    }
    any
}

/// The names of a header: a record that has no empty field, none twice, and none that looks like a number, a date or another value.
fn names<'f>(fields: impl Iterator<Item = Field<'f>>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for field in fields {
        let name = std::str::from_utf8(field.value).ok()?.trim().to_owned();
        if name.is_empty() || is_typed(name.as_bytes()) || names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

/// What is found out of columns, record by record.
struct Columns {
    names: Vec<Option<String>>,
    /// Unquoted fields that are NULL, beside the empty one.
    null: Vec<String>,
    guesses: Vec<TypeGuess>,
    rows: Vec<Vec<Option<String>>>,
    records: u64,
    /// Records with as many fields as there are columns, and nothing else wrong with them.
    agreeing: u64,
}

impl Columns {
    fn new(names: Vec<Option<String>>) -> Self {
        Self {
            guesses: vec![TypeGuess::default(); names.len()],
            names,
            null: Vec::new(),
            rows: Vec::new(),
            records: 0,
            agreeing: 0,
        }
    }

    /// Takes the record that was read last.
    fn add(&mut self, record: &mut impl Records) {
        self.records += 1;
        if record.defect().is_some() || record.fields().len() != self.names.len() {
            return;
        }
        self.agreeing += 1;
        let line = record.position().line.unwrap_or(1);
        let mut row = Vec::new();
        for (guess, field) in self.guesses.iter_mut().zip(record.fields()) {
            let reads_as_null = field.value.is_empty() || self.null.iter().any(|text| text.as_bytes() == field.value);
            let is_null = reads_as_null && !field.quoted;
            if !is_null {
                guess.add(field.value, line);
            }
            if self.rows.len() < SHOWN_ROWS {
                row.push((!is_null).then(|| String::from_utf8_lossy(field.value).into_owned()));
            }
        }
        if self.rows.len() < SHOWN_ROWS {
            self.rows.push(row);
        }
    }

    fn end(self) -> (Vec<FoundColumn>, Vec<Vec<Option<String>>>) {
        let columns = self
            .names
            .into_iter()
            .zip(&self.guesses)
            .map(|(name, guess)| FoundColumn {
                name,
                type_name: guess.name(),
                decided_on_line: guess.decided_on(),
            });
        (columns.collect(), self.rows)
    }
}
