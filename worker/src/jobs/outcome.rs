//! What came of a job that did not succeed, and what follows from it: again later, or never.

use std::{any::Any, time::Duration};

use ledger::cancel;
use ledger::completion::{finish_if_done, finish_undo_if_done};
use ledger::{
    LedgerError,
    chunks::{self, UndoCounts},
    sessions,
};
use model::ChunkKey;
use queue::{self, Job, QueueError};
use rand::RngExt as _;
use session::{describe_error, is_transient};
use source::codec::CodecError;
use sqlx::{Connection as _, postgres::PgDatabaseError};
use target::TargetError;

use super::{JobContext, chunk_of};
use crate::{loader::LoadError, parser::ParseError};

/// The first wait after a transient error; doubled with each, up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Why a job did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// It passes by itself; the attempt is given back.
    Transient(String),
    /// Only a person can mend it.
    Permanent(String),
    /// The handler panicked: a fault of ours, which may be this chunk's alone.
    Panicked(String),
    TimedOut(Duration),
    /// The worker stops.
    Abandoned,
    /// The chunk was begun as often as allowed, and never to an end.
    Exhausted {
        attempts: u32,
    },
}

impl Failure {
    fn of(error: &(dyn std::error::Error + 'static), database: Option<&sqlx::Error>) -> Self {
        match database {
            Some(database) if is_transient(database) => Self::Transient(describe_error(error)),
            Some(database) => Self::Permanent(explain(database).unwrap_or_else(|| describe_error(error))),
            None => Self::Permanent(describe_error(error)),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::of(&error, error.database())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let database = match &error {
            LoadError::Database(database) => Some(database),
            _ => None,
        };
        Self::of(&error, database)
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let database = match &error {
            TargetError::Catalog(database) => Some(database),
            _ => None,
        };
        Self::of(&error, database)
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        LedgerError::from(error).into()
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Self::of(&error, None)
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::of(&error, None)
    }
}

/// The server's words for a person: its message, what it names, and its hint.
fn explain(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let mut text = error.message().to_owned();
    for part in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(part);
    }
    Some(text)
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Writes what came of a job: a new job that waits, a chunk's failure, or an attempt given back.
pub(super) async fn settle(context: &JobContext, job: Job, failure: &Failure) -> Result<(), LedgerError> {
    let message = match failure {
        Failure::Abandoned => return abandon(context, job).await,
        Failure::Transient(message) => message.clone(),
        Failure::TimedOut(limit) => format!("not done within {} s", limit.as_secs()),
        Failure::Panicked(message) => format!("the worker panicked: {message}"),
        Failure::Permanent(message) => message.clone(),
        Failure::Exhausted { attempts } => {
            format!("begun {attempts} times, and each time its worker ended before the chunk did")
        }
    };
    let Some(chunk) = chunk_of(job) else {
        // Without the server's detail, which may hold data.
        tracing::warn!(?job, "a cancel could not be run and will be tried again");
        return retry(context, job, &message, true).await;
    };
    if let Job::LoadChunk(_) = job {
        context.forget_plan(chunk.import);
    }
    match failure {
        Failure::Transient(_) | Failure::TimedOut(_) => {
            tracing::info!(%chunk, error = message, "will be tried again");
            retry(context, job, &message, true).await
        }
        // The attempt stays counted, so that this ends.
        Failure::Panicked(_) => {
            tracing::error!(%chunk, error = message, "a chunk's handler panicked");
            retry(context, job, &message, false).await
        }
        _ => give_up(context, job, chunk, &message).await,
    }
}

/// Adds a job that waits, or gives up when that was done for too long.
async fn retry(context: &JobContext, job: Job, message: &str, give_back: bool) -> Result<(), LedgerError> {
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let Some(chunk) = chunk_of(job) else {
        if let Job::CancelImport { import } = job {
            cancel::push_job(&mut tx, import, FIRST_BACKOFF).await?;
        }
        return Ok(tx.commit().await?);
    };
    let Some(state) = chunks::note_retry(&mut tx, chunk, context.worker.as_str(), message, give_back).await? else {
        return Ok(());
    };
    if state.retrying_for > context.retry_for {
        drop(tx);
        drop(conn);
        let tried = format!("{message} (tried again for {} s)", state.retrying_for.as_secs());
        return give_up(context, job, chunk, &tried).await;
    }
    let exhausted = !give_back && matches!(job, Job::LoadChunk(_)) && state.attempts >= context.max_attempts;
    if exhausted {
        drop(tx);
        drop(conn);
        return give_up(
            context,
            job,
            chunk,
            &format!("{message} (tried {} times)", state.attempts),
        )
        .await;
    }
    let ids = queue::push(&mut tx, &[job], backoff(state.retries)).await?;
    chunks::set_jobs(&mut tx, &[chunk], &ids).await?;
    Ok(tx.commit().await?)
}

/// Doubled with each retry and spread, so that what failed together does not come back together.
fn backoff(retries: u32) -> Duration {
    let doubled = FIRST_BACKOFF
        .saturating_mul(1 << retries.saturating_sub(1).min(5))
        .min(MAX_BACKOFF);
    doubled.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// Records that a person has to look: a load is failed, a deletion keeps its rows.
async fn give_up(context: &JobContext, job: Job, chunk: ChunkKey, message: &str) -> Result<(), LedgerError> {
    // The ledger has the whole message; a detail of the server's may hold data, which does not belong into a log.
    tracing::error!(%chunk, "a chunk was given up; see `enqueue status {}`", chunk.import);
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    match job {
        Job::DeleteChunk(_) => {
            if ledger::imports::share_while_cancelling(&mut tx, chunk.import).await?
                && chunks::claim_deletion(&mut tx, chunk, context.worker.as_str()).await?
            {
                let kept = chunks::loaded_count(&mut tx, chunk).await?;
                let counts = UndoCounts {
                    kept,
                    ..UndoCounts::default()
                };
                chunks::finish_deletion(&mut tx, chunk, counts, Some(message)).await?;
            }
        }
        _ => {
            chunks::fail(&mut tx, chunk, message).await?;
        }
    }
    tx.commit().await?;
    drop(conn);
    match job {
        Job::DeleteChunk(_) => finish_undo_if_done(&context.pool, chunk.import).await?,
        _ => finish_if_done(&context.pool, chunk.import).await?,
    };
    Ok(())
}

/// Leaves a job as if it had not been begun; the worker's end gives the job itself back.
async fn abandon(context: &JobContext, job: Job) -> Result<(), LedgerError> {
    if let Job::LoadChunk(chunk) = job {
        chunks::give_back(&mut *context.pool.acquire().await?, chunk, context.worker.as_str()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_to_its_limit() {
        for (retries, most) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1000, 30)] {
            let waits = backoff(retries);
            assert!(
                waits <= Duration::from_secs(most) && waits >= Duration::from_secs(most) / 2,
                "{retries}: {waits:?}"
            );
        }
    }
}
