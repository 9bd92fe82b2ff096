//! The ledger's part of a cancel's request: the state, and the job that wakes a worker up.

use std::time::Duration;

use model::{ImportId, UndoOptions};
use queue::{self, Job};
use sqlx::PgConnection;

use crate::{LedgerError, chunks, imports};

/// Sets a locked import to `cancelling` and adds the cancel job, within the caller's transaction.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn begin(
    tx: &mut PgConnection,
    import: ImportId,
    options: &UndoOptions,
    reason: Option<&str>,
) -> Result<(), LedgerError> {
    if imports::request_cancel(tx, import, options, reason).await? {
        chunks::reopen_kept(tx, import).await?;
        push_job(tx, import, Duration::ZERO).await?;
    }
    Ok(())
}

/// Adds the job that runs an import's cancel.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn push_job(tx: &mut PgConnection, import: ImportId, delay: Duration) -> Result<(), LedgerError> {
    for id in queue::push(tx, &[Job::CancelImport { import }], delay).await? {
        imports::set_cancel_job(tx, import, &id).await?;
    }
    Ok(())
}
