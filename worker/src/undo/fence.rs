//! The fence of a cancel: closes what is not loaded, and adds a deletion job for each chunk that is.

use std::time::Duration;

use ledger::{LedgerError, chunks, imports, payloads, registry, sessions};
use model::{ImportId, ImportState, UndoOptions};
use queue::{self, Job};
use sqlx::{Connection as _, PgConnection};
use target::{TargetError, UndoTarget};

/// Deletion jobs added by one statement.
const JOBS_AT_ONCE: usize = 5_000;

/// Runs the cancel: closes what is not loaded, and adds a deletion job for each chunk that is. One transaction of separate statements,
/// for each must see what the one before it waited for. Returns how many deletions there are; `None` when the import is not cancelling.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them when a load still runs.
pub async fn fence(conn: &mut PgConnection, import: ImportId) -> Result<Option<usize>, LedgerError> {
    let mut tx = conn.begin().await?;
    sessions::hold_deletions(&mut tx, import).await?;
    if imports::lock(&mut tx, import).await? != Some(ImportState::Cancelling) {
        return Ok(None);
    }
    chunks::fence(&mut tx, import).await?;
    payloads::delete_all(&mut tx, import).await?;
    let loaded = chunks::list_loaded(&mut tx, import).await?;
    note_reused_ids(&mut tx, import).await?;
    for part in loaded.chunks(JOBS_AT_ONCE) {
        let jobs: Vec<Job> = part.iter().copied().map(Job::DeleteChunk).collect();
        let ids = queue::push(&mut tx, &jobs, Duration::ZERO).await?;
        chunks::set_jobs(&mut tx, part, &ids).await?;
    }
    tx.commit().await?;
    Ok(Some(loaded.len()))
}

/// Looks once, before the first deletion takes its ranges away, where the sequence stands.
async fn note_reused_ids(tx: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    let (Some(row), Some((lowest, highest))) = (imports::read(tx, import).await?, registry::extent(tx, import).await?)
    else {
        return Ok(());
    };
    let target = match UndoTarget::describe(tx, &row.target, row.target_oid, &row.id_column).await {
        Ok(target) => target,
        Err(TargetError::Catalog(error)) => return Err(error.into()),
        // The rows are kept: each deletion says why.
        Err(_) => return Ok(()),
    };
    if target.stands_before(lowest, highest) {
        let options = UndoOptions {
            ids_reused: true,
            ..row.undo.unwrap_or_default()
        };
        imports::set_undo(tx, import, &options).await?;
    }
    Ok(())
}
