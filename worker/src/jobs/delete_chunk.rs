//! Deletes the rows of one chunk of an import that is being cancelled.

use ledger::{
    LedgerError, before,
    chunks::{self, UndoCounts},
    completion::finish_undo_if_done,
    imports::{self, Fence, Import},
    sessions,
};
use model::{ChunkKey, ChunkKind, UndoSpec};
use sqlx::{Connection as _, PgConnection};
use target::{TargetError, UndoTarget, check_cascades};

use super::{Failure, JobContext, cancel_import};
use crate::undo::{
    erase::{Rows, conflicts_of},
    places::Registered,
    put_back::Removed,
};

/// What is said of a chunk that keeps rows without an error.
const KEPT: &str =
    "rows stay that are not as they were loaded: edited since, somebody else's, or protected by a trigger";
const NOT_FOUND: &str = "rows are not as they were loaded: edited since, which stay, or deleted by others; without ids nobody can tell which";
const ALL_KEPT: &str = "every row differs from what was loaded, as after a rewrite of the table: nobody can tell which were edited, and all stay";

const NOT_RETURNED: &str = "rows stay away that the source did not have: others have keys of theirs by now";

/// What came of a deletion.
enum Deletion {
    Done,
    /// Nothing is left to do.
    Nothing,
    /// The import's fence is not set: nothing may be deleted before it.
    Unfenced,
}

pub(super) async fn run(context: &JobContext, chunk: ChunkKey) -> Result<(), Failure> {
    let mut conn = context.loader().await?;
    let deletion = delete(context, &mut conn, chunk).await?;
    conn.give_back();
    match deletion {
        Deletion::Nothing => {}
        Deletion::Done => {
            finish_undo_if_done(&mut *context.pool.acquire().await?, chunk.import).await?;
        }
        // This job came of a worker of before, or was added by hand; the fence adds one for each chunk.
        Deletion::Unfenced => cancel_import::run(context, chunk.import).await?,
    }
    Ok(())
}

async fn delete(context: &JobContext, conn: &mut PgConnection, chunk: ChunkKey) -> Result<Deletion, Failure> {
    let mut tx = conn.begin().await?;
    sessions::join_deletions(&mut tx, chunk.import).await?;
    let fence = imports::lock_for_deletion(&mut tx, chunk.import).await?;
    let claimed = match fence {
        Fence::Set => chunks::claim_deletion(&mut tx, chunk).await?,
        Fence::Open | Fence::NotCancelling => None,
    };
    let Some(kind) = claimed else {
        tx.rollback().await?;
        return Ok(if fence == Fence::Open {
            Deletion::Unfenced
        } else {
            Deletion::Nothing
        });
    };
    fail::fail_point!("after-delete-claim");
    // Only now: before the locks, somebody may have asked for another undo.
    let import = imports::read(&mut tx, chunk.import).await?;
    let import = import.ok_or(LedgerError::Missing(chunk.import))?;
    let undo = import.undo()?;
    let target = UndoTarget::describe(&mut tx, &import.target, import.target_oid).await?;
    check_rights(&mut tx, &import, &target).await?;
    // Again here, within the transaction that deletes: a foreign key may have come since the request, and some requests come from
    // the system itself.
    check_cascades(&mut tx, &target.name, target.oid, undo.cascade).await?;
    fail::fail_point!("after-cascades");
    let (counts, reason) = match kind {
        ChunkKind::Records => delete_rows(&mut tx, &import, chunk, &target, undo).await?,
        ChunkKind::Sweep => put_back(&mut tx, &import, chunk, &target).await?,
    };
    fail::fail_point!("after-delete");
    // None can come any more, now that this transaction has written to the table; one that came in between is found.
    check_cascades(&mut tx, &target.name, target.oid, undo.cascade).await?;
    // The name is resolved again by every statement; while this transaction has written to the table, it cannot change any more.
    if !target.is_named_so_still(&mut tx).await? {
        return Err(Failure::Transient(format!(
            "the table {} was renamed or replaced in this moment",
            target.name
        )));
    }
    chunks::finish_deletion(&mut tx, chunk, context.worker.as_str(), counts, reason).await?;
    if counts.kept == 0 {
        let spec = import.spec()?;
        Registered::forget(&mut tx, chunk, &spec.identity).await?;
        if spec.conflict.updates() {
            before::delete(&mut tx, chunk).await?;
        }
    }
    fail::fail_point!("before-delete-commit");
    tx.commit().await?;
    context.metrics.undone(counts.deleted + counts.returned);
    tracing::debug!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), deleted = counts.deleted, returned = counts.returned, kept = counts.kept, missing = counts.missing, "chunk deleted");
    Ok(Deletion::Done)
}

/// Deletes the rows that a chunk put there, and restores those that it overwrote. Returns why some are kept, if they are.
async fn delete_rows(
    tx: &mut PgConnection,
    import: &Import,
    chunk: ChunkKey,
    target: &UndoTarget,
    undo: UndoSpec,
) -> Result<(UndoCounts, Option<&'static str>), Failure> {
    let spec = import.spec()?;
    let registered = Registered::read(tx, chunk, &spec.identity).await?;
    fail::fail_point!("after-ranges");
    if let (true, Some(role)) = (spec.conflict.updates(), &import.cancelled_by) {
        target.check_may_restore(tx, role).await?;
    }
    let restored = target.describe_restored(tx, &spec.conflict, undo.cascade).await?;
    fail::fail_point!("after-describe");
    let rows = Rows {
        chunk,
        target,
        registered: &registered,
        conflicts: conflicts_of(tx, chunk, spec).await?,
        restored: restored.as_ref(),
        import_column: target.find_import_column(tx, &spec.identity).await?,
    };
    let counts = rows.erase(tx, undo).await?;
    let reason = match (counts.kept, counts.deleted + counts.missing) {
        (0, _) => None,
        _ if !spec.identity.finds_edited() => Some(NOT_FOUND),
        (_, 0) => Some(ALL_KEPT),
        _ => Some(KEPT),
    };
    Ok((counts, reason))
}

/// Puts the rows back that a chunk deleted. Returns why some stay away, if they do.
async fn put_back(
    tx: &mut PgConnection,
    import: &Import,
    chunk: ChunkKey,
    target: &UndoTarget,
) -> Result<(UndoCounts, Option<&'static str>), Failure> {
    let spec = import.spec()?;
    if let Some(role) = &import.cancelled_by {
        target.check_may_return(tx, role).await?;
    }
    let rows = target.describe_returned(tx, &spec.conflict).await?;
    let xid = conflicts_of(tx, chunk, spec).await?.removed_xid;
    let (Some(rows), Some(xid)) = (rows, xid) else {
        return Err(Failure::Permanent(
            "the ledger does not say how to put rows back".to_owned(),
        ));
    };
    let removed = Removed {
        chunk,
        target,
        rows: &rows,
    };
    let counts = UndoCounts {
        returned: removed.put_back(tx, xid).await?,
        kept: before::count(tx, chunk).await?.0,
        ..UndoCounts::default()
    };
    Ok((counts, (counts.kept > 0).then_some(NOT_RETURNED)))
}

/// Checks that this worker sees every row, and that whoever asked for the undo may delete them too.
async fn check_rights(tx: &mut PgConnection, import: &Import, target: &UndoTarget) -> Result<(), Failure> {
    if target.row_security {
        return Err(TargetError::RowSecurity {
            name: target.name.clone(),
        }
        .into());
    }
    if let Some(role) = &import.cancelled_by {
        target.check_may_undo(tx, role).await?;
    }
    Ok(())
}
