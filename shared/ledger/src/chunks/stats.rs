//! What the chunks of an import add up to, and how far it was split: nothing here changes a row.

use model::{ChunkKind, ChunkState, ImportId, Span};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::SpanRow;
use crate::{
    LedgerError,
    number::{unsigned, unsigned_option},
};

/// How far an import was split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitProgress {
    /// Chunks stored, and the ordinal of the next.
    pub chunks: i32,
    /// To where stored chunks reach: the input, and the **bytes** of it; `None` without chunks.
    pub end: Option<(u32, u64)>,
}

/// Reads how far an import was split.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn split_progress(conn: &mut PgConnection, import: ImportId) -> Result<SplitProgress, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT ordinal, input, end_byte FROM pgimport.import_chunk WHERE import_id = $1 ORDER BY ordinal DESC LIMIT 1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        None => SplitProgress { chunks: 0, end: None },
        Some(row) => SplitProgress {
            chunks: row.ordinal + 1,
            end: Some((
                unsigned("an input's number", row.input.into())?,
                unsigned_option("a chunk's end", row.end_byte)?.unwrap_or(0),
            )),
        },
    })
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
    unsigned("the payload that waits", bytes)
}

/// How many records of an import were rejected so far, and how many there are, once that is known.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn rejected(conn: &mut PgConnection, import: ImportId) -> Result<(u64, Option<u64>), LedgerError> {
    let row = sqlx::query!(
        r#"SELECT (SELECT coalesce(sum(c.rejected_count), 0)::bigint FROM pgimport.import_chunk AS c
                   WHERE c.import_id = $1 AND c.rejected_count > 0) AS "rejected!",
               CASE WHEN i.split_at IS NOT NULL THEN i.record_count END AS records
           FROM pgimport.import AS i WHERE i.id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok((0, None)) };
    Ok((
        unsigned("the records rejected", row.rejected)?,
        unsigned_option("the number of records", row.records)?,
    ))
}

/// A chunk as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    pub ordinal: i32,
    pub kind: ChunkKind,
    pub state: ChunkState,
    pub span: Span,
    pub loaded_count: u64,
    pub rejected_count: u64,
    pub deleted_count: u64,
    pub missing_count: u64,
    pub kept_count: u64,
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
        r#"SELECT ordinal, sweep, state AS "state: ChunkState", input, first_record, start_byte, end_byte, first_line, record_count,
               coalesce(loaded_count, 0) AS "loaded_count!", coalesce(rejected_count, 0) AS "rejected_count!",
               coalesce(deleted_count, 0) AS "deleted_count!", coalesce(missing_count, 0) AS "missing_count!",
               coalesce(kept_count, 0) AS "kept_count!"
           FROM pgimport.import_chunk WHERE import_id = $1 AND ordinal >= $2 ORDER BY ordinal LIMIT $3"#,
        import.0,
        from,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ChunkRow {
                ordinal: row.ordinal,
                kind: ChunkKind::new(row.sweep),
                state: row.state,
                span: SpanRow {
                    input: row.input,
                    first_record: row.first_record,
                    start_byte: row.start_byte,
                    end_byte: row.end_byte,
                    first_line: row.first_line,
                    record_count: row.record_count,
                }
                .try_into()?,
                loaded_count: unsigned("the rows loaded", row.loaded_count)?,
                rejected_count: unsigned("the records rejected", row.rejected_count)?,
                deleted_count: unsigned("the rows deleted", row.deleted_count)?,
                missing_count: unsigned("the rows that were gone", row.missing_count)?,
                kept_count: unsigned("the rows that were left", row.kept_count)?,
            })
        })
        .collect()
}

/// What the chunks of an import add up to. Frozen on the import, as JSON, when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    pub chunks: u64,
    pub pending: u64,
    pub loaded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub deleted: u64,
    /// Records in all chunks.
    pub records: u64,
    /// Rows put into the target, over others or not.
    pub rows_loaded: u64,
    /// Of these, rows of others that were overwritten.
    pub rows_updated: u64,
    /// Records of which the row was there with the same values, and those that gave way to a row or another record of their key.
    pub unchanged: u64,
    pub skipped: u64,
    /// Rows deleted that the source did not have.
    pub rows_removed: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Rows deleted or restored by an undo.
    pub rows_deleted: u64,
    /// Of these, rows that got their former values back.
    pub rows_restored: u64,
    /// Rows put back that were removed.
    pub rows_returned: u64,
    /// Rows that an undo left.
    pub rows_kept: u64,
    /// Rows that an undo no longer found.
    pub rows_missing: u64,
}

impl Totals {
    /// Rows put into the target that were not there.
    #[must_use]
    pub fn rows_inserted(&self) -> u64 {
        self.rows_loaded.saturating_sub(self.rows_updated)
    }

    /// Rows that an undo took out, and did not restore.
    #[must_use]
    pub fn rows_taken_out(&self) -> u64 {
        self.rows_deleted.saturating_sub(self.rows_restored)
    }
}

/// Adds up all chunks of an import: what it costs grows with them, so that it is done once, where an import ends. What is asked again and
/// again is in [`read`](crate::read).
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn totals(conn: &mut PgConnection, import: ImportId) -> Result<Totals, LedgerError> {
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
               coalesce(sum(kept_count) FILTER (WHERE NOT sweep), 0)::bigint AS "rows_kept!",
               coalesce(sum(missing_count), 0)::bigint AS "rows_missing!",
               coalesce(sum(c.updated_count), 0)::bigint AS "rows_updated!",
               coalesce(sum(c.unchanged_count), 0)::bigint AS "unchanged!",
               coalesce(sum(c.skipped_count), 0)::bigint AS "skipped!",
               coalesce(sum(c.restored_count), 0)::bigint AS "rows_restored!",
               coalesce(sum(c.removed_count), 0)::bigint AS "rows_removed!",
               coalesce(sum(c.returned_count), 0)::bigint AS "rows_returned!"
           FROM pgimport.import_chunk LEFT JOIN pgimport.import_conflict AS c USING (import_id, ordinal) WHERE import_id = $1"#,
        import.0
    )
    .fetch_one(conn)
    .await?;
    let count = |value| unsigned("a sum of chunks", value);
    Ok(Totals {
        chunks: count(row.chunks)?,
        pending: count(row.pending)?,
        loaded: count(row.loaded)?,
        failed: count(row.failed)?,
        cancelled: count(row.cancelled)?,
        deleted: count(row.deleted)?,
        records: count(row.records)?,
        rows_loaded: count(row.rows_loaded)?,
        rejected: count(row.rejected)?,
        rows_deleted: count(row.rows_deleted)?,
        rows_kept: count(row.rows_kept)?,
        rows_missing: count(row.rows_missing)?,
        rows_updated: count(row.rows_updated)?,
        unchanged: count(row.unchanged)?,
        skipped: count(row.skipped)?,
        rows_restored: count(row.rows_restored)?,
        rows_removed: count(row.rows_removed)?,
        rows_returned: count(row.rows_returned)?,
    })
}
