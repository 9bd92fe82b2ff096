//! What the chunks of an import add up to, and how far it was split: nothing here changes a row.

use sqlx::PgConnection;

use crate::LedgerError;
use model::{ChunkState, ImportId};

/// How far an import was split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitProgress {
    /// Chunks stored, and the ordinal of the next.
    pub chunks: i32,
    /// **Bytes** of the source that stored chunks reach to; `None` without chunks.
    pub end_byte: Option<u64>,
}

/// Reads how far an import was split.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn split_progress(conn: &mut PgConnection, import: ImportId) -> Result<SplitProgress, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT ordinal, end_byte FROM pgimport.import_chunk WHERE import_id = $1 ORDER BY ordinal DESC LIMIT 1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map_or(
        SplitProgress {
            chunks: 0,
            end_byte: None,
        },
        |row| SplitProgress {
            chunks: row.ordinal + 1,
            end_byte: Some(row.end_byte.unsigned_abs()),
        },
    ))
}

/// **Bytes** of payload that wait for workers.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn pending_payload_bytes(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let bytes = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(payload_bytes), 0)::bigint AS "bytes!" FROM pgimport.import_chunk
           WHERE import_id = $1 AND state = 'pending'"#,
        import.0
    )
    .fetch_one(conn)
    .await?;
    Ok(bytes.unsigned_abs())
}

/// A chunk as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    pub ordinal: i32,
    pub state: ChunkState,
    pub start_byte: u64,
    pub end_byte: u64,
    pub first_line: u64,
    pub record_count: u64,
    pub loaded_count: u64,
    pub rejected_count: u64,
    pub deleted_count: u64,
}

/// Up to `limit` chunks of an import, from the ordinal `from` on.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn page(
    conn: &mut PgConnection,
    import: ImportId,
    from: i32,
    limit: i64,
) -> Result<Vec<ChunkRow>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT ordinal, state AS "state: ChunkState", start_byte, end_byte, first_line, record_count,
               coalesce(loaded_count, 0) AS "loaded_count!", coalesce(rejected_count, 0) AS "rejected_count!",
               coalesce(deleted_count, 0) AS "deleted_count!"
           FROM pgimport.import_chunk WHERE import_id = $1 AND ordinal >= $2 ORDER BY ordinal LIMIT $3"#,
        import.0,
        from,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ChunkRow {
            ordinal: row.ordinal,
            state: row.state,
            start_byte: row.start_byte.unsigned_abs(),
            end_byte: row.end_byte.unsigned_abs(),
            first_line: row.first_line.unsigned_abs(),
            record_count: row.record_count.unsigned_abs(),
            loaded_count: row.loaded_count.unsigned_abs(),
            rejected_count: row.rejected_count.unsigned_abs(),
            deleted_count: row.deleted_count.unsigned_abs(),
        })
        .collect())
}

/// What the chunks of an import add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ChunkCounts {
    pub chunks: u64,
    pub pending: u64,
    pub loaded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub deleted: u64,
    /// Records in all chunks.
    pub records: u64,
    /// Rows put into the target.
    pub rows_loaded: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Rows deleted by an undo.
    pub rows_deleted: u64,
    /// Rows that an undo left.
    pub rows_kept: u64,
    /// Rows that an undo no longer found.
    pub rows_missing: u64,
}

/// Adds up the chunks of an import.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn counts(conn: &mut PgConnection, import: ImportId) -> Result<ChunkCounts, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "chunks!",
               count(*) FILTER (WHERE state = 'pending') AS "pending!",
               count(*) FILTER (WHERE state = 'loaded') AS "loaded!",
               count(*) FILTER (WHERE state = 'failed') AS "failed!",
               count(*) FILTER (WHERE state = 'cancelled') AS "cancelled!",
               count(*) FILTER (WHERE state = 'deleted') AS "deleted!",
               coalesce(sum(record_count), 0)::bigint AS "records!",
               coalesce(sum(loaded_count), 0)::bigint AS "rows_loaded!",
               coalesce(sum(rejected_count), 0)::bigint AS "rejected!",
               coalesce(sum(deleted_count), 0)::bigint AS "rows_deleted!",
               coalesce(sum(kept_count), 0)::bigint AS "rows_kept!",
               coalesce(sum(missing_count), 0)::bigint AS "rows_missing!"
           FROM pgimport.import_chunk WHERE import_id = $1"#,
        import.0
    )
    .fetch_one(conn)
    .await?;
    Ok(ChunkCounts {
        chunks: row.chunks.unsigned_abs(),
        pending: row.pending.unsigned_abs(),
        loaded: row.loaded.unsigned_abs(),
        failed: row.failed.unsigned_abs(),
        cancelled: row.cancelled.unsigned_abs(),
        deleted: row.deleted.unsigned_abs(),
        records: row.records.unsigned_abs(),
        rows_loaded: row.rows_loaded.unsigned_abs(),
        rejected: row.rejected.unsigned_abs(),
        rows_deleted: row.rows_deleted.unsigned_abs(),
        rows_kept: row.rows_kept.unsigned_abs(),
        rows_missing: row.rows_missing.unsigned_abs(),
    })
}

/// The first errors of an import's chunks, for people: ordinal, first line and message. At most `limit`.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn errors(
    conn: &mut PgConnection,
    import: ImportId,
    limit: i64,
) -> Result<Vec<(i32, u64, String)>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT ordinal, first_line, last_error AS "last_error!" FROM pgimport.import_chunk
           WHERE import_id = $1 AND last_error IS NOT NULL AND state IN ('pending', 'failed', 'loaded') ORDER BY ordinal LIMIT $2"#,
        import.0,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.ordinal, row.first_line.unsigned_abs(), row.last_error))
        .collect())
}
