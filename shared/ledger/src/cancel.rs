//! The ledger's part of a cancel: the request, and the fence before the first deletion.

use std::time::Duration;

use model::{ImportEvent, ImportId, UndoSpec};
use queue::Job;
use sqlx::PgConnection;

use crate::{LedgerError, chunks, imports, payloads, transition, wakeups};

/// Sets an import to `cancelling` and adds the cancel job, within the caller's transaction. `reason` says why, for people, where the
/// system asks for it, and `role` for whom, where that is not this session's own.
///
/// # Errors
/// [`LedgerError::Transition`] when the import cannot be cancelled; or from the database.
pub async fn begin(
    tx: &mut PgConnection,
    import: ImportId,
    undo: UndoSpec,
    reason: Option<&str>,
    role: Option<&str>,
) -> Result<(), LedgerError> {
    transition(tx, import, ImportEvent::Cancel, reason).await?;
    imports::set_undo(tx, import, undo, role).await?;
    wakeups::push(tx, &[Job::CancelImport { import }], Duration::ZERO).await
}

/// Closes what is not loaded and sets the fence, within the caller's transaction: from here on nothing is added, and what is deleted stays
/// deleted. Call with the deletions held and the import locked by statements of their own, whose waits this one must see.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them when a load still runs.
pub async fn set_fence(tx: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    chunks::close_open(tx, import).await?;
    payloads::delete_all(tx, import).await?;
    let totals = chunks::totals(tx, import).await?;
    imports::set_fenced(tx, import, &totals).await
}
