//! Puts rows back that a chunk deleted, for its source did not have them.
//!
//! One whose key somebody else's row has by now stays in the ledger. Where another import had put a row there, that one is told where it is
//! now, as with rows that are restored.

use ledger::{before, pages::PageRange};
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{UndoTarget, WholeRows, quote_identifier, text_array};

use super::{
    erase::EraseError,
    restore::{hand_over, of_owner},
};
use crate::load::{
    pages,
    statements::{BY_PAGES, PAGES},
};

/// The rows that a chunk deleted.
pub(crate) struct Removed<'a> {
    pub chunk: ChunkKey,
    pub target: &'a UndoTarget,
    pub rows: &'a WholeRows,
}

impl Removed<'_> {
    /// Puts them back. Returns how many. `xid` is the transaction that deleted them, in full.
    ///
    /// # Errors
    /// [`EraseError`]; a constraint that they break by now among them.
    pub(crate) async fn put_back(&self, conn: &mut PgConnection, xid: u64) -> Result<u64, EraseError> {
        let owners = before::owners(conn, self.chunk, self.target.oid, xid).await?;
        // Whoever is undone in this moment keeps its rows from coming back, or finds them in the table.
        before::lock_owners(conn, &owners).await?;
        before::pin_text_forms(conn).await?;
        let mut returned = 0;
        for owner in &owners {
            sqlx::raw_sql("SAVEPOINT pgimport_owner").execute(&mut *conn).await?;
            let runs = self.put(conn, &of_owner(owner)).await?;
            returned += count(&runs);
            hand_over(conn, self.target, owner, runs).await?;
            sqlx::raw_sql("RELEASE SAVEPOINT pgimport_owner")
                .execute(&mut *conn)
                .await?;
        }
        returned += count(&self.put(conn, "").await?);
        Ok(returned)
    }

    /// Puts those back of which a condition on the ledger's row `b` holds. Returns where they are.
    async fn put(&self, conn: &mut PgConnection, condition: &str) -> Result<Vec<(PageRange, String)>, EraseError> {
        let columns = self.rows.columns.iter();
        let names: Vec<String> = columns.clone().map(|column| quote_identifier(&column.name)).collect();
        let values = (1..)
            .zip(columns)
            .map(|(number, column)| format!("taken.image[{number}]::{}", column.sql_type));
        let key = self.rows.key.iter().map(|column| quote_identifier(&column.name));
        let statement = format!(
            "WITH taken AS ({taken}),
                 put AS (
                     INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM taken ORDER BY taken.key
                     ON CONFLICT ({key}) DO NOTHING RETURNING t.tableoid AS leaf, t.ctid AS place, {key_of_row} AS key),
                 left_over AS ({left_over})
             SELECT {PAGES} FROM put {BY_PAGES}",
            taken = before::take_removed(self.chunk, condition),
            table = self.target.name,
            names = names.join(", "),
            values = values.collect::<Vec<_>>().join(", "),
            key = key.collect::<Vec<_>>().join(", "),
            key_of_row = text_array(&self.rows.key),
            left_over = before::put_removed("taken", "put"),
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let rows = query.fetch_all(conn).await?;
        Ok(rows.iter().map(pages::run).collect::<Result<_, _>>()?)
    }

    /// How many would come back: those whose key no row has.
    ///
    /// # Errors
    /// Of the database.
    pub(crate) async fn count(&self, conn: &mut PgConnection) -> Result<u64, EraseError> {
        before::pin_text_forms(conn).await?;
        let statement = format!(
            "SELECT pg_catalog.count(*) FROM pgimport.import_before AS b
             WHERE b.import_id = {} AND b.ordinal = {} AND b.existed
               AND NOT EXISTS (SELECT FROM {} AS t WHERE {} OPERATOR(pg_catalog.=) b.key_hash)",
            self.chunk.import.0,
            self.chunk.ordinal,
            self.target.from,
            before::hash_of(&text_array(&self.rows.key))
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }
}

fn count(runs: &[(PageRange, String)]) -> u64 {
    runs.iter().map(|(run, _)| run.rows).sum()
}
