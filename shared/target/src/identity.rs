//! How an import finds its rows again: one kind for each way. What each kind's undo can do is the spec's to say.

use model::IdentitySpec;
use sqlx::postgres::types::Oid;

/// What the catalog says of the way by which rows are found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    Sequence(SequenceIdentity),
    /// Nothing of the table: what wrote a row, and the page that it is on.
    Transaction,
}

/// An integer column that is filled from the target's own sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceIdentity {
    pub column: String,
    /// **Bytes** of its integer type: 2, 4 or 8.
    pub width: i16,
    pub sequence_oid: Oid,
    /// The sequence's name, quoted where SQL needs it.
    pub sequence: String,
    /// How many values `nextval` sets aside for a session at once: the sequence's `CACHE`, 1 where nobody set it.
    pub cache: u64,
}

impl Identity {
    /// The column that a file must not have, for the import fills it.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Sequence(identity) => Some(&identity.column),
            Self::Transaction => None,
        }
    }

    /// What of it is stored with an import.
    #[must_use]
    pub fn spec(&self) -> IdentitySpec {
        match self {
            Self::Sequence(identity) => IdentitySpec::Sequence {
                column: identity.column.clone(),
            },
            Self::Transaction => IdentitySpec::Transaction { import_column: None },
        }
    }
}
