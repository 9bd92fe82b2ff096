//! Deletes the rows of one chunk of an import that is being cancelled.

use ledger::{
    LedgerError, before, chunks,
    completion::finish_undo_if_done,
    imports::{self, Fence, Import},
    sessions,
};
use model::{ChunkKey, IdentitySpec};
use sqlx::{Connection as _, PgConnection};
use target::{TargetError, UndoTarget, check_cascades};

use super::{Failure, JobContext, cancel_import};
use crate::undo::{
    erase::{Rows, conflicts_of},
    places::Registered,
};

/// What is said of a chunk that keeps rows without an error.
const KEPT: &str =
    "rows stay that are not as they were loaded: edited since, somebody else's, or protected by a trigger";
const NOT_FOUND: &str = "rows are not as they were loaded: edited since, which stay, or deleted by others; without ids nobody can tell which";
const ALL_KEPT: &str = "every row differs from what was loaded, as after a rewrite of the table: nobody can tell which were edited, and all stay";

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
            finish_undo_if_done(&context.pool, chunk.import).await?;
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
    if fence != Fence::Set || !chunks::claim_deletion(&mut tx, chunk).await? {
        tx.rollback().await?;
        return Ok(if fence == Fence::Open {
            Deletion::Unfenced
        } else {
            Deletion::Nothing
        });
    }
    fail::fail_point!("after-delete-claim");
    // Only now: before the locks, somebody may have asked for another undo.
    let import = imports::read(&mut tx, chunk.import).await?;
    let import = import.ok_or(LedgerError::Missing(chunk.import))?;
    let (undo, spec) = (import.undo()?, import.spec()?);
    let registered = Registered::read(&mut tx, chunk, &spec.identity).await?;
    fail::fail_point!("after-ranges");
    let target = UndoTarget::describe(&mut tx, &import.target, import.target_oid).await?;
    check_rights(&mut tx, &import, &target, spec.conflict.updates()).await?;
    let restored = target.describe_restored(&mut tx, &spec.conflict, undo.cascade).await?;
    fail::fail_point!("after-describe");
    // Again here, within the transaction that deletes: a foreign key may have come since the request, and some requests come from
    // the system itself.
    check_cascades(&mut tx, &target.name, target.oid, undo.cascade).await?;
    fail::fail_point!("after-cascades");
    let rows = Rows {
        chunk,
        target: &target,
        registered: &registered,
        conflicts: conflicts_of(&mut tx, chunk, spec).await?,
        restored: restored.as_ref(),
    };
    let counts = rows.erase(&mut tx, undo).await?;
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
    let reason = match (counts.kept, counts.deleted + counts.missing) {
        (0, _) => None,
        _ if spec.identity == IdentitySpec::Transaction => Some(NOT_FOUND),
        (_, 0) => Some(ALL_KEPT),
        _ => Some(KEPT),
    };
    chunks::finish_deletion(&mut tx, chunk, context.worker.as_str(), counts, reason).await?;
    if counts.kept == 0 {
        registered.forget(&mut tx, chunk).await?;
        if restored.is_some() {
            before::delete(&mut tx, chunk).await?;
        }
    }
    fail::fail_point!("before-delete-commit");
    tx.commit().await?;
    tracing::debug!(%chunk, deleted = counts.deleted, kept = counts.kept, missing = counts.missing, "chunk deleted");
    Ok(Deletion::Done)
}

/// Checks that this worker sees every row, and that whoever asked for the undo may delete them too.
async fn check_rights(
    tx: &mut PgConnection,
    import: &Import,
    target: &UndoTarget,
    restores: bool,
) -> Result<(), Failure> {
    if target.row_security {
        return Err(TargetError::RowSecurity {
            name: target.name.clone(),
        }
        .into());
    }
    if let Some(role) = &import.cancelled_by {
        target.check_may_undo(tx, role, restores).await?;
    }
    Ok(())
}
