//! What can go wrong with the ledger, and whether trying again can help.

use queue::QueueError;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the database refused a statement")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the row of import {0} cannot be read by this version: update it")]
    Options(i64, #[source] serde_json::Error),
    #[error("{what}: expected {expected} rows, found {found}")]
    Rows {
        what: &'static str,
        expected: u64,
        found: u64,
    },
}

impl LedgerError {
    /// The database's error, if it is one.
    #[must_use]
    pub fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) => Some(error),
            Self::Queue(error) => error.database(),
            _ => None,
        }
    }

    /// Whether the same statement can succeed later without anybody mending anything but the server or the network.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.database().is_some_and(session::is_transient)
    }
}

/// Fails unless a statement touched as many rows as its protocol says.
///
/// # Errors
/// [`LedgerError::Rows`].
pub(crate) fn expect_rows(what: &'static str, expected: u64, found: u64) -> Result<(), LedgerError> {
    if found == expected {
        Ok(())
    } else {
        Err(LedgerError::Rows { what, expected, found })
    }
}

impl session::retry::MaybeTransient for LedgerError {
    fn is_transient(&self) -> bool {
        LedgerError::is_transient(self)
    }
}
