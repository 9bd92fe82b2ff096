//! Runs an import's cancel: the fence, and a deletion job for each loaded chunk.

use ledger::completion::finish_undo_if_done;
use model::ImportId;

use super::{Failure, JobContext};
use crate::undo::fence;

pub(super) async fn run(context: &JobContext, import: ImportId) -> Result<(), Failure> {
    let mut conn = context.ledger().await?;
    let deletions = fence::set(&mut conn, import).await?;
    conn.give_back();
    if let Some(deletions) = deletions {
        tracing::info!(%import, deletions, "import fenced");
        finish_undo_if_done(&mut *context.pool.acquire().await?, import).await?;
    }
    Ok(())
}
