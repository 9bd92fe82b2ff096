//! How a source is read and loaded, as stored on its import; and how a cancel undoes it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a worker puts rows into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadMethod {
    /// `INSERT … SELECT unnest(…)` with binary arrays; no COPY statement.
    #[default]
    Insert,
    /// Binary `COPY … FROM STDIN`.
    Copy,
}

impl fmt::Display for LoadMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert => "insert",
            Self::Copy => "copy",
        })
    }
}

/// How a source is read and loaded. Stored on the import as JSON; unknown fields of a newer version are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportOptions {
    /// The byte between two fields.
    pub delimiter: u8,
    /// Whether the first record names the columns.
    pub header: bool,
    /// A field that reads exactly like this is NULL, beside the empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
    pub load_method: LoadMethod,
    /// Records of a chunk, at most.
    pub chunk_rows: u64,
    /// **Bytes** of a chunk, at most, unless a single record is longer.
    pub chunk_bytes: usize,
    /// **Bytes** of a record, at most.
    pub max_record: usize,
    /// When loaded with rows and without rejects, cancel the earlier loaded imports of the target.
    #[serde(default)]
    pub replace: bool,
    /// Replace also when records were rejected.
    #[serde(default)]
    pub replace_anyway: bool,
}

impl ImportOptions {
    /// What of the options changes the rows that end in the target: with it the same content is another import.
    #[must_use]
    pub fn row_changing(&self) -> String {
        format!(
            "delimiter={} header={} null={:?}",
            self.delimiter, self.header, self.null
        )
    }
}

/// How a cancel undoes an import. Stored on the import as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UndoOptions {
    /// Leave rows that were updated since they were loaded.
    #[serde(default)]
    pub keep_edited: bool,
    /// Delete also what references the rows by `ON DELETE CASCADE` or `SET NULL`.
    #[serde(default)]
    pub cascade: bool,
    /// Delete by id even where the sequence was set back or altered since: somebody knows that the ids were given to nobody else.
    #[serde(default)]
    pub trust_ids: bool,
    /// Found when the undo began: the sequence stands before ids that it gave, so that others may have been given the same ones.
    #[serde(default)]
    pub ids_reused: bool,
}
