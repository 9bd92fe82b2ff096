//! One database, one directory, and the processes that work on them: the world of an end-to-end test.
//!
//! The soak takes part in it, by its path: `examples/soak`.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test binary uses a part of it"
)]

pub mod by_reference;
pub mod checks;
mod commands;
pub mod csv;
pub mod faults;
pub mod hosts;
pub mod objects;
pub mod page;
pub mod pair;
pub mod parquet;
pub mod pooler;
pub mod process;
pub mod receiver;
pub mod role;
pub mod skipped;
pub mod unreliable;
pub mod website;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Row as _};
use tempfile::TempDir;
use testkit::{TestDb, TestServer};

pub use csv::{CsvFile, orders};
pub use faults::{Held, seeded};
pub use process::{Call, Finished, Proc};

/// Far beyond what anything here takes; what lasts for so long hangs.
pub const DEADLINE: Duration = Duration::from_secs(240);
/// How often a condition is looked at.
pub const LOOK: Duration = Duration::from_millis(20);

/// A client that follows no redirect by itself.
pub fn http() -> reqwest::Client {
    // Whatever it asks, it wants to know first how it would encrypt.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    client.build().expect("a client")
}

/// A directory that any user can reach: Postgres does not run as root.
pub fn open_directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("pg_import-test-").tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A migrated database, a directory, and the processes that work on them.
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
        Self::of(server.create_database().await)
    }

    pub fn of(db: TestDb) -> Self {
        Self {
            db,
            dir: open_directory(),
            made: AtomicU32::new(0),
        }
    }

    /// Reached over TCP from now on.
    pub fn over_tcp(self) -> Self {
        Self {
            db: self.db.over_tcp(),
            ..self
        }
    }

    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    /// A connection of its own, for what holds locks or must not wait for others.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.db.connect_options())
            .await
            .expect("to connect")
    }

    /// Makes the database anew, as a copy of another. Before anything uses it.
    pub async fn make_anew(&self, template: &str) {
        let options = self.db.connect_options();
        let name = options.get_database().expect("a database");
        let mut admin = PgConnection::connect_with(&options.clone().database("postgres"))
            .await
            .expect("to connect");
        for statement in [
            format!("DROP DATABASE {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut admin)
                .await
                .expect("to make the database anew");
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path for an argument.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A number that nothing else in this world has.
    fn next(&self) -> u32 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    // Questions to the database ----------------------------------------------------------------------------------

    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(self.pool())
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(self.pool())
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// One column of text, row by row.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(self.pool())
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Every row of a table, with all that it has, in some order that stays.
    pub async fn content(&self, table: &str) -> Vec<String> {
        self.texts(&format!("SELECT t::text FROM {table} AS t ORDER BY 1"))
            .await
    }

    /// The first column of a statement's only row, as text; `None` also while the server cannot be asked.
    pub async fn ask(&self, sql: &str) -> Option<String> {
        let row = sqlx::raw_sql(AssertSqlSafe(format!("SELECT ({sql})::text AS answer")))
            .fetch_one(self.pool())
            .await
            .ok()?;
        row.try_get("answer").expect("one column of text")
    }

    /// How many rows `from …` has, once the server can be asked.
    pub async fn count(&self, from: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {from}");
        until("the server counts", async || self.ask(&sql).await)
            .await
            .parse()
            .expect("a count")
    }

    /// The shops that have orders in the default table.
    pub async fn shops(&self) -> Vec<String> {
        self.texts("SELECT DISTINCT \"PointOfSale\" FROM public.sale_order ORDER BY 1")
            .await
    }

    /// Rows of the table that belongs to no test's schema.
    pub async fn sale_orders(&self) -> i64 {
        self.number("SELECT count(*) FROM public.sale_order").await
    }

    pub async fn imports(&self) -> i64 {
        self.number("SELECT count(*) FROM pgimport.import").await
    }

    /// The import that was submitted last.
    pub async fn latest_import(&self) -> i64 {
        let id = self.ask("SELECT max(id) FROM pgimport.import").await;
        id.expect("an import").parse().expect("an id")
    }

    // Waiting for it ---------------------------------------------------------------------------------------------

    /// Waits until `from …` has rows.
    pub async fn until_some(&self, from: &str) {
        until_true(from, async || self.has_rows(from).await == Some(true)).await;
    }

    pub async fn until_none(&self, from: &str) {
        until_true(&format!("none: {from}"), async || {
            self.has_rows(from).await == Some(false)
        })
        .await;
    }

    async fn has_rows(&self, from: &str) -> Option<bool> {
        let answer = self.ask(&format!("SELECT EXISTS (SELECT FROM {from})")).await?;
        Some(answer == "true")
    }

    /// Waits until a session of the database waits for a lock.
    pub async fn until_a_lock_is_waited_for(&self) {
        self.until_some("pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
            .await;
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

/// Waits until `condition` gives something.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begin.elapsed() < DEADLINE, "waited too long until {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until something holds.
pub async fn until_true(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    until(what, async || holds().await.then_some(())).await;
}

/// What an object must say.
#[track_caller]
pub fn assert_json(found: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(found.get(key), Some(value), "{key} in {found:#}");
    }
}
