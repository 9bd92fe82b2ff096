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

/// The same, and has statements that look for many rows by expressions planned so that they end: nobody knows how many rows an expression
/// finds, and to look through all of them once more for each would not. Where there is no other way, what that seems to cost is no reason to
/// compile anything.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn pin_text_forms_and_plans(conn: &mut PgConnection) -> Result<(), LedgerError> {
    pin_text_forms(conn).await?;
    const PLANS: &str = "SET LOCAL enable_nestloop = off; SET LOCAL jit = off";
    sqlx::raw_sql(PLANS).execute(conn).await?;
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

/// A statement that puts those of a query `taken` in again for which a query `put` has no row: a condition on its row `t` and one of theirs `c`
/// says which belong together.
#[must_use]
pub fn put_removed(taken: &str, put: &str, is_same: &str) -> String {
    format!(
        "INSERT INTO pgimport.import_before SELECT c.* FROM {taken} AS c WHERE NOT EXISTS (SELECT FROM {put} AS t WHERE {is_same})"
    )
}

/// Rows that a chunk found and that are not given back yet: those that shall come back, and all.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn count(conn: &mut PgConnection, chunk: ChunkKey) -> Result<(u64, u64), LedgerError> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE existed) AS "existing!", count(*) AS "all!" FROM pgimport.import_before
           WHERE import_id = $1 AND ordinal = $2"#,
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_one(conn)
    .await?;
    let count = |value| unsigned("rows that were found", value);
    Ok((count(row.existing)?, count(row.all)?))
}

/// The chunks of other imports, of tables of a `family`, that deleted rows which some transactions had written, and have not put them back.
/// `oldest` is the oldest of these, in full.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn removed_by_others(
    conn: &mut PgConnection,
    import: ImportId,
    family: &[Oid],
    xmins: &[i64],
    oldest: u64,
) -> Result<Vec<ChunkKey>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT x.import_id, x.ordinal FROM pgimport.import AS i JOIN pgimport.import_conflict AS x ON x.import_id = i.id
         WHERE i.target_oid = ANY ($2) AND i.id <> $1 AND abs(x.removed_xid - $4) < 2147483648
           AND EXISTS (SELECT FROM pgimport.import_before AS b
                       WHERE b.import_id = x.import_id AND b.ordinal = x.ordinal AND b.existed AND b.row_xmin = ANY ($3))
         ORDER BY 1, 2",
        import.0,
        family,
        xmins,
        signed::<u64, i64>("a transaction id", oldest)?
    )
    .fetch_all(conn)
    .await?;
    let chunks = rows.into_iter().map(|row| ChunkKey {
        import: ImportId(row.import_id),
        ordinal: row.ordinal,
    });
    Ok(chunks.collect())
}

/// Keeps rows that a chunk deleted from coming back, for what had put them there is undone: those that some transactions had written, but for
/// those that the chunk `found` had found there. Returns how many.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn withdraw(
    conn: &mut PgConnection,
    removed_by: ChunkKey,
    xmins: &[i64],
    found: Option<ChunkKey>,
) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import_before AS b SET existed = false, image = NULL
         WHERE b.import_id = $1 AND b.ordinal = $2 AND b.existed AND b.row_xmin = ANY ($3)
           AND NOT EXISTS (SELECT FROM pgimport.import_before AS f
                           WHERE f.import_id = $4 AND f.ordinal = $5 AND f.existed AND f.key_hash = b.key_hash AND f.key = b.key)",
        removed_by.import.0,
        removed_by.ordinal,
        xmins,
        found.map(|chunk| chunk.import.0),
        found.map(|chunk| chunk.ordinal)
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Gives rows that a chunk deleted back what they had before another one, `found_by`, overwrote them, as they lie in the ledger: those that some
/// transactions of that one had written. `columns` says for each column of the deleted rows which of the overwritten it is, from 1, if it is
/// one. Returns how many.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn restore_removed(
    conn: &mut PgConnection,
    removed_by: ChunkKey,
    xmins: &[i64],
    found_by: ChunkKey,
    columns: &[Option<i32>],
) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "WITH given AS (
             UPDATE pgimport.import_before AS s
             SET row_xmin = f.row_xmin,
                 image = (SELECT array_agg(CASE WHEN c.number IS NULL THEN s.image[c.place] ELSE f.image[c.number] END ORDER BY c.place)
                          FROM unnest($6::integer[]) WITH ORDINALITY AS c (number, place))
             FROM pgimport.import_before AS f
             WHERE s.import_id = $1 AND s.ordinal = $2 AND s.existed AND s.row_xmin = ANY ($3)
               AND f.import_id = $4 AND f.ordinal = $5 AND f.existed AND f.key_hash = s.key_hash AND f.key = s.key
             RETURNING f.key_hash, f.key)
         DELETE FROM pgimport.import_before AS f USING given AS g
         WHERE f.import_id = $4 AND f.ordinal = $5 AND f.key_hash = g.key_hash AND f.key = g.key",
        removed_by.import.0,
        removed_by.ordinal,
        xmins,
        found_by.import.0,
        found_by.ordinal,
        columns as &[Option<i32>]
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Rows that some transactions had written, an import overwrote since, and another one deleted: when that is undone, the first may be found again.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn overwritten_and_removed(
    conn: &mut PgConnection,
    import: ImportId,
    family: &[Oid],
    xmins: &[i64],
) -> Result<u64, LedgerError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(DISTINCT u.key_hash) AS "count!"
           FROM pgimport.import AS i JOIN pgimport.import_before AS u ON u.import_id = i.id
           WHERE i.target_oid = ANY ($2) AND i.id <> $1 AND u.existed AND u.row_xmin = ANY ($3)
             AND EXISTS (SELECT FROM pgimport.import AS j JOIN pgimport.import_conflict AS x ON x.import_id = j.id
                         JOIN pgimport.import_before AS s ON s.import_id = x.import_id AND s.ordinal = x.ordinal
                         WHERE j.target_oid = ANY ($2) AND x.removed_xid IS NOT NULL AND s.existed AND s.key_hash = u.key_hash)"#,
        import.0,
        family,
        xmins
    )
    .fetch_one(conn)
    .await?;
    unsigned("rows that were overwritten", count)
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

/// Whose the rows were that a chunk found in a table, as far as they were other imports' of the same table, or of one of its `family`. `oldest` is the oldest of the
/// chunk's own transactions: theirs are not so far from it that the halves that rows have could be another's. They may be younger, for a chunk may
/// have waited for them.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn owners(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    family: &[Oid],
    oldest: u64,
) -> Result<Vec<Owner>, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT DISTINCT row_xmin FROM pgimport.import_before WHERE import_id = $1 AND ordinal = $2 AND existed),
           written AS (
               SELECT p.import_id, p.ordinal, true AS by_pages, x.xid
               FROM pgimport.import AS i JOIN pgimport.import_pages AS p ON p.import_id = i.id, pg_catalog.unnest(p.xids) AS x (xid)
               WHERE i.target_oid = ANY ($3) AND i.id <> $1
               UNION ALL
               SELECT r.import_id, r.ordinal, false, x.xid
               FROM pgimport.import AS i JOIN pgimport.import_registry AS r ON r.import_id = i.id, pg_catalog.unnest(r.xids) AS x (xid)
               WHERE i.target_oid = ANY ($3) AND i.id <> $1)
           SELECT w.import_id AS "import_id!", w.ordinal AS "ordinal!", w.by_pages AS "by_pages!",
               pg_catalog.array_agg(DISTINCT f.row_xmin) AS "xmins!"
           FROM written AS w JOIN found AS f ON f.row_xmin = w.xid & 4294967295::pg_catalog.int8
           WHERE pg_catalog.abs($4 - w.xid) < 2147483648::pg_catalog.int8
           GROUP BY 1, 2, 3 ORDER BY 1, 2"#,
        chunk.import.0,
        chunk.ordinal,
        family,
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
