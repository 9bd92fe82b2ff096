//! What can go wrong with the ledger, and whether trying again can help.

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database refused a statement")]
    Database(#[from] sqlx::Error),
    #[error("a value could not be written as JSON")]
    Encode(#[source] serde_json::Error),
    #[error("the row of import {0} cannot be read by this version: update it")]
    Options(i64, #[source] serde_json::Error),
    #[error("{what}: expected {expected} rows, found {found}")]
    Rows {
        what: &'static str,
        expected: u64,
        found: u64,
    },
}

impl StoreError {
    /// The database's error, if it is one.
    #[must_use]
    pub fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same statement can succeed later without anybody mending anything but the server or the network.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.database().is_some_and(is_transient)
    }
}

/// Whether a database error passes by itself: a lost connection, a conflict with another session, a full disk, a shutdown.
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Classes: 08 connection, 40 rollback (serialization, deadlock), 53 resources (disk full, memory, connections),
        // 55 object state (lock timeout), 25006 read-only (a failover), 57 operator intervention (shutdown, cancel), 58 system error (I/O).
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58"))
                || matches!(code.as_ref(), "55P03" | "55006" | "25P03" | "25006")
        }
        _ => false,
    }
}

/// Fails unless a statement touched as many rows as its protocol says.
///
/// # Errors
/// [`StoreError::Rows`].
pub(crate) fn expect_rows(what: &'static str, expected: u64, found: u64) -> Result<(), StoreError> {
    if found == expected {
        Ok(())
    } else {
        Err(StoreError::Rows { what, expected, found })
    }
}
