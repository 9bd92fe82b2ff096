//! Table `import_before`: rows as they were before an import overwrote them.
//!
//! They are written and read by the statements that write and read the user's table, for both must be one: what is here are the parts of
//! these that name the ledger.

use model::ChunkKey;
use sqlx::PgConnection;

use crate::LedgerError;

/// Has values written as text in one way, whatever the role's settings are, until the caller's transaction ends: keys are compared by
/// their text, and what was written is to be read again.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn pin_text_forms(conn: &mut PgConnection) -> Result<(), LedgerError> {
    const FORMS: &str = "SET LOCAL datestyle = ISO; SET LOCAL intervalstyle = postgres; SET LOCAL extra_float_digits = 1; \
                         SET LOCAL bytea_output = hex; SET LOCAL xmlbinary = base64";
    sqlx::raw_sql(FORMS).execute(conn).await?;
    Ok(())
}

/// What finds the rows of a key: `key` is an expression of the type `text[]`.
#[must_use]
pub fn hash_of(key: &str) -> String {
    format!("pg_catalog.hash_array_extended({key}, 0::pg_catalog.int8)")
}

/// A query for the transactions of an import, each with its chunk: `ordinal`, and `xmin` as rows have it. `import` is a parameter.
#[must_use]
pub fn own_transactions(import: &str) -> String {
    format!(
        "SELECT DISTINCT p.ordinal, x.xid & 4294967295::pg_catalog.int8 AS xmin
         FROM pgimport.import_pages AS p, pg_catalog.unnest(p.xids) AS x (xid) WHERE p.import_id = {import}::pg_catalog.int8"
    )
}

/// A statement that keeps the rows of a query `source` as they are: their `key`, their `image`, their `xmin`, and the chunk of the same
/// import that wrote them as `own`; of such a row, what that chunk found is kept. `import` and `ordinal` are parameters: the chunk that
/// overwrites them. Returns `supersedes` and `existed`.
#[must_use]
pub fn save(source: &str, import: &str, ordinal: &str) -> String {
    let hash = hash_of("c.key");
    format!(
        "INSERT INTO pgimport.import_before (import_id, ordinal, key_hash, key, existed, image, row_xmin, supersedes)
         SELECT {import}::pg_catalog.int8, {ordinal}::pg_catalog.int4, {hash}, c.key, i.image IS NOT NULL, i.image, c.xmin, c.own
         FROM {source} AS c
         LEFT JOIN pgimport.import_before AS b ON c.own IS NOT NULL AND b.import_id = {import}::pg_catalog.int8 AND b.ordinal = c.own
             AND b.key_hash = {hash} AND b.key = c.key
         CROSS JOIN LATERAL (SELECT CASE WHEN c.own IS NULL THEN c.image ELSE b.image END AS image) AS i
         RETURNING supersedes, existed"
    )
}

/// A condition that holds of a row `b` of this table that says what a chunk found under a key, where the import was not the first to
/// write it. `key` is an expression of the type `text[]`.
#[must_use]
pub fn found_by(chunk: ChunkKey, key: &str) -> String {
    format!("{} AND b.key = {key}", hash_found_by(chunk, key))
}

/// The same for who may not read what rows hold: by the hash of the key alone.
#[must_use]
pub fn hash_found_by(chunk: ChunkKey, key: &str) -> String {
    format!(
        "b.import_id = {} AND b.ordinal = {} AND b.existed AND b.key_hash = {}",
        chunk.import.0,
        chunk.ordinal,
        hash_of(key)
    )
}

/// Removes what a chunk found, of which every row is restored.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delete(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "DELETE FROM pgimport.import_before WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
