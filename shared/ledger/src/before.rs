//! Table `import_before`: rows as they were before an import overwrote or deleted them.
//!
//! They are written and read by the statements that write and read the user's table, for both must be one: what is here are the parts of
//! these that name the ledger.

use model::{ChunkKey, ImportId};
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    LedgerError,
    number::{signed, unsigned},
    registry::xmin,
};

/// Has values written as text in one way, whatever the role's settings are, until the caller's transaction ends: keys are compared by
/// their text, and what was written is to be read again.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn pin_text_forms(conn: &mut PgConnection) -> Result<(), LedgerError> {
    const FORMS: &str = "SET LOCAL datestyle = ISO; SET LOCAL intervalstyle = postgres; SET LOCAL extra_float_digits = 1; \
                         SET LOCAL bytea_output = hex; SET LOCAL array_nulls = on; SET LOCAL xmloption = content; \
                         SET LOCAL quote_all_identifiers = off";
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
    // Asked for each row that needs it, which is hardly any: as a join it would be for the planner to guess how many.
    let carried = |column: &str| {
        format!(
            "(SELECT b.{column} FROM pgimport.import_before AS b
              WHERE b.import_id = {import}::pg_catalog.int8 AND b.ordinal = c.own AND b.key_hash = {hash} AND b.key OPERATOR(pg_catalog.=) c.key)"
        )
    };
    format!(
        "INSERT INTO pgimport.import_before (import_id, ordinal, key_hash, key, existed, image, row_xmin, supersedes)
         SELECT {import}::pg_catalog.int8, {ordinal}::pg_catalog.int4, {}, f.key, f.image IS NOT NULL, f.image, f.xmin, f.own
         FROM (SELECT c.key, c.own, CASE WHEN c.own IS NULL THEN c.image ELSE {} END AS image,
                   CASE WHEN c.own IS NULL THEN c.xmin ELSE coalesce({}, c.xmin) END AS xmin
               FROM {source} AS c) AS f
         RETURNING supersedes, existed",
        hash_of("f.key"),
        carried("image"),
        carried("row_xmin")
    )
}

/// A statement that keeps the rows of a query `source`, which a chunk deletes: their `key`, their `image` and their `xmin`.
#[must_use]
pub fn save_removed(source: &str, chunk: ChunkKey) -> String {
    format!(
        "INSERT INTO pgimport.import_before (import_id, ordinal, key_hash, key, existed, image, row_xmin)
         SELECT {}, {}, {}, c.key, true, c.image, c.xmin FROM {source} AS c RETURNING 1",
        chunk.import.0,
        chunk.ordinal,
        hash_of("c.key")
    )
}

/// A statement that takes the rows out that a chunk deleted, those of which a condition on `b` holds, and returns them.
#[must_use]
pub fn take_removed(chunk: ChunkKey, condition: &str) -> String {
    format!(
        "DELETE FROM pgimport.import_before AS b WHERE b.import_id = {} AND b.ordinal = {} AND b.existed{condition} RETURNING b.*",
        chunk.import.0, chunk.ordinal
    )
}

/// A statement that puts those of a query `taken` in again that are not in another one, `put`, by their `key`.
#[must_use]
pub fn put_removed(taken: &str, put: &str) -> String {
    format!(
        "INSERT INTO pgimport.import_before
         SELECT c.* FROM {taken} AS c WHERE NOT EXISTS (SELECT FROM {put} AS p WHERE p.key OPERATOR(pg_catalog.=) c.key)"
    )
}

/// Rows that a chunk found and that are not given back yet.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn count(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, LedgerError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM pgimport.import_before WHERE import_id = $1 AND ordinal = $2 AND existed"#,
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_one(conn)
    .await?;
    unsigned("rows that were found", count)
}

/// The same with those that shall not come back.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn count_all(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, LedgerError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM pgimport.import_before WHERE import_id = $1 AND ordinal = $2"#,
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_one(conn)
    .await?;
    unsigned("rows that were found", count)
}

/// Keeps rows of a chunk from coming back that other imports deleted since, for it is undone: those that its transactions wrote, of which
/// `oldest` is the oldest. Returns how many.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn withdraw(
    conn: &mut PgConnection,
    import: ImportId,
    target: Oid,
    xmins: &[u32],
    oldest: u64,
) -> Result<u64, LedgerError> {
    let xmins: Vec<i64> = xmins.iter().copied().map(i64::from).collect();
    let done = sqlx::query!(
        "UPDATE pgimport.import_before AS b SET existed = false, image = NULL
         FROM pgimport.import AS i JOIN pgimport.import_conflict AS x ON x.import_id = i.id
         WHERE i.target_oid = $2 AND i.id <> $1 AND x.removed_xid - $4 BETWEEN 0 AND 2147483647
           AND b.import_id = x.import_id AND b.ordinal = x.ordinal AND b.existed AND b.row_xmin = ANY ($3)",
        import.0,
        target,
        &xmins,
        signed::<u64, i64>("a transaction id", oldest)?
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A condition that holds of a row `b` of this table that says what a chunk found under a key, where the import was not the first to
/// write it. `key` is an expression of the type `text[]`.
#[must_use]
pub fn found_by(chunk: ChunkKey, key: &str) -> String {
    format!("{} AND b.key OPERATOR(pg_catalog.=) {key}", hash_found_by(chunk, key))
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

/// A chunk of another import that had put rows there which a chunk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub chunk: ChunkKey,
    /// Whether it knows its rows by pages, and not by ids.
    pub by_pages: bool,
    /// The transactions that wrote them, as rows have them.
    pub xmins: Vec<u32>,
}

/// Whose the rows were that a chunk found in a table, as far as they were other imports' of the same table. `oldest` is the oldest of the
/// chunk's own transactions: theirs are not so far from it that the halves that rows have could be another's. They may be younger, for a chunk may
/// have waited for them.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn owners(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    target: Oid,
    oldest: u64,
) -> Result<Vec<Owner>, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT DISTINCT row_xmin FROM pgimport.import_before WHERE import_id = $1 AND ordinal = $2 AND existed),
           written AS (
               SELECT p.import_id, p.ordinal, true AS by_pages, x.xid
               FROM pgimport.import AS i JOIN pgimport.import_pages AS p ON p.import_id = i.id, pg_catalog.unnest(p.xids) AS x (xid)
               WHERE i.target_oid = $3 AND i.id <> $1
               UNION ALL
               SELECT r.import_id, r.ordinal, false, x.xid
               FROM pgimport.import AS i JOIN pgimport.import_registry AS r ON r.import_id = i.id, pg_catalog.unnest(r.xids) AS x (xid)
               WHERE i.target_oid = $3 AND i.id <> $1)
           SELECT w.import_id AS "import_id!", w.ordinal AS "ordinal!", w.by_pages AS "by_pages!",
               pg_catalog.array_agg(DISTINCT f.row_xmin) AS "xmins!"
           FROM written AS w JOIN found AS f ON f.row_xmin = w.xid & 4294967295::pg_catalog.int8
           WHERE pg_catalog.abs($4 - w.xid) < 2147483648::pg_catalog.int8
           GROUP BY 1, 2, 3 ORDER BY 1, 2"#,
        chunk.import.0,
        chunk.ordinal,
        target,
        signed::<u64, i64>("a transaction id", oldest)?
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Owner {
                chunk: ChunkKey {
                    import: ImportId(row.import_id),
                    ordinal: row.ordinal,
                },
                by_pages: row.by_pages,
                xmins: row.xmins.into_iter().map(xmin).collect::<Result<_, _>>()?,
            })
        })
        .collect()
}

/// Waits for undos of these chunks, and keeps others from beginning until the caller's transaction ends: what is given back to one would
/// be missed.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn lock_owners(conn: &mut PgConnection, owners: &[Owner]) -> Result<(), LedgerError> {
    let imports: Vec<i64> = owners.iter().map(|owner| owner.chunk.import.0).collect();
    let ordinals: Vec<i32> = owners.iter().map(|owner| owner.chunk.ordinal).collect();
    sqlx::query!(
        "SELECT FROM pgimport.import_chunk AS c
         WHERE (c.import_id, c.ordinal) IN (SELECT * FROM unnest($1::bigint[], $2::integer[]))
         ORDER BY c.import_id, c.ordinal FOR KEY SHARE",
        &imports,
        &ordinals
    )
    .fetch_all(conn)
    .await?;
    Ok(())
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
