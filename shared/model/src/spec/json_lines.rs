//! JSON Lines: one object a line.

use serde::{Deserialize, Serialize};

use super::is_default;

/// Which of the objects' values are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonLinesSpec {
    /// The keys of the values that are the fields of a record, in the order of the mapping. None in a request, which leaves them to be found.
    pub keys: Vec<String>,
    /// What becomes of an object with others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unknown_keys: UnknownKeys,
}

/// What becomes of a key that is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownKeys {
    /// Its record is rejected.
    #[default]
    Reject,
    /// It is passed, with its value.
    Ignore,
}
