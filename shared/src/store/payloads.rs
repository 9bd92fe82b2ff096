//! Table `import_payload`: a chunk's bytes, until they are loaded or cancelled.

use sqlx::PgConnection;

use super::{StoreError, error::expect_rows};
use crate::model::{ChunkKey, ImportId};

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Codec {
    None,
    Lz4,
    Zstd,
}

/// A chunk's bytes as they are stored.
#[derive(Debug)]
pub struct Payload {
    pub codec: Codec,
    pub data: Vec<u8>,
}

/// Stores the payloads of new chunks.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn insert(
    conn: &mut PgConnection,
    import: ImportId,
    ordinals: &[i32],
    codec: Codec,
    data: &[&[u8]],
) -> Result<(), StoreError> {
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_payload (import_id, ordinal, codec, data)
         SELECT $1, p.ordinal, $2, p.data FROM unnest($3::integer[], $4::bytea[]) AS p (ordinal, data)",
        import.0,
        codec as Codec,
        ordinals,
        data as &[&[u8]],
    )
    .execute(conn)
    .await?;
    expect_rows("storing payloads", ordinals.len() as u64, done.rows_affected())
}

/// Reads a payload; `None` when it is gone, which means: look at the chunk's state again.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn read(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<Payload>, StoreError> {
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
/// [`StoreError`]; a payload that is not there is one, for the claim says it is.
pub async fn delete(conn: &mut PgConnection, chunk: ChunkKey) -> Result<(), StoreError> {
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
/// [`StoreError`] from the database.
pub async fn delete_all(conn: &mut PgConnection, import: ImportId) -> Result<u64, StoreError> {
    let done = sqlx::query!("DELETE FROM pgimport.import_payload WHERE import_id = $1", import.0)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
