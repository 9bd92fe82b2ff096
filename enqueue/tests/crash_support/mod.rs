//! What the crash tests share: files whose content is known to the server, processes that can be killed and frozen, and the look at
//! what must hold afterwards.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod process;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};
use tempfile::TempDir;
use testkit::{TestDb, TestServer};

pub use process::{Finished, Proc};

/// Far beyond what anything here takes; a test that waits for so long has failed.
pub const DEADLINE: Duration = Duration::from_secs(240);

const COLUMNS: &str = r#""PointOfSale", "Product", "Date", "Stock""#;

const JOB_IS_OPEN: &str = "status IN ('Queued', 'Running', 'Pending')";

/// Some of the jobs that are open, and when each one's holder was seen last.
fn open_jobs() -> String {
    format!(
        "SELECT coalesce(jsonb_agg(j), '[]') FROM (
             SELECT j.id, j.status, convert_from(j.job, 'UTF8') AS job, j.attempts, j.run_at, j.lock_at, j.lock_by, w.last_seen, now() AS now
             FROM apalis.jobs AS j LEFT JOIN apalis.workers AS w ON w.id = j.lock_by WHERE {JOB_IS_OPEN} LIMIT 5) AS j"
    )
}

/// Randomness that a failed test can be run again with: its seed is printed, and taken from the environment.
pub fn seeded() -> StdRng {
    let seed = std::env::var("PG_IMPORT_TEST_SEED").map_or_else(
        |_| rand::random::<u64>(),
        |text| text.parse().expect("PG_IMPORT_TEST_SEED: a number"),
    );
    println!("PG_IMPORT_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Waits until `condition` gives something.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begin.elapsed() < DEADLINE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A CSV file, and the same rows in a table that the server itself read from it.
pub struct CsvFile {
    pub path: PathBuf,
    pub rows: u64,
    expected: String,
}

impl CsvFile {
    pub fn path(&self) -> &str {
        self.path.to_str().expect("a path in UTF-8")
    }
}

/// What a table holds: count, sum of "Stock", and a checksum that does not depend on the order.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    pub rows: i64,
    pub stock: i64,
    pub checksum: String,
}

/// One database and the processes that work on it.
pub struct World {
    pub db: TestDb,
    dir: TempDir,
    made: AtomicU32,
}

impl World {
    /// On the server that the tests of this process share.
    pub async fn new() -> Self {
        Self::on(TestServer::shared().await).await
    }

    pub async fn on(server: &TestServer) -> Self {
        Self {
            db: server.create_database().await,
            dir: tempfile::tempdir().expect("a temporary directory"),
            made: AtomicU32::new(0),
        }
    }

    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    /// A connection of its own, for what holds locks or must not wait for others.
    pub async fn connect(&self) -> PgConnection {
        use sqlx::Connection as _;
        PgConnection::connect_with(&self.db.connect_options())
            .await
            .expect("to connect")
    }

    /// Makes the database anew, without any schema of ours. Before anything uses it.
    pub async fn make_empty(&self) {
        use sqlx::Connection as _;
        let options = self.db.connect_options();
        let name = options.get_database().expect("a database");
        let mut admin = PgConnection::connect_with(&options.clone().database("postgres"))
            .await
            .expect("to connect");
        for statement in [format!("DROP DATABASE {name}"), format!("CREATE DATABASE {name}")] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut admin)
                .await
                .expect("to make the database anew");
        }
    }

    fn next(&self) -> u32 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes a file of `rows` records, quoted ones and ones of several lines among them.
    pub async fn file(&self, rows: u64) -> CsvFile {
        let number = self.next();
        let mut text = String::from("PointOfSale;Product;Date;Stock\n");
        for row in 0..rows {
            let (month, day, stock) = (row % 12 + 1, row % 28 + 1, row % 1009);
            match row % 50 {
                7 => writeln!(
                    text,
                    "S{number};\"Tea; \"\"green\"\" {row}\";2025-{month:02}-{day:02};{stock}"
                ),
                9 => writeln!(text, "S{number};\"Coffee\n{row}\";2025-{month:02}-{day:02};{stock}"),
                _ => writeln!(text, "S{number};Product {row};2025-{month:02}-{day:02};{stock}"),
            }
            .expect("a string");
        }
        let path = self.dir.path().join(format!("{number}.csv"));
        std::fs::write(&path, &text).expect("to write the file");
        let expected = format!("expected_{number}");
        self.execute(&format!(
            "CREATE TABLE {expected} AS SELECT {COLUMNS} FROM public.sale_order LIMIT 0"
        ))
        .await;
        let mut conn = self.connect().await;
        let mut copy = conn
            .copy_in_raw(&format!(
                "COPY {expected} FROM STDIN (FORMAT csv, DELIMITER ';', HEADER)"
            ))
            .await
            .expect("to copy");
        copy.send(text.as_bytes()).await.expect("to copy");
        assert_eq!(copy.finish().await.expect("to copy"), rows);
        CsvFile { path, rows, expected }
    }

    pub async fn execute(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(self.pool())
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The first column of a statement's only row, as text; `None` also while the server cannot be asked.
    pub async fn ask(&self, statement: &str) -> Option<String> {
        let row = sqlx::raw_sql(AssertSqlSafe(format!("SELECT ({statement})::text AS answer")))
            .fetch_one(self.pool())
            .await
            .ok()?;
        row.try_get("answer").expect("one column of text")
    }

    pub async fn count(&self, from: &str) -> u64 {
        let statement = format!("SELECT count(*) FROM {from}");
        until("the server counts", async || self.ask(&statement).await)
            .await
            .parse()
            .expect("a count")
    }

    /// Waits until `from …` has rows.
    pub async fn until_some(&self, from: &str) {
        until(from, async || {
            (self.ask(&format!("SELECT EXISTS (SELECT FROM {from})")).await? == "true").then_some(())
        })
        .await;
    }

    pub async fn until_none(&self, from: &str) {
        until(&format!("none: {from}"), async || {
            (self.ask(&format!("SELECT EXISTS (SELECT FROM {from})")).await? == "false").then_some(())
        })
        .await;
    }

    /// The import that was submitted last.
    pub async fn latest_import(&self) -> i64 {
        let id = self.ask("SELECT max(id) FROM pgimport.import").await;
        id.expect("an import").parse().expect("an id")
    }

    pub async fn state(&self, import: i64) -> String {
        until("the import is there", async || {
            self.ask(&format!("SELECT state FROM pgimport.import WHERE id = {import}"))
                .await
        })
        .await
    }

    pub async fn until_state(&self, import: i64, state: &str) {
        let begin = Instant::now();
        let mut found = String::new();
        while begin.elapsed() < DEADLINE {
            found = self.state(import).await;
            if found == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!(
            "import {import} is {found}, not {state}: {}",
            self.describe(import).await
        );
    }

    /// For the message of a failed test.
    pub async fn describe(&self, import: i64) -> String {
        let chunks = format!(
            "SELECT coalesce(jsonb_agg(c), '[]') FROM (SELECT ordinal, state, attempts, retries, last_error, worker, job_id
             FROM pgimport.import_chunk WHERE import_id = {import} AND state NOT IN ('loaded', 'deleted') LIMIT 5) AS c"
        );
        let error = format!("SELECT error FROM pgimport.import WHERE id = {import}");
        format!(
            "{:?} {:?} {:?}",
            self.ask(&error).await,
            self.ask(&chunks).await,
            self.ask(&open_jobs()).await
        )
    }

    /// Ends the sessions of the processes whose names begin with `role`, those in a state that begins with `state`.
    pub async fn terminate(&self, role: &str, state: &str) -> u64 {
        // OFFSET keeps the planner from ending sessions before it looks whose database it is.
        self.count(&format!(
            "(SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '{role}%'
                 AND state LIKE '{state}%' OFFSET 0) AS s WHERE pg_terminate_backend(pid)"
        ))
        .await
    }

    // What must hold -------------------------------------------------------------------------------------------

    pub async fn contents(&self, from: &str) -> Contents {
        let statement = format!(
            r#"SELECT count(*) AS rows, coalesce(sum("Stock"), 0)::bigint AS stock,
                   coalesce(sum(hashtextextended(ROW("PointOfSale", "Product", "Date", "Stock")::text, 0)), 0)::text AS checksum
               FROM {from}"#
        );
        let row = sqlx::raw_sql(AssertSqlSafe(statement))
            .fetch_one(self.pool())
            .await
            .expect("the contents");
        Contents {
            rows: row.get("rows"),
            stock: row.get("stock"),
            checksum: row.get("checksum"),
        }
    }

    /// The records of `files`, as a table.
    fn expected(files: &[&CsvFile]) -> String {
        let parts = files
            .iter()
            .map(|file| format!(" UNION ALL SELECT * FROM {}", file.expected));
        format!(
            "(SELECT {COLUMNS} FROM public.sale_order WHERE false{}) AS expected",
            parts.collect::<String>()
        )
    }

    /// Each record of `files` is in the target once, and nothing else.
    pub async fn assert_loaded_once(&self, files: &[&CsvFile]) {
        let expected = self.contents(&Self::expected(files)).await;
        assert_eq!(self.contents("public.sale_order").await, expected);
    }

    /// Records of `files` that are not in the target, and rows of the target that are in none of them, or too often.
    pub async fn difference(&self, files: &[&CsvFile]) -> (u64, u64) {
        let (there, expected) = ("public.sale_order".to_owned(), Self::expected(files));
        let without = |a: &str, b: &str| {
            format!("(SELECT {COLUMNS} FROM {a} EXCEPT ALL SELECT {COLUMNS} FROM {b}) AS difference")
        };
        let lost = self.count(&without(&expected, &there)).await;
        (lost, self.count(&without(&there, &expected)).await)
    }

    /// The import ended as `state`; its ledger is whole, its ranges name exactly the rows there are, and nothing is left over.
    pub async fn assert_settled(&self, import: i64, state: &str) {
        self.until_state(import, state).await;
        self.assert_tidy().await;
    }

    /// Of no import that ended, anything is left over; and the registry names exactly the rows of the target.
    pub async fn assert_tidy(&self) {
        for (count, what) in self.leftovers().await {
            assert_eq!(count, 0, "{what}");
        }
    }

    /// How much there is of what must not be.
    pub async fn leftovers(&self) -> [(u64, &'static str); 4] {
        let open = "pgimport.import_chunk AS c JOIN pgimport.import AS i ON i.id = c.import_id
             WHERE i.state IN ('loaded', 'failed', 'cancelled', 'kept') AND c.state = 'pending'";
        let payloads = "pgimport.import_payload AS p JOIN pgimport.import_chunk AS c USING (import_id, ordinal)
             WHERE c.state NOT IN ('pending', 'failed')";
        let registered = "pgimport.import_chunk AS c
             WHERE c.loaded_count - coalesce(c.deleted_count, 0) - coalesce(c.missing_count, 0) <> (
                 SELECT coalesce(sum((end_id - start_id) / step + 1), 0) FROM pgimport.import_registry AS r
                 WHERE r.import_id = c.import_id AND r.ordinal = c.ordinal)";
        let strays = "(SELECT id FROM pgimport.import_registry, generate_series(start_id, end_id, step) AS id WHERE voided_by IS NULL) AS r
             FULL JOIN public.sale_order AS t ON t.id = r.id WHERE r.id IS NULL OR t.id IS NULL";
        [
            (self.count(open).await, "pending chunks of imports that ended"),
            (self.count(payloads).await, "payloads of chunks that are done"),
            (
                self.count(registered).await,
                "chunks whose ids are not as many as their rows",
            ),
            (
                self.count(strays).await,
                "ids that are registered or there, but not both",
            ),
        ]
    }

    /// No job is left: neither held by anybody nor waiting. Needs a worker that lives.
    pub async fn assert_no_job_stranded(&self) {
        let begin = Instant::now();
        while begin.elapsed() < DEADLINE {
            if self.count(&format!("apalis.jobs WHERE {JOB_IS_OPEN}")).await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("jobs are stranded: {:?}", self.ask(&open_jobs()).await);
    }

    // Processes ------------------------------------------------------------------------------------------------

    pub fn worker(&self, arguments: &[&str]) -> Proc {
        self.worker_with(arguments, &[])
    }

    pub fn worker_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Proc {
        let number = self.next();
        Proc::start(
            "worker",
            arguments,
            environment,
            &self.db.url(),
            &self.dir.path().join(format!("{number}-worker")),
        )
    }

    /// A program of another version.
    pub fn program(&self, program: &Path, arguments: &[&str]) -> Proc {
        let number = self.next();
        Proc::start_program(
            program,
            arguments,
            &[],
            &self.db.url(),
            &self.dir.path().join(format!("{number}-other")),
        )
    }

    pub fn enqueue(&self, arguments: &[&str]) -> Proc {
        let number = self.next();
        Proc::start(
            "enqueue",
            arguments,
            &[],
            &self.db.url(),
            &self.dir.path().join(format!("{number}-enqueue")),
        )
    }

    /// Runs `enqueue` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.enqueue(arguments).finished().await
    }

    /// Submits a file and returns its import.
    pub async fn submit(&self, file: &CsvFile, arguments: &[&str]) -> i64 {
        let all = [&["-i", file.path()], arguments].concat();
        self.run(&all).await.import()
    }

    /// Waits until a worker said that it works, and returns its name.
    pub async fn until_working(&self, worker: &Proc) -> String {
        let pid = worker.pid();
        until("the worker registered", async || {
            self.ask(&format!("SELECT max(name) FROM pgimport.worker WHERE pid = {pid}"))
                .await
        })
        .await
    }
}

/// A lock that a session of ours holds until it is released.
pub struct Held(PgConnection);

impl Held {
    /// Takes a lock with statements such as `LOCK TABLE …`.
    pub async fn take(world: &World, statement: &str) -> Self {
        let mut conn = world.connect().await;
        sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {statement}")))
            .execute(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        Self(conn)
    }

    pub async fn release(mut self) {
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut self.0)
            .await
            .expect("to release the lock");
    }
}
