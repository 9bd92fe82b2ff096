//! Connections with this project's session settings, and the migrations.

use std::time::Duration;

use apalis_postgres::PostgresStorage;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool, Row as _,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use model::ProcessName;

/// How long a statement waits for a lock. A claim that times out frees its slot and is tried later.
const LOCK_TIMEOUT: &str = "2s";
/// A process that froze between two statements gives up its locks after this time, whoever watches.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// How long a pool waits for a connection before it says that the database cannot be reached.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Whether a commit waits until its WAL is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It waits.
    Durable,
    /// It does not; a server crash within the next moments undoes it whole. For chunk transactions and the queue: ledger and data
    /// vanish together, and the order of the WAL keeps every later, durable commit behind them.
    Deferred,
}

/// Adds the settings that every session of ours has.
///
/// READ COMMITTED is stated, for the protocols are argued in it; the time zone is fixed, for a timestamp without one shall mean the
/// same on every machine; keepalives of seconds free the locks of a machine that lost its network.
#[must_use]
pub fn session(options: PgConnectOptions, name: &ProcessName, commit: Commit) -> PgConnectOptions {
    // Statements are not logged: their slowness is the server's to tell, and their text may hold what a user named.
    options
        .disable_statement_logging()
        .application_name(name.as_str())
        .options([
            ("default_transaction_isolation", "read committed"),
            ("timezone", "UTC"),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "11000"),
            // A statement whose client is gone shall end, and free its locks, before it has an answer to send.
            ("client_connection_check_interval", "2s"),
            (
                "synchronous_commit",
                match commit {
                    Commit::Durable => "on",
                    Commit::Deferred => "off",
                },
            ),
        ])
}

/// A pool of at most `size` sessions; connects when first used.
#[must_use]
pub fn pool(options: PgConnectOptions, size: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Every use handles a lost connection anyway, so a ping before each would only cost a round trip.
        .test_before_acquire(false)
        // Nobody waits for this one, unless every session is in use.
        .after_release(|conn, _| Box::pin(is_outside_transactions(conn)))
        .connect_lazy_with(options)
}

/// Whether a session is as it was when it was new. One whose `BEGIN` was given up while the server was at it is within a transaction of
/// which sqlx 0.9.0 knows nothing (its issue 4393): whoever had it next would lose what they wrote.
async fn is_outside_transactions(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // By the simple protocol, for in the extended one the two differ in any case: a statement then is several messages.
    sqlx::raw_sql("SELECT now() = statement_timestamp()")
        .fetch_one(conn)
        .await?
        .try_get(0)
}

/// What keeps a database from being used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("cannot reach the database {place}")]
    Connect { place: String, source: sqlx::Error },
    #[error(
        "the database {place} has no pg_import schema of this version: run `enqueue migrate` with the same settings"
    )]
    NotMigrated { place: String },
    #[error("the database {place} was migrated by a newer version of pg_import: update this program")]
    Newer { place: String },
    #[error("cannot migrate the schema pgimport")]
    Migrate(#[source] MigrateError),
    #[error(
        "cannot migrate the queue's schema apalis (it needs the contrib extensions hstore and pgcrypto, and CREATE on the database and on its schema public)"
    )]
    MigrateQueue(#[source] apalis_postgres::Error),
    #[error("cannot read the schema's version")]
    Version(#[source] sqlx::Error),
}

/// Names a database for people, without its password.
#[must_use]
pub fn place(options: &PgConnectOptions) -> String {
    let host = options
        .get_socket()
        .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    format!(
        "'{}' at {host}:{} as user '{}'",
        options.get_database().unwrap_or(options.get_username()),
        options.get_port(),
        options.get_username()
    )
}

/// Brings both schemas, ours and the queue's, to this version. Safe to run twice, and by two at once.
///
/// # Errors
/// [`DatabaseError`], when the database cannot be reached or a migration fails.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), DatabaseError> {
    let connect = |source| DatabaseError::Connect {
        place: place(options),
        source,
    };
    // Migrations may wait for one another, and for readers, longer than a session of ours may.
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone().application_name("pg_import-migrate"))
        .await
        .map_err(connect)?;
    let mut lock = pool.acquire().await.map_err(connect)?;
    // CREATE EXTENSION and CREATE SCHEMA IF NOT EXISTS are not safe against themselves.
    lock.execute("SELECT pg_advisory_lock(hashtext('pgimport migrate'))")
        .await
        .map_err(connect)?;
    let outcome = run_migrations(&pool).await;
    drop(lock.close().await);
    pool.close().await;
    outcome
}

async fn run_migrations(pool: &PgPool) -> Result<(), DatabaseError> {
    PostgresStorage::setup(pool)
        .await
        .map_err(DatabaseError::MigrateQueue)?;
    migrator().run(pool).await.map_err(DatabaseError::Migrate)
}

fn migrator() -> Migrator {
    let mut migrator = Migrator {
        migrations: MIGRATOR.migrations.clone(),
        locking: false,
        ..Migrator::DEFAULT
    };
    migrator.create_schema("pgimport");
    migrator.dangerous_set_table_name("pgimport._sqlx_migrations");
    migrator
}

/// Connects once, without a pool, which would hide why it cannot, and checks the schema's version.
///
/// # Errors
/// [`DatabaseError`], saying what to do.
pub async fn check(options: &PgConnectOptions) -> Result<(), DatabaseError> {
    let place = place(options);
    let connecting = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await;
    let silence = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"));
    let mut conn = connecting
        .unwrap_or_else(|_| Err(silence()))
        .map_err(|source| DatabaseError::Connect {
            place: place.clone(),
            source,
        })?;
    check_version(&mut conn, &place).await?;
    drop(conn.close().await);
    Ok(())
}

/// Checks that the schema is the one this program was built for.
///
/// # Errors
/// [`DatabaseError::NotMigrated`] or [`DatabaseError::Newer`], saying what to do; [`DatabaseError::Version`] when it cannot be read.
async fn check_version(conn: &mut PgConnection, place: &str) -> Result<(), DatabaseError> {
    let wanted = MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0);
    let found: Option<i64> =
        match sqlx::query("SELECT max(version) AS version FROM pgimport._sqlx_migrations WHERE success")
            .fetch_one(conn)
            .await
        {
            Ok(row) => row.try_get("version").map_err(DatabaseError::Version)?,
            Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P01" | "3F000")) => None,
            Err(error) => return Err(DatabaseError::Version(error)),
        };
    match found {
        Some(found) if found > wanted => Err(DatabaseError::Newer {
            place: place.to_owned(),
        }),
        Some(found) if found == wanted => Ok(()),
        _ => Err(DatabaseError::NotMigrated {
            place: place.to_owned(),
        }),
    }
}
