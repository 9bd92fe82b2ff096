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
        /// What the columns of the key were in the table, and then these, when the import was submitted. Changes no row.
        attributes: Vec<AttributeSpec>,
    },
}

/// What the catalog knows a column by, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeSpec {
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
}

impl ConflictSpec {
    /// Whether what comes of a record depends on those before it, so that chunks have to be loaded in their order.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.updates()
    }

    /// The same without what changes no row.
    pub(super) fn row_changing(&self) -> Self {
        match self {
            Self::Update { key, columns, .. } => Self::Update {
                key: key.clone(),
                columns: columns.clone(),
                attributes: Vec::new(),
            },
            other => other.clone(),
        }
    }

    /// Whether rows that are there already are changed.
    #[must_use]
    pub fn updates(&self) -> bool {
        matches!(self, Self::Update { .. })
    }
}
