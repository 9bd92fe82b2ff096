//! The queue: what a job says, how jobs are added, and their upkeep.
//!
//! A job is a hint that tells a worker to look at an import or a chunk; a job that is lost, late or delivered twice changes no
//! outcome. Owns the statements on the schema `apalis`, whose layout belongs to the crate `apalis-postgres`, but for those that join it with the ledger.

#![warn(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use ulid::Ulid;

use model::{ChunkKey, ImportId, Lane, SegmentKey};

/// What the jobs of our default queue are called in the schema `apalis`, which others may share, and all of our workers, whichever queues
/// they serve.
pub const QUEUE: &str = "pg_import";

/// What the jobs of a lane are called, as `pgimport.job_type()` has it.
#[must_use]
pub fn job_type(Lane { queue, by_reference }: &Lane) -> String {
    match (queue.is_default(), by_reference) {
        (_, true) => format!("{QUEUE}/{queue}/reference"),
        (false, false) => format!("{QUEUE}/{queue}"),
        (true, false) => QUEUE.to_owned(),
    }
}

/// The channel on which the queue announces a new job that is due.
pub const INSERT_CHANNEL: &str = "apalis::job::insert";

/// How often a worker says that it lives. **Seconds** in whole numbers: the queue truncates below one.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Heartbeats a worker may miss before its work is given to others. One setting for all: a rescuer judges by its own.
pub const MISSED_HEARTBEATS: u32 = 5;

/// Deletions and cancels go first: people wait for them, and every chunk loaded meanwhile would have to be deleted too.
const PRIORITY_UNDO: i32 = 10;
/// Loads that are tried again: they had their turn.
const PRIORITY_AGAIN: i32 = 2;
/// Of the load whose turn is 0. Others are behind it by as much as their turns are.
const PRIORITY_LOAD: i32 = 1;
/// What only newer workers can do is behind all that any can.
const PRIORITY_LEFT: i32 = i32::MIN;

/// What a worker is told to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    LoadChunk(ChunkKey),
    DeleteChunk(ChunkKey),
    CancelImport {
        import: ImportId,
    },
    /// Cuts a part of a source into chunks.
    SplitSegment(SegmentKey),
}

/// What keeps a job from being added, or the queue's upkeep from being done.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("the database refused a statement")]
    Database(#[from] sqlx::Error),
    #[error("adding jobs: expected {expected} rows, found {found}")]
    Rows { expected: u64, found: u64 },
    #[error("a job could not be written as JSON")]
    Encode(#[source] serde_json::Error),
}

impl QueueError {
    /// The database's error, if it is one.
    #[must_use]
    pub fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// The version of the envelope; a worker leaves jobs of a version that it does not know to others.
const ENVELOPE_VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    version: u32,
    #[serde(flatten)]
    job: Job,
}

/// A job that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("the job is not one of ours")]
    Decode(#[from] serde_json::Error),
    #[error("the job is of a newer version ({version}, {kind}): only newer workers know it")]
    Newer {
        version: u32,
        kind: String,
        /// The chunk that it names, if it names one as jobs of this version do.
        chunk: Option<ChunkKey>,
    },
}

/// What every version of a job says, and what it may say.
#[derive(Deserialize)]
struct Label {
    version: u32,
    kind: String,
    import: Option<ImportId>,
    ordinal: Option<i32>,
}

impl Job {
    const KINDS: [&str; 4] = ["load_chunk", "delete_chunk", "cancel_import", "split_segment"];

    /// Reads a job as the queue delivers it: any bytes at all.
    ///
    /// # Errors
    /// [`JobError`]; the caller must not fail the queue's worker because of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JobError> {
        let Label {
            version,
            kind,
            import,
            ordinal,
        } = serde_json::from_slice(bytes)?;
        if version > ENVELOPE_VERSION || !Self::KINDS.contains(&kind.as_str()) {
            let chunk = import
                .zip(ordinal)
                .map(|(import, ordinal)| ChunkKey { import, ordinal });
            return Err(JobError::Newer { version, kind, chunk });
        }
        let envelope: Envelope = serde_json::from_slice(bytes)?;
        Ok(envelope.job)
    }

    /// The import that it is about.
    #[must_use]
    pub fn import(self) -> ImportId {
        match self {
            Self::LoadChunk(chunk) | Self::DeleteChunk(chunk) => chunk.import,
            Self::CancelImport { import } => import,
            Self::SplitSegment(segment) => segment.import,
        }
    }

    /// Where it waits, of an import whose loads wait in `lane`: who undoes need not read the source.
    #[must_use]
    pub fn waits_in(self, lane: Lane) -> Lane {
        match self {
            Self::LoadChunk(_) | Self::SplitSegment(_) => lane,
            Self::DeleteChunk(_) | Self::CancelImport { .. } => Lane::of_all(lane.queue),
        }
    }

    fn priority(self, turns: &mut Turns) -> i32 {
        match self {
            Self::LoadChunk(ChunkKey { import, .. }) | Self::SplitSegment(SegmentKey { import, .. }) => {
                turns.take(import)
            }
            Self::DeleteChunk(_) | Self::CancelImport { .. } => PRIORITY_UNDO,
        }
    }
}

/// Where jobs of a lane get into the line of its queue. Each import takes turns of its own, from the first one on, so that imports which wait at the
/// same time are loaded by turns.
#[derive(Debug)]
pub struct Turns {
    lane: Lane,
    /// `None` where all go before the line.
    first: Option<i64>,
    stride: i64,
    taken: HashMap<ImportId, i64>,
}

impl Turns {
    /// From turn `first` on, each chunk `stride` behind the one before it.
    #[must_use]
    pub fn new(lane: Lane, first: i64, stride: i64) -> Self {
        Self {
            lane,
            first: Some(first),
            stride,
            taken: HashMap::new(),
        }
    }

    /// Before the line, for what had its turn already.
    #[must_use]
    pub fn again(lane: Lane) -> Self {
        Self {
            first: None,
            ..Self::new(lane, 0, 0)
        }
    }

    /// For jobs that load nothing.
    #[must_use]
    pub fn none(lane: Lane) -> Self {
        Self::new(lane, 0, 0)
    }

    /// The priority of an import's next chunk.
    fn take(&mut self, import: ImportId) -> i32 {
        let Some(first) = self.first else {
            return PRIORITY_AGAIN;
        };
        let taken = self.taken.entry(import).or_default();
        let turn = first.saturating_add(*taken);
        *taken = taken.saturating_add(self.stride);
        let priority = i64::from(PRIORITY_LOAD).saturating_sub(turn);
        // Whoever is so far behind is the last of those that anybody can do.
        i32::try_from(priority)
            .unwrap_or(PRIORITY_LEFT + 1)
            .max(PRIORITY_LEFT + 1)
    }
}

/// Adds jobs of imports of one lane within the caller's transaction, where `turns` says, due after `delay`; returns their ids in the order of `jobs`.
///
/// The clock is the database's, for a client's may run ahead; a second back where there is no delay, for the queue announces only jobs
/// that are due when they are added, and counts in whole seconds.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn push(
    conn: &mut PgConnection,
    jobs: &[Job],
    turns: &mut Turns,
    delay: Duration,
) -> Result<Vec<String>, QueueError> {
    let priorities: Vec<i32> = jobs.iter().map(|job| job.priority(turns)).collect();
    insert(conn, &job_type(&turns.lane), &write(jobs)?, &priorities, delay).await
}

/// Adds jobs again that only newer workers can do, behind all others of their lane.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn push_behind(
    conn: &mut PgConnection,
    lane: &Lane,
    jobs: &[Job],
    delay: Duration,
) -> Result<Vec<String>, QueueError> {
    let behind = vec![PRIORITY_LEFT; jobs.len()];
    insert(conn, &job_type(lane), &write(jobs)?, &behind, delay).await
}

/// Adds a job again that this program could not read, as it came, behind all others of its type, which names its lane.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn push_unread(
    conn: &mut PgConnection,
    job_type: &str,
    job: &[u8],
    delay: Duration,
) -> Result<Vec<String>, QueueError> {
    insert(conn, job_type, &[job.to_vec()], &[PRIORITY_LEFT], delay).await
}

/// Which of these types of jobs, by its place, has the one that is fetched first; `None` where none is due.
///
/// # Errors
/// The database's.
pub async fn first_in_line(conn: &mut PgConnection, job_types: &[&str]) -> Result<Option<usize>, sqlx::Error> {
    let first = sqlx::query_scalar!(
        r#"SELECT t.place AS "place!"
           FROM unnest($1::text[]) WITH ORDINALITY AS t (job_type, place)
           CROSS JOIN LATERAL (
               SELECT w.priority, w.run_at FROM apalis.jobs AS w
               WHERE w.job_type = t.job_type AND (w.status = 'Pending' OR w.status = 'Failed' AND w.attempts < w.max_attempts) AND w.run_at < now()
               ORDER BY w.priority DESC, w.run_at LIMIT 1) AS j
           ORDER BY j.priority DESC, j.run_at LIMIT 1"#,
        job_types as &[&str]
    )
    .fetch_optional(conn)
    .await?;
    Ok(first.and_then(|place| usize::try_from(place - 1).ok()))
}

fn write(jobs: &[Job]) -> Result<Vec<Vec<u8>>, QueueError> {
    let envelope = |&job: &Job| {
        serde_json::to_vec(&Envelope {
            version: ENVELOPE_VERSION,
            job,
        })
    };
    jobs.iter()
        .map(envelope)
        .collect::<Result<_, _>>()
        .map_err(QueueError::Encode)
}

/// Not the crate's own statement, which finds the type of its column of metadata by the search path. A job that failed is not fetched
/// again: retries are new jobs, so that they can wait.
async fn insert(
    conn: &mut PgConnection,
    job_type: &str,
    jobs: &[Vec<u8>],
    priorities: &[i32],
    delay: Duration,
) -> Result<Vec<String>, QueueError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = jobs.iter().map(|_| Ulid::generate().to_string()).collect();
    let done = sqlx::query!(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
         SELECT j.id, $1, j.job, 'Pending', 0, 1,
             to_timestamp(CASE WHEN $2::float8 > 0 THEN ceil(extract(epoch FROM clock_timestamp()) + $2::float8)
                               ELSE floor(extract(epoch FROM clock_timestamp())) - 1 END),
             j.priority
         FROM unnest($3::text[], $4::bytea[], $5::integer[]) AS j (id, job, priority)",
        job_type,
        delay.as_secs_f64(),
        &ids,
        jobs,
        priorities
    )
    .execute(conn)
    .await?;
    match done.rows_affected() {
        found if found == ids.len() as u64 => Ok(ids),
        found => Err(QueueError::Rows {
            expected: ids.len() as u64,
            found,
        }),
    }
}

/// Gives back the jobs that the queue's workers `names` hold, and announces them, so that others can take them at once.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn release(conn: &mut PgConnection, names: &[String]) -> Result<u64, QueueError> {
    let released = sqlx::query!(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
         WHERE lock_by = ANY ($1) AND status IN ('Queued', 'Running') RETURNING job_type, id",
        names
    )
    .fetch_all(&mut *conn)
    .await?;
    announce(conn, released.into_iter().map(|row| (row.job_type, row.id))).await
}

/// Announces jobs that were given back, one of each type, for whoever takes one asks for the next; returns how many there are. The queue itself
/// announces those that are added.
async fn announce(
    conn: &mut PgConnection,
    jobs: impl ExactSizeIterator<Item = (String, String)>,
) -> Result<u64, QueueError> {
    let count = jobs.len() as u64;
    for (job_type, id) in jobs.collect::<BTreeMap<_, _>>() {
        let announced = serde_json::json!({ "job_type": job_type, "id": id }).to_string();
        sqlx::query!("SELECT pg_notify($1, $2)", INSERT_CHANNEL, announced)
            .execute(&mut *conn)
            .await?;
    }
    Ok(count)
}

/// Gives back the jobs of workers whose heartbeat is stale, whichever queue they are in, and announces them.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn rescue_orphans(conn: &mut PgConnection) -> Result<u64, QueueError> {
    let rescued = sqlx::query!(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
         WHERE id IN (
             SELECT j.id FROM apalis.jobs j JOIN apalis.workers w ON w.id = j.lock_by
             WHERE w.worker_type = $1 AND w.last_seen < now() - $2 * interval '1 second' AND j.status IN ('Queued', 'Running')
             FOR UPDATE OF j SKIP LOCKED)
         RETURNING job_type, id",
        QUEUE,
        stale_after().as_secs_f64()
    )
    .fetch_all(&mut *conn)
    .await?;
    announce(conn, rescued.into_iter().map(|row| (row.job_type, row.id))).await
}

/// A job that a worker fetched, and of which it has not said that it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldJob {
    pub id: String,
    pub job: Job,
}

/// Up to `limit` jobs that were fetched longer ago than `age`, and are held since; those that this program cannot read are left out.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn held(conn: &mut PgConnection, age: Duration, limit: i64) -> Result<Vec<HeldJob>, QueueError> {
    let rows = sqlx::query!(
        "SELECT id, job FROM apalis.jobs
         WHERE split_part(job_type, '/', 1) = $1 AND status IN ('Queued', 'Running') AND lock_at < now() - $2 * interval '1 second' ORDER BY lock_at LIMIT $3",
        QUEUE,
        age.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().filter_map(|row| {
        let job = Job::from_bytes(&row.job).ok()?;
        Some(HeldJob { id: row.id, job })
    });
    Ok(held.collect())
}

/// Ends jobs that are held, for what they are about is done.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn end(conn: &mut PgConnection, ids: &[String]) -> Result<u64, QueueError> {
    let done = sqlx::query!(
        "UPDATE apalis.jobs SET status = 'Done', done_at = now() WHERE id = ANY ($1) AND status IN ('Queued', 'Running')",
        ids
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Removes up to `limit` finished jobs, and the rows of dead workers that no job names any more.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn prune(conn: &mut PgConnection, limit: i64) -> Result<u64, QueueError> {
    let jobs = sqlx::query!(
        "DELETE FROM apalis.jobs WHERE id IN (
             SELECT id FROM apalis.jobs WHERE split_part(job_type, '/', 1) = $1 AND status IN ('Done', 'Failed', 'Killed') LIMIT $2
             FOR UPDATE SKIP LOCKED)",
        QUEUE,
        limit
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM apalis.workers w WHERE w.worker_type = $1 AND w.last_seen < now() - interval '1 minute'
         AND NOT EXISTS (SELECT FROM apalis.jobs j WHERE j.lock_by = w.id)",
        QUEUE
    )
    .execute(conn)
    .await?;
    Ok(jobs.rows_affected())
}

/// Sets aside the jobs whose id the queue cannot read, which only a foreign hand can have added: fetching one ends every worker, one
/// after the other. Each session does this before it fetches.
///
/// # Errors
/// [`QueueError`] from the database.
pub async fn set_aside_unreadable(conn: &mut PgConnection) -> Result<u64, QueueError> {
    let done = sqlx::query!(
        "UPDATE apalis.jobs SET status = 'Killed', lock_by = NULL, lock_at = NULL
         WHERE split_part(job_type, '/', 1) = $1 AND status IN ('Pending', 'Queued', 'Running')
           AND id !~ '^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$'",
        QUEUE
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Silence after which a worker counts as dead.
#[must_use]
pub fn stale_after() -> Duration {
    HEARTBEAT * MISSED_HEARTBEATS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(queue: &str, by_reference: bool) -> Lane {
        Lane::new(queue.parse().unwrap(), by_reference)
    }

    #[test]
    fn a_job_survives_the_queue() {
        let job = Job::LoadChunk(ChunkKey {
            import: ImportId(3),
            ordinal: 4,
        });
        let value = serde_json::to_value(Envelope {
            version: ENVELOPE_VERSION,
            job,
        })
        .unwrap();
        assert_eq!(
            value,
            serde_json::json!({"version": 1, "kind": "load_chunk", "import": 3, "ordinal": 4})
        );
        assert_eq!(Job::from_bytes(value.to_string().as_bytes()).unwrap(), job);
    }

    #[test]
    fn the_jobs_of_the_default_queue_are_called_as_they_always_were() {
        assert_eq!(job_type(&lane("default", false)), "pg_import");
        assert_eq!(job_type(&lane("nightly", false)), "pg_import/nightly");
        assert_eq!(job_type(&lane("default", true)), "pg_import/default/reference");
    }

    #[test]
    fn who_undoes_an_import_need_not_read_its_source() {
        let chunk = ChunkKey {
            import: ImportId(3),
            ordinal: 4,
        };
        let by_reference = lane("nightly", true);
        assert_eq!(Job::LoadChunk(chunk).waits_in(by_reference.clone()), by_reference);
        assert_eq!(Job::DeleteChunk(chunk).waits_in(by_reference), lane("nightly", false));
    }

    #[test]
    fn loads_of_imports_take_turns_and_undos_go_first() {
        let load = |import, ordinal| {
            Job::LoadChunk(ChunkKey {
                import: ImportId(import),
                ordinal,
            })
        };
        let mut turns = Turns::new(lane("default", false), 100, 4);
        let jobs = [
            load(1, 7),
            load(1, 8),
            load(2, 0),
            Job::CancelImport { import: ImportId(1) },
        ];
        let priorities: Vec<i32> = jobs.iter().map(|job| job.priority(&mut turns)).collect();
        assert_eq!(priorities, [-99, -103, -99, PRIORITY_UNDO]);
        let mut late = Turns::new(lane("default", false), i64::MAX - 1, 4);
        assert_eq!([late.take(ImportId(1)), late.take(ImportId(1))], [i32::MIN + 1; 2]);
    }

    #[test]
    fn a_job_of_another_version_or_of_nobody_is_an_error() {
        assert!(matches!(
            Job::from_bytes(br#"{"version": 2, "kind": "load_chunk", "import": 3, "ordinal": 4}"#),
            Err(JobError::Newer { version: 2, .. })
        ));
        assert!(matches!(
            Job::from_bytes(br#"{"version": 1, "kind": "polish_chunk", "import": 3}"#),
            Err(JobError::Newer { .. })
        ));
        for bad in [b"\"?\"".as_slice(), b"{}", b"", b"\xff"] {
            assert!(matches!(Job::from_bytes(bad), Err(JobError::Decode(_))), "{bad:?}");
        }
    }
}
