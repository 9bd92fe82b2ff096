//! Table `import_chunk`: the unit of work, retry and undo.
//!
//! Every state change is one `UPDATE … WHERE state = …` whose affected rows say whether this session made it.

use std::time::Duration;

use model::{ChunkKey, ChunkKind, ChunkState, ImportId, Position, QueueName, SPEC_VERSION, Span};
use sqlx::PgConnection;

use crate::{
    LedgerError,
    error::expect_rows,
    number::{column, signed, unsigned, unsigned_option},
};

mod stats;
mod undo;
pub use stats::{ChunkRow, SplitProgress, Totals, page, pending_payload_bytes, rejected, split_progress, totals};
pub(crate) use undo::open_deletions;
pub use undo::{
    Undecided, UndoCounts, any_in_table, claim_deletion, close_open, finish_deletion, list_in_table, list_undecided,
    reopen_kept, rows_in_table, rows_kept,
};

/// A chunk as the splitter made it.
#[derive(Debug)]
pub struct NewChunk {
    pub span: Span,
    pub payload_bytes: u64,
    /// BLAKE3 of its bytes, where these are not stored.
    pub digest: Option<[u8; 32]>,
}

/// Adds chunks to an import that is splitting, each with its job, or all without, where they have to wait for those before them.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    import: ImportId,
    ordinals: &[i32],
    chunks: &[NewChunk],
    job_ids: &[String],
) -> Result<(), LedgerError> {
    let offset = |what, value: Option<u64>| value.map(|value| signed::<u64, i64>(what, value)).transpose();
    let inputs: Vec<i32> = column(chunks, |c| signed("an input's number", c.span.start.input))?;
    let first_records = column(chunks, |c| offset("a record's number", c.span.start.record))?;
    let starts = column(chunks, |c| offset("a chunk's start", c.span.start.byte))?;
    let ends = column(chunks, |c| offset("a chunk's end", c.span.end_byte))?;
    let lines = column(chunks, |c| offset("a line's number", c.span.start.line))?;
    let records: Vec<i64> = column(chunks, |c| signed("a chunk's records", c.span.record_count))?;
    let payloads: Vec<i32> = column(chunks, |c| signed("a payload's size", c.payload_bytes))?;
    let digests: Vec<Option<&[u8]>> = chunks
        .iter()
        .map(|c| c.digest.as_ref().map(<[u8; 32]>::as_slice))
        .collect();
    let jobs: Vec<Option<&str>> = (0..chunks.len())
        .map(|at| job_ids.get(at).map(String::as_str))
        .collect();
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_chunk
             (import_id, ordinal, input, first_record, start_byte, end_byte, first_line, record_count, payload_bytes, digest, job_id)
         SELECT $1, c.* FROM unnest($2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                                    $9::integer[], $10::bytea[], $11::text[])
             AS c (ordinal, input, first_record, start_byte, end_byte, first_line, record_count, payload_bytes, digest, job_id)",
        import.0,
        ordinals,
        &inputs,
        first_records as Vec<Option<i64>>,
        starts as Vec<Option<i64>>,
        ends as Vec<Option<i64>>,
        lines as Vec<Option<i64>>,
        &records,
        &payloads,
        digests as Vec<Option<&[u8]>>,
        jobs as Vec<Option<&str>>,
    )
    .execute(conn)
    .await?;
    expect_rows("storing chunks", chunks.len() as u64, done.rows_affected())
}

/// Adds the chunk that deletes what the source does not have, behind all others of an import whose source has ended.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert_sweep(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO pgimport.import_chunk (import_id, ordinal, sweep, record_count, payload_bytes)
         SELECT $1, coalesce(max(c.ordinal) + 1, 0), true, 0, 0 FROM pgimport.import_chunk AS c WHERE c.import_id = $1",
        import.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The columns of a chunk that say where it lies.
struct SpanRow {
    input: i32,
    first_record: Option<i64>,
    start_byte: Option<i64>,
    end_byte: Option<i64>,
    first_line: Option<i64>,
    record_count: i64,
}

impl TryFrom<SpanRow> for Span {
    type Error = LedgerError;

    fn try_from(row: SpanRow) -> Result<Self, LedgerError> {
        Ok(Self {
            start: Position {
                input: unsigned("an input's number", row.input.into())?,
                record: unsigned_option("a record's number", row.first_record)?,
                byte: unsigned_option("a chunk's start", row.start_byte)?,
                line: unsigned_option("a line's number", row.first_line)?,
            },
            end_byte: unsigned_option("a chunk's end", row.end_byte)?,
            record_count: unsigned("a chunk's records", row.record_count)?,
        })
    }
}

/// What became of a try to begin a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It was begun, does this, and lies there.
    Started(ChunkKind, Span),
    /// Nothing was counted: the chunk has that many attempts already.
    Tried(u32),
    /// Nothing was counted: the import's spec has this version, which this program does not know.
    NewerSpec(i32),
    /// The chunk is not pending, or its import does not load, or is in another queue, or one before it has to be loaded first.
    NotPending,
}

/// Counts a start, in a transaction of its own and before the work, so that a chunk that kills its worker is found out; not of a chunk
/// that has `limit` attempts, nor of one that only newer workers can load, nor of an import in none of the worker's `queues`.
///
/// The commit is durable even in a session that defers its commits: a chunk that took the server down must have been counted.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn start(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    queues: &[QueueName],
    limit: u32,
) -> Result<Start, LedgerError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import_chunk AS c SET attempts = attempts + 1, worker = $3, started_at = pg_catalog.clock_timestamp()
           FROM pgimport.import AS i
           WHERE c.import_id = $1 AND c.ordinal = $2 AND c.state = 'pending' AND c.attempts < $4
             AND i.id = $1 AND i.state IN ('splitting', 'loading') AND coalesce(i.spec_version, 1) <= $5 AND i.queue = ANY ($6)
             AND NOT (i.ordered AND EXISTS (
                 SELECT FROM pgimport.import_chunk AS b WHERE b.import_id = $1 AND b.ordinal < $2 AND b.state IN ('pending', 'failed')))
           RETURNING c.sweep, c.input, c.first_record, c.start_byte, c.end_byte, c.first_line, c.record_count,
               set_config('synchronous_commit', 'on', true) AS "durable!""#,
        chunk.import.0,
        chunk.ordinal,
        worker,
        signed::<u32, i32>("the limit of attempts", limit)?,
        SPEC_VERSION,
        queues as &[QueueName]
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        let span = SpanRow {
            input: row.input,
            first_record: row.first_record,
            start_byte: row.start_byte,
            end_byte: row.end_byte,
            first_line: row.first_line,
            record_count: row.record_count,
        };
        return Ok(Start::Started(ChunkKind::new(row.sweep), span.try_into()?));
    }
    let row = sqlx::query!(
        r#"SELECT c.attempts, coalesce(i.spec_version, 1) AS "version!"
           FROM pgimport.import_chunk AS c JOIN pgimport.import AS i ON i.id = c.import_id
           WHERE c.import_id = $1 AND c.ordinal = $2 AND c.state = 'pending' AND i.state IN ('splitting', 'loading') AND i.queue = ANY ($3)
             AND NOT (i.ordered AND EXISTS (
                 SELECT FROM pgimport.import_chunk AS b WHERE b.import_id = $1 AND b.ordinal < $2 AND b.state IN ('pending', 'failed')))"#,
        chunk.import.0,
        chunk.ordinal,
        queues as &[QueueName]
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        None => Start::NotPending,
        Some(row) if row.version > SPEC_VERSION => Start::NewerSpec(row.version),
        Some(row) => Start::Tried(unsigned("a chunk's attempts", row.attempts.into())?),
    })
}

/// BLAKE3 of a chunk's bytes, of an import by reference.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn digest(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<Vec<u8>>, LedgerError> {
    let digest = sqlx::query_scalar!(
        "SELECT digest FROM pgimport.import_chunk WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal
    );
    Ok(digest.fetch_optional(conn).await?.flatten())
}

/// Claims a chunk. Call *first* in the transaction that inserts its rows: a rival blocks here until this transaction ends, then
/// finds the chunk taken. `false` when it is not pending any more.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them.
pub async fn claim(conn: &mut PgConnection, chunk: ChunkKey) -> Result<bool, LedgerError> {
    let claimed = sqlx::query!(
        "SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND ordinal = $2 AND state = 'pending' FOR UPDATE",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_optional(conn)
    .await?;
    Ok(claimed.is_some())
}

/// What came of a chunk's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadCounts {
    /// Rows that were put into the target, over others or not.
    pub loaded: u64,
    /// Records that were rejected.
    pub rejected: u64,
}

/// `pending → loaded`: records what came of a chunk that this transaction claimed.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_load(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    counts: LoadCounts,
) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk
         SET state = 'loaded', loaded_count = $3, rejected_count = $4, worker = $5, finished_at = pg_catalog.clock_timestamp(),
             retries = 0, retrying_since = NULL, retried_at = NULL, last_error = NULL
         WHERE import_id = $1 AND ordinal = $2 AND state = 'pending'",
        chunk.import.0,
        chunk.ordinal,
        signed::<u64, i64>("the rows loaded", counts.loaded)?,
        signed::<u64, i64>("the records rejected", counts.rejected)?,
        worker
    )
    .execute(conn)
    .await?;
    expect_rows("recording a load", 1, done.rows_affected())
}

/// Takes rows that a later chunk of the same import overwrote off the account of those that had put them there.
pub(crate) async fn take_off(
    conn: &mut PgConnection,
    import: ImportId,
    ordinals: &[i32],
    rows: &[i64],
) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk AS c SET loaded_count = c.loaded_count - s.rows
         FROM unnest($2::integer[], $3::bigint[]) AS s (ordinal, rows)
         WHERE c.import_id = $1 AND c.ordinal = s.ordinal AND c.state = 'loaded'",
        import.0,
        ordinals,
        rows
    )
    .execute(conn)
    .await?;
    expect_rows(
        "taking off overwritten rows",
        ordinals.len() as u64,
        done.rows_affected(),
    )
}

/// Fails the pending chunks of imports that are loaded in order, behind one that failed: they cannot be loaded before it is. Of one import,
/// or of all.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn fail_blocked(conn: &mut PgConnection, import: Option<ImportId>) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk AS c
         SET state = 'failed', finished_at = pg_catalog.clock_timestamp(), retries = 0, retrying_since = NULL,
             last_error = pg_catalog.format('not begun, for chunk %s, which comes before it, failed', f.ordinal)
         FROM pgimport.import AS i, LATERAL (
             SELECT min(b.ordinal) AS ordinal FROM pgimport.import_chunk AS b WHERE b.import_id = i.id AND b.state = 'failed') AS f
         WHERE i.ordered AND i.state IN ('splitting', 'loading') AND ($1::bigint IS NULL OR i.id = $1)
           AND c.import_id = i.id AND c.state = 'pending' AND c.ordinal > f.ordinal",
        import.map(|import| import.0)
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// `pending → failed`: only a person can mend it. `false` when it is not pending any more.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn fail(conn: &mut PgConnection, chunk: ChunkKey, error: &str) -> Result<bool, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk
         SET state = 'failed', last_error = $3, finished_at = pg_catalog.clock_timestamp(), retries = 0, retrying_since = NULL
         WHERE import_id = $1 AND ordinal = $2 AND state = 'pending'",
        chunk.import.0,
        chunk.ordinal,
        error
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a transient error leaves on a chunk, or a segment.
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
/// `None` when there is nothing left to retry: neither a pending chunk nor, while its import is cancelled, a loaded one.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn note_retry(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    error: &str,
    give_back: bool,
) -> Result<Option<Retry>, LedgerError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import_chunk AS c
           SET attempts = greatest(c.attempts - CASE WHEN $4 AND c.state = 'pending' AND c.worker = $6 THEN 1 ELSE 0 END, 0),
               retries = CASE WHEN c.retried_at > pg_catalog.clock_timestamp() - $5 * interval '1 second' THEN c.retries + 1 ELSE 1 END,
               retrying_since = CASE WHEN c.retried_at > pg_catalog.clock_timestamp() - $5 * interval '1 second' THEN c.retrying_since
                                     ELSE pg_catalog.clock_timestamp() END,
               retried_at = pg_catalog.clock_timestamp(), last_error = $3, worker = nullif(c.worker, $6),
               started_at = CASE WHEN c.worker = $6 THEN NULL ELSE c.started_at END
           FROM pgimport.import AS i
           WHERE c.import_id = $1 AND c.ordinal = $2 AND i.id = $1
             AND (c.state = 'pending' OR c.state = 'loaded' AND c.kept_count IS NULL AND i.state = 'cancelling')
           RETURNING c.attempts, c.retries, extract(epoch FROM pg_catalog.clock_timestamp() - c.retrying_since)::float8 AS "retrying_for!""#,
        chunk.import.0,
        chunk.ordinal,
        error,
        give_back,
        RETRY_SILENCE.as_secs_f64(),
        worker
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Retry {
            attempts: unsigned("a chunk's attempts", row.attempts.into())?,
            retries: unsigned("a chunk's retries", row.retries.into())?,
            retrying_for: Duration::from_secs_f64(row.retrying_for.max(0.0)),
        })
    })
    .transpose()
}

/// Gives back the attempt of a chunk whose work was abandoned by a graceful stop, or is left to others, for this reason.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn give_back(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    reason: Option<&str>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.import_chunk
         SET attempts = greatest(attempts - 1, 0), worker = NULL, started_at = NULL, last_error = coalesce($4, last_error)
         WHERE import_id = $1 AND ordinal = $2 AND state = 'pending' AND worker = $3",
        chunk.import.0,
        chunk.ordinal,
        worker,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Names the job that was just added for a chunk.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn set_jobs(conn: &mut PgConnection, chunks: &[ChunkKey], job_ids: &[String]) -> Result<(), LedgerError> {
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
/// [`LedgerError`] from the database.
pub async fn state(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<ChunkState>, LedgerError> {
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
/// [`LedgerError`] from the database.
pub async fn fail_pending(conn: &mut PgConnection, import: ImportId, error: &str) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk SET state = 'failed', last_error = $2, finished_at = pg_catalog.clock_timestamp()
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
/// [`LedgerError`] from the database.
pub async fn reopen_failed(conn: &mut PgConnection, import: ImportId) -> Result<Vec<ChunkKey>, LedgerError> {
    let ordinals = sqlx::query_scalar!(
        "UPDATE pgimport.import_chunk SET state = 'pending', attempts = 0, retries = 0, retrying_since = NULL, finished_at = NULL,
             worker = NULL, started_at = NULL, job_id = NULL
         WHERE import_id = $1 AND state = 'failed' RETURNING ordinal",
        import.0
    )
    .fetch_all(conn)
    .await?;
    Ok(keys(import, ordinals))
}

fn keys(import: ImportId, ordinals: Vec<i32>) -> Vec<ChunkKey> {
    ordinals
        .into_iter()
        .map(|ordinal| ChunkKey { import, ordinal })
        .collect()
}
