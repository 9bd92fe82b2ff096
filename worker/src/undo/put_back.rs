//! Puts rows back that a chunk deleted, for its source did not have them.
//!
//! One of which a key is somebody else's by now stays in the ledger. Where another import had put a row there, that one is told where it is
//! now, as with rows that are restored.

use std::collections::VecDeque;

use ledger::{
    before::{self, Owner},
    pages::PageRange,
};
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::types::Oid};
use target::{UndoTarget, WholeRows, is_of_key, quote_identifier, text_array};

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
        let family = self.target.family(conn).await?;
        let owners = self.lock_owners(conn, &family, xid).await?;
        let arbiter = self.target.find_arbiter(conn, &family, &self.rows.key).await?;
        before::pin_text_forms_and_plans(conn).await?;
        let of_nobody: String = owners
            .iter()
            .map(|owner| format!(" AND NOT ({})", of_owner(owner)))
            .collect();
        let mut parts: VecDeque<(Option<&Owner>, String)> = owners
            .iter()
            .map(|owner| (Some(owner), format!(" AND {}", of_owner(owner))))
            .collect();
        parts.push_back((None, of_nobody));
        let (mut returned, mut in_vain) = (0, 0);
        // What is put back first may refer to what comes after it.
        while let Some((owner, condition)) = parts.pop_front() {
            // Whatever has this transaction's id is the owner's, and nobody else's.
            sqlx::raw_sql("SAVEPOINT pgimport_owner").execute(&mut *conn).await?;
            match self.put(conn, &condition, &arbiter).await {
                Ok(runs) => {
                    returned += runs.iter().map(|(run, _)| run.rows).sum::<u64>();
                    if let Some(owner) = owner {
                        hand_over(conn, self.target, owner, runs).await?;
                    }
                    in_vain = 0;
                }
                Err(EraseError::Database(error)) if is_reference(&error) && in_vain < parts.len() => {
                    in_vain += 1;
                    parts.push_back((owner, condition));
                    sqlx::raw_sql("ROLLBACK TO SAVEPOINT pgimport_owner")
                        .execute(&mut *conn)
                        .await?;
                }
                Err(error) => return Err(error),
            }
            sqlx::raw_sql("RELEASE SAVEPOINT pgimport_owner")
                .execute(&mut *conn)
                .await?;
        }
        Ok(returned)
    }

    /// The chunks of other imports that had put the rows there, locked: whoever is undone in this moment changes in the ledger whose rows they
    /// are, or finds them in the table.
    async fn lock_owners(&self, conn: &mut PgConnection, family: &[Oid], xid: u64) -> Result<Vec<Owner>, EraseError> {
        let mut locked = Vec::new();
        loop {
            let owners = before::owners(conn, self.chunk, family, xid).await?;
            if owners == locked {
                return Ok(owners);
            }
            before::lock_owners(conn, &owners).await?;
            locked = owners;
        }
    }

    /// Puts those back of which a condition on the ledger's row `b` holds. Returns where they are.
    async fn put(
        &self,
        conn: &mut PgConnection,
        condition: &str,
        arbiter: &str,
    ) -> Result<Vec<(PageRange, String)>, EraseError> {
        let columns = self.rows.columns.iter();
        let names: Vec<String> = columns
            .clone()
            .map(|kept| quote_identifier(&kept.column.name))
            .collect();
        let values = columns.map(|kept| format!("taken.image[{}]::{}", kept.number, kept.column.sql_type));
        let key: Vec<String> = self
            .rows
            .key
            .iter()
            .map(|key| quote_identifier(&key.column.name))
            .collect();
        let key = key.join(", ");
        let statement = format!(
            "WITH taken AS ({taken}),
                 put AS (
                     INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM taken ORDER BY taken.key
                     ON CONFLICT {arbiter} DO NOTHING RETURNING t.tableoid AS pgimport_leaf, t.ctid AS pgimport_place, {key}),
                 left_over AS ({left_over})
             SELECT {PAGES} FROM (SELECT pgimport_leaf AS leaf, pgimport_place AS place FROM put) AS p {BY_PAGES}",
            taken = before::take_removed(self.chunk, condition),
            table = self.target.name,
            names = names.join(", "),
            values = values.collect::<Vec<_>>().join(", "),
            left_over = before::put_removed(
                "taken",
                "put",
                &is_of_key(&self.rows.key, |number, _| format!("c.key[{number}]"))
            ),
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
            before::hash_of(&text_array(self.rows.key.iter().map(|key| &key.column)))
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }
}

/// Whether a row refers to one that is not there.
fn is_reference(error: &sqlx::Error) -> bool {
    session::sqlstate(error).as_deref() == Some("23503")
}
