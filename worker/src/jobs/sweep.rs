//! Deletes what an import's source does not have, in one transaction, when all its records are loaded.

use ledger::{
    LedgerError,
    chunks::{self, LoadCounts},
    completion::finish_if_done,
    conflicts, imports, seen,
};
use model::ChunkKey;
use sqlx::{Connection as _, PgConnection};
use target::UndoTarget;

use super::{Failure, JobContext};
use crate::{load::sweep::Sweep, metrics::Outcome};

pub(super) async fn run(context: &JobContext, chunk: ChunkKey) -> Result<(), Failure> {
    let mut conn = context.loader().await?;
    let removed = sweep(context, &mut conn, chunk).await?;
    conn.give_back();
    fail::fail_point!("after-sweep-commit");
    if let Some(removed) = removed {
        context.metrics.count(Outcome::Loaded);
        tracing::debug!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), removed, "rows deleted that the source does not have");
        finish_if_done(&mut *context.pool.acquire().await?, chunk.import).await?;
    }
    Ok(())
}

/// `None` when somebody else had the chunk.
async fn sweep(context: &JobContext, conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<u64>, Failure> {
    let mut tx = conn.begin().await?;
    if !chunks::claim(&mut tx, chunk).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    fail::fail_point!("after-sweep-claim");
    let import = imports::read(&mut tx, chunk.import).await?;
    let import = import.ok_or(LedgerError::Missing(chunk.import))?;
    let spec = import.spec()?;
    let target = UndoTarget::describe(&mut tx, &import.target, import.target_oid).await?;
    let rows = target.describe_removed(&mut tx, &spec.conflict).await?;
    let (Some(missing), Some(rows)) = (spec.conflict.missing(), rows) else {
        return Err(Failure::Permanent(
            "nothing was deleted: the import was not asked to".to_owned(),
        ));
    };
    if let Some(role) = &import.submitted_by {
        target.check_may_remove(&mut tx, role).await?;
    }
    let (rejected, _) = chunks::rejected(&mut tx, chunk.import).await?;
    if rejected > 0 {
        return Err(Failure::Permanent(format!(
            "no row was deleted: {rejected} records were rejected, so that nobody can say which rows of {} the source does not have; correct them, cancel this import and submit again",
            target.name
        )));
    }
    let unseen = seen::unseen(&mut tx, chunk.import).await?;
    if unseen > 0 {
        return Err(Failure::Permanent(format!(
            "no row was deleted: the ledger has not the keys of {unseen} rows that were loaded; cancel this import and submit again"
        )));
    }
    let sweep = Sweep {
        chunk,
        target: &target,
        rows: &rows,
    };
    let found = sweep.lock(&mut tx).await?;
    fail::fail_point!("after-sweep-lock");
    let check = |removed: u64| {
        if !missing.max.is_exceeded(removed, Some(found.of)) {
            return Ok(());
        }
        Err(Failure::Permanent(format!(
            "no row was deleted: {removed} of the {} rows of {} are not in the source, and --max-deletes is {}; if that is meant, cancel this import and submit again with a higher one",
            found.of, target.name, missing.max
        )))
    };
    check(found.rows)?;
    let removed = sweep.remove(&mut tx).await?;
    // Some may have come since.
    check(removed)?;
    fail::fail_point!("after-sweep-rows");
    // Now that this transaction has written to the table, nobody can alter it: what came in between is found.
    if target.describe_removed(&mut tx, &spec.conflict).await?.as_ref() != Some(&rows)
        || !target.is_named_so_still(&mut tx).await?
    {
        return Err(Failure::Transient(format!(
            "the table {} was renamed, altered or replaced in this moment",
            target.name
        )));
    }
    let counts = LoadCounts { loaded: 0, rejected: 0 };
    chunks::finish_load(&mut tx, chunk, context.worker.as_str(), counts).await?;
    conflicts::insert_removed(&mut tx, chunk, removed).await?;
    seen::delete(&mut tx, chunk.import).await?;
    fail::fail_point!("before-sweep-commit");
    tx.commit().await?;
    Ok(Some(removed))
}
