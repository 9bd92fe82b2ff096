//! How CSV is written, and what becomes of what is not written so.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::is_default;

/// How CSV is written.
///
/// What a stored spec does not say is what version 2 of the spec meant: see [`CsvDialect::plain`]. What this version asks for unless told
/// otherwise is [`CsvDialect::strict`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvDialect {
    /// What stands between two fields.
    pub delimiter: Delimiter,
    /// Whether a record names the columns.
    pub header: bool,
    /// Fields that read exactly like one of these are NULL, beside the empty one.
    #[serde(default, with = "texts")]
    pub null: Vec<String>,
    /// The byte round a field that may hold delimiters and line ends.
    #[serde(default, skip_serializing_if = "Quote::is_usual")]
    pub quote: Quote,
    /// What stands before a quote inside quotes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub escape: Escape,
    /// A line that begins like this is no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether spaces and tabs round a field are no part of it, unless they separate; those inside quotes are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trim: bool,
    /// **Lines** before the first record or header, of any content.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skip_lines: u64,
    /// **Lines** at the end, of any content; empty ones after them do not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skip_footer: u64,
    /// **Records** of the header above the one that names the columns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub header_above: u64,
    /// Whether a record that repeats the header, and what follows it, is another table.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_at_header: bool,
    /// Whether a quoted field can be NULL.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quoted_fields: QuotedFields,
    /// Columns in which a quoted field is NULL where an unquoted one is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub force_null: ColumnChoice,
    /// Columns in which no field is NULL.
    #[serde(default, skip_serializing_if = "is_default")]
    pub force_not_null: ColumnChoice,
    /// What becomes of a record with too few fields.
    #[serde(default, skip_serializing_if = "is_default")]
    pub short_rows: ShortRows,
    /// What becomes of a record with too many fields.
    #[serde(default, skip_serializing_if = "is_default")]
    pub long_rows: LongRows,
    /// What becomes of a quote where none can be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stray_quotes: StrayQuotes,
}

impl CsvDialect {
    /// What version 2 of the spec could say: an empty field is NULL, quoted or not, and any quote has a meaning.
    #[must_use]
    pub fn plain(delimiter: u8, header: bool) -> Self {
        Self {
            delimiter: Delimiter::byte(delimiter),
            header,
            null: Vec::new(),
            quote: Quote::default(),
            escape: Escape::default(),
            comment: None,
            trim: false,
            skip_lines: 0,
            skip_footer: 0,
            header_above: 0,
            stop_at_header: false,
            quoted_fields: QuotedFields::default(),
            force_null: ColumnChoice::default(),
            force_not_null: ColumnChoice::default(),
            short_rows: ShortRows::default(),
            long_rows: LongRows::default(),
            stray_quotes: StrayQuotes::default(),
        }
    }

    /// What is asked for unless somebody says otherwise: a quoted field is a value, and a quote in a wrong place a reject.
    #[must_use]
    pub fn strict(delimiter: Delimiter, header: bool) -> Self {
        Self {
            delimiter,
            quoted_fields: QuotedFields::AreValues,
            stray_quotes: StrayQuotes::Reject,
            ..Self::plain(0, header)
        }
    }

    /// Refuses what cannot be told apart when it is read.
    ///
    /// # Errors
    /// [`DialectError`], naming the two.
    pub fn check(&self) -> Result<(), DialectError> {
        let delimiter = self.delimiter.as_bytes();
        if self.quote.0.is_some_and(is_line_end) {
            return Err(DialectError::LineEnd("quote"));
        }
        if self.quote.0.is_some_and(|quote| delimiter.contains(&quote)) {
            return Err(DialectError::Same("delimiter", "quote"));
        }
        if let Escape::Byte(escape) = self.escape {
            if is_line_end(escape) {
                return Err(DialectError::LineEnd("escape"));
            }
            if delimiter.contains(&escape) {
                return Err(DialectError::Same("delimiter", "escape"));
            }
        }
        let quote = self.quote.0.map(|quote| [quote]);
        match self.comment.as_deref().map(str::as_bytes) {
            Some([]) => Err(DialectError::Empty("comment")),
            Some(comment) if comment.iter().any(|byte| is_line_end(*byte)) => Err(DialectError::LineEnd("comment")),
            Some(comment) if comment.starts_with(delimiter) => Err(DialectError::Same("delimiter", "comment")),
            Some(comment) if quote.is_some_and(|quote| comment.starts_with(&quote)) => {
                Err(DialectError::Same("quote", "comment"))
            }
            _ => Ok(()),
        }
    }

    /// The dialect that version 2 of the spec used for a file of which this was said, if it could say it: the rows are the same but where
    /// a quoted field is empty, or a quote stands where none can.
    #[must_use]
    pub fn before(&self) -> Option<Self> {
        let plain = Self {
            null: self.null.clone(),
            ..Self::plain(self.delimiter.as_byte()?, self.header)
        };
        let strict = Self {
            null: self.null.clone(),
            ..Self::strict(self.delimiter, self.header)
        };
        (self.null.len() <= 1 && (*self == strict || *self == plain)).then_some(plain)
    }
}

/// Two parts of a dialect that cannot be told apart, or one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DialectError {
    #[error("the {0} and the {1} cannot be told apart: they share a character")]
    Same(&'static str, &'static str),
    #[error("the {0} cannot be a line end")]
    LineEnd(&'static str),
    #[error("the {0} is empty")]
    Empty(&'static str),
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// What stands between two fields: one to four bytes, none of them a line end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Delimiter {
    bytes: [u8; 4],
    length: u8,
}

impl Delimiter {
    /// Bytes that separate; `None` when these cannot.
    #[must_use]
    pub fn new(delimiter: &[u8]) -> Option<Self> {
        let mut bytes = [0; 4];
        bytes.get_mut(..delimiter.len())?.copy_from_slice(delimiter);
        let separates = !delimiter.is_empty() && !delimiter.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
        separates.then_some(Self {
            bytes,
            length: u8::try_from(delimiter.len()).ok()?,
        })
    }

    const fn byte(byte: u8) -> Self {
        Self {
            bytes: [byte, 0, 0, 0],
            length: 1,
        }
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The byte, if it is a single one.
    #[must_use]
    pub fn as_byte(&self) -> Option<u8> {
        match self.as_bytes() {
            [byte] => Some(*byte),
            _ => None,
        }
    }
}

/// What separates unless somebody says otherwise.
impl Default for Delimiter {
    fn default() -> Self {
        Self::byte(b';')
    }
}

impl fmt::Debug for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// A number for one byte, as in version 2 of the spec; a list for several.
impl Serialize for Delimiter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_byte() {
            Some(byte) => byte.serialize(serializer),
            None => self.as_bytes().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            Byte(u8),
            Bytes(Vec<u8>),
        }
        let found = match Stored::deserialize(deserializer)? {
            Stored::Byte(byte) => Some(Self::byte(byte)),
            Stored::Bytes(bytes) => Self::new(&bytes),
        };
        found.ok_or_else(|| serde::de::Error::custom("a delimiter has one to four bytes, none of them a line end"))
    }
}

/// The byte round a field that may hold delimiters and line ends, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quote(pub Option<u8>);

impl Quote {
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Quote {
    fn default() -> Self {
        Self(Some(b'"'))
    }
}

/// What stands before a quote inside quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// Another quote.
    #[default]
    Doubled,
    /// This byte, which stands before itself too.
    Byte(u8),
    /// Nothing: a quote ends its field.
    Never,
}

/// Whether a quoted field can be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotedFields {
    /// It is read as if it had no quotes.
    #[default]
    AsUnquoted,
    /// It is a value, if one of its column's type can read like this: the empty one is the empty string in text, and NULL in others.
    AreValues,
}

/// Some of the columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnChoice {
    #[default]
    None,
    All,
    These(Vec<String>),
}

impl ColumnChoice {
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(columns) => columns.iter().any(|name| name == column),
        }
    }
}

/// What becomes of a record with too few fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortRows {
    #[default]
    Reject,
    /// Those that are missing at its end are empty.
    Pad,
}

/// What becomes of a record with too many fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongRows {
    #[default]
    Reject,
    /// The rest is dropped.
    Truncate,
    /// The rest, with its delimiters, belongs to the last column.
    Join,
}

/// What becomes of a quote where none can be: inside an unquoted field, before more text, or without another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrayQuotes {
    /// As version 2 of the spec had it: the first quote after an opening one closes it, and what follows is data.
    #[default]
    AsData,
    /// Its record is a reject.
    Reject,
    /// What was meant is kept where only one reading has as many fields as there are columns; else the record is a reject.
    Keep,
}

/// Null for no text and a string for one, as in version 2 of the spec; a list for several.
mod texts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        match texts {
            [] => serializer.serialize_none(),
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            One(String),
            Several(Vec<String>),
        }
        Ok(match Option::<Stored>::deserialize(deserializer)? {
            None => Vec::new(),
            Some(Stored::One(text)) => vec![text],
            Some(Stored::Several(texts)) => texts,
        })
    }
}
