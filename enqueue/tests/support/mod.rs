//! The built programs against a real server: a database, a directory and the processes of one test.

// Each test binary uses its part of it.
#![allow(dead_code)]

pub mod role;

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use testkit::{TestDb, TestServer};

/// How often a condition is looked at, and after which time something hangs. No test is about either.
pub const LOOK: Duration = Duration::from_millis(20);
pub const HANGS: Duration = Duration::from_secs(240);

/// What a person's own settings are in; tests set theirs.
const SETTINGS: [&str; 12] = [
    "DATABASE_URL",
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGPASSWORD",
    "PGSSLMODE",
    "PGOPTIONS",
    "PG_IMPORT_CONFIG_PATH",
    "PG_IMPORT_STAGING",
    "PG_IMPORT_DATA_DIR",
    "RUST_LOG",
];

/// A directory that any user can reach: Postgres does not run as root.
pub fn open_directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("pg_import-test-").tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

/// The worker's program, beside `enqueue`'s.
pub fn worker_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_enqueue")).with_file_name("worker");
    assert!(
        program.exists(),
        "{} is missing: run `cargo test` from the workspace's root, which builds it",
        program.display()
    );
    program
}

/// `enqueue` in the given directory, with no settings.
pub fn enqueue_in<I: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = I>) -> Call {
    Call::new(Path::new(env!("CARGO_BIN_EXE_enqueue")), dir, arguments)
}

/// `worker` in the given directory, with no settings.
pub fn worker_in<I: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = I>) -> Call {
    Call::new(&worker_program(), dir, arguments)
}

/// A program that is about to be run.
pub struct Call {
    command: Command,
    dir: PathBuf,
}

impl Call {
    fn new<I: AsRef<OsStr>>(program: &Path, dir: &Path, arguments: impl IntoIterator<Item = I>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        for setting in SETTINGS {
            command.env_remove(setting);
        }
        Self {
            command,
            dir: dir.to_owned(),
        }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Gives it these bytes as standard input.
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes.as_ref()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        self.command.stdin(file);
        self
    }

    /// Gives it a pipe as standard input: [`Running::pipe`].
    pub fn pipe(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        // Files, not pipes: nobody has to read them for the program to go on.
        let outputs = tempfile::Builder::new()
            .prefix(".run-")
            .tempdir_in(&self.dir)
            .unwrap()
            .keep();
        let (stdout, stderr) = (outputs.join("stdout"), outputs.join("stderr"));
        self.command.stdout(File::create(&stdout).unwrap());
        self.command.stderr(File::create(&stderr).unwrap());
        let child = self.command.spawn().unwrap();
        Running { child, stdout, stderr }
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.start().finish()
    }
}

/// A program that runs; killed when the test ends.
pub struct Running {
    pub child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub fn finish(mut self) -> Output {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return self.output(status);
            }
            assert!(
                since.elapsed() < HANGS,
                "it hangs: {} {}",
                self.stdout_so_far(),
                self.stderr_so_far()
            );
            thread::sleep(LOOK);
        }
    }

    fn output(&self, status: ExitStatus) -> Output {
        Output {
            code: status.code(),
            stdout: self.stdout_so_far(),
            stderr: self.stderr_so_far(),
        }
    }

    pub fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned()
    }

    pub fn stderr_so_far(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The import's id, which must be all of standard output.
    #[track_caller]
    pub fn id(&self) -> i64 {
        let id = self.stdout.strip_suffix('\n').and_then(|line| line.parse().ok());
        id.unwrap_or_else(|| panic!("not an id alone: {self:#?}"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no '{text}' in {self:#?}");
        self
    }
}

/// A migrated database and a directory.
pub struct Bench {
    pub db: TestDb,
    dir: TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        Self::on(TestServer::shared().await).await
    }

    pub async fn on(server: &TestServer) -> Self {
        Self {
            db: server.create_database().await,
            dir: open_directory(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path for an argument.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `enqueue` with this database.
    pub fn enqueue<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Call {
        enqueue_in(self.dir.path(), arguments).env("DATABASE_URL", self.db.url())
    }

    /// `enqueue`, without any settings.
    pub fn bare<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Call {
        enqueue_in(self.dir.path(), arguments)
    }

    pub fn worker<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Call {
        worker_in(self.dir.path(), arguments).env("DATABASE_URL", self.db.url())
    }

    /// Works until nothing is left to do.
    #[track_caller]
    pub fn drain(&self) {
        self.worker(["--drain"]).run().exits(0);
    }

    /// Submits and works until every record is loaded; returns the import's status.
    #[track_caller]
    pub fn load(&self, arguments: &[&str]) -> Value {
        let id = self.enqueue(arguments).run().exits(0).id();
        self.drain();
        let status = self.status(id);
        assert!(status["state"] == "loaded" && status["rejected"] == 0, "{status:#}");
        status
    }

    /// Cancels an import and works until nothing is left to do.
    pub fn undo(&self, id: i64, arguments: &[&str]) -> Value {
        let id_text = id.to_string();
        let mut all = vec!["cancel", &id_text];
        all.extend(arguments);
        self.enqueue(all).run().exits(0);
        self.drain();
        self.status(id)
    }

    /// What `cancel --dry-run` says.
    pub fn dry_run(&self, id: i64, arguments: &[&str]) -> Value {
        let id_text = id.to_string();
        let mut all = vec!["cancel", &id_text, "--dry-run", "--json"];
        all.extend(arguments);
        self.enqueue(all).run().exits(0).json()
    }

    /// Submits a file in chunks of 100 records.
    pub fn submit(&self, name: &str, content: &str, arguments: &[&str]) -> i64 {
        let path = self.file(name, content);
        let mut all = vec!["-i", &path, "--chunk-rows", "100"];
        all.extend(arguments);
        self.enqueue(all).run().exits(0).id()
    }

    /// Submits and loads orders of a shop.
    pub fn load_orders(&self, shop: &str, rows: usize, arguments: &[&str]) -> i64 {
        let id = self.submit(&format!("{shop}.csv"), &orders(shop, rows), arguments);
        self.drain();
        id
    }

    #[track_caller]
    pub fn status(&self, id: i64) -> Value {
        self.enqueue(["status", &id.to_string(), "--json"])
            .run()
            .exits(0)
            .json()
    }

    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.db.pool()).await.unwrap();
    }

    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }

    /// One column of text, row by row.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(self.db.pool())
            .await
            .unwrap()
    }

    /// The shops that have orders in the default table.
    pub async fn shops(&self) -> Vec<String> {
        self.texts("SELECT DISTINCT \"PointOfSale\" FROM public.sale_order ORDER BY 1")
            .await
    }

    /// Waits until a session of the database waits for a lock.
    pub async fn until_a_lock_is_waited_for(&self) {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        until("a lock is waited for", async || self.number(waits).await > 0).await;
    }

    /// Rows of the table that belongs to no test's schema.
    pub async fn sale_orders(&self) -> i64 {
        self.number("SELECT count(*) FROM public.sale_order").await
    }

    pub async fn imports(&self) -> i64 {
        self.number("SELECT count(*) FROM pgimport.import").await
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < HANGS, "it never came that {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A file of sale orders with a header; `shop` tells its rows from those of others.
pub fn orders(shop: &str, rows: usize) -> String {
    let mut text = "PointOfSale;Product;Date;Stock\n".to_owned();
    for row in 0..rows {
        text.push_str(&format!("{shop};Product {row};2025-01-{:02};{row}\n", row % 28 + 1));
    }
    text
}

/// What an object must say.
#[track_caller]
pub fn assert_json(found: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(found.get(key), Some(value), "{key} in {found:#}");
    }
}
