//! Rows that somebody edited since an import loaded them, where a column of theirs has the import's id.
//!
//! Whose chunk's they are nobody knows, and need not: each chunk lacks so many rows, and so many are found edited in all.

use ledger::{LedgerError, chunks, pages, sessions};
use model::ImportId;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{UndoTarget, quote_identifier};

/// The rows of an import that are not as it left them.
pub(crate) struct Edited<'a> {
    pub import: ImportId,
    pub target: &'a UndoTarget,
    /// The column that has the import's id.
    pub column: &'a str,
}

impl Edited<'_> {
    /// How many of the rows that a chunk lacks are edited: as many as there are that no other chunk lacks. What is known of other chunks stays
    /// so until the caller's transaction ends.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub(super) async fn among(&self, conn: &mut PgConnection, lacking: u64) -> Result<u64, LedgerError> {
        sessions::transaction_lock(conn, &format!("pgimport edited {}", self.import)).await?;
        let of_others = chunks::rows_kept(conn, self.import).await?;
        Ok(self.count(conn).await?.saturating_sub(of_others).min(lacking))
    }

    /// Counts them.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub(super) async fn count(&self, conn: &mut PgConnection) -> Result<u64, LedgerError> {
        let edited = self.condition(conn).await?;
        let statement = format!(
            "SELECT pg_catalog.count(*) FROM {} AS t WHERE {edited}",
            self.target.from
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    /// Deletes no more than `most` of them. Returns how many.
    ///
    /// # Errors
    /// [`LedgerError`] from the database; a foreign key that forbids it among them.
    pub(super) async fn delete(&self, conn: &mut PgConnection, most: u64) -> Result<u64, LedgerError> {
        sessions::transaction_lock(conn, &format!("pgimport edited {}", self.import)).await?;
        let edited = self.condition(conn).await?;
        // Whoever edits one of them again in this moment has it stay.
        let statement = format!(
            "WITH edited AS MATERIALIZED (SELECT t.tableoid AS leaf, t.ctid AS place FROM {from} AS t WHERE {edited} LIMIT {most})
             DELETE FROM {from} AS t USING edited AS e
             WHERE t.ctid OPERATOR(pg_catalog.=) e.place AND t.tableoid OPERATOR(pg_catalog.=) e.leaf",
            from = self.target.from
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        Ok(query.execute(conn).await?.rows_affected())
    }

    /// That a row `t` has the import's id, and none of the import's transactions wrote it.
    async fn condition(&self, conn: &mut PgConnection) -> Result<String, LedgerError> {
        let xmins = pages::xmins(conn, self.import).await?;
        let xmins: Vec<String> = xmins.iter().map(u32::to_string).collect();
        Ok(format!(
            "t.{} = '{}'::pg_catalog.int8 AND NOT t.xmin OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.xid[])",
            quote_identifier(self.column),
            self.import,
            xmins.join(",")
        ))
    }
}
