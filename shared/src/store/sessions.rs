//! Sessions of the server: whose they are, and ending those of the dead.
//!
//! A process that is frozen inside a COPY keeps its locks for as long as it likes; nothing but ending its session frees them.

use sqlx::PgConnection;

use super::StoreError;

/// Ends the sessions of processes that were declared dead.
///
/// # Errors
/// [`StoreError`] from the database: ending a session needs the same role, or `pg_signal_backend`.
pub async fn terminate(conn: &mut PgConnection, names: &[String]) -> Result<u64, StoreError> {
    let ended = sqlx::query_scalar!(
        r#"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) AS "ended!" FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = ANY ($1) AND pid <> pg_backend_pid()"#,
        names
    )
    .fetch_one(conn)
    .await?;
    Ok(ended.unsigned_abs())
}

/// Ends the sessions whose name begins with `prefix` and belongs to no registered worker: those of a process that was declared dead and
/// connected again before it noticed. Sessions younger than ten seconds may belong to one that is just registering.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn terminate_unregistered(conn: &mut PgConnection, prefix: &str) -> Result<u64, StoreError> {
    let ended = sqlx::query_scalar!(
        r#"SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) AS "ended!" FROM pg_stat_activity AS a
           WHERE a.datname = current_database() AND starts_with(a.application_name, $1) AND a.pid <> pg_backend_pid()
             AND a.backend_start < clock_timestamp() - interval '10 seconds'
             AND NOT EXISTS (SELECT FROM pgimport.worker AS w WHERE w.name = a.application_name)"#,
        prefix
    )
    .fetch_one(conn)
    .await?;
    Ok(ended.unsigned_abs())
}

/// Tries to become the one session that does `purpose`, until its transaction ends.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn try_transaction_lock(conn: &mut PgConnection, purpose: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS "locked!""#,
        purpose
    )
    .fetch_one(conn)
    .await?)
}

/// Makes the current transaction end when it idles for seconds: what it holds shall not outlive a process that froze.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn limit_idleness(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '4s'")
        .execute(conn)
        .await?;
    Ok(())
}

/// Lets the current transaction wait longer for locks: a person's command shall not fail because a cancel waits for loads, or because a
/// process froze whose session the server ends within seconds.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn wait_patiently(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL lock_timeout = '30s'").execute(conn).await?;
    Ok(())
}

/// Becomes the one session that does `purpose`, until its transaction ends.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn transaction_lock(conn: &mut PgConnection, purpose: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(purpose)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the current transaction's commit wait until it is on disk, whatever the session's default.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn commit_durably(conn: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL synchronous_commit = on").execute(conn).await?;
    Ok(())
}
