//! What becomes of a record whose key the target has already.

use serde::{Deserialize, Serialize};

use super::Limit;

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
        /// What becomes of rows whose key no record has; without, they stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<MissingSpec>,
    },
}

/// Rows of the target that the source does not have are deleted, when everything is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingSpec {
    /// With more none is deleted, and the import fails. Changes no row.
    pub max: Limit,
    /// The columns of a row, but for those that the server generates, so that it can come back. Changes no row.
    pub columns: Vec<String>,
    /// What they were in the table when the import was submitted. Changes no row.
    pub attributes: Vec<AttributeSpec>,
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
            Self::Update {
                key, columns, missing, ..
            } => Self::Update {
                key: key.clone(),
                columns: columns.clone(),
                attributes: Vec::new(),
                missing: missing.as_ref().map(|_| MissingSpec {
                    max: Limit::Count(0),
                    columns: Vec::new(),
                    attributes: Vec::new(),
                }),
            },
            other => other.clone(),
        }
    }

    /// What becomes of rows whose key no record has, if they do not stay.
    #[must_use]
    pub fn missing(&self) -> Option<&MissingSpec> {
        match self {
            Self::Update { missing, .. } => missing.as_ref(),
            Self::Fail | Self::Ignore { .. } => None,
        }
    }

    /// Whether rows that are there already are changed.
    #[must_use]
    pub fn updates(&self) -> bool {
        matches!(self, Self::Update { .. })
    }
}
