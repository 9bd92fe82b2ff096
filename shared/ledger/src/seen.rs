//! Table `import_seen`: the keys of the rows that an import put into its target or found there, until those are deleted that its source
//! does not have.
//!
//! They are written and read by the statements that write and read the user's table: what is here are the parts of these that name the
//! ledger. A key is an expression of the type `text[]`.

use model::ImportId;
use sqlx::PgConnection;

use crate::{LedgerError, number::unsigned};

/// A statement that keeps the `key` of each row of a query `source`. `import` and `ordinal` are parameters: the chunk.
#[must_use]
pub fn save(source: &str, import: &str, ordinal: &str) -> String {
    format!(
        "INSERT INTO pgimport.import_seen (import_id, ordinal, keys)
         SELECT {import}::pg_catalog.int8, {ordinal}::pg_catalog.int4, pg_catalog.array_agg(c.key::pg_catalog.text) FROM {source} AS c
         HAVING pg_catalog.count(*) > 0"
    )
}

/// A query for all keys that were kept of an import, as `key`.
#[must_use]
pub fn keys(import: ImportId) -> String {
    format!(
        "SELECT pg_catalog.unnest(n.keys)::pg_catalog.text[] AS key FROM pgimport.import_seen AS n WHERE n.import_id = {import}"
    )
}

/// Rows of an import of which no key was kept, where one of each should have been.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn unseen(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let unseen = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(greatest(u.there - u.kept, 0)), 0)::bigint AS "unseen!"
           FROM (SELECT c.loaded_count + x.superseded_count + x.unchanged_count AS there,
                     (SELECT coalesce(sum(cardinality(n.keys)), 0) FROM pgimport.import_seen AS n
                      WHERE n.import_id = c.import_id AND n.ordinal = c.ordinal) AS kept
                 FROM pgimport.import_chunk AS c JOIN pgimport.import_conflict AS x USING (import_id, ordinal)
                 WHERE c.import_id = $1 AND c.state = 'loaded') AS u"#,
        import.0
    )
    .fetch_one(conn)
    .await?;
    unsigned("the rows without a key", unseen)
}

/// Removes the keys of an import that needs them no longer.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delete(conn: &mut PgConnection, import: ImportId) -> Result<u64, LedgerError> {
    let done = sqlx::query!("DELETE FROM pgimport.import_seen WHERE import_id = $1", import.0)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
