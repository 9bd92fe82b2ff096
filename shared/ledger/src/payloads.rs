//! Table `import_payload`: a chunk's bytes, until they are loaded or cancelled.

use sqlx::PgConnection;

use super::{LedgerError, error::expect_rows};
use model::{ChunkKey, Codec, ImportId};

/// A chunk's bytes as they are stored.
#[derive(Debug)]
pub struct Payload {
    pub codec: Codec,
    pub data: Vec<u8>,
}

/// Stores the payloads of new chunks.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(
    conn: &mut PgConnection,
    import: ImportId,
    ordinals: &[i32],
    codecs: &[Codec],
    data: &[&[u8]],
) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_payload (import_id, ordinal, codec, data)
         SELECT $1, p.ordinal, p.codec, p.data FROM unnest($2::integer[], $3::text[], $4::bytea[]) AS p (ordinal, codec, data)",
        import.0,
        ordinals,
        codecs as &[Codec],
        data as &[&[u8]],
    )
    .execute(conn)
    .await?;
    expect_rows("storing payloads", ordinals.len() as u64, done.rows_affected())
}

/// Reads a payload; `None` when it is gone, which means: look at the chunk's state again.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn read(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<Payload>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT codec AS "codec: Codec", data FROM pgimport.import_payload WHERE import_id = $1 AND ordinal = $2"#,
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Payload {
        codec: row.codec,
        data: row.data,
    }))
}

/// Deletes the payload of a chunk that was just claimed.
///
/// # Errors
/// [`LedgerError`]; a payload that is not there is one, for the claim says it is.
pub async fn delete(conn: &mut PgConnection, chunk: ChunkKey) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "DELETE FROM pgimport.import_payload WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal
    )
    .execute(conn)
    .await?;
    expect_rows("deleting a payload", 1, done.rows_affected())
}

/// Deletes every payload of an import whose chunks were fenced.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delete_all(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let done = sqlx::query!("DELETE FROM pgimport.import_payload WHERE import_id = $1", import.0)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
