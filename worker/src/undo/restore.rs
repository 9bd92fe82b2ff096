//! Gives rows that a chunk overwrote their former values back.
//!
//! A restored row is written anew. Where another import had put it there, that one is told which transaction wrote it now, and where: else it
//! would take the row for one that somebody edited.

use ledger::{
    before::{self, Owner},
    pages::{self as ledger_pages, PageRange},
    registry,
};
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{ConflictColumn, Restored, UndoTarget, quote_identifier, text_array};

use super::{
    erase::{EraseError, ours},
    places::Place,
};
use crate::load::{
    pages,
    plan::{in_full, unsigned},
    statements::{BY_PAGES, PAGES},
};

/// A chunk's rows to restore.
pub(super) struct Restoration<'a> {
    pub chunk: ChunkKey,
    pub target: &'a UndoTarget,
    pub restored: &'a Restored,
    /// The chunks of other imports that had put some of the rows there.
    pub owners: Vec<Owner>,
}

impl Restoration<'_> {
    /// Restores the rows of some places that are as the chunk left them, and that it had found there. Returns how many of each place.
    ///
    /// # Errors
    /// [`EraseError`]; a constraint that the former values break by now among them.
    pub(super) async fn run(&self, conn: &mut PgConnection, places: &[Place]) -> Result<Vec<u64>, EraseError> {
        let mut counts = vec![0; places.len()];
        for owner in &self.owners {
            // Whatever has this transaction's id is the owner's, and nobody else's.
            sqlx::raw_sql("SAVEPOINT pgimport_owner").execute(&mut *conn).await?;
            let of_owner = format!(" AND {}", of_owner(owner));
            let mut runs = Vec::new();
            for (place, count) in std::iter::zip(places, &mut counts) {
                let found = self.restore(conn, place, &of_owner).await?;
                *count += found.iter().map(|(run, _)| run.rows).sum::<u64>();
                runs.extend(found);
            }
            hand_over(conn, self.target, owner, runs).await?;
            sqlx::raw_sql("RELEASE SAVEPOINT pgimport_owner")
                .execute(&mut *conn)
                .await?;
        }
        for (place, count) in std::iter::zip(places, &mut counts) {
            let found = self.restore(conn, place, "").await?;
            *count += found.iter().map(|(run, _)| run.rows).sum::<u64>();
        }
        Ok(counts)
    }

    /// Restores rows of a place, those of which a condition holds. Returns where they are now.
    async fn restore(
        &self,
        conn: &mut PgConnection,
        place: &Place,
        condition: &str,
    ) -> Result<Vec<(PageRange, String)>, EraseError> {
        let set = (1..).zip(&self.restored.columns).map(|(number, column)| {
            let ConflictColumn { name, sql_type, .. } = column;
            format!("{} = b.image[{number}]::{sql_type}", quote_identifier(name))
        });
        let statement = format!(
            "WITH put AS (
                 UPDATE {} AS t SET {} FROM pgimport.import_before AS b WHERE {} AND {} AND {}{condition}
                 RETURNING t.tableoid AS leaf, t.ctid AS place)
             SELECT {PAGES} FROM put {BY_PAGES}",
            place.from,
            set.collect::<Vec<_>>().join(", "),
            place.within,
            ours(place),
            before::found_by(self.chunk, &text_array(&self.restored.key))
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let rows = query.fetch_all(conn).await?;
        Ok(rows.iter().map(pages::run).collect::<Result<_, _>>()?)
    }

    /// How many rows of a place would be restored.
    ///
    /// # Errors
    /// Of the database.
    pub(super) async fn count(&self, conn: &mut PgConnection, place: &Place) -> Result<u64, EraseError> {
        let statement = format!(
            "SELECT pg_catalog.count(*) FROM {} AS t WHERE {} AND {}
             AND EXISTS (SELECT FROM pgimport.import_before AS b WHERE {})",
            place.from,
            place.within,
            ours(place),
            before::hash_found_by(self.chunk, &text_array(&self.restored.key))
        );
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }
}

/// That an owner's transactions had written a row `b` of the ledger.
pub(super) fn of_owner(owner: &Owner) -> String {
    let xmins: Vec<String> = owner.xmins.iter().map(u32::to_string).collect();
    format!("b.row_xmin = ANY ('{{{}}}'::pg_catalog.int8[])", xmins.join(","))
}

/// Tells the import that had put rows there where they are now, and which transaction wrote them.
pub(super) async fn hand_over(
    conn: &mut PgConnection,
    target: &UndoTarget,
    owner: &Owner,
    runs: Vec<(PageRange, String)>,
) -> Result<(), EraseError> {
    let Some((run, first)) = runs.first() else {
        return Ok(());
    };
    let statement = format!(
        "SELECT t.xmin::pg_catalog.text::pg_catalog.int8, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8
         FROM {} AS t WHERE t.tableoid OPERATOR(pg_catalog.=) '{}'::pg_catalog.oid AND t.ctid OPERATOR(pg_catalog.=) '{first}'::pg_catalog.tid",
        target.from, run.leaf.0
    );
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    let row = query.fetch_one(&mut *conn).await?;
    let xid = in_full(unsigned(row.try_get(1)?)?, unsigned(row.try_get(0)?)?);
    if owner.by_pages {
        let runs = pages::join(runs.into_iter().map(|(run, _)| run).collect());
        ledger_pages::adopt(conn, owner.chunk, &runs, xid).await?;
    } else {
        registry::adopt(conn, owner.chunk, xid).await?;
    }
    Ok(())
}
