//! Deletes the rows of a target whose key no record of the source has, and keeps them so that they can come back.
//!
//! The first statement locks them, so that the second one, which sees what was locked, deletes what it keeps. One statement alone cannot do
//! it: what it deletes may be newer than what it sees. A row that comes in between is deleted if nobody changes it in this moment.

use ledger::{LedgerError, before, seen};
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{UndoTarget, WholeRows, is_of_key, quote_identifier, text_array};

/// The rows of a target that an import's source does not have.
pub(crate) struct Sweep<'a> {
    /// Which deletes them.
    pub chunk: ChunkKey,
    pub target: &'a UndoTarget,
    pub rows: &'a WholeRows,
}

/// What was found of a target.
pub(crate) struct Missing {
    /// Rows that the source does not have. Nobody changes them until the caller's transaction ends.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}

impl Sweep<'_> {
    /// Locks the rows, in the order of their keys.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub(crate) async fn lock(&self, conn: &mut PgConnection) -> Result<Missing, LedgerError> {
        before::pin_text_forms_and_plans(&mut *conn).await?;
        let key = self.rows.key.iter();
        let key: Vec<String> = key
            .map(|key| format!("t.{}", quote_identifier(&key.column.name)))
            .collect();
        let statement = format!(
            "WITH seen AS MATERIALIZED ({seen}),
                 missing AS MATERIALIZED (SELECT 1 FROM {from} AS t WHERE {is_missing} ORDER BY {key} FOR UPDATE OF t)
             SELECT (SELECT pg_catalog.count(*) FROM missing) AS missing, (SELECT pg_catalog.count(*) FROM {from} AS t) AS all_rows",
            seen = seen::keys(self.chunk.import),
            from = self.target.from,
            is_missing = self.is_missing(),
            key = key.join(", "),
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let row = query.fetch_one(conn).await?;
        let count = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        Ok(Missing {
            rows: count("missing")?,
            of: count("all_rows")?,
        })
    }

    /// Deletes them and keeps them in the ledger. Returns how many.
    ///
    /// # Errors
    /// [`LedgerError`] from the database; a foreign key that forbids it among them.
    pub(crate) async fn remove(&self, conn: &mut PgConnection) -> Result<u64, LedgerError> {
        let statement = format!(
            "WITH seen AS MATERIALIZED ({seen}),
                 missing AS MATERIALIZED (
                     SELECT t.tableoid AS leaf, t.ctid AS place, t.xmin::pg_catalog.text::pg_catalog.int8 AS xmin, {key} AS key, {image} AS image
                     FROM {from} AS t WHERE {is_missing}),
                 gone AS (
                     DELETE FROM {from} AS t USING missing AS m
                     WHERE t.ctid OPERATOR(pg_catalog.=) m.place AND t.tableoid OPERATOR(pg_catalog.=) m.leaf
                     RETURNING m.key, m.image, m.xmin),
                 saved AS ({save})
             SELECT pg_catalog.count(*) FROM saved",
            seen = seen::keys(self.chunk.import),
            key = text_array(self.rows.key.iter().map(|key| &key.column)),
            image = text_array(self.rows.columns.iter().map(|kept| &kept.column)),
            from = self.target.from,
            is_missing = self.is_missing(),
            save = before::save_removed("gone", self.chunk),
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let removed: i64 = query.fetch_one(conn).await?.try_get(0)?;
        Ok(removed.unsigned_abs())
    }

    /// That no record has the key of the row `t`, as values of its types: somebody may have written a row anew, with a key that is equal and not
    /// the same.
    fn is_missing(&self) -> String {
        let is_of_key = is_of_key(&self.rows.key, |number, _| format!("k.key[{number}]"));
        format!("NOT EXISTS (SELECT FROM seen AS k WHERE {is_of_key})")
    }
}
