//! Sessions of the server: whose they are, and ending those of the dead.
//!
//! A process that is frozen inside a COPY keeps its locks for as long as it likes; nothing but ending its session frees them.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{LedgerError, number::unsigned};
use model::ImportId;
use session::retry::LOCK_PATIENCE;

/// What came of ending sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminated {
    pub ended: u64,
    /// Sessions of roles that this one may not end: that takes membership in the role, or in `pg_signal_backend`.
    pub out_of_reach: u64,
}

/// Ends the sessions of processes that were declared dead, as far as this role may: one that it must leave alone shall not keep it from
/// everything else.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn terminate(conn: &mut PgConnection, names: &[String]) -> Result<Terminated, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE CASE WHEN may_end THEN pg_terminate_backend(pid) END) AS "ended!",
               count(*) FILTER (WHERE NOT may_end) AS "out_of_reach!"
           FROM (SELECT pid, pgimport.may_end_session_of(usesysid) AS may_end FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = ANY ($1) AND pid <> pg_backend_pid()) AS dead"#,
        names
    )
    .fetch_one(conn)
    .await?;
    Ok(Terminated {
        ended: unsigned("the sessions ended", row.ended)?,
        out_of_reach: unsigned("the sessions out of reach", row.out_of_reach)?,
    })
}

/// Ends the sessions of a submitter that is gone, as far as this role may: those under its name of the role that submitted, or of its
/// members. The name is what that role has written: it shall not be that of a worker, or of whoever else.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn terminate_submitter(conn: &mut PgConnection, name: &str, role: Option<&str>) -> Result<u64, LedgerError> {
    let ended = sqlx::query_scalar!(
        r#"SELECT count(*) FILTER (WHERE CASE WHEN pgimport.may_end_session_of(usesysid) THEN pg_terminate_backend(pid) END) AS "ended!"
           FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = $1 AND starts_with($1, 'pg_import-enqueue:')
             AND pid <> pg_backend_pid()
             AND ($2::text IS NULL OR EXISTS (
                 SELECT FROM pg_roles AS s WHERE s.rolname = $2::text::name AND pg_has_role(usesysid, s.oid, 'MEMBER')))"#,
        name,
        role
    )
    .fetch_one(conn)
    .await?;
    unsigned("the sessions ended", ended)
}

/// Ends the sessions whose name begins with `prefix` and belongs to no registered worker: those of a process that was declared dead and
/// connected again before it noticed. Sessions younger than ten seconds may belong to one that is just registering. Those of roles that
/// this one may not end are left alone.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn terminate_unregistered(conn: &mut PgConnection, prefix: &str) -> Result<u64, LedgerError> {
    let ended = sqlx::query_scalar!(
        r#"SELECT count(*) FILTER (WHERE CASE WHEN pgimport.may_end_session_of(usesysid) THEN pg_terminate_backend(pid) END) AS "ended!"
           FROM pg_stat_activity AS a
           WHERE datname = current_database() AND starts_with(application_name, $1) AND pid <> pg_backend_pid()
             AND backend_start < clock_timestamp() - interval '10 seconds'
             AND NOT EXISTS (SELECT FROM pgimport.worker AS w WHERE w.name = a.application_name)"#,
        prefix
    )
    .fetch_one(conn)
    .await?;
    unsigned("the sessions ended", ended)
}

/// Tries to become the one session that does `purpose`, until its transaction ends.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn try_transaction_lock(conn: &mut PgConnection, purpose: &str) -> Result<bool, LedgerError> {
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
/// [`LedgerError`] from the database.
pub async fn limit_idleness(conn: &mut PgConnection) -> Result<(), LedgerError> {
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '4s'")
        .execute(conn)
        .await?;
    Ok(())
}

/// Lets the current transaction wait longer for locks: a person's command shall not fail because a cancel waits for loads, or because a
/// process froze whose session the server ends within seconds.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn wait_patiently(conn: &mut PgConnection) -> Result<(), LedgerError> {
    sqlx::query(AssertSqlSafe(format!(
        "SET LOCAL lock_timeout = '{}s'",
        LOCK_PATIENCE.as_secs()
    )))
    .execute(conn)
    .await?;
    Ok(())
}

/// Becomes the one session that does `purpose`, until its transaction ends.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn transaction_lock(conn: &mut PgConnection, purpose: &str) -> Result<(), LedgerError> {
    sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))")
        .bind(purpose)
        .execute(conn)
        .await?;
    Ok(())
}

/// Joins those who delete an import's rows, until the caller's transaction ends.
///
/// Row locks alone would not do: sessions that share one overtake a session that waits for it alone, so that whoever wants to stop the
/// deletions would wait for the last of them. Advisory locks are granted in turn.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn join_deletions(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock_shared($1)")
        .bind(deletions_key(import))
        .execute(conn)
        .await?;
    Ok(())
}

/// Waits for the deletions of an import that run, and keeps others from beginning until the caller's transaction ends.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn hold_deletions(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock($1)")
        .bind(deletions_key(import))
        .execute(conn)
        .await?;
    Ok(())
}

/// The upper byte of these keys sets them apart from those under which ids are taken.
fn deletions_key(import: ImportId) -> i64 {
    0x64 << 56 | import.0
}

/// Makes the current transaction's commit wait until it is on disk, whatever the session's default.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn commit_durably(conn: &mut PgConnection) -> Result<(), LedgerError> {
    sqlx::query("SET LOCAL synchronous_commit = on").execute(conn).await?;
    Ok(())
}
