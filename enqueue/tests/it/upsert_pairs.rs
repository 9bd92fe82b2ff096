//! Two imports that update the same few rows at the same time, and are undone again: a property of random pairs, on a real server.
//!
//! Whatever the two do, the table has to end as one of their orders leaves it, and as it was when both are undone. In half of the rounds somebody else
//! changes rows beside them, while they are loaded and while they are undone: what that one wrote last stays, everything else is undone.
//!
//! A round takes some tenths of a second without optimization, as all of them have one database and the same workers. How many there are,
//! `PG_IMPORT_TEST_ROUNDS` says:
//!
//! ```sh
//! PG_IMPORT_TEST_ROUNDS=10000 cargo test -p enqueue --test it upsert_pairs -- --nocapture
//! ```
//!
//! The cases come of the seed that is printed (`PG_IMPORT_TEST_SEED`); how the two meet is chance all the same. So a case that fails is printed as it was,
//! with what the ledger says of it, then made smaller, each smaller one being tried several times.
//!
//! Nothing here may need the workers' maintenance, which is for processes that died: it is kept from running, so that a job which is lost is seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Held, World};
use ledger::read::{ImportStatus, status};
use model::{
    CompletionSpec, CsvDialect, Delimiter, FormatSpec, IdentityChoice, ImportId, ImportState, LoadMethod, LoadSpec,
    ProcessName, QueueName, RejectsSpec, Replace, Share, SplitSpec, TextSpec, UndoSpec, ValuesSpec,
};
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use source::Source;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use submit::{
    requests,
    submission::{Event, KeyChoice, Progress, Request, Submission},
};
use target::{ConflictChoice, ConflictRequest, MappingRequest};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use worker::WorkerConfig;

/// What takes about 20 seconds without optimization, on two cores that others use too.
const ROUNDS: u32 = 60;
/// Rounds at once, each with a table of its own.
const LANES: u32 = 6;
const WORKERS: usize = 2;
const KEYS: i32 = 6;
/// How often a smaller case is tried, for how the two meet is chance.
const TRIES: u32 = 15;
/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// How often jobs that wait are brought forward, and the queue is asked.
const HURRY: Duration = Duration::from_millis(60);
/// On which the queue says that there is a job.
const INSERT_CHANNEL: &str = "apalis::job::insert";
/// Far beyond what a round takes.
const HANGS: Duration = Duration::from_secs(60);
/// Undos after which nothing may change any more.
const UNDOS: usize = 8;

// Cases ---------------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Case {
    /// The keys that are there, and whether their rows have a note.
    rows: BTreeMap<i32, bool>,
    files: [File; 2],
    /// **Milliseconds** by which the second is submitted later.
    later: u64,
    /// Keys that somebody holds, and changes nothing of, until so many **milliseconds** after both are submitted: chunks begin meanwhile, and wait.
    held: (BTreeSet<i32>, u64),
    undo: Undo,
    /// What somebody else does while they are loaded, and while they are undone.
    others: [Vec<Turn>; 2],
}

#[derive(Debug, Clone)]
struct File {
    chunk_rows: u64,
    records: Vec<Record>,
}

#[derive(Debug, Clone)]
struct Record {
    key: i32,
    note: bool,
    /// Whether it has what the row had before, if there was one. Not beside others: whose such a row is cannot be seen.
    as_before: bool,
}

#[derive(Debug, Clone, Copy)]
enum Undo {
    FirstFirst,
    SecondFirst,
    AtOnce,
}

/// One transaction of somebody else.
#[derive(Debug, Clone)]
struct Turn {
    /// **Milliseconds** before it.
    pause: u64,
    /// In their order, with **milliseconds** after each.
    changes: Vec<(Change, i32, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Update,
    /// Leaves the other column as it is.
    UpdateNote,
    Insert,
    Delete,
}

fn records(first_key: i32) -> impl Strategy<Value = Vec<Record>> {
    let record = (first_key..KEYS, any::<bool>(), prop::bool::weighted(0.12));
    vec(
        record.prop_map(|(key, note, as_before)| Record { key, note, as_before }),
        1..=12,
    )
}

fn files() -> impl Strategy<Value = File> {
    // One that has not the first keys may overtake another that waits for them.
    let first_key = prop_oneof![2 => Just(0), 1 => 1..KEYS - 1];
    let records = first_key.prop_flat_map(records);
    (1..=4_u64, records).prop_map(|(chunk_rows, records)| File { chunk_rows, records })
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let change = prop_oneof![
        3 => Just(Change::Update),
        1 => Just(Change::UpdateNote),
        2 => Just(Change::Insert),
        2 => Just(Change::Delete)
    ];
    let changes = vec((change, 0..KEYS, 0..4_u64), 1..4);
    vec(
        (0..25_u64, changes).prop_map(|(pause, changes)| Turn { pause, changes }),
        0..5,
    )
}

fn cases() -> impl Strategy<Value = Case> {
    let others = prop_oneof![
        Just([Vec::new(), Vec::new()]),
        (turns(), prop_oneof![Just(Vec::new()), turns()]).prop_map(|(loading, undoing)| [loading, undoing])
    ];
    let undo = prop_oneof![Just(Undo::FirstFirst), Just(Undo::SecondFirst), Just(Undo::AtOnce)];
    let later = prop_oneof![3 => Just(0), 1 => 0..20_u64];
    let held = prop_oneof![Just((BTreeSet::new(), 0)), (btree_set(0..KEYS / 2, 1..=2), 0..60_u64)];
    let rows = btree_map(0..KEYS, any::<bool>(), 0..=KEYS as usize);
    (rows, files(), files(), (later, held), undo, others).prop_map(
        |(rows, first, second, (later, held), undo, others)| Case {
            rows,
            files: [first, second],
            later,
            held,
            undo,
            others,
        },
    )
}

/// What a row has beside its key.
type Values = (String, Option<String>);
type Rows = BTreeMap<i32, Values>;

fn values(value: String, note: bool) -> Values {
    let note = note.then(|| format!("note of {value}"));
    (value, note)
}

impl Case {
    fn is_alone(&self) -> bool {
        self.others.iter().all(Vec::is_empty)
    }

    fn before(&self) -> Rows {
        let rows = self.rows.iter();
        rows.map(|(&key, &note)| (key, values(format!("o{key}"), note)))
            .collect()
    }

    /// What a record of a file has: its value says which one it is.
    fn values(&self, file: usize, index: usize) -> Values {
        let record = &self.files[file].records[index];
        match self.rows.get(&record.key) {
            Some(&note) if record.as_before && self.is_alone() => values(format!("o{}", record.key), note),
            _ => values(format!("{}{index}", ["a", "b"][file]), record.note),
        }
    }

    fn text(&self, file: usize) -> String {
        let mut text = String::from("key;value;note\n");
        for (index, record) in self.files[file].records.iter().enumerate() {
            let (value, note) = self.values(file, index);
            writeln!(text, "{};{value};{}", record.key, note.unwrap_or_default()).expect("a line");
        }
        text
    }

    fn last(&self, file: usize, key: i32) -> Option<Values> {
        let index = self.files[file].records.iter().rposition(|record| record.key == key)?;
        Some(self.values(file, index))
    }

    fn has(&self, file: usize, key: i32) -> bool {
        self.files[file].records.iter().any(|record| record.key == key)
    }
}

// Somebody else -------------------------------------------------------------------------------------------------------

/// What somebody else did to a row.
#[derive(Debug, Clone)]
struct Touch {
    key: i32,
    /// The value of the row that it was done to.
    over: Option<String>,
    /// What is there afterwards.
    left: Option<Values>,
}

impl Touch {
    /// The file whose row it was.
    fn over_file(&self) -> Option<usize> {
        match self.over.as_deref()?.as_bytes().first()? {
            b'a' => Some(0),
            b'b' => Some(1),
            _ => None,
        }
    }
}

async fn meddle(conn: &mut PgConnection, table: &str, turns: &[Turn], prefix: &str) -> Vec<Touch> {
    let mut touches = Vec::new();
    for (number, turn) in turns.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(turn.pause)).await;
        match take_turn(conn, table, turn, &format!("{prefix}{number}")).await {
            Ok(committed) => touches.extend(committed),
            // Of two that block one another the server ends one; here nothing was done then.
            Err(error) if error.as_database_error().and_then(|e| e.code()).as_deref() == Some("40P01") => {
                sqlx::raw_sql("ROLLBACK")
                    .execute(&mut *conn)
                    .await
                    .expect("to roll back");
            }
            Err(error) => panic!("{turn:?}: {error}"),
        }
    }
    touches
}

async fn take_turn(conn: &mut PgConnection, table: &str, turn: &Turn, name: &str) -> Result<Vec<Touch>, sqlx::Error> {
    let mut touches = Vec::new();
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    for (number, &(change, key, pause)) in turn.changes.iter().enumerate() {
        let new = format!("{name}.{number}");
        // Locked, so that it is this row that is changed.
        let there = format!("SELECT value, note FROM {table} WHERE key = $1 FOR UPDATE");
        let there: Option<Values> = sqlx::query_as(AssertSqlSafe(there))
            .bind(key)
            .fetch_optional(&mut *conn)
            .await?;
        let (statement, left) = match (change, &there) {
            (Change::Update, Some(_)) => (
                format!("UPDATE {table} SET value = $2, note = NULL WHERE key = $1"),
                Some((new.clone(), None)),
            ),
            (Change::UpdateNote, Some((value, _))) => (
                format!("UPDATE {table} SET note = $2 WHERE key = $1"),
                Some((value.clone(), Some(new.clone()))),
            ),
            (Change::Delete, Some(_)) => (format!("DELETE FROM {table} WHERE key = $1 AND $2 <> ''"), None),
            (Change::Insert, None) => (
                format!("INSERT INTO {table} (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"),
                Some((new.clone(), None)),
            ),
            _ => continue,
        };
        let done = sqlx::query(AssertSqlSafe(statement))
            .bind(key)
            .bind(&new)
            .execute(&mut *conn)
            .await?;
        if done.rows_affected() == 1 {
            touches.push(Touch {
                key,
                over: there.map(|(value, _)| value),
                left,
            });
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    sqlx::raw_sql("COMMIT").execute(conn).await?;
    Ok(touches)
}

/// Locks the rows of keys, and the places of those that are not there.
async fn hold(conn: &mut PgConnection, table: &str, keys: &BTreeSet<i32>) {
    for key in keys {
        let hold = format!(
            "INSERT INTO {table} (key, value) VALUES ({key}, 'held') ON CONFLICT DO NOTHING;
             SELECT FROM {table} WHERE key = {key} FOR UPDATE"
        );
        sqlx::raw_sql(AssertSqlSafe(hold))
            .execute(&mut *conn)
            .await
            .expect("to hold a row");
    }
}

// A round -------------------------------------------------------------------------------------------------------------

/// Where rounds are done, one after the other.
struct Lane<'a> {
    world: &'a World,
    number: u32,
    /// A round that failed leaves its table to whoever still works on it.
    tables: AtomicU32,
    rounds: AtomicU32,
}

/// What is found wrong.
type Wrong = String;

macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}

impl<'a> Lane<'a> {
    fn new(world: &'a World, number: u32) -> Self {
        Self {
            world,
            number,
            tables: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
        }
    }

    fn table(&self) -> String {
        format!("pairs_{}_{}", self.number, self.tables.load(Ordering::Relaxed))
    }

    async fn round(&self, case: &Case) -> Result<(), Wrong> {
        let table = self.table();
        if self.rounds.fetch_add(1, Ordering::Relaxed) == 0 {
            // So wide that rows that are written anew are on other pages now and then.
            self.world
                .execute(&format!(
                    "CREATE TABLE {table} (key int PRIMARY KEY, value text NOT NULL, note text, room text DEFAULT repeat('x', 700))"
                ))
                .await;
        }
        let mut ids = Vec::new();
        let outcome = self.try_round(&table, case, &mut ids).await;
        match outcome {
            Ok(()) => {
                let mut conn = self.world.pool().acquire().await.expect("a session");
                for &id in &ids {
                    requests::forget(&mut conn, id).await.expect("to forget");
                }
                self.world
                    .execute("DELETE FROM apalis.jobs WHERE status = 'Done'")
                    .await;
                Ok(())
            }
            Err(wrong) => {
                let rows = format!(
                    "SELECT format('%s xmin %s at %s: %s, %s', key, xmin, ctid, value, note) FROM {table} ORDER BY key"
                );
                let rows = self.world.texts(&rows).await.join("\n    ");
                let ledger = self
                    .describe(&ids, &["chunks", "conflict", "pages", "before", "jobs"])
                    .await;
                self.tables.fetch_add(1, Ordering::Relaxed);
                self.rounds.store(0, Ordering::Relaxed);
                Err(format!("{wrong}\n  now rows:\n    {rows}\n{ledger}"))
            }
        }
    }

    async fn try_round(&self, table: &str, case: &Case, ids: &mut Vec<ImportId>) -> Result<(), Wrong> {
        let before = case.before();
        let mut begin = format!("TRUNCATE {table};");
        for (key, (value, note)) in &before {
            let note = note
                .as_ref()
                .map_or_else(|| "NULL".to_owned(), |note| format!("'{note}'"));
            write!(
                begin,
                "INSERT INTO {table} (key, value, note) VALUES ({key}, '{value}', {note});"
            )
            .expect("a statement");
        }
        self.world.execute(&begin).await;
        let whole_before = self.whole(table).await;

        // Loaded at once.
        let (mut other, mut holder) = (self.world.connect().await, self.world.connect().await);
        let mut held = holder.begin().await.expect("a transaction");
        hold(&mut held, table, &case.held.0).await;
        let submit_both = async {
            let later = async {
                tokio::time::sleep(Duration::from_millis(case.later)).await;
                self.submit(table, case, 1).await
            };
            let submitted = tokio::join!(self.submit(table, case, 0), later);
            tokio::time::sleep(Duration::from_millis(case.held.1)).await;
            held.rollback().await.expect("to roll back");
            submitted
        };
        let ((first, second), mut touches) = tokio::join!(submit_both, meddle(&mut other, table, &case.others[0], "t"));
        ids.extend([first, second]);
        self.until_ended(ids).await?;
        for (file, &id) in ids.iter().enumerate() {
            let status = self.status(id).await;
            ensure!(status.state == ImportState::Loaded, "not loaded: {status:#?}");
            let records = case.files[file].records.len() as u64;
            let sum = status.inserted + status.updated + status.unchanged + status.skipped + status.rejected;
            ensure!(
                status.records == records && sum == records && status.rejected == 0,
                "{sum} of {records} records: {status:#?}"
            );
        }
        let loaded = self.rows(table).await;
        let places = self.describe(ids, &["pages", "before"]).await;
        if touches.is_empty() {
            for key in 0..KEYS {
                let found = loaded.get(&key);
                let lasts = [case.last(0, key), case.last(1, key)];
                let mut possible: Vec<&Values> = lasts.iter().flatten().collect();
                if possible.is_empty() {
                    possible.extend(before.get(&key));
                }
                let holds = match found {
                    Some(found) => possible.contains(&found),
                    None => possible.is_empty(),
                };
                ensure!(holds, "the row of {key} is {found:?}, and not one of {possible:?}");
            }
        }

        // Undone.
        let (_, more) = tokio::join!(
            self.undo(case.undo, ids),
            meddle(&mut other, table, &case.others[1], "u")
        );
        touches.extend(more);
        self.until_ended(ids).await?;
        let mut last = self.summary(table, ids).await;
        for undos in 1.. {
            ensure!(undos < UNDOS, "undone {undos} times, and it still changes");
            self.undo(case.undo, ids).await?;
            let now = self.summary(table, ids).await;
            if now == last {
                break;
            }
            last = now;
        }

        let mut expected = before;
        for touch in &touches {
            match touch.left.clone() {
                Some(values) => expected.insert(touch.key, values),
                None => expected.remove(&touch.key),
            };
        }
        let rows = self.rows(table).await;
        ensure!(
            rows == expected,
            "after the undo {rows:?}\nin place of {expected:?}\nloaded were {loaded:?}\nothers did {touches:?}\nwhen it was loaded:\n{places}"
        );
        // Where one of their rows was touched, all that was under it there is left.
        let touched: BTreeSet<i32> = touches
            .iter()
            .filter(|touch| touch.over_file().is_some())
            .map(|touch| touch.key)
            .collect();
        for (file, &id) in ids.iter().enumerate() {
            let status = self.status(id).await;
            let must_keep = touches.iter().any(|touch| touch.over_file() == Some(file));
            let may_keep = touched.iter().any(|&key| case.has(file, key));
            let state = status.state;
            match state {
                ImportState::Cancelled => {
                    ensure!(
                        !must_keep,
                        "cancelled, although rows of it were touched: {touches:?}, {status:#?}"
                    );
                    let done = status.deleted + status.restored;
                    ensure!(
                        done == status.inserted + status.updated && status.kept == 0 && status.missing == 0,
                        "not all of it is accounted for: {status:#?}"
                    );
                    for ledger in ["import_pages", "import_before"] {
                        let left = self
                            .world
                            .number(&format!(
                                "SELECT count(*) FROM pgimport.{ledger} WHERE import_id = {id}"
                            ))
                            .await;
                        ensure!(left == 0, "{left} rows are left in {ledger}: {status:#?}");
                    }
                }
                ImportState::Kept => ensure!(
                    may_keep && status.kept > 0,
                    "kept, although nobody touched a row of it: {touches:?}, {status:#?}"
                ),
                _ => return Err(format!("not undone: {status:#?}")),
            }
        }
        let whole = self.whole(table).await;
        ensure!(
            !touches.is_empty() || whole == whole_before,
            "after the undo {whole:?}\nin place of {whole_before:?}"
        );
        Ok(())
    }

    /// Submits a file as `enqueue --on-conflict update` does.
    async fn submit(&self, table: &str, case: &Case, file: usize) -> ImportId {
        let path = self.world.file(&format!("{}-{file}.csv", self.number), case.text(file));
        let request = Request {
            sources: vec![Source::File(PathBuf::from(path))],
            by_reference: false,
            table: table.to_owned(),
            columns: None,
            mapping: MappingRequest::default(),
            text: TextSpec::default(),
            format: FormatSpec::Csv(CsvDialect::strict(Delimiter::default(), true)),
            find_delimiter: false,
            values: ValuesSpec::default(),
            split: SplitSpec {
                chunk_rows: case.files[file].chunk_rows,
                chunk_bytes: 1 << 20,
                max_record: 1 << 20,
            },
            load: LoadSpec {
                method: LoadMethod::Insert,
            },
            identity: IdentityChoice::default(),
            conflict: ConflictRequest {
                choice: ConflictChoice::Update,
                ..ConflictRequest::default()
            },
            rejects: RejectsSpec::default(),
            completion: CompletionSpec {
                replace: Replace::Never,
            },
            key: KeyChoice::Force,
            max_pending: 1 << 30,
            notify: None,
            share: Share::default(),
            queue: QueueName::default(),
        };
        let name = ProcessName::new("pg_import-enqueue", "test", std::process::id(), rand::random());
        let (progress, observe) = (Progress::default(), |_: Event| {});
        let options = self.world.db.connect_options();
        let submission = Submission::new(&options.into(), name, &progress, &observe);
        submission.run(&request).await.expect("to submit").import
    }

    /// Undoes what is not undone, and waits for it.
    async fn undo(&self, undo: Undo, ids: &[ImportId]) -> Result<(), Wrong> {
        let order: Vec<&[ImportId]> = match undo {
            Undo::FirstFirst => vec![&ids[..1], &ids[1..]],
            Undo::SecondFirst => vec![&ids[1..], &ids[..1]],
            Undo::AtOnce => vec![ids],
        };
        for part in order {
            for &id in part {
                let mut conn = self.world.pool().acquire().await.expect("a session");
                let cancelled = requests::cancel(&mut conn, id, UndoSpec::default(), None).await;
                cancelled.map_err(|error| format!("{id} cannot be cancelled: {error}"))?;
            }
            self.until_ended(part).await?;
        }
        Ok(())
    }

    async fn until_ended(&self, ids: &[ImportId]) -> Result<(), Wrong> {
        let begin = Instant::now();
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let open = format!(
            "SELECT count(*) FROM pgimport.import WHERE id IN ({}) AND state IN ('splitting', 'loading', 'cancelling')",
            list.join(", ")
        );
        while self.world.number(&open).await > 0 {
            ensure!(begin.elapsed() < HANGS, "{} never end", list.join(" and "));
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn status(&self, id: ImportId) -> ImportStatus {
        let mut conn = self.world.pool().acquire().await.expect("a session");
        status(&mut conn, id).await.expect("a status").expect("an import")
    }

    async fn rows(&self, table: &str) -> Rows {
        let rows: Vec<(i32, String, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(format!("SELECT key, value, note FROM {table}")))
                .fetch_all(self.world.pool())
                .await
                .expect("rows");
        rows.into_iter()
            .map(|(key, value, note)| (key, (value, note)))
            .collect()
    }

    /// All rows with all columns.
    async fn whole(&self, table: &str) -> Vec<String> {
        self.world
            .texts(&format!("SELECT t::text FROM {table} AS t ORDER BY 1"))
            .await
    }

    /// What another undo might change.
    async fn summary(&self, table: &str, ids: &[ImportId]) -> String {
        let mut text = format!("{:?}", self.rows(table).await);
        for &id in ids {
            let now = self.status(id).await;
            write!(
                text,
                " {:?} {} {} {} {}",
                now.state, now.deleted, now.restored, now.kept, now.missing
            )
            .expect("a text");
        }
        text
    }

    /// What the ledger says of imports.
    async fn describe(&self, ids: &[ImportId], parts: &[&str]) -> String {
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let list = list.join(", ");
        let mut text = String::new();
        for &part in parts {
            let query = match part {
                "chunks" => format!(
                    "SELECT concat_ws(' ', import_id, ordinal, state, 'attempts', attempts, 'retries', retries, 'loaded', loaded_count, 'deleted',
                         deleted_count, 'kept', kept_count, 'missing', missing_count, last_error)
                     FROM pgimport.import_chunk WHERE import_id = ANY ('{{{list}}}') ORDER BY import_id, ordinal"
                ),
                "jobs" => "SELECT concat_ws(' ', status, run_at, convert_from(job, 'UTF8')) FROM apalis.jobs WHERE status <> 'Done'".to_owned(),
                _ => format!(
                    "SELECT (to_jsonb(p) - '{{key_hash,leaf_oid,filenode}}'::text[])::text FROM pgimport.import_{part} AS p
                     WHERE import_id = ANY ('{{{list}}}') ORDER BY import_id, ordinal"
                ),
            };
            writeln!(text, "  {part}:").expect("a text");
            for row in self.world.texts(&query).await {
                writeln!(text, "    {row}").expect("a text");
            }
        }
        text
    }
}

// All rounds ----------------------------------------------------------------------------------------------------------

/// Does the rounds of one lane; says what failed.
fn run_lane(
    lane: &Lane<'_>,
    handle: &Handle,
    rounds: u32,
    seed: [u8; 32],
    (stop, done): (&AtomicBool, &AtomicU32),
) -> Result<(), String> {
    let config = Config {
        cases: rounds,
        max_shrink_iters: 400,
        max_shrink_time: 90_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let failed = AtomicBool::new(false);
    let outcome = runner.run(&cases(), |case| {
        let shrinks = failed.load(Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) && !shrinks {
            return Ok(());
        }
        let tries = if shrinks { TRIES } else { 1 };
        for _ in 0..tries {
            if let Err(wrong) = handle.block_on(lane.round(&case)) {
                if !shrinks {
                    eprintln!("this failed: {case:#?}\n{wrong}\nmaking it smaller");
                    failed.store(true, Ordering::Relaxed);
                    stop.store(true, Ordering::Relaxed);
                }
                return Err(TestCaseError::fail(wrong));
            }
        }
        if !shrinks {
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, case)) => Err(format!("{case:#?}\n{reason}")),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}

/// Keeps the workers' maintenance from running, and jobs from waiting: neither for a time that is named, nor for the queue to be asked.
async fn hurry(mut conn: PgConnection) {
    let lock = "SELECT pg_advisory_lock(hashtextextended('pgimport maintenance', 0))";
    sqlx::raw_sql(lock)
        .execute(&mut conn)
        .await
        .expect("the lock for maintenance");
    let hurry = format!(
        "UPDATE apalis.jobs SET run_at = now() - interval '1 second' WHERE status = 'Pending' AND run_at > now(); NOTIFY \"{INSERT_CHANNEL}\""
    );
    loop {
        sqlx::raw_sql(AssertSqlSafe(hurry.as_str()))
            .execute(&mut conn)
            .await
            .expect("to hurry");
        tokio::time::sleep(HURRY).await;
    }
}

/// Has the server ask for the password's proof with one round in place of 4,096, which take longer than all else in a round.
async fn connect_quickly(world: &World) {
    let credentials = world.db.credentials();
    let statement = format!(
        "CREATE EXTENSION IF NOT EXISTS pgcrypto;
         DO $$
         DECLARE
             hmac text := (SELECT format('%I.hmac', n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
                           WHERE e.extname = 'pgcrypto');
             salt bytea := decode('00010203040506070809', 'hex');
             salted bytea;
             client_key bytea;
             server_key bytea;
         BEGIN
             EXECUTE format('SELECT %s($1, $2, ''sha256'')', hmac) INTO salted USING salt || decode('00000001', 'hex'), '{password}'::bytea;
             EXECUTE format('SELECT %s($1, $2, ''sha256'')', hmac) INTO client_key USING 'Client Key'::bytea, salted;
             EXECUTE format('SELECT %s($1, $2, ''sha256'')', hmac) INTO server_key USING 'Server Key'::bytea, salted;
             EXECUTE format('ALTER ROLE %I PASSWORD %L', current_user, 'SCRAM-SHA-256$1:' || encode(salt, 'base64') || '$'
                            || encode(sha256(client_key), 'base64') || ':' || encode(server_key, 'base64'));
         END $$",
        password = credentials.password,
    );
    world.execute(&statement).await;
}

#[test]
fn two_imports_at_once_end_as_one_of_their_orders_does_and_are_undone_without_a_trace() {
    let rounds = std::env::var("PG_IMPORT_TEST_ROUNDS")
        .map_or(ROUNDS, |text| text.parse().expect("PG_IMPORT_TEST_ROUNDS: a number"));
    let mut random = crate::support::seeded();
    let runtime = worker::runtime().expect("a runtime");
    let world = runtime.block_on(World::new());
    let stop_workers = CancellationToken::new();
    let workers = runtime.block_on(async {
        connect_quickly(&world).await;
        let name = world.db.credentials().database.clone();
        // The log would be as large as the disk; who blocks whom is to be found out at once.
        for setting in [
            "log_statement = 'none'",
            "log_min_messages = 'fatal'",
            "log_min_error_statement = 'fatal'",
            "deadlock_timeout = '20ms'",
        ] {
            world.execute(&format!("ALTER DATABASE {name} SET {setting}")).await;
        }
        tokio::spawn(hurry(world.connect().await));
        (0..WORKERS)
            .map(|_| {
                let config = WorkerConfig {
                    concurrency: 4,
                    ..WorkerConfig::new(world.db.connect_options())
                };
                let stopped = stop_workers.clone();
                tokio::spawn(async move { worker::run(&config, &stopped).await })
            })
            .collect::<Vec<_>>()
    });
    let begin = Instant::now();
    let (stop, done) = (AtomicBool::new(false), AtomicU32::new(0));
    let failures: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|number| {
                let (seed, world, handle, ends) = (random.random(), &world, runtime.handle(), (&stop, &done));
                let share = rounds / LANES + u32::from(number < rounds % LANES);
                scope.spawn(move || run_lane(&Lane::new(world, number), handle, share, seed, ends))
            })
            .collect();
        lanes
            .into_iter()
            .filter_map(|lane| lane.join().expect("a lane").err())
            .collect()
    });
    let (done, seconds) = (done.into_inner(), begin.elapsed().as_secs_f64());
    println!("{done} of {rounds} rounds without a fault in {seconds:.1} s");
    assert!(
        failures.is_empty(),
        "the smallest that fails:\n{}",
        failures.join("\n\n")
    );
    runtime.block_on(async {
        // Each job came to an end that is known.
        world.until_none("apalis.jobs WHERE status <> 'Done'").await;
        assert_eq!(world.imports().await, 0);
        stop_workers.cancel();
        for worker in workers {
            worker.await.expect("a worker").expect("to work to the end");
        }
    });
}

/// Whose row it was is not to be told by which transaction is the older one: one that waits began before others that it then finds done.
#[tokio::test]
async fn a_row_is_given_back_to_an_import_that_began_later_and_was_done_earlier() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE pair (key int PRIMARY KEY, value text); INSERT INTO pair VALUES (1, 'there'), (2, 'there')",
        )
        .await;
    let submit = async |name: &str, text: &str| {
        let file = world.file(name, text);
        let arguments = ["-i", &file, "--table", "pair", "--on-conflict", "update"];
        world.run(&arguments).await.exits(0).id()
    };
    let _workers = [world.worker(&["--concurrency", "4"]).start()];
    let held = Held::take(&world, "SELECT FROM pair WHERE key = 1 FOR UPDATE").await;
    let waits = submit("waits.csv", "key;value\n1;a\n2;a\n3;a\n").await;
    world.until_a_lock_is_waited_for().await;
    let overtakes = submit("overtakes.csv", "key;value\n2;b\n3;b\n").await;
    world.until_state(overtakes, "loaded").await;
    held.release().await;
    world.until_state(waits, "loaded").await;
    for id in [waits, overtakes] {
        world.run(&["cancel", &id.to_string(), "--wait"]).await;
        assert_eq!(world.state(id).await, "cancelled", "{:#}", world.status(id));
    }
    let rows = world.texts("SELECT p::text FROM pair AS p ORDER BY 1").await;
    assert_eq!(rows, ["(1,there)", "(2,there)"]);
}
