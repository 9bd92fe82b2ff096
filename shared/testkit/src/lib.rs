//! For the tests of this workspace: a private server for each test process, and a database for each test.
//!
//! The server lives in a temporary directory and is stopped when the process ends, however it ends: a watcher waits for the end of a
//! pipe that only the test process holds.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;

use local_server::{EmbeddedConfig, EmbeddedServer, ShutdownMode};
use session::config::Credentials;
use session::database;

const TEMPLATE: &str = "pg_import_template";

/// A server of this test process.
pub struct TestServer {
    server: EmbeddedServer,
    done_with: mpsc::Sender<String>,
}

static SHARED: OnceCell<TestServer> = OnceCell::const_new();

impl TestServer {
    /// Starts a server of its own, for tests that break it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pg_import-test-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        // The server's account must reach it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&dir, open).expect("to open the temporary directory");
        let settings = [
            // Processes are killed here, machines are not.
            ("fsync", "off"),
            ("max_connections", "300"),
            ("log_statement", "all"),
            ("log_line_prefix", "%m [%p] %a %d "),
            ("shared_buffers", "64MB"),
        ];
        let config = EmbeddedConfig {
            data_dir: dir.clone(),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        };
        let server = EmbeddedServer::start(config)
            .await
            .expect("to start a private Postgres");
        watch(&dir);
        let done_with = drop_databases(server.credentials().connect_options());
        let test_server = Self { server, done_with };
        test_server.make_template().await;
        test_server
    }

    /// The server that the tests of this process share.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        self.server.credentials()
    }

    /// Everything the server has logged, every statement included.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        read_log(&self.log_file(), 0)
    }

    fn log_file(&self) -> PathBuf {
        self.server.data_dir().join("server.log")
    }

    /// The server's first process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn postmaster_pid(&self) -> i32 {
        let file = self.server.data_dir().join("cluster/data/postmaster.pid");
        let text = std::fs::read_to_string(file).expect("the server's pid file");
        let first = text.lines().next().expect("a line");
        first.parse().expect("a process id")
    }

    /// Restarts the server on the same port.
    ///
    /// # Panics
    /// When it does not come back.
    pub async fn restart(&self, mode: ShutdownMode) {
        self.server
            .restart(mode)
            .await
            .expect("to restart the private Postgres");
    }

    /// A new, migrated database.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn create_database(&self) -> TestDb {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let statement = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
        self.admin()
            .await
            .execute(sqlx::AssertSqlSafe(statement))
            .await
            .expect("to clone the template");
        let credentials = Credentials {
            database: name,
            ..self.credentials().clone()
        };
        let log = self.log_file();
        let origin = Origin {
            log_start: log.metadata().expect("the server's log").len(),
            log,
            done_with: self.done_with.clone(),
        };
        TestDb::at(credentials, Some(origin))
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect_with(&self.credentials().connect_options())
            .await
            .expect("to connect")
    }

    async fn make_template(&self) {
        let statement = format!("CREATE DATABASE {TEMPLATE}");
        self.admin()
            .await
            .execute(sqlx::AssertSqlSafe(statement))
            .await
            .expect("to create the template");
        let credentials = Credentials {
            database: TEMPLATE.to_owned(),
            ..self.credentials().clone()
        };
        database::migrate(&credentials.connect_options().into())
            .await
            .expect("to migrate the template");
    }
}

/// A migrated database of one test.
pub struct TestDb {
    credentials: Credentials,
    pool: PgPool,
    origin: Option<Origin>,
}

/// The server on which a database was made.
struct Origin {
    log: PathBuf,
    /// **Bytes** that the log had then.
    log_start: u64,
    /// Where the database's name is sent when nobody uses it any more.
    done_with: mpsc::Sender<String>,
}

impl TestDb {
    /// A new database on the server that the tests of this process share.
    pub async fn create() -> Self {
        TestServer::shared().await.create_database().await
    }

    /// A database of a server that a test started itself, which is migrated here.
    ///
    /// # Panics
    /// When it cannot be migrated.
    pub async fn migrate(credentials: Credentials) -> Self {
        database::migrate(&credentials.connect_options().into())
            .await
            .expect("to migrate the database");
        Self::at(credentials, None)
    }

    fn at(credentials: Credentials, origin: Option<Origin>) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(5)
            .connect_lazy_with(credentials.connect_options());
        Self {
            credentials,
            pool,
            origin,
        }
    }

    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What the server has logged since the database was made, of others too.
    ///
    /// # Panics
    /// When the server was not started here, or the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        let origin = self.origin.as_ref().expect("a server that was started here");
        read_log(&origin.log, origin.log_start)
    }

    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.credentials.connect_options()
    }

    /// The database's URL, with its password.
    #[must_use]
    pub fn url(&self) -> String {
        url(&self.credentials)
    }

    /// The same database, over TCP.
    #[must_use]
    pub fn over_tcp(mut self) -> Self {
        let credentials = Credentials {
            host: "127.0.0.1".to_owned(),
            ..self.credentials.clone()
        };
        Self::at(credentials, self.origin.take())
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if let Some(origin) = self.origin.take() {
            // Without a receiver the server goes, and all its databases.
            let _ = origin.done_with.send(self.credentials.database.clone());
        }
    }
}

/// A database's URL, with its password; the host may be a socket's directory.
#[must_use]
pub fn url(credentials: &Credentials) -> String {
    let Credentials {
        database,
        password,
        user,
        host,
        port,
    } = credentials;
    let host = host.replace('/', "%2F");
    format!("postgres://{user}:{password}@{host}:{port}/{database}")
}

fn read_log(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let mut file = File::open(path).expect("the server's log");
    file.seek(SeekFrom::Start(start))
        .and_then(|_| file.read_to_end(&mut bytes))
        .expect("the server's log");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Drops the databases whose names are sent, so that those of hundreds of tests do not fill the disk.
fn drop_databases(options: PgConnectOptions) -> mpsc::Sender<String> {
    let (done_with, names) = mpsc::channel::<String>();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        for name in names {
            // One that cannot be dropped, since its server was broken or something makes copies of it, goes with the server.
            let _ = runtime.block_on(async {
                let mut conn = PgConnection::connect_with(&options).await?;
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                conn.execute(sqlx::AssertSqlSafe(statement)).await?;
                conn.close().await
            });
        }
    });
    done_with
}

/// Stops the server and removes its directory when this process is gone.
#[expect(clippy::zombie_processes, reason = "it outlives this process, to clean up after it")]
fn watch(dir: &Path) {
    // A shell that reads until the end of its standard input, which comes when the last holder of the pipe's other end is gone.
    let script = r#"read -r _; kill -QUIT "$(head -n 1 "$1/cluster/data/postmaster.pid")"; sleep 1; rm -rf "$1""#;
    let mut watcher = Command::new("/bin/sh")
        .args(["-c", script, "watcher"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("to start the watcher");
    let mut pipe = watcher.stdin.take().expect("the watcher's pipe");
    pipe.flush().expect("the watcher's pipe");
    // Held until the process ends.
    std::mem::forget(pipe);
}
