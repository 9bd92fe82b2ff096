//! Puts a chunk's rows into the target. With `undo::erase`, the only code that writes a user's table.
//!
//! Every function works within the caller's transaction. The SQL that names user tables is built here, each identifier quoted. It runs
//! under the search path of the worker's role, for so do the triggers and defaults of the table: what it calls is called by its full name.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use ledger::{LedgerError, pages::PageRange, registry::IdRange};
use model::{ChunkKey, LoadMethod};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::types::Oid};
use target::{Column, ColumnType, Conflict, SequenceIdentity, Target, TargetError, quote_identifier};

use super::{
    conflict::{Conflicts, OnConflict},
    ids, pages, refusal,
    sink::{ArrayBuffer, Parts, Sink},
    statements::{BySequence, ByTransaction, Statements},
};

/// Why rows could not be put into the target.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the database refused the rows")]
    Rows(#[source] sqlx::Error),
    #[error("the database refused a statement")]
    Database(#[from] sqlx::Error),
    #[error(
        "{table} refused {refused} of the {tried} records that were tried, which may be the table's fault rather than theirs; the last of them: {reason}"
    )]
    Refusals {
        table: String,
        refused: usize,
        tried: usize,
        reason: String,
    },
    #[error(
        "{table} took {taken} of {sent} rows: a trigger or a policy drops some, so that they could not be told from rejects"
    )]
    RowsTaken { table: String, sent: u64, taken: u64 },
    #[error(
        "the sequence {sequence} gave the id {id}, which the id column cannot hold: ALTER the column to bigint, or restart the sequence"
    )]
    IdWidth { sequence: String, id: i64 },
    #[error("the server said that rows are at {place}, which is no place")]
    Place { place: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the triggers of the table cannot be looked at")]
    Target(#[from] TargetError),
    #[error("the server gave the number {value} where it counts from 0")]
    Negative { value: i64 },
    #[error("the table {table} was renamed, altered or dropped while it was loaded")]
    Outdated { table: String },
    #[error(
        "the role '{role}', which submitted this import, may not write to {table}: GRANT {privileges} ON {table} TO {}", quote_identifier(.role)
    )]
    Submitter {
        role: String,
        table: String,
        privileges: &'static str,
    },
}

/// Chunks that go by batches from the beginning after one had to: where a file has one bad record, it has others. After so many without
/// one, the whole chunk is worth a try again.
const CAREFUL_CHUNKS: u32 = 8;

/// **Bytes** of a chunk below which it goes by INSERT where COPY was asked for and the server is reached over TCP. The driver sends COPY's
/// data and its end in two packets without `TCP_NODELAY`, and after little data the second waits 40 ms for the server to confirm the first.
const COPY_OVER_TCP: usize = 512 << 10;

/// How the rows of an import are put into its target; made once and used for every chunk, until the table is altered.
#[derive(Debug)]
pub struct LoadPlan {
    pub(super) target: Target,
    pub(super) columns: Vec<Column>,
    method: LoadMethod,
    /// **Bytes** of a chunk from which on it goes by COPY, where that is the method.
    copy_from: usize,
    /// The role that submitted the import, whose own rights decide; `None` in imports of before.
    submitted_by: Option<String>,
    pub(super) statements: Statements,
    /// Chunks that go by batches from the beginning.
    careful: AtomicU32,
    /// Whether there are values that only the server can read.
    has_casts: bool,
    /// Empty, with the room of chunks before: to find that anew for every chunk costs a quarter of reading it.
    spare_sinks: Mutex<Vec<Sink>>,
}

/// Which rows a chunk put into the target.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    pub places: Places,
    /// The 64-bit ids of the transactions that wrote the rows: this one, and with triggers its subtransactions.
    pub xids: Vec<u64>,
}

/// What came of all rows of a chunk.
#[derive(Debug)]
pub struct AllLoaded {
    pub loaded: Loaded,
    pub conflicts: Conflicts,
}

/// Where rows are.
#[derive(Debug, PartialEq, Eq)]
pub enum Places {
    Ids(Vec<IdRange>),
    Pages(Vec<PageRange>),
}

impl Places {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::Ids(ids) => ids.iter().map(IdRange::count).sum(),
            Self::Pages(pages) => pages.iter().map(|range| range.rows).sum(),
        }
    }
}

/// What a statement put into the target.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// Rows.
    pub taken: u64,
    /// Where rows have no ids.
    pub pages: Vec<PageRange>,
    /// Where one of them is: its table, and its place there.
    pub first: Option<(Oid, String)>,
    /// What came of those that were not simply put there.
    pub conflicts: Conflicts,
}

impl Put {
    /// Rows of which it is known what came of them.
    pub(super) fn accounted(&self) -> u64 {
        self.taken + self.conflicts.counts.unchanged + self.conflicts.counts.skipped
    }
}

impl LoadPlan {
    #[must_use]
    pub fn new(
        target: Target,
        columns: Vec<Column>,
        method: LoadMethod,
        over_tcp: bool,
        conflict: Option<&Conflict>,
        submitted_by: Option<String>,
    ) -> Self {
        Self {
            statements: Statements::new(&target, &columns, conflict),
            careful: AtomicU32::new(0),
            has_casts: columns
                .iter()
                .any(|column| matches!(column.kind, ColumnType::Other { .. })),
            target,
            columns,
            method,
            copy_from: if over_tcp { COPY_OVER_TCP } else { 0 },
            submitted_by,
            spare_sinks: Mutex::default(),
        }
    }

    /// How rows are put there that may be there already.
    pub(super) fn on_conflict(&self) -> Option<&OnConflict> {
        match &self.statements {
            Statements::Transaction(ByTransaction { on_conflict, .. }) => on_conflict.as_ref(),
            Statements::Sequence(_) => None,
        }
    }

    /// Whether rows may be there already, so that what came of one depends on others.
    #[must_use]
    pub fn may_conflict(&self) -> bool {
        self.on_conflict().is_some()
    }

    /// Whether rows that are there already are changed.
    fn updates(&self) -> bool {
        self.on_conflict().is_some_and(OnConflict::updates)
    }

    #[must_use]
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What takes the rows of a chunk of so many **bytes** and records, in the form that the load method sends.
    #[must_use]
    pub fn sink(&self, bytes: usize, records: usize) -> Sink {
        let width = self
            .statements
            .id_width(self.method)
            .filter(|_| bytes >= self.copy_from);
        let mut spare = self.spare_sinks.lock().unwrap_or_else(PoisonError::into_inner);
        match (spare.iter().position(|sink| sink.is_tuples() == width.is_some()), width) {
            (Some(index), _) => spare.swap_remove(index),
            (None, Some(width)) => Sink::tuples(self.columns.len(), width).with_room(bytes, records),
            (None, None) => Sink::arrays(&self.columns),
        }
    }

    /// Whether the server refused a statement, or its transaction, for what rows are, as far as can be known of several.
    #[must_use]
    pub fn is_of_rows(&self, error: &sqlx::Error) -> bool {
        refusal::is_of_a_row(error) || self.has_casts && refusal::may_be_of_a_value(error)
    }

    /// Whether the next chunk had better not be tried as a whole.
    #[must_use]
    pub fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Relaxed) > 0
    }

    /// Takes note of whether the server refused records of a chunk.
    pub fn note(&self, refused: bool) {
        if refused {
            self.careful.store(CAREFUL_CHUNKS, Ordering::Relaxed);
            return;
        }
        let less = |careful: u32| careful.checked_sub(1);
        // Already none.
        let _ = self.careful.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Keeps what [`LoadPlan::sink`] gave for the next chunk: no more of each form than chunks that are loaded at once.
    pub fn keep(&self, mut sink: Sink) {
        sink.clear();
        let mut spare = self.spare_sinks.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(sink);
    }

    /// Takes ids for the rows and puts them into the target, all at once. `None` without rows. They can be put there by
    /// [`LoadPlan::salvage`] afterwards, in another transaction, and by nothing else.
    ///
    /// After an error other than [`LoadError::Rows`] the connection must be closed, not used again: it may still hold the lock under which
    /// ids are taken.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(
        &self,
        conn: &mut PgConnection,
        chunk: ChunkKey,
        rows: &mut Sink,
    ) -> Result<Option<AllLoaded>, LoadError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let count = rows.len() as u64;
        let ids = self.take_ids(conn, count).await?;
        fail::fail_point!("after-ids");
        let put = self.write(conn, chunk, &ids, rows).await?;
        if put.accounted() != count {
            return Err(LoadError::RowsTaken {
                table: self.target.name.clone(),
                sent: count,
                taken: put.accounted(),
            });
        }
        let xids = self.look_back(conn, &ids, count).await?;
        let places = match self.statements {
            Statements::Sequence(_) => Places::Ids(ids),
            Statements::Transaction(_) => Places::Pages(pages::join(put.pages)),
        };
        Ok(Some(AllLoaded {
            loaded: Loaded { places, xids },
            conflicts: put.conflicts,
        }))
    }

    /// Puts rows that may be there already into the target one by one: what the server refuses together it may accept one after the other.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load_one_by_one(
        &self,
        conn: &mut PgConnection,
        chunk: ChunkKey,
        rows: &Parts,
    ) -> Result<Option<AllLoaded>, LoadError> {
        let Some(on_conflict) = self.on_conflict().filter(|_| rows.count() > 0) else {
            return Ok(None);
        };
        let put = on_conflict.put_in_order(conn, chunk, rows).await?;
        let xids = self.look_back(conn, &[], rows.count() as u64).await?;
        Ok(Some(AllLoaded {
            loaded: Loaded {
                places: Places::Pages(pages::join(put.pages)),
                xids,
            },
            conflicts: put.conflicts,
        }))
    }

    /// Takes ids, where rows have some.
    pub(super) async fn take_ids(&self, conn: &mut PgConnection, count: u64) -> Result<Vec<IdRange>, LoadError> {
        let Statements::Sequence(BySequence { identity, .. }) = &self.statements else {
            return Ok(Vec::new());
        };
        let ids = ids::take(conn, identity, count).await?;
        check_width(identity, &ids)?;
        Ok(ids)
    }

    async fn write(
        &self,
        conn: &mut PgConnection,
        chunk: ChunkKey,
        ids: &[IdRange],
        rows: &mut Sink,
    ) -> Result<Put, LoadError> {
        if let (Sink::Arrays(columns), Some(on_conflict)) = (&*rows, self.on_conflict()) {
            return on_conflict.put(conn, chunk, columns, true).await;
        }
        match (rows, &self.statements) {
            (Sink::Tuples(tuples), Statements::Sequence(by)) => {
                let taken = copy(conn, &by.copy, tuples.copy_data(ids))
                    .await
                    .map_err(LoadError::Rows)?;
                Ok(Put {
                    taken,
                    ..Put::default()
                })
            }
            (Sink::Arrays(columns), _) => self.insert(conn, ids, columns).await,
            // No sink is made so.
            (Sink::Tuples(_), Statements::Transaction(_)) => Ok(Put::default()),
        }
    }

    /// What an error means: where the table is not called as it was any more, it came from nowhere or from another table that took the
    /// name, and the next plan knows better, for it follows the oid. Needs another connection than the one that has the error.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn reconsider(&self, conn: &mut PgConnection, error: LoadError) -> Result<LoadError, TargetError> {
        if self.target.is_named_so_still(conn).await? {
            return Ok(error);
        }
        Ok(LoadError::Outdated {
            table: self.target.name.clone(),
        })
    }

    pub(super) async fn insert(
        &self,
        conn: &mut PgConnection,
        ranges: &[IdRange],
        columns: &[ArrayBuffer],
    ) -> Result<Put, LoadError> {
        let by = match &self.statements {
            Statements::Sequence(by) => by,
            Statements::Transaction(by) => return pages::insert(conn, by, columns).await,
        };
        let mut query = if let [range] = ranges {
            sqlx::query(AssertSqlSafe(by.insert_range.as_str()))
                .bind(range.start_id)
                .bind(range.end_id)
                .bind(range.step)
        } else {
            let ids: Vec<i64> = ranges.iter().flat_map(|range| range.ids()).collect();
            sqlx::query(AssertSqlSafe(by.insert.as_str())).bind(ids)
        };
        for column in columns {
            query = query.bind(column);
        }
        let done = query.execute(conn).await.map_err(LoadError::Rows)?;
        Ok(Put {
            taken: done.rows_affected(),
            ..Put::default()
        })
    }

    /// Looks, now that this transaction has written to the table and nobody can alter it any more, whether it is still the one that was
    /// meant, as it was described, and whether the submitter may write to it. Returns the transaction.
    pub(super) async fn check_table(&self, conn: &mut PgConnection) -> Result<u64, LoadError> {
        let row = sqlx::query!(
            r#"SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS "oid: Oid", pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8 AS "xid!",
                   EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = $2 AND NOT t.tgisinternal) AS "has_triggers!",
                   $3::pg_catalog.text IS NULL OR coalesce(
                       (SELECT pg_catalog.has_table_privilege(r.oid, $2, 'INSERT') AND (NOT $4 OR pg_catalog.has_table_privilege(r.oid, $2, 'UPDATE'))
                        FROM pg_catalog.pg_roles AS r WHERE r.rolname = $3::pg_catalog.text::pg_catalog.name),
                       false) AS "may_load!""#,
            self.target.name,
            self.target.oid,
            self.submitted_by,
            self.updates()
        )
        .fetch_one(&mut *conn)
        .await?;
        if row.oid != Some(self.target.oid) || row.has_triggers && !self.target.has_triggers {
            return Err(LoadError::Outdated {
                table: self.target.name.clone(),
            });
        }
        if let (false, Some(role)) = (row.may_load, &self.submitted_by) {
            return Err(LoadError::Submitter {
                role: role.clone(),
                table: self.target.name.clone(),
                privileges: if self.updates() { "INSERT, UPDATE" } else { "INSERT" },
            });
        }
        if matches!(self.statements, Statements::Transaction(_))
            && self.target.has_trigger(conn, self.updates()).await?
        {
            return Err(LoadError::Outdated {
                table: self.target.name.clone(),
            });
        }
        unsigned(row.xid)
    }

    /// Checks the table once more, and returns the transactions that wrote the rows.
    async fn look_back(&self, conn: &mut PgConnection, ids: &[IdRange], count: u64) -> Result<Vec<u64>, LoadError> {
        let xid = self.check_table(conn).await?;
        let by = match &self.statements {
            Statements::Sequence(by) if self.target.has_triggers => by,
            // Nothing else writes there.
            _ => return Ok(vec![xid]),
        };
        let column = |part: fn(&IdRange) -> i64| ids.iter().map(part).collect::<Vec<i64>>();
        let row = sqlx::query(AssertSqlSafe(by.xmins.as_str()))
            .bind(column(|r| r.start_id))
            .bind(column(|r| r.end_id))
            .bind(column(|r| r.step))
            .fetch_one(conn)
            .await?;
        let found = unsigned(row.try_get("found")?)?;
        if found != count {
            return Err(LoadError::RowsTaken {
                table: self.target.name.clone(),
                sent: count,
                taken: found,
            });
        }
        let xmins: Vec<i64> = row.try_get("xmins")?;
        xmins
            .into_iter()
            .map(|xmin| Ok(in_full(xid, unsigned(xmin)?)))
            .collect()
    }
}

/// Whether a statement did not find the table that it names itself; one that a trigger or a default names has a context.
pub(crate) fn is_missing_itself(error: &sqlx::Error) -> bool {
    refusal::of_server(error).is_some_and(|error| error.code() == "42P01" && error.r#where().is_none())
}

/// A number that the server never gives below zero.
pub(crate) fn unsigned(value: i64) -> Result<u64, LoadError> {
    u64::try_from(value).map_err(|_| LoadError::Negative { value })
}

/// The whole id of a transaction of which a row has the lower half: the one that runs, or a subtransaction, which comes after it.
pub(crate) fn in_full(running: u64, xmin: u64) -> u64 {
    const HALF: u64 = 1 << 32;
    running + (xmin % HALF + HALF - running % HALF) % HALF
}

/// Binary COPY has no cast that would find an id too large.
fn check_width(identity: &SequenceIdentity, ids: &[IdRange]) -> Result<(), LoadError> {
    let (lowest, highest) = match identity.width {
        2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    match ids
        .iter()
        .find(|range| range.start_id < lowest || range.end_id > highest)
    {
        Some(range) => Err(LoadError::IdWidth {
            sequence: identity.sequence.clone(),
            id: range.end_id,
        }),
        None => Ok(()),
    }
}

async fn copy(conn: &mut PgConnection, statement: &str, data: &[u8]) -> Result<u64, sqlx::Error> {
    let mut copy = conn.copy_in_raw(statement).await?;
    // As one message: in pieces of 256 KiB client and server wake each other so often that a load takes a quarter more CPU.
    copy.send(data).await?;
    copy.finish().await
}

#[cfg(test)]
mod tests {
    use super::in_full;

    #[test]
    fn a_subtransaction_comes_after_its_transaction_across_the_wrap_too() {
        assert_eq!(in_full(7, 7), 7);
        assert_eq!(in_full(7, 9), 9);
        let running = (3 << 32) + u64::from(u32::MAX) - 1;
        assert_eq!(in_full(running, u64::from(u32::MAX) - 1), running);
        assert_eq!(in_full(running, 5), (4 << 32) + 5);
    }
}
