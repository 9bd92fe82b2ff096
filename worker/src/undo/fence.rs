//! The fence of a cancel: closes what is not loaded, and adds a deletion job for each chunk that is. No row is deleted before it.

use ledger::{
    LedgerError, cancel, chunks,
    imports::{self, Fence},
    seen, sessions, wakeups,
};
use model::ImportId;
use sqlx::{Connection as _, PgConnection};

/// Sets the fence. One transaction of separate statements, for each must see what the one before it waited for. Returns how many deletions
/// there are; `None` when the import is not being cancelled, or the fence is set already.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them when a load still runs; [`LedgerError::Unreadable`] when a newer version
/// has to undo it.
pub async fn set(conn: &mut PgConnection, import: ImportId) -> Result<Option<usize>, LedgerError> {
    let mut tx = conn.begin().await?;
    sessions::hold_deletions(&mut tx, import).await?;
    if imports::lock_for_fence(&mut tx, import).await? != Fence::Open {
        return Ok(None);
    }
    let Some(row) = imports::read(&mut tx, import).await? else {
        return Ok(None);
    };
    // What this program cannot undo, it does not begin to.
    row.undo()?;
    let conflict = &row.spec()?.conflict;
    chunks::reopen_kept(&mut tx, import).await?;
    cancel::set_fence(&mut tx, import).await?;
    if conflict.missing().is_some() {
        seen::delete(&mut tx, import).await?;
    }
    fail::fail_point!("after-fence");
    let mut undecided = chunks::list_undecided(&mut tx, import).await?;
    if conflict.is_ordered() {
        // What was loaded last may need what was loaded before it.
        undecided.reverse();
    }
    wakeups::push_deletions(&mut tx, &row.queue, &undecided).await?;
    tx.commit().await?;
    Ok(Some(undecided.len()))
}
