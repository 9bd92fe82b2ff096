//! What becomes of a record whose key the target has already.

use serde::{Deserialize, Serialize};

/// What becomes of a record whose key the target has already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConflictSpec {
    /// It is rejected.
    Fail,
    /// It gives way to the row that is there.
    Ignore {
        /// The columns of the key.
        key: Vec<String>,
    },
    /// The row that is there gets its values. Of several records with the same key the last one counts.
    Update {
        /// The columns of the key.
        key: Vec<String>,
        /// The columns that get its values.
        columns: Vec<String>,
    },
}

impl ConflictSpec {
    /// Whether what comes of a record depends on those before it, so that chunks have to be loaded in their order.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.updates()
    }

    /// Whether rows that are there already are changed.
    #[must_use]
    pub fn updates(&self) -> bool {
        matches!(self, Self::Update { .. })
    }
}
