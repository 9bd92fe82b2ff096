//! What can go wrong with the ledger, and whether trying again can help.

use model::{IllegalTransition, ImportId, SPEC_VERSION, UNDO_VERSION};
use queue::QueueError;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the database refused a statement")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("there is no import {0}")]
    Missing(ImportId),
    #[error("import {import}: {source}", source = .source)]
    Unreadable { import: ImportId, source: Unreadable },
    #[error("import {import}: {source}", source = .source)]
    Transition {
        import: ImportId,
        source: IllegalTransition,
    },
    #[error("{what}: expected {expected} rows, found {found}")]
    Rows {
        what: &'static str,
        expected: u64,
        found: u64,
    },
    #[error("the ledger is inconsistent: {what} is {value}")]
    Inconsistent { what: &'static str, value: i64 },
    #[error("{what} is too large: {value}")]
    TooLarge { what: &'static str, value: u64 },
    #[error("what an import added up to cannot be written")]
    Encode(#[source] serde_json::Error),
}

/// What this version cannot read of an import: it is left to newer ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "it was submitted by a newer version of pg_import (its spec has version {0}, this program knows {SPEC_VERSION}): only newer workers load it"
    )]
    NewerSpec(i32),
    #[error(
        "its undo was asked for by a newer version of pg_import (version {0}, this program knows {UNDO_VERSION}): only newer workers undo it"
    )]
    NewerUndo(i32),
    #[error("how it was submitted cannot be read by this version of pg_import, but perhaps by a newer one: {0}")]
    Spec(String),
    #[error("how it shall be undone cannot be read by this version of pg_import, but perhaps by a newer one: {0}")]
    Undo(String),
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
