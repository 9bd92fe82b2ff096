//! Rows that somebody edited since an import loaded them, where a column of theirs has the import's id.
//!
//! Whose chunk's they are nobody knows, and need not: each chunk lacks so many rows, and so many are found edited in all.

use ledger::{LedgerError, pages};
use model::ImportId;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{UndoTarget, quote_identifier};

/// The rows of an import that are not as it left them.
pub(super) struct Edited<'a> {
    target: &'a UndoTarget,
    /// That a row `t` is one.
    condition: String,
}

impl<'a> Edited<'a> {
    /// Those that have the import's id in a column, and that none of the import's transactions wrote.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub(super) async fn find(
        conn: &mut PgConnection,
        import: ImportId,
        target: &'a UndoTarget,
        column: &str,
    ) -> Result<Self, LedgerError> {
        let xmins = pages::xmins(conn, import).await?;
        let xmins: Vec<String> = xmins.iter().map(u32::to_string).collect();
        let condition = format!(
            "t.{} = '{import}'::pg_catalog.int8 AND NOT t.xmin OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.xid[])",
            quote_identifier(column),
            xmins.join(",")
        );
        Ok(Self { target, condition })
    }

    /// Counts them.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub(super) async fn count(&self, conn: &mut PgConnection) -> Result<u64, LedgerError> {
        let Self { target, condition } = self;
        let statement = format!("SELECT pg_catalog.count(*) FROM {} AS t WHERE {condition}", target.from);
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    /// Deletes no more than `most` of them. Returns how many.
    ///
    /// # Errors
    /// [`LedgerError`] from the database; a foreign key that forbids it among them.
    pub(super) async fn delete(&self, conn: &mut PgConnection, most: u64) -> Result<u64, LedgerError> {
        let Self { target, condition } = self;
        // Whoever edits one of them again in this moment has it stay.
        let statement = format!(
            "WITH edited AS MATERIALIZED (SELECT t.tableoid AS leaf, t.ctid AS place FROM {from} AS t WHERE {condition} LIMIT {most})
             DELETE FROM {from} AS t USING edited AS e
             WHERE t.ctid OPERATOR(pg_catalog.=) e.place AND t.tableoid OPERATOR(pg_catalog.=) e.leaf",
            from = target.from
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        Ok(query.execute(conn).await?.rows_affected())
    }
}
