//! Table `import_reject`: records that could not be loaded.

use sqlx::PgConnection;

use super::{StoreError, error::expect_rows};
use crate::model::{ChunkKey, ImportId};

/// A record that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// **Bytes** from the start of the decompressed source to its first byte.
    pub start_byte: u64,
    /// Line on which it starts, from 1.
    pub line: u64,
    /// The target's column at fault; `None` when the record as a whole does not fit.
    pub column: Option<String>,
    pub reason: String,
    /// The record as it stood in the source, without the line end.
    pub raw: Vec<u8>,
}

/// Stores the rejects of a chunk that is being loaded.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn insert(conn: &mut PgConnection, chunk: ChunkKey, rejects: &[Reject]) -> Result<(), StoreError> {
    if rejects.is_empty() {
        return Ok(());
    }
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let starts: Vec<i64> = rejects.iter().map(|r| signed(r.start_byte)).collect();
    let lines: Vec<i64> = rejects.iter().map(|r| signed(r.line)).collect();
    let columns: Vec<Option<&str>> = rejects.iter().map(|r| r.column.as_deref()).collect();
    let reasons: Vec<&str> = rejects.iter().map(|r| r.reason.as_str()).collect();
    let raws: Vec<&[u8]> = rejects.iter().map(|r| r.raw.as_slice()).collect();
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_reject (import_id, ordinal, start_byte, line, column_name, reason, raw)
         SELECT $1, $2, r.start_byte, r.line, r.column_name, r.reason, r.raw
         FROM unnest($3::pg_catalog.int8[], $4::pg_catalog.int8[], $5::pg_catalog.text[], $6::pg_catalog.text[], $7::pg_catalog.bytea[])
             AS r (start_byte, line, column_name, reason, raw)",
        chunk.import.0,
        chunk.ordinal,
        &starts,
        &lines,
        columns as Vec<Option<&str>>,
        reasons as Vec<&str>,
        raws as Vec<&[u8]>,
    )
    .execute(conn)
    .await?;
    expect_rows("storing rejects", rejects.len() as u64, done.rows_affected())
}

/// Up to `limit` rejects of an import that start at or after byte `from`, in the order of the source.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn page(conn: &mut PgConnection, import: ImportId, from: u64, limit: i64) -> Result<Vec<Reject>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT start_byte, line, column_name, reason, raw FROM pgimport.import_reject
         WHERE import_id = $1 AND start_byte >= $2 ORDER BY start_byte LIMIT $3",
        import.0,
        i64::try_from(from).unwrap_or(i64::MAX),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Reject::from).collect())
}

/// The rejects of one chunk, in the order of the source.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn of_chunk(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Vec<Reject>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT start_byte, line, column_name, reason, raw FROM pgimport.import_reject
         WHERE import_id = $1 AND ordinal = $2 ORDER BY start_byte",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Reject::from).collect())
}

struct Row {
    start_byte: i64,
    line: i64,
    column_name: Option<String>,
    reason: String,
    raw: Vec<u8>,
}

impl From<Row> for Reject {
    fn from(row: Row) -> Self {
        Self {
            start_byte: row.start_byte.unsigned_abs(),
            line: row.line.unsigned_abs(),
            column: row.column_name,
            reason: row.reason,
            raw: row.raw,
        }
    }
}
