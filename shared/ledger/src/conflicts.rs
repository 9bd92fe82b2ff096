//! Table `import_conflict`: what came of records whose key the table, or another record, had already.

use model::{ChunkKey, ImportId};
use sqlx::PgConnection;

use crate::{
    LedgerError, chunks,
    error::expect_rows,
    number::{signed, unsigned},
};

/// What came of a chunk's records whose key was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConflictCounts {
    /// Rows of others that the chunk overwrote.
    pub updated: u64,
    /// Records of which the table had the row, with the same values.
    pub unchanged: u64,
    /// Records that gave way to the row, or to another record, of the same key.
    pub skipped: u64,
}

/// Rows of a chunk that a later one of the same import overwrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    pub ordinal: i32,
    pub rows: u64,
    /// Of these, rows that the chunk had overwritten itself.
    pub updated: u64,
}

/// What is known of a chunk whose import allows for rows that are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkConflicts {
    pub counts: ConflictCounts,
    /// Rows that it put there and a later chunk overwrote.
    pub superseded: u64,
    /// Rows that an undo restored.
    pub restored: u64,
    /// Rows that it deleted, for the source did not have them.
    pub removed: u64,
    /// Of these, rows that an undo put back.
    pub returned: u64,
    /// The transaction that deleted them, in full.
    pub removed_xid: Option<u64>,
}

/// Adds what came of a chunk, in the transaction that loads it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, chunk: ChunkKey, counts: ConflictCounts) -> Result<(), LedgerError> {
    let number = |value: u64| signed::<u64, i64>("the records of a chunk", value);
    sqlx::query!(
        "INSERT INTO pgimport.import_conflict (import_id, ordinal, updated_count, unchanged_count, skipped_count)
         VALUES ($1, $2, $3, $4, $5)",
        chunk.import.0,
        chunk.ordinal,
        number(counts.updated)?,
        number(counts.unchanged)?,
        number(counts.skipped)?
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds how many rows the caller's transaction deleted that the source did not have.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert_removed(conn: &mut PgConnection, chunk: ChunkKey, removed: u64) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO pgimport.import_conflict
             (import_id, ordinal, updated_count, unchanged_count, skipped_count, removed_count, removed_xid)
         VALUES ($1, $2, 0, 0, 0, $3, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8)",
        chunk.import.0,
        chunk.ordinal,
        signed::<u64, i64>("the rows removed", removed)?
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the rows of earlier chunks that were overwritten off their account, in the transaction that overwrites them.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn supersede(
    conn: &mut PgConnection,
    import: ImportId,
    superseded: &[Superseded],
) -> Result<(), LedgerError> {
    if superseded.is_empty() {
        return Ok(());
    }
    let number = |value: u64| signed::<u64, i64>("the rows of a chunk", value);
    let ordinals: Vec<i32> = superseded.iter().map(|chunk| chunk.ordinal).collect();
    let rows: Vec<i64> = superseded
        .iter()
        .map(|chunk| number(chunk.rows))
        .collect::<Result<_, _>>()?;
    let updated: Vec<i64> = superseded
        .iter()
        .map(|chunk| number(chunk.updated))
        .collect::<Result<_, _>>()?;
    let done = sqlx::query!(
        "UPDATE pgimport.import_conflict AS c
         SET updated_count = c.updated_count - s.updated, skipped_count = c.skipped_count + s.rows,
             superseded_count = c.superseded_count + s.rows
         FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS s (ordinal, rows, updated)
         WHERE c.import_id = $1 AND c.ordinal = s.ordinal",
        import.0,
        &ordinals,
        &rows,
        &updated
    )
    .execute(&mut *conn)
    .await?;
    expect_rows("noting overwritten rows", superseded.len() as u64, done.rows_affected())?;
    chunks::take_off(conn, import, &ordinals, &rows).await
}

/// What is known of a chunk; nothing where its import does not allow for rows that are there already.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn read(conn: &mut PgConnection, chunk: ChunkKey) -> Result<ChunkConflicts, LedgerError> {
    let row = sqlx::query!(
        "SELECT updated_count, unchanged_count, skipped_count, superseded_count, restored_count,
             removed_count, returned_count, removed_xid FROM pgimport.import_conflict
         WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(ChunkConflicts::default());
    };
    let number = |value| unsigned("the records of a chunk", value);
    Ok(ChunkConflicts {
        counts: ConflictCounts {
            updated: number(row.updated_count)?,
            unchanged: number(row.unchanged_count)?,
            skipped: number(row.skipped_count)?,
        },
        superseded: number(row.superseded_count)?,
        restored: number(row.restored_count)?,
        removed: number(row.removed_count)?,
        returned: number(row.returned_count)?,
        removed_xid: row.removed_xid.map(number).transpose()?,
    })
}

/// Counts rows that an undo restored and put back, in its transaction.
///
/// # Errors
/// [`LedgerError`] from the database.
pub(crate) async fn add_given_back(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    restored: u64,
    returned: u64,
) -> Result<(), LedgerError> {
    if restored + returned == 0 {
        return Ok(());
    }
    let done = sqlx::query!(
        "UPDATE pgimport.import_conflict SET restored_count = restored_count + $3, returned_count = returned_count + $4
         WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal,
        signed::<u64, i64>("the rows restored", restored)?,
        signed::<u64, i64>("the rows put back", returned)?
    )
    .execute(conn)
    .await?;
    expect_rows("counting restored rows", 1, done.rows_affected())
}
