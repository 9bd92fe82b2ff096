//! Connections with this project's session settings, and the migrations.

use std::time::Duration;

use apalis_postgres::PostgresStorage;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool, Row as _,
    SqlSafeStr as _,
    migrate::{MigrateError, Migration, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{model::ProcessName, target::quote_identifier};

/// How long a statement waits for a lock. A claim that times out frees its slot and is tried later.
const LOCK_TIMEOUT: &str = "2s";
/// A process that froze between two statements gives up its locks after this time, whoever watches.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// Where names without a schema are looked for. Those of our own statements are the server's, or have their schema; whatever others put
/// elsewhere under names like these, a better fit to the arguments perhaps, is neither found nor run with our rights. Temporary tables
/// would come first if they were not named.
const SEARCH_PATH: (&str, &str) = ("search_path", "pg_catalog,pg_temp");
/// How long a pool waits for a connection before it says that the database cannot be reached.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Whether a commit waits until its WAL is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It waits.
    Durable,
    /// It does not; a server crash within the next moments undoes it whole. For chunk transactions and the queue: ledger and data
    /// vanish together, and the order of the WAL keeps every later, durable commit behind them.
    Deferred,
}

/// Adds the settings of a session for the ledger, the queue and the catalog: those of [`role_session`], and a search path that no other
/// role has a say in.
#[must_use]
pub fn session(options: PgConnectOptions, name: &ProcessName, commit: Commit) -> PgConnectOptions {
    role_session(options, name, commit).options([SEARCH_PATH])
}

/// Adds the settings that every session of ours has, and leaves the search path to the role.
///
/// For what runs code of the table's owner, which may count on that path (triggers, defaults, CHECK constraints, domains, policies), and
/// for names as a person says them. In what is sent to such a session every table, type and function has its schema, and operators have
/// operands of exactly the types that the server has them for, since a closer match is taken from anywhere on the path.
///
/// READ COMMITTED is stated, for the protocols are argued in it; the time zone is fixed, for a timestamp without one shall mean the
/// same on every machine; keepalives of seconds free the locks of a machine that lost its network.
#[must_use]
pub fn role_session(options: PgConnectOptions, name: &ProcessName, commit: Commit) -> PgConnectOptions {
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
    sqlx::raw_sql("SELECT pg_catalog.now() = pg_catalog.statement_timestamp()")
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
    #[error(
        "the role '{role}' may not do its work in the database {place}: {remedy} (docs/PRIVILEGES.md has all of them)"
    )]
    Privilege {
        place: String,
        role: String,
        remedy: String,
    },
    #[error(
        "the database {place} takes no changes from this role: default_transaction_read_only is on, for the role, the database or the server"
    )]
    ReadOnly { place: String },
    #[error("the server of the database {place} is a standby: it takes no changes until it is promoted")]
    Standby { place: String },
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
    let options = options.clone().application_name("pg_import-migrate");
    let mut lock = connect_in_time(&options.clone().options([SEARCH_PATH]))
        .await
        .map_err(connect)?;
    // CREATE EXTENSION and CREATE SCHEMA IF NOT EXISTS are not safe against themselves.
    lock.execute("SELECT pg_advisory_lock(hashtext('pgimport migrate'))")
        .await
        .map_err(connect)?;
    let schema = extension_schema(&mut lock).await.map_err(connect)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.options([("search_path", format!("{schema},pg_temp"))]))
        .await
        .map_err(connect)?;
    let outcome = run_migrations(&pool).await;
    pool.close().await;
    drop(lock.close().await);
    outcome
}

/// The schema in which the queue's migrations look for the extension hstore, and in which they make it where it is missing. That is the
/// first one of the search path, so that the server's own, which is looked through first in any case, must not be named.
async fn extension_schema(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
                  WHERE e.extname = 'hstore'";
    let found: Option<String> = sqlx::query_scalar(schema).fetch_optional(conn).await?;
    Ok(found.unwrap_or_else(|| "public".to_owned()))
}

async fn run_migrations(pool: &PgPool) -> Result<(), DatabaseError> {
    PostgresStorage::setup(pool)
        .await
        .map_err(DatabaseError::MigrateQueue)?;
    migrator().run(pool).await.map_err(DatabaseError::Migrate)
}

/// The last migration whose text is not all ASCII.
const LAST_BEYOND_ASCII: i64 = 3;

/// A migration as it is sent: a database of another encoding than UTF-8 could not take the arrows and dots of the first ones' comments.
/// The files are those of a release, so they and their checksums stay as they are.
fn in_ascii(migration: &Migration) -> Migration {
    let mut migration = migration.clone();
    if migration.version <= LAST_BEYOND_ASCII {
        let text: String = migration
            .sql
            .as_str()
            .chars()
            .map(|c| match c {
                '→' => "->".to_owned(),
                '…' => "...".to_owned(),
                c if c.is_ascii() => c.to_string(),
                _ => "?".to_owned(),
            })
            .collect();
        migration.sql = AssertSqlSafe(text).into_sql_str();
    }
    migration
}

fn migrator() -> Migrator {
    let mut migrator = Migrator {
        migrations: MIGRATOR.iter().map(in_ascii).collect(),
        locking: false,
        ..Migrator::DEFAULT
    };
    migrator.create_schema("pgimport");
    migrator.dangerous_set_table_name("pgimport._sqlx_migrations");
    migrator
}

/// Connects without a pool, which would hide why it cannot.
async fn connect_in_time(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let silence = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"));
    tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options))
        .await
        .unwrap_or_else(|_| Err(silence()))
}

/// What a process is about to do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Change nothing.
    Look,
    /// Change the ledger: what that takes depends on the command.
    Change,
    Submit,
    Work,
}

impl Purpose {
    /// Schema, table and privileges; `docs/PRIVILEGES.md` has them too.
    fn needs(self) -> &'static [(&'static str, &'static str, &'static [&'static str])] {
        const VERSION: (&str, &str, &[&str]) = ("pgimport", "_sqlx_migrations", &["SELECT"]);
        match self {
            Self::Look | Self::Change => &[VERSION],
            Self::Submit => &[
                VERSION,
                ("pgimport", "import", &["SELECT", "INSERT", "UPDATE"]),
                ("pgimport", "import_chunk", &["SELECT", "INSERT", "UPDATE"]),
                ("pgimport", "import_payload", &["INSERT"]),
                ("pgimport", "worker", &["SELECT"]),
                ("apalis", "jobs", &["INSERT"]),
            ],
            Self::Work => &[
                VERSION,
                ("pgimport", "import", &["SELECT", "UPDATE"]),
                ("pgimport", "import_chunk", &["SELECT", "UPDATE"]),
                ("pgimport", "import_payload", &["SELECT", "DELETE"]),
                ("pgimport", "import_registry", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                ("pgimport", "import_reject", &["INSERT"]),
                ("pgimport", "worker", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                ("apalis", "jobs", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                ("apalis", "workers", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
            ],
        }
    }
}

/// Connects once and checks what a process must know before it begins: the schema's version, whether the server takes changes, and
/// whether the role has the privileges for the control schemas. Returns the session.
///
/// # Errors
/// [`DatabaseError`], saying what to do.
pub async fn check(options: &PgConnectOptions, purpose: Purpose) -> Result<PgConnection, DatabaseError> {
    let place = place(options);
    let mut conn = connect(options, &place).await?;
    let version = check_version(&mut conn, &place).await;
    // Without USAGE on the schema not even the version can be read.
    if !matches!(&version, Err(error) if crate::sqlstate(error).as_deref() != Some(INSUFFICIENT_PRIVILEGE)) {
        check_privileges(&mut conn, &place, purpose).await?;
    }
    version?;
    if purpose != Purpose::Look {
        check_writable(&mut conn, &place).await?;
    }
    Ok(conn)
}

/// Checks that the database is there and takes changes, as one that was so before may not after a failover.
///
/// # Errors
/// [`DatabaseError`], saying what to do.
pub async fn check_again(options: &PgConnectOptions) -> Result<(), DatabaseError> {
    let place = place(options);
    let mut conn = connect(options, &place).await?;
    check_writable(&mut conn, &place).await?;
    drop(conn.close().await);
    Ok(())
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

async fn connect(options: &PgConnectOptions, place: &str) -> Result<PgConnection, DatabaseError> {
    connect_in_time(options).await.map_err(|source| {
        let place = place.to_owned();
        if crate::sqlstate(&source).as_deref() != Some(INSUFFICIENT_PRIVILEGE) {
            return DatabaseError::Connect { place, source };
        }
        let role = options.get_username();
        let database = options.get_database().unwrap_or(role);
        DatabaseError::Privilege {
            place,
            role: role.to_owned(),
            remedy: format!(
                "GRANT CONNECT ON DATABASE {} TO {}",
                quote_identifier(database),
                quote_identifier(role)
            ),
        }
    })
}

/// Checks the privileges for the control schemas. Only the catalog is asked, which everybody may read.
async fn check_privileges(conn: &mut PgConnection, place: &str, purpose: Purpose) -> Result<(), DatabaseError> {
    let (mut schemas, mut tables, mut privileges) = (Vec::new(), Vec::new(), Vec::new());
    for (schema, table, needed) in purpose.needs() {
        for privilege in *needed {
            schemas.push(*schema);
            tables.push(*table);
            privileges.push(*privilege);
        }
    }
    // What is not there at all is a matter of the version.
    let missing: Vec<(String, String, String, String, bool, bool)> = sqlx::query_as(
        "SELECT current_user::pg_catalog.text, p.schema, p.name, p.privilege, s.usage, t.privilege
         FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[])
             WITH ORDINALITY AS p (schema, name, privilege, position)
         JOIN pg_catalog.pg_namespace AS n ON n.nspname = p.schema
         JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = p.name,
             LATERAL (SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage) AS s,
             LATERAL (SELECT pg_catalog.has_table_privilege(c.oid, p.privilege) AS privilege) AS t
         WHERE NOT (s.usage AND t.privilege) ORDER BY p.position",
    )
    .bind(schemas)
    .bind(tables)
    .bind(privileges)
    .fetch_all(conn)
    .await
    .map_err(DatabaseError::Version)?;
    let (mut role, mut schemas) = (String::new(), Vec::new());
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for (current, schema, table, privilege, has_usage, has_privilege) in missing {
        role = current;
        let table = format!("{schema}.{table}");
        if !has_privilege {
            match tables.last_mut() {
                Some((last, privileges)) if *last == table => privileges.push(privilege),
                _ => tables.push((table, vec![privilege])),
            }
        }
        if !has_usage && !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    let mut grants: Vec<String> = tables
        .into_iter()
        .map(|(table, privileges)| format!("{} ON {table}", privileges.join(", ")))
        .collect();
    if !schemas.is_empty() {
        grants.insert(0, format!("USAGE ON SCHEMA {}", schemas.join(", ")));
    }
    if grants.is_empty() {
        return Ok(());
    }
    let to = quote_identifier(&role);
    let grants: Vec<String> = grants.iter().map(|grant| format!("GRANT {grant} TO {to}")).collect();
    Err(DatabaseError::Privilege {
        place: place.to_owned(),
        role,
        remedy: grants.join("; "),
    })
}

async fn check_writable(conn: &mut PgConnection, place: &str) -> Result<(), DatabaseError> {
    let place = place.to_owned();
    let (standby, read_only): (bool, String) =
        sqlx::query_as("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')")
            .fetch_one(conn)
            .await
            .map_err(DatabaseError::Version)?;
    match (standby, read_only.as_str()) {
        (true, _) => Err(DatabaseError::Standby { place }),
        (false, "on") => Err(DatabaseError::ReadOnly { place }),
        (false, _) => Ok(()),
    }
}

/// Checks that the schema is the one this program was built for.
///
/// # Errors
/// [`DatabaseError::NotMigrated`] or [`DatabaseError::Newer`], saying what to do; [`DatabaseError::Version`] when it cannot be read.
async fn check_version(conn: &mut PgConnection, place: &str) -> Result<(), DatabaseError> {
    let wanted = MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0);
    let found: Option<i64> =
        match sqlx::query("SELECT pg_catalog.max(version) AS version FROM pgimport._sqlx_migrations WHERE success")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_sent_in_ascii_under_the_checksums_of_their_files() {
        for (file, sent) in std::iter::zip(MIGRATOR.iter(), migrator().iter()) {
            assert_eq!((file.version, &file.checksum), (sent.version, &sent.checksum));
            assert!(
                sent.sql.as_str().is_ascii(),
                "migration {} is not all ASCII",
                file.version
            );
            assert!(
                !sent.sql.as_str().contains("?"),
                "migration {}: what is this?",
                file.version
            );
            if file.version > LAST_BEYOND_ASCII {
                assert_eq!(file.sql.as_str(), sent.sql.as_str());
            }
        }
    }
}
