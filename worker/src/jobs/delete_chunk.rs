//! Deletes the rows of one chunk of an import that is being cancelled.

use ledger::completion::finish_undo_if_done;
use ledger::{chunks, imports, registry, sessions};
use model::ChunkKey;
use sqlx::{Connection as _, PgConnection};
use target::{Target, TargetError, UndoTarget, check_cascades};

use super::{Failure, JobContext};
use crate::eraser;

/// What is said of a chunk that keeps rows without an error.
const KEPT: &str =
    "rows were kept: edited since they were loaded, protected by a trigger, or not to be told from rows of others";
const KEPT_FOR_OTHERS: &str = "rows that differ from what was loaded were kept, for they may be others': the sequence of the ids was set back, altered or replaced since (cancel with --trust-ids deletes them)";

pub(super) async fn run(context: &JobContext, chunk: ChunkKey) -> Result<(), Failure> {
    let mut conn = context.loader().await?;
    let deleted = delete(context, &mut conn, chunk).await?;
    conn.give_back();
    if deleted {
        finish_undo_if_done(&context.pool, chunk.import).await?;
    }
    Ok(())
}

async fn delete(context: &JobContext, conn: &mut PgConnection, chunk: ChunkKey) -> Result<bool, Failure> {
    let Some(import) = imports::read(conn, chunk.import).await? else {
        return Ok(false);
    };
    let options = import.undo.clone().unwrap_or_default();
    let mut tx = conn.begin().await?;
    sessions::join_deletions(&mut tx, chunk.import).await?;
    if !imports::share_while_cancelling(&mut tx, chunk.import).await?
        || !chunks::claim_deletion(&mut tx, chunk, context.worker.as_str()).await?
    {
        tx.rollback().await?;
        return Ok(false);
    }
    fail::fail_point!("after-delete-claim");
    let ranges = registry::lock(&mut tx, chunk).await?;
    fail::fail_point!("after-ranges");
    let target = UndoTarget::describe(&mut tx, &import.target, import.target_oid, &import.id_column).await?;
    if target.row_security {
        return Err(TargetError::RowSecurity { name: import.target }.into());
    }
    fail::fail_point!("after-describe");
    // Again here, within the transaction that deletes: a foreign key may have come since the request, and some requests come from
    // the system itself.
    check_cascades(&mut tx, &import.target, import.target_oid, options.cascade).await?;
    fail::fail_point!("after-cascades");
    let counts = eraser::erase(&mut tx, &target, &ranges, &options).await?;
    fail::fail_point!("after-delete");
    // The name is resolved again by every statement; while this transaction has written to the table, it cannot change any more.
    Target::check_same(&mut tx, &import.target, import.target_oid).await?;
    let may_be_of_others = |range| eraser::may_be_of_others(range, &target, &options);
    let reason = match counts.kept {
        0 => None,
        _ if ranges.iter().any(may_be_of_others) => Some(KEPT_FOR_OTHERS),
        _ => Some(KEPT),
    };
    chunks::finish_deletion(&mut tx, chunk, counts, reason).await?;
    if counts.kept == 0 {
        registry::delete(&mut tx, chunk).await?;
    }
    fail::fail_point!("before-delete-commit");
    tx.commit().await?;
    tracing::debug!(%chunk, deleted = counts.deleted, kept = counts.kept, missing = counts.missing, "chunk deleted");
    Ok(true)
}
