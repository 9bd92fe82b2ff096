//! An import while it is split: the submitter's lease, who goes on in its place, and how splitting ends.

use std::time::Duration;

use model::{ImportId, Lane, ProcessName, QueueName};
use queue::Turns;
use sqlx::PgConnection;

use crate::{LedgerError, error::expect_rows, number::signed};

/// How long a submitter may be silent before another may go on in its place.
pub const LEASE: Duration = Duration::from_secs(8);

/// Renews the submitter's lease; call first in every transaction that adds chunks. `false` when the import is no longer this
/// submitter's to split.
///
/// This locks the import's row until the caller's transaction ends, as a `FOR SHARE` would for those who change its state, without
/// the upgrade of a shared lock on which two sessions can deadlock.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn renew_lease(
    conn: &mut PgConnection,
    import: ImportId,
    submitter: &ProcessName,
) -> Result<bool, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import SET lease_until = clock_timestamp() + $3 * interval '1 second'
         WHERE id = $1 AND submitter = $2 AND state = 'splitting'",
        import.0,
        submitter.as_str(),
        LEASE.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts chunks that are added in the caller's transaction, and says where they get into line: behind the import's others that wait, but not
/// behind more of other imports'.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn count_batch(
    conn: &mut PgConnection,
    import: ImportId,
    chunks: u64,
    records: u64,
) -> Result<Turns, LedgerError> {
    let (chunks, records): (i64, i64) = (
        signed("the number of chunks", chunks)?,
        signed("the number of records", records)?,
    );
    let row = sqlx::query!(
        r#"UPDATE pgimport.import
           SET chunk_count = chunk_count + $2::bigint, record_count = record_count + $3,
               turn = CASE WHEN ordered OR max_parallel IS NOT NULL THEN turn
                           ELSE greatest(turn, pgimport.current_turn(queue)) + $2::bigint * stride END
           WHERE id = $1 RETURNING turn - $2::bigint * stride AS "first!", stride, queue AS "queue: QueueName", by_reference"#,
        import.0,
        chunks,
        records
    )
    .fetch_one(conn)
    .await?;
    let lane = Lane::new(row.queue, row.by_reference);
    Ok(Turns::new(lane, row.first, row.stride.into()))
}

/// How many of an import's chunks may be in line at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// One, the first in the source's order that is not loaded.
    Ordered,
    /// So many.
    Parallel(i64),
}

/// Locks an import that loads and of which not all chunks may be in line at once; `None` of any other.
pub(crate) async fn lock_window(conn: &mut PgConnection, import: ImportId) -> Result<Option<Window>, LedgerError> {
    let row = sqlx::query!(
        "SELECT ordered, max_parallel FROM pgimport.import
         WHERE id = $1 AND state IN ('splitting', 'loading') AND (ordered OR max_parallel IS NOT NULL) FOR NO KEY UPDATE",
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|row| match (row.ordered, row.max_parallel) {
        (true, _) => Some(Window::Ordered),
        (false, most) => most.map(|most| Window::Parallel(most.into())),
    }))
}

/// Takes turns for chunks of an import that was locked by [`lock_window`].
pub(crate) async fn take_turns(conn: &mut PgConnection, import: ImportId, chunks: usize) -> Result<Turns, LedgerError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import SET turn = greatest(turn, pgimport.current_turn(queue)) + $2::bigint * stride
           WHERE id = $1 RETURNING turn - $2::bigint * stride AS "first!", stride, queue AS "queue: QueueName", by_reference"#,
        import.0,
        signed::<u64, i64>("the number of chunks", chunks as u64)?
    )
    .fetch_one(conn)
    .await?;
    let lane = Lane::new(row.queue, row.by_reference);
    Ok(Turns::new(lane, row.first, row.stride.into()))
}

/// Where the line of loads of a queue is: what takes this turn is loaded next.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn current_turn(conn: &mut PgConnection, queue: &QueueName) -> Result<i64, LedgerError> {
    Ok(
        sqlx::query_scalar!(r#"SELECT pgimport.current_turn($1) AS "turn!""#, queue.as_str())
            .fetch_one(conn)
            .await?,
    )
}

/// Whose import was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The name of the process.
    pub submitter: String,
    /// The role that submitted the import; `None` of imports of before.
    pub submitted_by: Option<String>,
}

/// Takes over an import whose submitter was silent for too long, and returns who that was. `None` when it is not to be had.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn take_over(
    conn: &mut PgConnection,
    import: ImportId,
    submitter: &ProcessName,
) -> Result<Option<Former>, LedgerError> {
    Ok(sqlx::query_as!(
        Former,
        r#"WITH before AS (
               SELECT id, submitter, submitted_by FROM pgimport.import
               WHERE id = $1 AND state = 'splitting' AND resumable AND lease_until < clock_timestamp() FOR UPDATE)
           UPDATE pgimport.import AS i SET submitter = $2, lease_until = clock_timestamp() + $3 * interval '1 second'
           FROM before WHERE i.id = before.id RETURNING before.submitter, before.submitted_by::text"#,
        import.0,
        submitter.as_str(),
        LEASE.as_secs_f64()
    )
    .fetch_optional(conn)
    .await?)
}

/// Locks an import until the caller's transaction ends. `false` when it is no longer this submitter's to split.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn lock_for_submitter(
    conn: &mut PgConnection,
    import: ImportId,
    submitter: &ProcessName,
) -> Result<bool, LedgerError> {
    // By id alone, and what it says in a second statement: a condition beside the lock is judged by the old snapshot.
    super::lock(conn, import).await?;
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import WHERE id = $1 AND submitter = $2 AND state = 'splitting') AS "own!""#,
        import.0,
        submitter.as_str()
    )
    .fetch_one(conn)
    .await?)
}

/// Records what was read, of an import whose last chunk is stored.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_split(
    conn: &mut PgConnection,
    import: ImportId,
    fingerprint: &str,
    size_bytes: u64,
) -> Result<(), LedgerError> {
    let size: i64 = signed("a source's size", size_bytes)?;
    let done = sqlx::query!(
        "UPDATE pgimport.import SET fingerprint = $2, size_bytes = $3 WHERE id = $1",
        import.0,
        fingerprint,
        size
    )
    .execute(conn)
    .await?;
    expect_rows("recording what was read", 1, done.rows_affected())
}

/// Whether this session's role may go on in the place of whoever submitted an import; if not, whose it is.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn may_take_over(conn: &mut PgConnection, import: ImportId) -> Result<Result<(), String>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT pgimport.may_act_for(submitted_by, target_oid) AS "may!", coalesce(submitted_by::text, '') AS "role!"
           FROM pgimport.import WHERE id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        Some(row) if !row.may => Err(row.role),
        _ => Ok(()),
    })
}

/// An import whose submitter was silent for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    pub import: ImportId,
    pub source: String,
    /// The submitter's name, and the role that submitted it.
    pub submitter: String,
    pub submitted_by: Option<String>,
    /// Whether another run can go on in its place.
    pub resumable: bool,
    /// Whether it was silent for so long that no restart of the server can be the reason.
    pub for_good: bool,
}

/// Silence beyond the lease after which an interrupted stream is undone, and the server's age from which on silence counts: a
/// submitter that outlives an outage needs moments to say so.
const STREAM_GRACE: Duration = Duration::from_secs(20);

/// Imports whose submitter was silent for too long. One whose row is locked has a transaction that still runs, which is no silence; a
/// frozen one is ended by the server before long.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn abandoned(conn: &mut PgConnection) -> Result<Vec<Abandoned>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT id, source, submitter, submitted_by::text, resumable,
               lease_until + $1 * interval '1 second' < clock_timestamp()
                   AND pg_postmaster_start_time() + $1 * interval '1 second' < clock_timestamp() AS "for_good!"
           FROM pgimport.import WHERE state = 'splitting' AND lease_until < clock_timestamp()
           FOR UPDATE SKIP LOCKED"#,
        STREAM_GRACE.as_secs_f64()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Abandoned {
            import: ImportId(row.id),
            source: row.source,
            submitter: row.submitter,
            submitted_by: row.submitted_by,
            resumable: row.resumable,
            for_good: row.for_good,
        })
        .collect())
}
