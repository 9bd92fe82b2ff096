//! What came of a job that did not succeed, and what follows from it: again later, or never.

use std::{any::Any, time::Duration};

use ledger::{
    LedgerError, before,
    chunks::{self, UndoCounts},
    completion::{finish_if_done, finish_undo_if_done},
    imports::{self, Fence},
    segments, sessions, wakeups,
};
use model::{ChunkKey, ChunkKind, ImportId, SegmentKey};
use queue::Job;
use rand::RngExt as _;
use session::{describe_error, is_transient};
use source::codec::CodecError;
use sqlx::{Connection as _, PgConnection};
use target::TargetError;
use tokio::task::JoinError;

use super::JobContext;
use crate::{
    load::{
        plan::{LoadError, is_missing_itself},
        refusal,
        rows::ParseError,
        shape::ShapeError,
    },
    metrics::Outcome,
    undo::erase::EraseError,
};

/// The first wait after a transient error; doubled with each, up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// For how long, at most, a job is left alone that only newer workers can do.
const LEFT_ALONE: Duration = Duration::from_secs(15);

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
    /// Only newer workers can do it.
    Newer(String),
    /// Only workers can do it that were started otherwise.
    Elsewhere(String),
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
            Some(database) => Self::Permanent(refusal::words(database).unwrap_or_else(|| describe_error(error))),
            None => Self::Permanent(describe_error(error)),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Unreadable { .. } => Self::Newer(describe_error(&error)),
            _ => Self::of(&error, error.database()),
        }
    }
}

impl From<JoinError> for Failure {
    /// Why a thread for CPU work has no outcome.
    fn from(error: JoinError) -> Self {
        if error.is_panic() {
            Self::Panicked(panic_message(error.into_panic().as_ref()))
        } else {
            // The runtime is shutting down.
            Self::Abandoned
        }
    }
}

impl From<EraseError> for Failure {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Ledger(error) => error.into(),
            // It was renamed in this moment.
            EraseError::Database(ref database) if is_missing_itself(database) => {
                Self::Transient(describe_error(&error))
            }
            EraseError::Database(ref database) => Self::of(&error, Some(database)),
            EraseError::Target(error) => error.into(),
            EraseError::Place(error) => error.into(),
            EraseError::Rewritten => Self::Transient(describe_error(&error)),
            error => Self::of(&error, None),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match &error {
            // The next plan knows what the table is like now.
            LoadError::Outdated { .. } => Self::Transient(describe_error(&error)),
            LoadError::Rows(database) | LoadError::Database(database) => Self::of(&error, Some(database)),
            _ => Self::of(&error, None),
        }
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

impl From<ShapeError> for Failure {
    fn from(error: ShapeError) -> Self {
        Self::of(&error, None)
    }
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
        Failure::Abandoned => return give_back(context, job).await,
        Failure::Newer(message) => {
            tracing::info!(?job, reason = message, "left to newer workers");
            give_back(context, job).await?;
            return push_again(context, job).await;
        }
        Failure::Elsewhere(message) => {
            tracing::info!(?job, reason = message, "left to other workers");
            return leave_to_others(context, job, message).await;
        }
        Failure::Transient(message) | Failure::Permanent(message) => message.clone(),
        Failure::TimedOut(limit) => format!("not done within {} s", limit.as_secs()),
        Failure::Panicked(message) => format!("the worker panicked: {message}"),
        Failure::Exhausted { attempts } => {
            format!("begun {attempts} times, and each time its worker ended before the chunk did")
        }
    };
    let chunk = match job {
        Job::CancelImport { import } => return retry_cancel(context, import, &message).await,
        Job::LoadChunk(chunk) => {
            context.forget_plan(chunk.import);
            chunk
        }
        Job::DeleteChunk(chunk) => chunk,
        Job::SplitSegment(segment) => return settle_split(context, segment, failure, &message).await,
    };
    match failure {
        Failure::Transient(_) | Failure::TimedOut(_) => {
            context.metrics.count(Outcome::Retried);
            tracing::info!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), error = message, "will be tried again");
            retry(context, job, chunk, &message, true).await
        }
        // The attempt stays counted, so that this ends.
        Failure::Panicked(_) => {
            context.metrics.count(Outcome::Retried);
            tracing::error!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), error = message, "a chunk's handler panicked");
            retry(context, job, chunk, &message, false).await
        }
        _ => give_up(context, job, chunk, &message).await,
    }
}

/// Adds the job of a cancel again, which waits longer from time to time, and says on the import why it could not be run: only a person
/// can mend that, or it passes by itself.
async fn retry_cancel(context: &JobContext, import: ImportId, message: &str) -> Result<(), LedgerError> {
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let Some(retries) = imports::note_cancel_error(&mut tx, import, message).await? else {
        return Ok(());
    };
    wakeups::push(&mut tx, &[Job::CancelImport { import }], backoff(retries)).await?;
    tx.commit().await?;
    // Without the server's detail, which may hold data.
    tracing::warn!(%import, worker = context.worker.as_str(), retries, "a cancel could not be run and will be tried again; see `enqueue status {import}`");
    Ok(())
}

/// Adds a chunk's job again, which waits, or gives up when that was done for too long.
async fn retry(
    context: &JobContext,
    job: Job,
    chunk: ChunkKey,
    message: &str,
    give_back: bool,
) -> Result<(), LedgerError> {
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let Some(state) = chunks::note_retry(&mut tx, chunk, context.worker.as_str(), message, give_back).await? else {
        return Ok(());
    };
    let exhausted = !give_back && matches!(job, Job::LoadChunk(_)) && state.attempts >= context.max_attempts;
    let tried = if state.retrying_for > context.retry_for {
        format!("tried again for {} s", state.retrying_for.as_secs())
    } else if exhausted {
        format!("tried {} times", state.attempts)
    } else {
        wakeups::push(&mut tx, &[job], backoff(state.retries)).await?;
        return Ok(tx.commit().await?);
    };
    drop(tx);
    drop(conn);
    give_up(context, job, chunk, &format!("{message} ({tried})")).await
}

/// Gives a job back for workers that were started otherwise, and says why where people look.
async fn leave_to_others(context: &JobContext, job: Job, message: &str) -> Result<(), LedgerError> {
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let worker = context.worker.as_str();
    match job {
        Job::LoadChunk(chunk) => chunks::give_back(&mut tx, chunk, worker, Some(message)).await?,
        Job::SplitSegment(segment) => segments::give_back(&mut tx, segment, worker, Some(message)).await?,
        Job::DeleteChunk(_) | Job::CancelImport { .. } => {}
    }
    wakeups::push_behind(&mut tx, job, left_for()).await?;
    Ok(tx.commit().await?)
}

/// What follows from a segment that was not split: again later, or the import's failure.
async fn settle_split(
    context: &JobContext,
    segment: SegmentKey,
    failure: &Failure,
    message: &str,
) -> Result<(), LedgerError> {
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let worker = context.worker.as_str();
    let passes = matches!(failure, Failure::Transient(_) | Failure::TimedOut(_));
    if passes || matches!(failure, Failure::Panicked(_)) {
        context.metrics.count(Outcome::Retried);
        tracing::info!(import = %segment.import, segment = segment.segment, worker, error = message, "will be tried again");
        let Some(state) = segments::note_retry(&mut tx, segment, worker, message, passes).await? else {
            return Ok(());
        };
        let exhausted = !passes && state.attempts >= context.max_attempts;
        if state.retrying_for <= context.retry_for && !exhausted {
            wakeups::push(&mut tx, &[Job::SplitSegment(segment)], backoff(state.retries)).await?;
            return Ok(tx.commit().await?);
        }
    }
    sessions::commit_durably(&mut tx).await?;
    if segments::fail(&mut tx, segment, message).await? {
        context.metrics.count(Outcome::Failed);
        tracing::error!(import = %segment.import, segment = segment.segment, worker, "an import's source cannot be split; see `enqueue status {}`", segment.import);
    }
    Ok(tx.commit().await?)
}

/// Leaves a job of a kind that this program does not know to newer workers: it comes again after a while, to whoever takes it then. Where
/// it names a chunk, it is the chunk's job from then on, so that nobody adds another one.
pub(super) async fn leave_to_newer(context: &JobContext, job_type: &str, arguments: &[u8], chunk: Option<ChunkKey>) {
    let push = async {
        let mut conn = context.pool.acquire().await?;
        let mut tx = conn.begin().await?;
        let ids = queue::push_unread(&mut tx, job_type, arguments, left_for()).await?;
        if let Some(chunk) = chunk {
            chunks::set_jobs(&mut tx, &[chunk], &ids).await?;
        }
        Ok::<(), LedgerError>(tx.commit().await?)
    };
    if let Err(error) = push.await {
        tracing::warn!(
            error = describe_error(&error),
            "a job of a newer version was lost; its own workers add it again"
        );
    }
}

/// Adds a job again that only newer workers can do, behind all that this one can.
async fn push_again(context: &JobContext, job: Job) -> Result<(), LedgerError> {
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    wakeups::push_behind(&mut tx, job, left_for()).await?;
    Ok(tx.commit().await?)
}

/// How long a job is left alone that only newer workers can do; spread, so that they do not come back together.
fn left_for() -> Duration {
    LEFT_ALONE.mul_f64(rand::rng().random_range(0.5..1.0))
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
    let mut conn = context.pool.acquire().await?;
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    let given_up = match job {
        Job::DeleteChunk(_) => keep_rows(context, &mut tx, chunk, message).await?,
        _ => chunks::fail(&mut tx, chunk, message).await?,
    };
    tx.commit().await?;
    if let Job::LoadChunk(_) = job {
        wakeups::advance(&mut conn, chunk.import).await?;
    }
    drop(conn);
    // Somebody else may have done it meanwhile.
    if given_up {
        // The ledger has the whole message; a detail of the server's may hold data, which does not belong into a log.
        context.metrics.count(Outcome::Failed);
        tracing::error!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), "a chunk was given up; see `enqueue status {}`", chunk.import);
    }
    match job {
        Job::DeleteChunk(_) => finish_undo_if_done(&mut *context.pool.acquire().await?, chunk.import).await?,
        _ => finish_if_done(&mut *context.pool.acquire().await?, chunk.import).await?,
    };
    Ok(())
}

/// Decides a deletion that is refused: the chunk keeps its rows. `false` when there is nothing to decide any more.
async fn keep_rows(
    context: &JobContext,
    tx: &mut PgConnection,
    chunk: ChunkKey,
    message: &str,
) -> Result<bool, LedgerError> {
    let fence = imports::lock_for_deletion(tx, chunk.import).await?;
    if fence != Fence::Set {
        return Ok(false);
    }
    let kept = match chunks::claim_deletion(tx, chunk).await? {
        None => return Ok(false),
        Some(ChunkKind::Records) => chunks::rows_in_table(tx, chunk).await?,
        Some(ChunkKind::Sweep) => before::count(tx, chunk).await?.0,
    };
    let counts = UndoCounts {
        kept,
        ..UndoCounts::default()
    };
    chunks::finish_deletion(tx, chunk, context.worker.as_str(), counts, Some(message)).await?;
    Ok(true)
}

/// Leaves a chunk as if it had not been begun.
async fn give_back(context: &JobContext, job: Job) -> Result<(), LedgerError> {
    let worker = context.worker.as_str();
    match job {
        Job::LoadChunk(chunk) => chunks::give_back(&mut *context.pool.acquire().await?, chunk, worker, None).await,
        Job::SplitSegment(segment) => {
            segments::give_back(&mut *context.pool.acquire().await?, segment, worker, None).await
        }
        Job::DeleteChunk(_) | Job::CancelImport { .. } => Ok(()),
    }
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
