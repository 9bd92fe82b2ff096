//! What can be wrong with a record, said without what stands in it: only the name of a key may be told, shortened and without characters that
//! a terminal would obey.

use std::fmt;

use super::object::MAX_DEPTH;

/// **Characters** of a key's name that are shown, at most.
const SHOWN_CHARS: usize = 60;

/// Why a record gives no fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct RecordFault {
    /// Which of the shape's keys it is about, from 0, if one.
    pub key: Option<usize>,
    pub kind: FaultKind,
}

/// What is wrong. **Bytes** are those of the record, from 1: the record begins with what is not a space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("no UTF-8 text at byte {byte} of the record")]
    NotText { byte: usize },
    /// Where reading stopped: at what is wrong, or at the byte before it.
    #[error("not valid JSON at byte {byte} of the record: {what}")]
    NotJson {
        byte: usize,
        what: String,
        unfinished: bool,
    },
    #[error("valid JSON, but not an object")]
    NotAnObject,
    #[error("an unknown key: {0}")]
    UnknownKey(ShownKey),
    #[error("the same key twice")]
    RepeatedKey,
    #[error("half of a surrogate pair in a string")]
    LoneSurrogate,
    #[error("an array or an object, and the column holds neither JSON nor text")]
    Nested,
    #[error("an object, and the column holds arrays")]
    ObjectForArray,
    #[error("a NUL character (\\u0000) in a string, which jsonb cannot hold")]
    NulInJson,
    #[error("a number beyond what jsonb can hold")]
    NumberTooLarge,
    #[error("a value that is nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl FaultKind {
    /// Whether a record ends where its JSON goes on.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self, Self::NotJson { unfinished: true, .. })
    }

    /// Of an error that is about the syntax.
    pub(super) fn syntax(error: &serde_json::Error) -> Self {
        let (line, byte) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {byte}");
        let what = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        let unfinished = error.is_eof();
        Self::NotJson { byte, what, unfinished }
    }
}

/// The name of a key, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey(String);

impl ShownKey {
    pub(super) fn new(name: &str) -> Self {
        let mut chars = name.chars();
        let shown: String = chars.by_ref().take(SHOWN_CHARS).collect();
        let more = if chars.next().is_some() { "…" } else { "" };
        // Debug escapes what is no printable character.
        Self(format!("{shown:?}{more}"))
    }
}

impl fmt::Display for ShownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
