//! Loading a chunk of which the server refuses records: the others are put into the target, and each of these is known by itself.
//!
//! The rows go in batches, each under a savepoint. A batch that is refused is halved until a single row is refused, and the halves that are
//! not refused stand. Each of them is a subtransaction, and a transaction that has more than 64 of them alive makes every other session
//! slower. So, before they are too many, the rows of a batch that stand are put there once more, in one statement; those that are rolled back
//! do not count.
//!
//! Values are sent as arrays, whatever the load method: over TCP a batch of COPY waits for a delayed acknowledgement, and the rows are the same.

use std::collections::{BTreeMap, HashMap};

use ledger::{pages::PageRange, registry::IdRange};
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::types::Oid};
use target::ColumnType;

use super::{
    ids, pages,
    plan::{LoadError, LoadPlan, Loaded, Places, Put, in_full, unsigned},
    refusal::{self, Refused},
    sink::Parts,
    statements::{BySequence, ByTransaction, Statements},
};

/// Rows of a batch, at least.
const LEAST_BATCH: usize = 1_000;
/// Batches of a chunk, at most.
const BATCHES: usize = 50;
/// Pieces of a batch that may stand beside one another before they are put there as one.
const PIECES: usize = 10;
/// Subtransactions that stay alive, at most, unless triggers have some of their own. The server keeps 64 of each session in its memory.
const ALIVE: usize = 62;
/// Refusals of a batch up to which it is hoped for the rest of it that there are no more.
const HOPED: usize = 2;
/// How often rows are tried again that may have lacked others.
const PASSES: usize = 6;
/// Refusals of a chunk from which on they are held against the rows that were not refused.
const TOLERATED: usize = 1_000;
/// The same of those that may lack what comes after them, before they are tried again.
const WAITING: usize = 10_000;

/// What came of a chunk's rows.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Those that were put into the target, by the transactions that wrote them.
    pub loaded: Vec<Loaded>,
    /// Those that the server refused, by their index.
    pub refused: BTreeMap<usize, Refused>,
}

impl LoadPlan {
    /// Takes ids for the rows and puts them into the target, but for those that the server refuses. Where rows may be there already, only
    /// these are found: the transaction must be rolled back, and the others loaded at once.
    ///
    /// After an error the connection must be closed, not used again: it may still hold the lock under which ids are taken.
    ///
    /// # Errors
    /// [`LoadError`]. An error that is not about a row is one, and so is [`LoadError::Refusals`], when most rows are refused.
    pub async fn salvage(&self, conn: &mut PgConnection, chunk: ChunkKey, rows: &Parts) -> Result<Salvaged, LoadError> {
        if rows.count() == 0 {
            return Ok(Salvaged::default());
        }
        // Until the end nobody can rename the table, so that no other one refuses rows in its name.
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", self.target.from);
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *conn).await?;
        self.check_table(conn).await?;
        let ids = self.take_ids(conn, rows.count() as u64).await?;
        fail::fail_point!("after-ids");
        let salvage = Salvage {
            plan: self,
            chunk,
            conn,
            statements: vec![NOWHERE; rows.count()],
            ids: ids
                .iter()
                .flat_map(|range| range.ids().map(|id| (id, range.step)))
                .collect(),
            rows,
            made: 0,
            pages: Vec::new(),
            firsts: Vec::new(),
            alive: 0,
            batches: 0,
            tried: 0,
            refused: BTreeMap::new(),
            waiting: 0,
            keys: HashMap::new(),
        };
        salvage.run().await
    }
}

/// The savepoint that rows are put under.
#[derive(Debug, Clone, Copy)]
enum Under {
    Batch,
    Piece,
}

impl Under {
    /// Makes it, for what comes first under it.
    fn begin(self) -> &'static str {
        match self {
            Self::Batch => "SAVEPOINT pgimport_batch",
            Self::Piece => "SAVEPOINT pgimport_piece",
        }
    }

    /// Takes back what was done since.
    fn take_back(self) -> &'static str {
        match self {
            Self::Batch => "ROLLBACK TO SAVEPOINT pgimport_batch",
            Self::Piece => "ROLLBACK TO SAVEPOINT pgimport_piece",
        }
    }

    /// Keeps what was done since, and makes it anew for what comes next.
    fn keep(self) -> &'static str {
        match self {
            Self::Batch => "RELEASE SAVEPOINT pgimport_batch; SAVEPOINT pgimport_batch",
            Self::Piece => "RELEASE SAVEPOINT pgimport_piece; SAVEPOINT pgimport_piece",
        }
    }
}

/// Judges now what would be judged at the commit, when nobody could say any more which row it is about.
const JUDGE: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// The statement of a row that is not in the target.
const NOWHERE: u32 = u32::MAX;

struct Salvage<'a> {
    plan: &'a LoadPlan,
    chunk: ChunkKey,
    conn: &'a mut PgConnection,
    rows: &'a Parts,
    /// The id of each row, and the step of the range that it is of.
    ids: Vec<(i64, i64)>,
    /// Which statement put each row into the target.
    statements: Vec<u32>,
    /// How many there are.
    made: u32,
    /// The pages where rows are that have no ids, and of each statement one of its rows.
    pages: Vec<PageRange>,
    firsts: Vec<(Oid, String)>,
    /// Subtransactions that stay alive.
    alive: usize,
    /// Batches that come.
    batches: usize,
    /// Rows of which it is known whether they are refused.
    tried: usize,
    refused: BTreeMap<usize, Refused>,
    /// How many of these may lack what comes after them.
    waiting: usize,
    /// Whether the id is part of the key of an index, by its schema, table and name.
    keys: HashMap<[String; 3], bool>,
}

/// A batch that was refused as a whole.
struct Batch {
    /// What is still to be put there, the next at the end.
    open: Vec<Piece>,
    /// The rows that stand, by the statement that put them there.
    standing: Vec<Standing>,
    /// How many of these statements are subtransactions of their own.
    pieces: usize,
    /// Whether the pieces can be put there as one: what is refused together may be accepted one after the other.
    joins: bool,
    /// Whether the rows that come last are tried first.
    backwards: bool,
    /// Rows that were refused by themselves.
    refusals: usize,
}

/// Rows that a statement put into the target.
struct Standing {
    rows: Vec<usize>,
    put: Put,
}

struct Piece {
    rows: Vec<usize>,
    /// It is known to be refused as a whole.
    refused: bool,
    /// The next one is the other half of what was refused.
    has_other_half: bool,
}

impl Piece {
    fn new(rows: Vec<usize>) -> Self {
        Self {
            rows,
            refused: false,
            has_other_half: false,
        }
    }
}

impl Batch {
    fn new(rows: &[usize], backwards: bool) -> Self {
        let mut batch = Self {
            open: Vec::new(),
            standing: Vec::new(),
            pieces: 0,
            joins: true,
            backwards,
            refusals: 0,
        };
        if rows.len() > 1 {
            batch.halve(rows);
        } else {
            batch.open.push(Piece::new(rows.to_vec()));
        }
        batch
    }

    fn halve(&mut self, rows: &[usize]) {
        let (first, last) = rows.split_at(rows.len() / 2);
        let (next, other) = if self.backwards { (last, first) } else { (first, last) };
        self.open.push(Piece::new(other.to_vec()));
        self.open.push(Piece {
            has_other_half: true,
            ..Piece::new(next.to_vec())
        });
    }

    /// A row is refused by itself. What is still open is one piece then, as long as there is hope for it.
    fn refuse(&mut self) {
        self.refusals += 1;
        if self.refusals <= HOPED && self.open.len() > 1 {
            let mut rows: Vec<usize> = self.open.drain(..).flat_map(|piece| piece.rows).collect();
            rows.sort_unstable();
            self.open.push(Piece::new(rows));
        }
    }

    /// A piece stands.
    fn stand(&mut self, piece: Piece, put: Put) {
        if let Some(other) = self.open.last_mut().filter(|_| piece.has_other_half) {
            // Together they were refused. Of a single row it must be heard why.
            other.refused = other.rows.len() > 1;
        }
        self.standing.push(Standing { rows: piece.rows, put });
        self.pieces += 1;
    }
}

impl Salvage<'_> {
    async fn run(mut self) -> Result<Salvaged, LoadError> {
        self.execute(Under::Batch.begin()).await?;
        let count = self.rows.count();
        let size = LEAST_BATCH.max(count.div_ceil(BATCHES));
        self.batches = count.div_ceil(size);
        for start in (0..count).step_by(size) {
            let batch: Vec<usize> = (start..count.min(start + size)).collect();
            self.batches -= 1;
            self.batch(&batch, false).await?;
            fail::fail_point!("after-batch");
        }
        self.try_again().await?;
        let xid = self.plan.check_table(self.conn).await?;
        let plan = self.plan;
        let loaded = match &plan.statements {
            // It is to be known who is refused; what becomes of the others depends on all of them.
            Statements::Transaction(by) if by.on_conflict.is_some() => Vec::new(),
            Statements::Transaction(by) => self.written_on_pages(by, xid).await?,
            Statements::Sequence(by) if plan.target.has_triggers => self.written_by_any(by, xid).await?,
            Statements::Sequence(by) => self.written_by_statements(by, xid).await?,
        };
        Ok(Salvaged {
            loaded,
            refused: self.refused,
        })
    }

    /// Tries rows again that may have lacked what was put there after them, such as a row that their foreign key refers to: the last first,
    /// and as long as that puts any there.
    async fn try_again(&mut self) -> Result<(), LoadError> {
        for _ in 0..PASSES {
            let depends = |(&row, refused): (&usize, &Refused)| refused.may_depend_on_others().then_some(row);
            let waiting: Vec<usize> = self.refused.iter().filter_map(depends).collect();
            if waiting.is_empty() || self.made == 0 {
                break;
            }
            self.refused.retain(|_, refused| !refused.may_depend_on_others());
            self.waiting = 0;
            self.tried -= waiting.len();
            let before = self.made;
            self.batch(&waiting, true).await?;
            if self.made == before {
                break;
            }
        }
        // Nothing can be put there any more that one of them lacks.
        match self.refused.values().next_back().map(|refused| refused.reason.clone()) {
            Some(reason) if self.are_too_many(self.refused.len(), TOLERATED) => Err(self.too_many(reason)),
            _ => Ok(()),
        }
    }

    /// Whether so many refusals are more likely the table's fault.
    fn are_too_many(&self, refused: usize, tolerated: usize) -> bool {
        refused > tolerated && refused > self.tried / 2
    }

    fn too_many(&self, reason: String) -> LoadError {
        LoadError::Refusals {
            table: self.plan.target.name.clone(),
            refused: self.refused.len(),
            tried: self.tried,
            reason,
        }
    }

    /// Puts rows into the target, but for those that are refused. Begins and ends with a savepoint for a batch.
    async fn batch(&mut self, rows: &[usize], backwards: bool) -> Result<(), LoadError> {
        if let Ok(put) = self.put(rows, Under::Batch, true).await? {
            self.tried += rows.len();
            self.alive += 1;
            self.note_statement(rows, put);
            return Ok(());
        }
        fail::fail_point!("after-refusal");
        let mut batch = Batch::new(rows, backwards);
        self.execute(Under::Piece.begin()).await?;
        loop {
            if batch.joins && batch.pieces >= PIECES {
                self.join(&mut batch).await?;
            }
            let Some(piece) = batch.open.pop() else {
                let alive = self.alive + 1 + batch.pieces;
                if !batch.joins || batch.pieces == 0 || alive + self.batches + PIECES < ALIVE {
                    self.alive = alive;
                    break;
                }
                self.join(&mut batch).await?;
                continue;
            };
            if piece.refused {
                batch.halve(&piece.rows);
                continue;
            }
            match (self.put(&piece.rows, Under::Piece, true).await?, piece.rows.as_slice()) {
                (Ok(put), rows) => {
                    self.tried += rows.len();
                    batch.stand(piece, put);
                }
                (Err(refused), &[row]) => {
                    self.refuse(row, refused)?;
                    batch.refuse();
                }
                (Err(_), rows) => batch.halve(rows),
            }
        }
        for Standing { rows, put } in batch.standing {
            self.note_statement(&rows, put);
        }
        self.execute(Under::Batch.keep()).await
    }

    /// Puts the rows of a batch that stand there once more, by one statement.
    async fn join(&mut self, batch: &mut Batch) -> Result<(), LoadError> {
        self.execute(Under::Batch.take_back()).await?;
        let mut rows: Vec<usize> = batch
            .standing
            .iter()
            .flat_map(|standing| standing.rows.iter().copied())
            .collect();
        rows.sort_unstable();
        batch.pieces = 0;
        if let Ok(put) = self.put(&rows, Under::Batch, false).await? {
            batch.standing = vec![Standing { rows, put }];
        } else {
            // Another session was quicker, or a trigger counts: one after the other, and as many pieces as it takes.
            batch.joins = false;
            self.tried -= rows.len();
            let again = batch.standing.drain(..).rev().map(|standing| Piece::new(standing.rows));
            batch.open.extend(again);
        }
        self.execute(Under::Piece.begin()).await
    }

    /// Puts rows into the target by one statement. When the server refuses them, all is as it was at the savepoint.
    async fn put(&mut self, rows: &[usize], under: Under, keep: bool) -> Result<Result<Put, Refused>, LoadError> {
        let error = match self.write(rows, under, keep).await {
            Ok(put) => return Ok(Ok(put)),
            Err(LoadError::Rows(error)) if self.plan.is_of_rows(&error) => error,
            Err(error) => return Err(error),
        };
        self.execute(under.take_back()).await?;
        if !refusal::is_of_a_row(&error) {
            return match rows {
                // If it is the table's after all, that is found out of a single one.
                &[row] => match self.find_bad_value(row, under).await? {
                    Some(refused) => Ok(Err(refused)),
                    None => Err(LoadError::Rows(error)),
                },
                _ => Refused::new(&error).map(Err).ok_or(LoadError::Rows(error)),
            };
        }
        match Refused::new(&error) {
            Some(refused) if !self.is_of_our_id(&error).await? => Ok(Err(refused)),
            _ => Err(LoadError::Rows(error)),
        }
    }

    /// Why a value of a row is none of its column's type, of those that only the server can read.
    async fn find_bad_value(&mut self, row: usize, under: Under) -> Result<Option<Refused>, LoadError> {
        let plan = self.plan;
        let values = self.rows.part(&[row]);
        for (column, value) in std::iter::zip(&plan.columns, &values) {
            let ColumnType::Other { sql_name, .. } = &column.kind else {
                continue;
            };
            let statement = format!("SELECT pg_catalog.unnest($1::pg_catalog.text[])::{sql_name} IS NULL");
            let read = sqlx::query(AssertSqlSafe(statement)).persistent(false).bind(value);
            if let Err(error) = read.execute(&mut *self.conn).await {
                self.execute(under.take_back()).await?;
                let refused = Refused::new(&error).map(|refused| Refused {
                    column: Some(column.name.clone()),
                    ..refused
                });
                return refused.map(Some).ok_or(LoadError::Rows(error));
            }
        }
        Ok(None)
    }

    async fn write(&mut self, rows: &[usize], under: Under, keep: bool) -> Result<Put, LoadError> {
        let ids = rows.iter().filter_map(|&row| self.ids.get(row));
        let ids = ids::join(ids.map(|&(id, step)| range_of_one(id, step)).collect());
        let part = self.rows.part(rows);
        let put = match self.plan.on_conflict() {
            // What came of each is for those to count who load them.
            Some(on_conflict) => on_conflict.put(self.conn, self.chunk, &part, false).await?,
            None => self.plan.insert(self.conn, &ids, &part).await?,
        };
        if self.plan.on_conflict().is_none() && put.taken != rows.len() as u64 {
            return Err(self.rows_taken(rows.len() as u64, put.taken));
        }
        let then = if keep {
            format!("{JUDGE}; {}", under.keep())
        } else {
            JUDGE.to_owned()
        };
        let judged = sqlx::raw_sql(AssertSqlSafe(then)).execute(&mut *self.conn).await;
        judged.map(|_| put).map_err(LoadError::Rows)
    }

    /// Whether rows were refused for the ids that they were given, which is no fault of theirs: the sequence gives ids that are taken.
    async fn is_of_our_id(&mut self, error: &sqlx::Error) -> Result<bool, LoadError> {
        let Some(error) = refusal::of_server(error).filter(|error| matches!(error.code(), "23505" | "23P01")) else {
            return Ok(false);
        };
        let (Some(schema), Some(table), Some(index)) = (error.schema(), error.table(), error.constraint()) else {
            return Ok(false);
        };
        let key = [schema, table, index].map(str::to_owned);
        if let Some(&known) = self.keys.get(&key) {
            return Ok(known);
        }
        let has_id = self.plan.target.has_id_in_key(self.conn, schema, table, index).await?;
        self.keys.insert(key, has_id);
        Ok(has_id)
    }

    /// Notes a row that is refused by itself.
    fn refuse(&mut self, row: usize, refused: Refused) -> Result<(), LoadError> {
        self.tried += 1;
        let reason = refused.reason.clone();
        if refused.may_depend_on_others() {
            self.waiting += 1;
        }
        self.refused.insert(row, refused);
        let for_good = self.refused.len().saturating_sub(self.waiting);
        if self.are_too_many(for_good, TOLERATED) || self.are_too_many(self.waiting, WAITING) {
            return Err(self.too_many(reason));
        }
        Ok(())
    }

    /// Notes a statement that put rows into the target for good.
    fn note_statement(&mut self, rows: &[usize], put: Put) {
        self.pages.extend(put.pages);
        self.firsts.extend(put.first);
        for &row in rows {
            if let Some(statement) = self.statements.get_mut(row) {
                *statement = self.made;
            }
        }
        self.made += 1;
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), LoadError> {
        sqlx::raw_sql(statement).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// The ranges of the rows that are in the target, each with the statements that put them there.
    fn ranges(&self) -> Vec<(IdRange, Vec<u32>)> {
        let mut ranges: Vec<(IdRange, Vec<u32>)> = Vec::new();
        for (&(id, step), &statement) in std::iter::zip(&self.ids, &self.statements) {
            if statement == NOWHERE {
                continue;
            }
            match ranges.last_mut() {
                Some((range, statements)) if range.step == step && range.end_id.checked_add(step) == Some(id) => {
                    range.end_id = id;
                    if !statements.contains(&statement) {
                        statements.push(statement);
                    }
                }
                _ => ranges.push((range_of_one(id, step), vec![statement])),
            }
        }
        ranges
    }

    /// Which subtransactions wrote the rows, where only a statement's own can have: one row of each says so.
    async fn written_by_statements(&mut self, by: &BySequence, xid: u64) -> Result<Vec<Loaded>, LoadError> {
        let mut first_ids: BTreeMap<u32, i64> = BTreeMap::new();
        for (&(id, _), &statement) in std::iter::zip(&self.ids, &self.statements) {
            if statement != NOWHERE {
                first_ids.entry(statement).or_insert(id);
            }
        }
        let statements: Vec<u32> = first_ids.keys().copied().collect();
        let xmins = sqlx::query(AssertSqlSafe(by.xmin_each.as_str()))
            .bind(first_ids.into_values().collect::<Vec<i64>>())
            .fetch_all(&mut *self.conn)
            .await?;
        if xmins.len() != statements.len() {
            return Err(self.rows_taken(statements.len() as u64, xmins.len() as u64));
        }
        let mut xids: HashMap<u32, u64> = HashMap::new();
        for (statement, row) in std::iter::zip(statements, &xmins) {
            xids.insert(statement, in_full(xid, unsigned(row.try_get("xmin")?)?));
        }
        let ranges = self.ranges().into_iter().map(|(range, statements)| {
            let xids = statements.iter().filter_map(|statement| xids.get(statement).copied());
            (range, xids.collect())
        });
        Ok(by_transactions(ranges))
    }

    /// The same where triggers or partitions may have a say: all rows are asked, range by range.
    async fn written_by_any(&mut self, by: &BySequence, xid: u64) -> Result<Vec<Loaded>, LoadError> {
        let ranges: Vec<IdRange> = self.ranges().into_iter().map(|(range, _)| range).collect();
        let column = |part: fn(&IdRange) -> i64| ranges.iter().map(part).collect::<Vec<i64>>();
        let found = sqlx::query(AssertSqlSafe(by.xmins_by_range.as_str()))
            .bind(column(|r| r.start_id))
            .bind(column(|r| r.end_id))
            .bind(column(|r| r.step))
            .fetch_all(&mut *self.conn)
            .await?;
        let (mut count, mut written) = (0, Vec::with_capacity(ranges.len()));
        for row in &found {
            count += unsigned(row.try_get("found")?)?;
            let number = unsigned(row.try_get("n")?)?.saturating_sub(1);
            let range = usize::try_from(number).ok().and_then(|number| ranges.get(number));
            let xmins: Vec<i64> = row.try_get("xmins")?;
            let xids = xmins.into_iter().map(|xmin| Ok(in_full(xid, unsigned(xmin)?)));
            if let Some(&range) = range {
                written.push((range, xids.collect::<Result<Vec<u64>, LoadError>>()?));
            }
        }
        let sent = ranges.iter().map(IdRange::count).sum();
        if count != sent {
            return Err(self.rows_taken(sent, count));
        }
        Ok(by_transactions(written))
    }

    /// The same where rows have no ids. Pages have rows of several statements, and what is there is known by all of them.
    async fn written_on_pages(&mut self, by: &ByTransaction, xid: u64) -> Result<Vec<Loaded>, LoadError> {
        if self.firsts.is_empty() {
            return Ok(Vec::new());
        }
        let (statements, firsts) = (self.firsts.len() as u64, std::mem::take(&mut self.firsts));
        let xmins = pages::xmins(self.conn, by, firsts).await?;
        if xmins.len() as u64 != statements {
            return Err(self.rows_taken(statements, xmins.len() as u64));
        }
        let mut xids: Vec<u64> = xmins.into_iter().map(|xmin| in_full(xid, xmin)).collect();
        xids.sort_unstable();
        xids.dedup();
        Ok(vec![Loaded {
            places: Places::Pages(pages::join(std::mem::take(&mut self.pages))),
            xids,
        }])
    }

    fn rows_taken(&self, sent: u64, taken: u64) -> LoadError {
        LoadError::RowsTaken {
            table: self.plan.target.name.clone(),
            sent,
            taken,
        }
    }
}

fn range_of_one(id: i64, step: i64) -> IdRange {
    IdRange {
        start_id: id,
        end_id: id,
        step,
    }
}

/// Puts those ranges together that the same transactions wrote.
fn by_transactions(ranges: impl IntoIterator<Item = (IdRange, Vec<u64>)>) -> Vec<Loaded> {
    let mut ids: BTreeMap<Vec<u64>, Vec<IdRange>> = BTreeMap::new();
    for (range, mut xids) in ranges {
        xids.sort_unstable();
        ids.entry(xids).or_default().push(range);
    }
    let loaded = |(xids, ids)| Loaded {
        places: Places::Ids(ids),
        xids,
    };
    ids.into_iter().map(loaded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(batch: &Batch) -> Vec<&[usize]> {
        batch.open.iter().rev().map(|piece| piece.rows.as_slice()).collect()
    }

    #[test]
    fn a_batch_is_halved_in_order_and_what_is_left_after_a_refusal_is_one_piece() {
        let mut batch = Batch::new(&[1, 2, 3, 5, 8], false);
        assert_eq!(rows(&batch), [&[1, 2][..], &[3, 5, 8]]);
        // The first half stands: it is the other one that is refused.
        let piece = batch.open.pop().unwrap();
        batch.stand(piece, Put::default());
        assert!(batch.open.last().unwrap().refused);
        let piece = batch.open.pop().unwrap();
        batch.halve(&piece.rows);
        assert_eq!(rows(&batch), [&[3][..], &[5, 8]]);
        let piece = batch.open.pop().unwrap();
        batch.stand(piece, Put::default());
        let piece = batch.open.pop().unwrap();
        batch.halve(&piece.rows);
        let row = batch.open.pop().unwrap();
        assert_eq!(row.rows, [5]);
        // Its other half is a single row, of which it must be heard why.
        batch.stand(row, Put::default());
        assert!(!batch.open.last().unwrap().refused);
        let standing: Vec<usize> = batch.standing.into_iter().flat_map(|standing| standing.rows).collect();
        assert_eq!((batch.pieces, standing), (3, vec![1, 2, 3, 5]));
    }

    #[test]
    fn the_last_rows_come_first_where_rows_may_need_those_behind_them() {
        let mut batch = Batch::new(&[0, 1, 2, 3], true);
        assert_eq!(rows(&batch), [[2, 3], [0, 1]]);
        let piece = batch.open.pop().unwrap();
        batch.halve(&piece.rows);
        assert_eq!(rows(&batch), [&[3][..], &[2], &[0, 1]]);
        batch.open.pop();
        batch.refuse();
        assert_eq!(rows(&batch), [&[0, 1, 2]]);
        assert_eq!(batch.refusals, 1);
    }

    #[test]
    fn ranges_that_the_same_transactions_wrote_are_together() {
        let range = |start_id, end_id| IdRange {
            start_id,
            end_id,
            step: 1,
        };
        let loaded = by_transactions([
            (range(1, 2), vec![7]),
            (range(4, 9), vec![8, 7]),
            (range(11, 11), vec![7]),
            (range(13, 14), vec![7, 8]),
        ]);
        let expected = [
            (vec![range(1, 2), range(11, 11)], vec![7]),
            (vec![range(4, 9), range(13, 14)], vec![7, 8]),
        ];
        assert_eq!(
            loaded,
            expected.map(|(ids, xids)| Loaded {
                places: Places::Ids(ids),
                xids
            })
        );
    }
}
