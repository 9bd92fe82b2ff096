//! The migrations of both schemas, ours and the queue's.

use std::time::Duration;

use apalis_postgres::PostgresStorage;
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool, SqlSafeStr as _,
    migrate::{Migration, Migrator},
    postgres::PgPoolOptions,
};

use super::{
    ACQUIRE_TIMEOUT, DatabaseError, SEARCH_PATH,
    check::{connect, whole},
    place,
};
use crate::hosts::Hosts;

/// How often a migration looks whether another one has ended.
const TURN_INTERVAL: Duration = Duration::from_millis(100);

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Brings both schemas, ours and the queue's, to this version. Safe to run twice, and by two at once.
///
/// # Errors
/// [`DatabaseError`], when the database cannot be reached or a migration fails.
pub async fn migrate(hosts: &Hosts) -> Result<(), DatabaseError> {
    let host = whole(hosts, "a migration").await?;
    let of_connect = |source| DatabaseError::Connect {
        place: place(&host),
        source,
    };
    // Migrations may wait for one another, and for readers, longer than a session of ours may.
    let options = host.first().clone().application_name("pg_import-migrate");
    let mut lock = PgConnection::connect_with(&options.clone().options([SEARCH_PATH]))
        .await
        .map_err(of_connect)?;
    await_turn(&mut lock).await.map_err(of_connect)?;
    let schema = extension_schema(&mut lock).await.map_err(of_connect)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.options([("search_path", format!("{schema},pg_temp"))]))
        .await
        .map_err(of_connect)?;
    let oldest = oldest_protocol(&mut lock).await;
    let outcome = match refuse_older_workers(&mut lock, oldest).await {
        Ok(()) => run_migrations(&pool).await,
        refused => refused,
    };
    pool.close().await;
    drop(lock.close().await);
    outcome
}

/// Whether both schemas are of this version, by their newest migrations, so that [`migrate`] has nothing to do. Any error is for that to tell.
pub async fn is_migrated(hosts: &Hosts) -> bool {
    let current = async {
        let (mut session, _) = connect(hosts).await.ok()?;
        let is_current: Option<bool> = sqlx::query_scalar(
            "SELECT (SELECT pg_catalog.max(version) FROM pgimport._sqlx_migrations WHERE success) = $1
                AND (SELECT pg_catalog.max(version) FROM apalis._sqlx_migrations WHERE success) = $2",
        )
        .bind(newest(&MIGRATOR))
        .bind(newest(&PostgresStorage::migrations()))
        .fetch_one(&mut *session)
        .await
        .ok()?;
        session.close().await;
        is_current
    };
    current.await.unwrap_or(false)
}

/// The version of a schema with all migrations.
pub(super) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Becomes the one session that migrates, until it is closed: CREATE EXTENSION and CREATE SCHEMA IF NOT EXISTS are not safe against
/// themselves. Asks again and again rather than wait within a statement, for which CREATE INDEX CONCURRENTLY would have to wait.
async fn await_turn(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let lock = "SELECT pg_try_advisory_lock(hashtext('pgimport migrate'))";
    while !sqlx::query_scalar::<_, bool>(lock).fetch_one(&mut *conn).await? {
        tokio::time::sleep(TURN_INTERVAL).await;
    }
    Ok(())
}

/// The schema in which the queue's migrations look for the extension hstore, and in which they make it where it is missing. That is the
/// first one of the search path, so that the server's own, which is looked through first in any case, must not be named.
async fn extension_schema(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
                  WHERE e.extname = 'hstore'";
    let found: Option<String> = sqlx::query_scalar(schema).fetch_optional(conn).await?;
    Ok(found.unwrap_or_else(|| "public".to_owned()))
}

/// The oldest protocol that can live with the migrations that are still to be done: each says in its text which, if not all can. In a
/// database without any there is no worker yet.
async fn oldest_protocol(conn: &mut PgConnection) -> i32 {
    let done = sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM pgimport._sqlx_migrations WHERE success")
        .fetch_one(conn)
        .await;
    let Ok(Some(done)) = done else { return 0 };
    MIGRATOR
        .iter()
        .filter(|migration| migration.version > done)
        .filter_map(|migration| stated_protocol(migration.sql.as_str()))
        .max()
        .unwrap_or(0)
}

/// What a migration states: `-- Oldest protocol: 3` on a line of its own.
fn stated_protocol(sql: &str) -> Option<i32> {
    sql.lines()
        .find_map(|line| line.strip_prefix("-- Oldest protocol: ")?.trim().parse().ok())
}

/// Refuses while workers of an older protocol are alive.
///
/// # Errors
/// [`DatabaseError::OlderWorkers`], naming them; [`DatabaseError::Version`] when they cannot be asked for.
pub async fn refuse_older_workers(conn: &mut PgConnection, oldest: i32) -> Result<(), DatabaseError> {
    if oldest <= 0 {
        return Ok(());
    }
    // By way of JSON, for the columns may not be there yet.
    let older: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s:%s (version %s)', w.host, w.pid, coalesce(nullif(to_jsonb(w) ->> 'version', ''), 'of before'))
         FROM pgimport.worker AS w
         WHERE coalesce((to_jsonb(w) ->> 'protocol')::integer, 0) < $1 AND w.last_seen > clock_timestamp() - interval '5 seconds'
         ORDER BY w.started_at",
    )
    .bind(oldest)
    .fetch_all(conn)
    .await
    .map_err(DatabaseError::Version)?;
    if older.is_empty() {
        return Ok(());
    }
    Err(DatabaseError::OlderWorkers {
        workers: older.join(", "),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_may_state_the_oldest_protocol() {
        assert_eq!(
            stated_protocol("-- Adds a column.\n-- Oldest protocol: 2\nSELECT 1"),
            Some(2)
        );
        assert_eq!(stated_protocol("-- Adds a column.\nSELECT 1"), None);
    }

    #[test]
    fn migrations_are_sent_in_ascii_under_the_checksums_of_their_files() {
        for (file, sent) in std::iter::zip(MIGRATOR.iter(), migrator().iter()) {
            assert_eq!((file.version, &file.checksum), (sent.version, &sent.checksum));
            assert!(
                sent.sql.as_str().is_ascii(),
                "migration {} is not all ASCII",
                file.version
            );
            if file.version > LAST_BEYOND_ASCII {
                assert_eq!(file.sql.as_str(), sent.sql.as_str());
            } else {
                assert!(
                    !sent.sql.as_str().contains("?"),
                    "migration {}: what is this?",
                    file.version
                );
            }
        }
    }
}
