//! Deletes the rows of one chunk of an import that is being cancelled.

use shared::{
    endings::finish_undo_if_done,
    model::{ChunkKey, UndoOptions},
    store::{chunks, imports, registry},
    target::Target,
};
use sqlx::{Connection as _, PgConnection};

use super::{Failure, JobContext};
use crate::eraser;

pub(super) async fn run(context: &JobContext, chunk: ChunkKey) -> Result<(), Failure> {
    let mut conn = context.pool.acquire().await?;
    let outcome = delete(context, &mut conn, chunk).await;
    if outcome.is_err() {
        conn.close_on_drop();
    }
    let deleted = outcome?;
    drop(conn);
    if deleted {
        finish_undo_if_done(&context.pool, chunk.import).await?;
    }
    Ok(())
}

async fn delete(context: &JobContext, conn: &mut PgConnection, chunk: ChunkKey) -> Result<bool, Failure> {
    let Some(import) = imports::read(conn, chunk.import).await? else {
        return Ok(false);
    };
    let target = Target::describe_again(conn, &import.target, import.target_oid).await?;
    let UndoOptions { keep_edited, .. } = import.undo.unwrap_or_default();
    let mut tx = conn.begin().await?;
    if !imports::share_while_cancelling(&mut tx, chunk.import).await?
        || !chunks::claim_deletion(&mut tx, chunk, context.worker.as_str()).await?
    {
        tx.rollback().await?;
        return Ok(false);
    }
    fail::fail_point!("after-delete-claim");
    let ranges = registry::read(&mut tx, chunk).await?;
    let counts = eraser::erase(&mut tx, &target, &ranges, keep_edited).await?;
    fail::fail_point!("after-delete");
    chunks::finish_deletion(&mut tx, chunk, counts, None).await?;
    if counts.kept == 0 {
        registry::delete(&mut tx, chunk).await?;
    }
    fail::fail_point!("before-delete-commit");
    tx.commit().await?;
    tracing::debug!(%chunk, deleted = counts.deleted, kept = counts.kept, missing = counts.missing, "chunk deleted");
    Ok(true)
}
