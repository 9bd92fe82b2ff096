//! Table `import_chunk`: the unit of work, retry and undo.
//!
//! Every state change is one `UPDATE … WHERE state = …` whose affected rows say whether this session made it.

use std::time::Duration;

use sqlx::PgConnection;

use super::{StoreError, error::expect_rows};
use crate::{
    model::{ChunkKey, ChunkState, ImportId},
    queue,
};

mod figures;
mod undo;
pub use figures::{ChunkCounts, ChunkRow, SplitProgress, counts, errors, page, pending_payload_bytes, split_progress};
pub use undo::{
    UndoCounts, claim_deletion, fence, finish_deletion, list_in_table, list_loaded, loaded_count, reopen_kept,
};

/// A chunk as the splitter made it, with its job.
#[derive(Debug)]
pub struct NewChunk {
    pub ordinal: i32,
    pub start_byte: i64,
    pub end_byte: i64,
    pub first_line: i64,
    pub record_count: i64,
    pub payload_bytes: i32,
    pub job_id: String,
}

/// Adds chunks to an import that is splitting.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn insert(conn: &mut PgConnection, import: ImportId, chunks: &[NewChunk]) -> Result<(), StoreError> {
    let ordinals: Vec<i32> = chunks.iter().map(|c| c.ordinal).collect();
    let starts: Vec<i64> = chunks.iter().map(|c| c.start_byte).collect();
    let ends: Vec<i64> = chunks.iter().map(|c| c.end_byte).collect();
    let lines: Vec<i64> = chunks.iter().map(|c| c.first_line).collect();
    let records: Vec<i64> = chunks.iter().map(|c| c.record_count).collect();
    let payloads: Vec<i32> = chunks.iter().map(|c| c.payload_bytes).collect();
    let jobs: Vec<&str> = chunks.iter().map(|c| c.job_id.as_str()).collect();
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_chunk
             (import_id, ordinal, start_byte, end_byte, first_line, record_count, payload_bytes, job_id)
         SELECT $1, c.* FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[], $8::text[])
             AS c (ordinal, start_byte, end_byte, first_line, record_count, payload_bytes, job_id)",
        import.0,
        &ordinals,
        &starts,
        &ends,
        &lines,
        &records,
        &payloads,
        jobs as Vec<&str>,
    )
    .execute(conn)
    .await?;
    expect_rows("storing chunks", chunks.len() as u64, done.rows_affected())
}

/// A chunk whose work was just begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedChunk {
    pub start_byte: u64,
    pub first_line: u64,
    pub record_count: u64,
}

/// What became of a try to begin a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Started(StartedChunk),
    /// Nothing was counted: the chunk has that many attempts already.
    Tried(u32),
    /// The chunk is not pending, or its import does not load.
    NotPending,
}

/// Counts a start, in a transaction of its own and before the work, so that a chunk that kills its worker is found out; not of a chunk
/// that has `limit` attempts.
///
/// The commit is durable even in a session that defers its commits: a chunk that took the server down must have been counted.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn start(conn: &mut PgConnection, chunk: ChunkKey, worker: &str, limit: u32) -> Result<Start, StoreError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import_chunk AS c SET attempts = attempts + 1, worker = $3, started_at = clock_timestamp()
           FROM pgimport.import AS i
           WHERE c.import_id = $1 AND c.ordinal = $2 AND c.state = 'pending' AND c.attempts < $4
             AND i.id = $1 AND i.state IN ('splitting', 'loading')
           RETURNING c.start_byte, c.first_line, c.record_count,
               set_config('synchronous_commit', 'on', true) AS "durable!""#,
        chunk.import.0,
        chunk.ordinal,
        worker,
        i32::try_from(limit).unwrap_or(i32::MAX)
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        return Ok(Start::Started(StartedChunk {
            start_byte: row.start_byte.unsigned_abs(),
            first_line: row.first_line.unsigned_abs(),
            record_count: row.record_count.unsigned_abs(),
        }));
    }
    let attempts = sqlx::query_scalar!(
        "SELECT c.attempts FROM pgimport.import_chunk AS c JOIN pgimport.import AS i ON i.id = c.import_id
         WHERE c.import_id = $1 AND c.ordinal = $2 AND c.state = 'pending' AND i.state IN ('splitting', 'loading')",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_optional(conn)
    .await?;
    Ok(attempts.map_or(Start::NotPending, |attempts| Start::Tried(attempts.unsigned_abs())))
}

/// Claims a chunk. Call *first* in the transaction that inserts its rows: a rival blocks here until this transaction ends, then
/// finds the chunk taken. `false` when it is not pending any more.
///
/// # Errors
/// [`StoreError`] from the database, a lock timeout among them.
pub async fn claim(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    loaded: u64,
    rejected: u64,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk
         SET state = 'loaded', loaded_count = $3, rejected_count = $4, worker = $5, finished_at = pg_catalog.clock_timestamp(),
             retries = 0, retrying_since = NULL, retried_at = NULL, last_error = NULL
         WHERE import_id = $1 AND ordinal = $2 AND state = 'pending'",
        chunk.import.0,
        chunk.ordinal,
        i64::try_from(loaded).unwrap_or(i64::MAX),
        i64::try_from(rejected).unwrap_or(i64::MAX),
        worker
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a chunk's failure for good. `false` when it is not pending any more.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn fail(conn: &mut PgConnection, chunk: ChunkKey, error: &str) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk
         SET state = 'failed', last_error = $3, finished_at = clock_timestamp(), retries = 0, retrying_since = NULL
         WHERE import_id = $1 AND ordinal = $2 AND state = 'pending'",
        chunk.import.0,
        chunk.ordinal,
        error
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a transient error leaves on a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Starts so far without a recorded outcome, and real failures.
    pub attempts: u32,
    /// Such errors in a row, this one included.
    pub retries: u32,
    /// Since when, by the database's clock.
    pub retrying_for: Duration,
}

/// A silence after which transient errors count as a new run: longer than any backoff. Nobody tried meanwhile.
const RETRY_SILENCE: Duration = Duration::from_secs(120);

/// Notes an error of `worker` after which the chunk will be tried again. With `give_back` its attempt, if it was begun, does not count.
/// `None` when there is nothing
/// left to retry: neither a pending chunk nor, while its import is cancelled, a loaded one.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn note_retry(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    error: &str,
    give_back: bool,
) -> Result<Option<Retry>, StoreError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import_chunk AS c
           SET attempts = greatest(c.attempts - CASE WHEN $4 AND c.state = 'pending' AND c.worker = $6 THEN 1 ELSE 0 END, 0),
               retries = CASE WHEN c.retried_at > clock_timestamp() - $5 * interval '1 second' THEN c.retries + 1 ELSE 1 END,
               retrying_since = CASE WHEN c.retried_at > clock_timestamp() - $5 * interval '1 second' THEN c.retrying_since
                                     ELSE clock_timestamp() END,
               retried_at = clock_timestamp(), last_error = $3, worker = nullif(c.worker, $6),
               started_at = CASE WHEN c.worker = $6 THEN NULL ELSE c.started_at END
           FROM pgimport.import AS i
           WHERE c.import_id = $1 AND c.ordinal = $2 AND i.id = $1
             AND (c.state = 'pending' OR c.state = 'loaded' AND c.kept_count IS NULL AND i.state = 'cancelling')
           RETURNING c.attempts, c.retries, extract(epoch FROM clock_timestamp() - c.retrying_since)::float8 AS "retrying_for!""#,
        chunk.import.0,
        chunk.ordinal,
        error,
        give_back,
        RETRY_SILENCE.as_secs_f64(),
        worker
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Retry {
        attempts: row.attempts.unsigned_abs(),
        retries: row.retries.unsigned_abs(),
        retrying_for: Duration::from_secs_f64(row.retrying_for.max(0.0)),
    }))
}

/// Gives back the attempt of a chunk whose work was abandoned by a graceful stop.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn give_back(conn: &mut PgConnection, chunk: ChunkKey, worker: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE pgimport.import_chunk SET attempts = greatest(attempts - 1, 0), worker = NULL, started_at = NULL
         WHERE import_id = $1 AND ordinal = $2 AND state = 'pending' AND worker = $3",
        chunk.import.0,
        chunk.ordinal,
        worker
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Names the job that was just added for a chunk.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn set_jobs(conn: &mut PgConnection, chunks: &[ChunkKey], job_ids: &[String]) -> Result<(), StoreError> {
    let imports: Vec<i64> = chunks.iter().map(|c| c.import.0).collect();
    let ordinals: Vec<i32> = chunks.iter().map(|c| c.ordinal).collect();
    sqlx::query!(
        "UPDATE pgimport.import_chunk AS c SET job_id = j.job_id
         FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS j (import_id, ordinal, job_id)
         WHERE c.import_id = j.import_id AND c.ordinal = j.ordinal",
        &imports,
        &ordinals,
        job_ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The state of a chunk; `None` when it is gone.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn state(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<ChunkState>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT state AS "state: ChunkState" FROM pgimport.import_chunk WHERE import_id = $1 AND ordinal = $2"#,
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_optional(conn)
    .await?)
}

/// Fails the pending chunks of an import whose source could not be split to its end.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn fail_pending(conn: &mut PgConnection, import: ImportId, error: &str) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk SET state = 'failed', last_error = $2, finished_at = clock_timestamp()
         WHERE import_id = $1 AND state = 'pending'",
        import.0,
        error
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Opens failed chunks again, with all their attempts.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn reopen_failed(conn: &mut PgConnection, import: ImportId) -> Result<Vec<ChunkKey>, StoreError> {
    let ordinals = sqlx::query_scalar!(
        "UPDATE pgimport.import_chunk SET state = 'pending', attempts = 0, retries = 0, retrying_since = NULL, finished_at = NULL,
             worker = NULL, started_at = NULL
         WHERE import_id = $1 AND state = 'failed' RETURNING ordinal",
        import.0
    )
    .fetch_all(conn)
    .await?;
    Ok(keys(import, ordinals))
}

/// Chunks that wait without a live job: pending ones of imports that load, loaded ones of imports that are cancelled. At most `limit`,
/// locked until the caller's transaction ends; one that somebody holds has no need of a job now.
///
/// A job lives while it waits, or while the queue's worker that holds it does. Two statements in one, so that each side has its own
/// partial index and history costs nothing.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn without_live_job(conn: &mut PgConnection, limit: i64) -> Result<Vec<(ChunkKey, ChunkState)>, StoreError> {
    let rows = sqlx::query!(
        r#"WITH waiting AS (
               SELECT c.import_id, c.ordinal, c.job_id FROM pgimport.import AS i JOIN pgimport.import_chunk AS c ON c.import_id = i.id
               WHERE i.state IN ('splitting', 'loading') AND c.state = 'pending'
               UNION ALL
               SELECT c.import_id, c.ordinal, c.job_id FROM pgimport.import AS i JOIN pgimport.import_chunk AS c ON c.import_id = i.id
               WHERE i.state = 'cancelling' AND c.state = 'loaded' AND c.kept_count IS NULL),
           orphaned AS MATERIALIZED (
               SELECT w.import_id, w.ordinal FROM waiting AS w
               WHERE NOT EXISTS (
                   SELECT FROM apalis.jobs AS j LEFT JOIN apalis.workers AS q ON q.id = j.lock_by
                   WHERE j.id = w.job_id
                     AND (j.status = 'Pending'
                          OR j.status IN ('Queued', 'Running') AND q.last_seen > now() - $1 * interval '1 second'))
               LIMIT $2)
           SELECT c.import_id, c.ordinal, c.state AS "state: ChunkState"
           FROM orphaned AS o JOIN pgimport.import_chunk AS c USING (import_id, ordinal)
           FOR UPDATE OF c SKIP LOCKED"#,
        queue::stale_after().as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                ChunkKey {
                    import: ImportId(row.import_id),
                    ordinal: row.ordinal,
                },
                row.state,
            )
        })
        .collect())
}

fn keys(import: ImportId, ordinals: Vec<i32>) -> Vec<ChunkKey> {
    ordinals
        .into_iter()
        .map(|ordinal| ChunkKey { import, ordinal })
        .collect()
}
