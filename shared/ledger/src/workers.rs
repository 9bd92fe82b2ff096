//! Table `worker`: who works.

use sqlx::PgConnection;

use crate::{
    LedgerError,
    number::{signed, unsigned},
};
use model::{ImportId, Lane, PROTOCOL, ProcessName, QueueName};

/// A worker as it registers itself.
#[derive(Debug, Clone)]
pub struct NewWorker<'a> {
    pub name: &'a ProcessName,
    pub host: &'a str,
    pub pid: u32,
    pub concurrency: u32,
    /// Those whose jobs it takes.
    pub queues: &'a [QueueName],
    /// Whether it takes loads of imports by reference.
    pub reads_references: bool,
    /// The version of its program, for people.
    pub version: &'a str,
}

/// Registers a worker under a name that nobody had before.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn register(conn: &mut PgConnection, worker: &NewWorker<'_>) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO pgimport.worker (name, host, pid, concurrency, protocol, version, queues, reads_references)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        worker.name.as_str(),
        worker.host,
        signed::<u32, i32>("a process's id", worker.pid)?,
        signed::<u32, i32>("a worker's concurrency", worker.concurrency)?,
        PROTOCOL,
        worker.version,
        worker.queues as &[QueueName],
        worker.reads_references
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a worker is among those that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// One of those that live longest, among those that know most.
    Senior,
    Junior,
    /// It was declared dead and must go on under a new name.
    Gone,
}

/// Says that a worker lives, here and as the queue's workers `of_queue` that it is, and returns whether it is one of the `seniors`. One statement
/// and one commit: of idle workers it is most of what the server has to do.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn heartbeat(
    conn: &mut PgConnection,
    name: &ProcessName,
    of_queue: &[String],
    seniors: i64,
) -> Result<Standing, LedgerError> {
    let senior = sqlx::query_scalar!(
        r#"WITH of_queue AS (UPDATE apalis.workers SET last_seen = now() WHERE id = ANY ($2))
           UPDATE pgimport.worker SET last_seen = clock_timestamp() WHERE name = $1
           RETURNING name IN (SELECT o.name FROM pgimport.worker AS o WHERE o.last_seen > clock_timestamp() - $3 * interval '1 second'
                              ORDER BY o.protocol DESC, o.started_at, o.name LIMIT $4) AS "senior!""#,
        name.as_str(),
        of_queue,
        queue::stale_after().as_secs_f64(),
        seniors
    )
    .fetch_optional(conn)
    .await?;
    Ok(match senior {
        Some(true) => Standing::Senior,
        Some(false) => Standing::Junior,
        None => Standing::Gone,
    })
}

/// Removes a worker that stops.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn remove(conn: &mut PgConnection, name: &ProcessName) -> Result<(), LedgerError> {
    sqlx::query!("DELETE FROM pgimport.worker WHERE name = $1", name.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes the workers whose heartbeat is stale and returns their names.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn remove_stale(conn: &mut PgConnection) -> Result<Vec<String>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "DELETE FROM pgimport.worker WHERE last_seen < clock_timestamp() - $1 * interval '1 second' RETURNING name",
        queue::stale_after().as_secs_f64()
    )
    .fetch_all(conn)
    .await?)
}

/// How many workers live.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn count_alive(conn: &mut PgConnection) -> Result<u64, LedgerError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM pgimport.worker
           WHERE last_seen > clock_timestamp() - $1 * interval '1 second'"#,
        queue::stale_after().as_secs_f64()
    )
    .fetch_one(conn)
    .await?;
    unsigned("the number of workers", count)
}

/// The lane in which an import waits, unless a worker lives that serves it; `None` also where there is no such import.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn unserved_lane(conn: &mut PgConnection, import: ImportId) -> Result<Option<Lane>, LedgerError> {
    Ok(unserved(conn, Some(import)).await?.pop())
}

/// The lanes in which imports wait for workers, and that no living worker serves.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn unserved_lanes(conn: &mut PgConnection) -> Result<Vec<Lane>, LedgerError> {
    unserved(conn, None).await
}

/// Of one import, in whatever state it is, or of all that wait.
async fn unserved(conn: &mut PgConnection, import: Option<ImportId>) -> Result<Vec<Lane>, LedgerError> {
    Ok(sqlx::query_as!(
        Lane,
        r#"SELECT DISTINCT i.queue AS "queue: QueueName", l.by_reference AS "by_reference!"
           FROM pgimport.import AS i CROSS JOIN LATERAL (SELECT i.by_reference AND i.state <> 'cancelling' AS by_reference) AS l
           WHERE CASE WHEN $1::bigint IS NULL THEN i.state IN ('splitting', 'loading', 'cancelling') ELSE i.id = $1 END
             AND NOT EXISTS (
               SELECT FROM pgimport.worker AS w
               WHERE i.queue = ANY (w.queues) AND (w.reads_references OR NOT l.by_reference)
                 AND w.last_seen > clock_timestamp() - $2 * interval '1 second')
           ORDER BY 1, 2"#,
        import.map(|import| import.0),
        queue::stale_after().as_secs_f64()
    )
    .fetch_all(conn)
    .await?)
}

/// A worker and what it is doing.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct WorkerStatus {
    pub name: String,
    pub host: String,
    pub pid: i32,
    pub concurrency: i32,
    /// Those whose imports it loads.
    pub queues: Vec<QueueName>,
    /// Whether it loads imports by reference.
    pub reads_references: bool,
    /// The version of its program; empty for those of before.
    pub version: String,
    /// **Seconds** since it registered.
    pub uptime_s: f64,
    /// **Seconds** since its last heartbeat.
    pub silent_s: f64,
    /// The chunks it works on, as import/ordinal.
    pub chunks: Vec<String>,
}

/// Lists the workers with what they are doing.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<WorkerStatus>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT w.name, w.host, w.pid, w.concurrency, w.queues AS "queues: Vec<QueueName>", w.reads_references, w.version,
               extract(epoch FROM clock_timestamp() - w.started_at)::float8 AS "uptime_s!",
               extract(epoch FROM clock_timestamp() - w.last_seen)::float8 AS "silent_s!",
               ARRAY(SELECT c.import_id || '/' || c.ordinal
                     FROM pgimport.import AS i JOIN pgimport.import_chunk AS c ON c.import_id = i.id
                     WHERE i.state IN ('splitting', 'loading') AND c.state = 'pending' AND c.worker = w.name
                     ORDER BY c.started_at) AS "chunks!"
           FROM pgimport.worker AS w ORDER BY w.started_at, w.name"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| WorkerStatus {
            name: row.name,
            host: row.host,
            pid: row.pid,
            concurrency: row.concurrency,
            queues: row.queues,
            reads_references: row.reads_references,
            version: row.version,
            uptime_s: row.uptime_s,
            silent_s: row.silent_s.max(0.0),
            chunks: row.chunks,
        })
        .collect())
}
