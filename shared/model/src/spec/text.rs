//! What a source's bytes are.

use serde::{Deserialize, Serialize};

use super::is_default;

/// How a source's bytes are text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// What the text is in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub container: Container,
    /// The encoding, by its name in the WHATWG standard; UTF-8 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// What becomes of bytes that are no text in it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_bad_bytes: BadBytes,
}

/// What the text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// The bytes are text.
    #[default]
    Plain,
    /// A Parquet file, whose rows are made into CSV before they are split: who loads chunks need not know.
    Parquet,
}

/// What becomes of bytes that are no text in the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadBytes {
    /// Their record is a reject.
    #[default]
    Reject,
    /// They are read as the replacement character, U+FFFD.
    Replace,
}
