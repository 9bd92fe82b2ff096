//! What keeps the system going when wake-ups are lost and processes die. One worker at a time does it, under an advisory lock, and only
//! those that live longest try: a pass of each of many workers would be work without use.
//!
//! Each step derives what is missing from the state alone, commits for itself, and costs the same however long the history is.

use std::time::{Duration, Instant};

use ledger::{LedgerError, cancel, chunks, completion, imports, segments, sessions, wakeups, workers};
use model::UndoSpec;
use queue::{self, Job};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the dead are looked for, whatever else there is to do: takeover shall cost seconds.
const INTERVAL: Duration = Duration::from_secs(1);
/// The upkeep may take this part of the time: when it is slow, it is done less often.
const SHARE: u32 = 10;
const MAX_UPKEEP_INTERVAL: Duration = Duration::from_secs(30);
/// Jobs added by one transaction.
const JOBS_AT_ONCE: i64 = 5_000;
/// Finished jobs removed by one pass.
const PRUNED_AT_ONCE: i64 = 10_000;
/// What the names of workers begin with.
pub(crate) const WORKER_ROLE: &str = "pg_import-worker";
/// How many workers try. When all of them fall silent, others are the longest-lived by the time that a pass could tell.
pub(crate) const SENIORS: i64 = 3;
const LOCK: &str = "pgimport maintenance";

/// Runs passes until `stop`, while the worker's heartbeat found that it is `senior`.
pub async fn run(pool: PgPool, senior: watch::Receiver<bool>, stop: CancellationToken) {
    let mut upkeep_due = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        if !*senior.borrow() {
            continue;
        }
        let due = upkeep_due <= Instant::now();
        match pass(&pool, due).await {
            Ok(None) => {}
            Ok(Some(took)) => upkeep_due = Instant::now() + (took * SHARE).min(MAX_UPKEEP_INTERVAL),
            Err(error) => tracing::warn!(error = session::describe_error(&error), "a maintenance pass failed"),
        }
    }
}

/// One pass, unless another worker is at it. Returns how long the upkeep took, if it was done.
async fn pass(pool: &PgPool, with_upkeep: bool) -> Result<Option<Duration>, LedgerError> {
    let mut conn = pool.acquire().await?;
    // Held by an idle transaction of its own: the steps commit one by one beside it. They are safe against a second worker's too, so
    // that a guard that idles for long, as that of a frozen worker, may end.
    let mut guard = pool.begin().await?;
    sessions::limit_idleness(&mut guard).await?;
    if !sessions::try_transaction_lock(&mut guard, LOCK).await? {
        return Ok(None);
    }
    // What keeps one step from its work keeps none of the others.
    report("reaping dead workers", reap_workers(&mut conn).await);
    report("reaping dead submitters", reap_submitters(&mut conn).await);
    let mut took = None;
    if with_upkeep {
        let begin = Instant::now();
        report("renewing wake-ups", renew_wakeups(&mut conn).await);
        report("finding what was split", store_split(&mut conn).await);
        report("ending forgotten jobs", end_forgotten(&mut conn).await);
        report("failing what cannot come", chunks::fail_blocked(&mut conn, None).await);
        report("ending imports", completion::finish_unnoticed(&mut conn).await);
        report(
            "pruning",
            queue::prune(&mut conn, PRUNED_AT_ONCE).await.map_err(LedgerError::from),
        );
        took = Some(begin.elapsed());
    }
    if let Err(error) = guard.commit().await {
        tracing::debug!(
            error = session::describe_error(&error),
            "the guard of a long maintenance pass had ended"
        );
    }
    Ok(took)
}

fn report<T>(step: &str, outcome: Result<T, LedgerError>) {
    if let Err(error) = outcome {
        tracing::warn!(
            step,
            error = session::describe_error(&error),
            "a step of maintenance failed and will be tried again"
        );
    }
}

/// Ends the sessions of workers that are silent, which frees their locks, and gives their jobs to others.
async fn reap_workers(conn: &mut PgConnection) -> Result<(), LedgerError> {
    let dead = workers::remove_stale(conn).await?;
    if !dead.is_empty() {
        let sessions = sessions::terminate(conn, &dead).await?;
        tracing::warn!(
            workers = dead.join(", "),
            sessions = sessions.ended,
            "workers were silent for too long; their work goes to others"
        );
        if sessions.out_of_reach > 0 {
            tracing::warn!(
                sessions = sessions.out_of_reach,
                "sessions of dead workers belong to roles that this one may not end: let all workers have one role, or GRANT pg_signal_backend"
            );
        }
    }
    sessions::terminate_unregistered(conn, WORKER_ROLE).await?;
    let rescued = queue::rescue_orphans(conn).await?;
    if rescued > 0 {
        tracing::info!(jobs = rescued, "jobs of dead workers were given back");
    }
    Ok(())
}

/// Ends the sessions of submitters that are silent. What they read from a stream cannot be read again, so that import is undone; one
/// of a file waits for its next submission.
async fn reap_submitters(conn: &mut PgConnection) -> Result<(), LedgerError> {
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    for submission in imports::abandoned(&mut tx).await? {
        sessions::terminate_submitter(&mut tx, &submission.submitter, submission.submitted_by.as_deref()).await?;
        if !submission.resumable && submission.for_good {
            let reason = format!(
                "{} was interrupted before its end was read, and cannot be taken up again: a stream cannot be read twice, and a forced \
                 submission has no key to find it by",
                submission.source
            );
            cancel::begin(&mut tx, submission.import, UndoSpec::default(), Some(&reason), None).await?;
            tracing::warn!(import = %submission.import, reason, "import is undone");
        }
    }
    Ok(tx.commit().await?)
}

/// Adds a job where there should be one and is none.
async fn renew_wakeups(conn: &mut PgConnection) -> Result<(), LedgerError> {
    let mut tx = conn.begin().await?;
    let missing = wakeups::missing(&mut tx, JOBS_AT_ONCE).await?;
    let (cancels, of_chunks): (Vec<Job>, Vec<Job>) =
        missing.iter().partition(|job| matches!(job, Job::CancelImport { .. }));
    wakeups::push(&mut tx, &of_chunks, Duration::ZERO).await?;
    tx.commit().await?;
    // Each by itself: one whose import somebody holds shall not keep the others waiting.
    for cancel in cancels {
        report("renewing a cancel", renew_cancel(conn, cancel).await);
    }
    if !missing.is_empty() {
        tracing::info!(jobs = missing.len(), "what had no live job got a new one");
    }
    Ok(())
}

/// Stores chunks that were found, where whoever found them did not.
async fn store_split(conn: &mut PgConnection) -> Result<(), LedgerError> {
    for import in segments::unstored(conn).await? {
        // Each by itself: one that cannot be stored shall not keep the others from it.
        report("storing what was split", segments::store_split(conn, import).await);
    }
    Ok(())
}

async fn end_forgotten(conn: &mut PgConnection) -> Result<(), LedgerError> {
    let ended = wakeups::end_forgotten(conn, JOBS_AT_ONCE).await?;
    if ended > 0 {
        tracing::info!(
            jobs = ended,
            "jobs were ended that were done, and of which nobody had said so"
        );
    }
    Ok(())
}

async fn renew_cancel(conn: &mut PgConnection, cancel: Job) -> Result<(), LedgerError> {
    let mut tx = conn.begin().await?;
    wakeups::push(&mut tx, &[cancel], Duration::ZERO).await?;
    Ok(tx.commit().await?)
}
