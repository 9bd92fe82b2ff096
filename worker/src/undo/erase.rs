//! Deletes from the target exactly the rows that a chunk put there. With `load::plan`, the only code that writes a user's table.
//!
//! Where to look, the registry's ids say; whose a row is, its transaction: one that did not write it for this chunk wrote another row, or
//! this one anew. Runs under the search path of the worker's role, for so do the table's triggers: what it calls is called by its full name.

use ledger::{
    LedgerError,
    chunks::UndoCounts,
    registry::{self, RegisteredRange},
};
use model::{ChunkKey, IdentitySpec, UndoSpec};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{UndoTarget, quote_identifier};

/// The age at which a transaction's id may name another transaction too, by the lower half of it that rows have.
const OLDEST_AGE: u64 = 1 << 31;

/// Why rows are not deleted.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("the database refused to delete the rows")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "nothing was deleted: more than two billion transactions have passed since the rows were loaded, so that others may look like those that wrote them"
    )]
    TooOld,
    #[error(
        "nothing was deleted: the rows were loaded by a transaction that this server has not had yet: the ledger was restored from another one, and the table may be another too"
    )]
    OtherServer,
    #[error(
        "nothing was deleted: {found} rows look as the import left them where it put {registered}: a trigger of the table may have written to rows of others"
    )]
    TooMany { registered: u64, found: u64 },
}

/// A chunk's rows within the target.
pub struct Rows<'a> {
    pub chunk: ChunkKey,
    pub target: &'a UndoTarget,
    pub identity: &'a IdentitySpec,
    pub ranges: &'a [RegisteredRange],
}

/// The rows that are found where an import's should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// As the import left them.
    pub ours: u64,
    /// Under its ids, but not as it left them: edited since, or somebody else's. Those of other imports are not among them.
    pub differing: u64,
    /// Ids that the import registered.
    pub registered: u64,
}

impl Rows<'_> {
    /// Looks at the rows without changing them.
    ///
    /// # Errors
    /// [`EraseError`] from the database.
    pub async fn find(&self, conn: &mut PgConnection) -> Result<Found, EraseError> {
        let mut found = Found::default();
        for range in self.ranges {
            let differing = self.count_differing(conn, range).await?;
            let ours = self.count(conn, range, &ours(range)).await?;
            found.ours += ours;
            found.differing += differing;
            found.registered += range.range.count();
        }
        Ok(found)
    }

    /// Deletes the rows that are as the import left them; with `include_edited` also those that are not, but for those that other imports
    /// put there. What is left is counted.
    ///
    /// # Errors
    /// [`EraseError`]; a foreign key that forbids a deletion among them. The caller's transaction must be rolled back then.
    pub async fn erase(&self, conn: &mut PgConnection, undo: UndoSpec) -> Result<UndoCounts, EraseError> {
        self.check_age(conn, undo).await?;
        let mut counts = UndoCounts::default();
        for range in self.ranges {
            let registered = range.range.count();
            let condition = if undo.include_edited {
                format!("({} OR NOT {})", ours(range), self.given_to_later(range))
            } else {
                ours(range)
            };
            let deleted = self.delete(conn, range, &condition).await?;
            if deleted > registered {
                return Err(EraseError::TooMany {
                    registered,
                    found: deleted,
                });
            }
            // A trigger may have kept rows of ours from being deleted, or a rule.
            let kept = if deleted < registered {
                self.count_differing(conn, range).await? + self.count(conn, range, &ours(range)).await?
            } else {
                0
            };
            counts.deleted += deleted;
            counts.kept += kept;
            counts.missing += registered.saturating_sub(deleted + kept);
        }
        Ok(counts)
    }

    /// Checks that the transactions that wrote the rows can still be told from others.
    ///
    /// # Errors
    /// [`EraseError::TooOld`], which does not count where rows of others are deleted too; [`EraseError::OtherServer`].
    pub async fn check_age(&self, conn: &mut PgConnection, undo: UndoSpec) -> Result<(), EraseError> {
        let Some(oldest) = self.ranges.iter().filter_map(|range| range.xids.oldest).min() else {
            return Ok(());
        };
        match registry::next_xid(conn).await?.checked_sub(oldest) {
            None | Some(0) => Err(EraseError::OtherServer),
            Some(age) if age >= OLDEST_AGE && !undo.include_edited => Err(EraseError::TooOld),
            Some(_) => Ok(()),
        }
    }

    fn given_to_later(&self, range: &RegisteredRange) -> String {
        let IdentitySpec::Sequence { column } = self.identity;
        let id = format!("t.{}", quote_identifier(column));
        registry::given_to_later(self.chunk, self.target.oid, &range.xids, &id)
    }

    /// Rows under the range's ids that are neither as the import left them nor of a later load.
    async fn count_differing(&self, conn: &mut PgConnection, range: &RegisteredRange) -> Result<u64, EraseError> {
        let differing = format!("NOT ({})", ours(range));
        // Nearly always none, and then nobody need be asked whose they are.
        if self.count(conn, range, &differing).await? == 0 {
            return Ok(0);
        }
        let condition = format!("{differing} AND NOT {}", self.given_to_later(range));
        self.count(conn, range, &condition).await
    }

    async fn count(
        &self,
        conn: &mut PgConnection,
        range: &RegisteredRange,
        condition: &str,
    ) -> Result<u64, EraseError> {
        let statement = self.statement("SELECT pg_catalog.count(*)", condition);
        let count: i64 = bind(&statement, range).fetch_one(conn).await?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn delete(
        &self,
        conn: &mut PgConnection,
        range: &RegisteredRange,
        condition: &str,
    ) -> Result<u64, EraseError> {
        let statement = self.statement("DELETE", condition);
        Ok(bind(&statement, range).execute(conn).await?.rows_affected())
    }

    /// Does something with the rows under a range's ids, and none that lie between them, of which a condition holds.
    fn statement(&self, verb: &str, condition: &str) -> String {
        let IdentitySpec::Sequence { column } = self.identity;
        let (id, from) = (quote_identifier(column), &self.target.from);
        format!("{verb} FROM {from} AS t WHERE t.{id} BETWEEN $1 AND $2 AND (t.{id} - $1) % $3 = 0 AND {condition}")
    }
}

/// Rows that the chunk's own transactions wrote. As a constant: with a list that comes as a parameter a generic plan looks each row up in
/// it from its beginning.
fn ours(range: &RegisteredRange) -> String {
    is_any_of(&range.xids.xmins)
}

fn is_any_of(xmins: &[u32]) -> String {
    let list: Vec<String> = xmins.iter().map(u32::to_string).collect();
    format!(
        "t.xmin OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.xid[])",
        list.join(",")
    )
}

fn bind<'q>(
    statement: &'q str,
    registered: &'q RegisteredRange,
) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    // Each chunk has a text of its own: to keep it prepared would only take room.
    sqlx::query(AssertSqlSafe(statement))
        .bind(registered.range.start_id)
        .bind(registered.range.end_id)
        .bind(registered.range.step)
        .persistent(false)
}
