//! Opening the failed chunks of an import again.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::cancel::CancelError;
use ledger::{chunks, imports, sessions};
use model::{ImportId, ImportState};
use queue::{self, Job};

/// Opens the failed chunks of an import again. Returns how many.
///
/// # Errors
/// [`CancelError`], when the import has not failed, or failed because its source could not be split.
pub async fn retry(conn: &mut PgConnection, import: ImportId) -> Result<usize, CancelError> {
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    sessions::wait_patiently(&mut tx).await?;
    let state = imports::lock(&mut tx, import)
        .await?
        .ok_or(CancelError::Missing(import))?;
    if state != ImportState::Failed {
        return Err(CancelError::State {
            import,
            state,
            remedy: "only a failed import can be tried again",
        });
    }
    if !imports::reopen(&mut tx, import).await? {
        let remedy =
            "its source could not be split to its end, so chunks are missing: cancel it and submit the file again";
        return Err(CancelError::State { import, state, remedy });
    }
    let opened = chunks::reopen_failed(&mut tx, import).await?;
    let jobs: Vec<Job> = opened.iter().copied().map(Job::LoadChunk).collect();
    let ids = queue::push(&mut tx, &jobs, Duration::ZERO).await?;
    chunks::set_jobs(&mut tx, &opened, &ids).await?;
    tx.commit().await?;
    Ok(opened.len())
}
