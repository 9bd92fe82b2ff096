//! The changes of state that belong to an undo.

use model::{ChunkKey, ChunkKind, ImportId};
use sqlx::PgConnection;

use super::{LedgerError, expect_rows};
use crate::{
    conflicts,
    number::{signed, unsigned},
};

/// What became of a chunk's rows when it was undone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UndoCounts {
    /// Rows that were deleted, or restored.
    pub deleted: u64,
    /// Of these, rows that got their former values back.
    pub restored: u64,
    /// Rows that were put back which a sweep had deleted.
    pub returned: u64,
    pub kept: u64,
    /// Rows that were gone already.
    pub missing: u64,
}

/// Closes what is not loaded: pending and failed chunks become cancelled. Waits for loads that run, so that a chunk is whole or absent.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them.
pub async fn close_open(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk SET state = 'cancelled', finished_at = pg_catalog.clock_timestamp()
         WHERE import_id = $1 AND state IN ('pending', 'failed')",
        import.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A loaded chunk that an undo has not decided yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecided {
    pub chunk: ChunkKey,
    /// Rows to decide about in this chunk.
    rows: i64,
    /// The same of this chunk and all behind it, and how many chunks those are.
    rows_left: i64,
    chunks_left: i32,
}

/// The loaded chunks that an undo has not decided yet, in their order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list_undecided(conn: &mut PgConnection, import: ImportId) -> Result<Vec<Undecided>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT u.ordinal, u.rows AS "rows!", (sum(u.rows) OVER behind)::bigint AS "rows_left!",
               (row_number() OVER behind)::integer AS "chunks_left!"
           FROM (SELECT ordinal, coalesce(loaded_count, 0) - coalesce(deleted_count, 0) AS rows FROM pgimport.import_chunk
                 WHERE import_id = $1 AND state = 'loaded' AND kept_count IS NULL) AS u
           WINDOW behind AS (ORDER BY u.ordinal DESC)
           ORDER BY u.ordinal"#,
        import.0
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Undecided {
            chunk: ChunkKey {
                import,
                ordinal: row.ordinal,
            },
            rows: row.rows,
            rows_left: row.rows_left,
            chunks_left: row.chunks_left,
        })
        .collect())
}

/// Names the jobs that were just added for deletions, and says on each chunk how much is to be decided from it to the end, so that what is
/// open later need not be counted: [`read`](crate::read) adds up what was decided out of order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub(crate) async fn open_deletions(
    conn: &mut PgConnection,
    undecided: &[Undecided],
    job_ids: &[String],
) -> Result<(), LedgerError> {
    let imports: Vec<i64> = undecided.iter().map(|open| open.chunk.import.0).collect();
    let ordinals: Vec<i32> = undecided.iter().map(|open| open.chunk.ordinal).collect();
    let rows: Vec<i64> = undecided.iter().map(|open| open.rows).collect();
    let rows_left: Vec<i64> = undecided.iter().map(|open| open.rows_left).collect();
    let chunks_left: Vec<i32> = undecided.iter().map(|open| open.chunks_left).collect();
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk AS c
         SET job_id = o.job_id, undo_rows = o.rows, undo_rows_left = o.rows_left, undo_chunks_left = o.chunks_left
         FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[])
             AS o (import_id, ordinal, job_id, rows, rows_left, chunks_left)
         WHERE c.import_id = o.import_id AND c.ordinal = o.ordinal",
        &imports,
        &ordinals,
        job_ids,
        &rows,
        &rows_left,
        &chunks_left
    )
    .execute(conn)
    .await?;
    expect_rows("opening deletions", undecided.len() as u64, done.rows_affected())
}

/// The chunks of which something is to be undone, those that an earlier undo kept among them.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list_in_table(
    conn: &mut PgConnection,
    import: ImportId,
) -> Result<Vec<(ChunkKind, ChunkKey)>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT ordinal, sweep FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'loaded' ORDER BY ordinal",
        import.0
    )
    .fetch_all(conn)
    .await?;
    let chunks = rows.into_iter().map(|row| {
        let ordinal = row.ordinal;
        (ChunkKind::new(row.sweep), ChunkKey { import, ordinal })
    });
    Ok(chunks.collect())
}

/// Whether a chunk of an import has rows in the target, as far as the ledger knows.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn any_in_table(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'loaded' AND (loaded_count > 0 OR sweep)) AS "any!""#,
        import.0
    )
    .fetch_one(conn)
    .await?)
}

/// Lets an undo decide again about chunks of which an earlier one kept rows, and forgets what that one had to decide of those that it
/// deleted. Those that no undo looked at stay as they are.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn reopen_kept(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk SET kept_count = NULL, missing_count = NULL, retries = 0, retrying_since = NULL, last_error = NULL
         WHERE import_id = $1 AND state = 'loaded' AND kept_count IS NOT NULL",
        import.0
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE pgimport.import_chunk SET undo_rows = NULL, undo_rows_left = NULL, undo_chunks_left = NULL
         WHERE import_id = $1 AND state = 'deleted' AND undo_rows IS NOT NULL",
        import.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Claims the deletion of a loaded chunk's rows. Call first in the transaction that deletes them, with the import locked for share:
/// a rival blocks here, then finds it taken. `None` when there is nothing to delete any more, or else what the chunk did.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them.
pub async fn claim_deletion(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<ChunkKind>, LedgerError> {
    let is_sweep = sqlx::query_scalar!(
        "SELECT sweep FROM pgimport.import_chunk
         WHERE import_id = $1 AND ordinal = $2 AND state = 'loaded' AND kept_count IS NULL FOR UPDATE",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_optional(conn)
    .await?;
    Ok(is_sweep.map(ChunkKind::new))
}

/// Records what became of the rows of a chunk that this transaction claimed. One that keeps rows stays `loaded`.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_deletion(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    worker: &str,
    counts: UndoCounts,
    error: Option<&str>,
) -> Result<(), LedgerError> {
    let number = |n: u64| signed::<u64, i64>("the rows of an undo", n);
    let done = sqlx::query!(
        "UPDATE pgimport.import_chunk
         SET deleted_count = coalesce(deleted_count, 0) + $3, kept_count = $4,
             missing_count = greatest($5 - coalesce(deleted_count, 0), 0),
             state = CASE WHEN $4::bigint > 0 THEN 'loaded' ELSE 'deleted' END,
             retries = 0, retrying_since = NULL, last_error = $6, worker = $7, finished_at = pg_catalog.clock_timestamp()
         WHERE import_id = $1 AND ordinal = $2 AND state = 'loaded' AND kept_count IS NULL",
        chunk.import.0,
        chunk.ordinal,
        number(counts.deleted)?,
        number(counts.kept)?,
        number(counts.missing)?,
        error,
        worker
    )
    .execute(&mut *conn)
    .await?;
    expect_rows("recording a deletion", 1, done.rows_affected())?;
    conflicts::add_given_back(conn, chunk, counts.restored, counts.returned).await
}

/// Rows that an undo left, in the chunks of an import that it has decided about.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn rows_kept(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let count = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(kept_count), 0)::bigint AS "count!" FROM pgimport.import_chunk
           WHERE import_id = $1 AND kept_count > 0 AND NOT sweep"#,
        import.0
    )
    .fetch_one(conn)
    .await?;
    unsigned("the rows left", count)
}

/// Rows of a chunk that its load put into the target and no undo deleted.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn rows_in_table(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, LedgerError> {
    let count = sqlx::query_scalar!(
        r#"SELECT coalesce(loaded_count, 0) - coalesce(deleted_count, 0) AS "count!" FROM pgimport.import_chunk
           WHERE import_id = $1 AND ordinal = $2"#,
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_one(conn)
    .await?;
    unsigned("the rows of a chunk", count)
}
