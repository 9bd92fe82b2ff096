//! The jobs that wake workers up: added together with their names on what they are for, so that a lost one is found missing and derived
//! anew from the ledger.
//!
//! Knows what a live job is: one that waits in its import's lane, or that a living worker of the queue holds.

use std::{collections::BTreeMap, time::Duration};

use model::{ChunkKey, ChunkState, ImportId, Lane, Priority, QueueName, SegmentKey};
use queue::{Job, Turns};
use sqlx::{Connection as _, PgConnection};

use crate::{
    LedgerError,
    chunks::{self, NewChunk, Undecided},
    imports::{self, Window},
    segments,
};

/// Jobs added by one statement.
const JOBS_AT_ONCE: usize = 5_000;

/// Adds jobs for chunks and imports that are there to the lanes of these, within the caller's transaction. What waited already is at the
/// front of the line, and a load that is tried again after a pause before it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn push(tx: &mut PgConnection, jobs: &[Job], delay: Duration) -> Result<(), LedgerError> {
    for (lane, jobs) in by_lane(tx, jobs).await? {
        let loads = jobs
            .iter()
            .any(|job| matches!(job, Job::LoadChunk(_) | Job::SplitSegment(_)));
        let mut turns = match (loads, delay.is_zero()) {
            (true, true) => {
                let first = imports::current_turn(tx, &lane.queue).await?;
                Turns::new(lane, first, Priority::Normal.stride().into())
            }
            (true, false) => Turns::again(lane),
            (false, _) => Turns::none(lane),
        };
        for part in jobs.chunks(JOBS_AT_ONCE) {
            let ids = queue::push(tx, part, &mut turns, delay).await?;
            set_jobs(tx, part, ids).await?;
        }
    }
    Ok(())
}

/// Jobs in their order, by the lane in which they wait; those of imports that are gone are left out.
async fn by_lane(conn: &mut PgConnection, jobs: &[Job]) -> Result<BTreeMap<Lane, Vec<Job>>, LedgerError> {
    let mut ids: Vec<ImportId> = jobs.iter().map(|job| job.import()).collect();
    ids.dedup();
    let lanes = imports::lanes(conn, &ids).await?;
    let mut sorted = BTreeMap::<_, Vec<_>>::new();
    for &job in jobs {
        if let Some(lane) = lanes.get(&job.import()) {
            sorted.entry(job.waits_in(lane.clone())).or_default().push(job);
        }
    }
    Ok(sorted)
}

/// Lets an import go on of which not all chunks may be in line at once: adds the jobs of the first that are open, as far as they have none,
/// one where they are loaded in order, else `max_parallel`. Where the first of an order failed, those behind it fail too. Call it after each
/// commit that may be what the next chunk waits for: of a chunk before it, or of itself.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn advance(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    let mut tx = conn.begin().await?;
    let open = match imports::lock_window(&mut tx, import).await? {
        None => Vec::new(),
        Some(Window::Ordered) => first_in_order(&mut tx, import).await?,
        Some(Window::Parallel(most)) => first_pending(&mut tx, import, most).await?,
    };
    // Somebody may hold one, who loads it or adds its job.
    let waiting = open
        .iter()
        .filter(|chunk| chunk.state == ChunkState::Pending && !chunk.has_job);
    let jobs: Vec<Job> = waiting
        .map(|chunk| {
            Job::LoadChunk(ChunkKey {
                import,
                ordinal: chunk.ordinal,
            })
        })
        .collect();
    if open.iter().any(|chunk| chunk.state == ChunkState::Failed) {
        chunks::fail_blocked(&mut tx, Some(import)).await?;
    } else if !jobs.is_empty() {
        let mut turns = imports::take_turns(&mut tx, import, jobs.len()).await?;
        let ids = queue::push(&mut tx, &jobs, &mut turns, Duration::ZERO).await?;
        set_jobs(&mut tx, &jobs, ids).await?;
    }
    Ok(tx.commit().await?)
}

/// A chunk that may be in line.
struct OpenChunk {
    ordinal: i32,
    state: ChunkState,
    has_job: bool,
}

/// The first chunk that is not loaded, unless somebody holds it.
async fn first_in_order(conn: &mut PgConnection, import: ImportId) -> Result<Vec<OpenChunk>, LedgerError> {
    Ok(sqlx::query_as!(
        OpenChunk,
        r#"SELECT c.ordinal, c.state AS "state: ChunkState", c.job_id IS NOT NULL AS "has_job!"
           FROM pgimport.import_chunk AS c
           WHERE c.import_id = $1 AND c.state IN ('pending', 'failed')
             AND c.ordinal = (SELECT min(o.ordinal) FROM pgimport.import_chunk AS o WHERE o.import_id = $1 AND o.state IN ('pending', 'failed'))
           FOR UPDATE OF c SKIP LOCKED"#,
        import.0
    )
    .fetch_all(conn)
    .await?)
}

/// The first chunks that are pending, but for those that somebody holds.
async fn first_pending(conn: &mut PgConnection, import: ImportId, most: i64) -> Result<Vec<OpenChunk>, LedgerError> {
    Ok(sqlx::query_as!(
        OpenChunk,
        r#"SELECT c.ordinal, c.state AS "state: ChunkState", c.job_id IS NOT NULL AS "has_job!"
           FROM pgimport.import_chunk AS c
           WHERE c.import_id = $1 AND c.state = 'pending' AND c.ordinal = ANY (ARRAY(
                 SELECT o.ordinal FROM pgimport.import_chunk AS o WHERE o.import_id = $1 AND o.state = 'pending' ORDER BY o.ordinal LIMIT $2))
           FOR UPDATE OF c SKIP LOCKED"#,
        import.0,
        most
    )
    .fetch_all(conn)
    .await?)
}

/// Adds the jobs of an undo in `queue` that is fenced, in the order of its chunks, within the caller's transaction.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn push_deletions(
    tx: &mut PgConnection,
    queue: &QueueName,
    undecided: &[Undecided],
) -> Result<(), LedgerError> {
    let mut turns = Turns::none(Lane::of_all(queue.clone()));
    for part in undecided.chunks(JOBS_AT_ONCE) {
        let jobs: Vec<Job> = part.iter().map(|open| Job::DeleteChunk(open.chunk)).collect();
        let ids = queue::push(tx, &jobs, &mut turns, Duration::ZERO).await?;
        chunks::open_deletions(tx, part, &ids).await?;
    }
    Ok(())
}

/// Adds a job again that only newer workers can do, behind all that others can.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn push_behind(tx: &mut PgConnection, job: Job, delay: Duration) -> Result<(), LedgerError> {
    for (lane, jobs) in by_lane(tx, &[job]).await? {
        let ids = queue::push_behind(tx, &lane, &jobs, delay).await?;
        set_jobs(tx, &jobs, ids).await?;
    }
    Ok(())
}

/// Whether a job is in the lane in which it should wait, or its import is gone. One that is not was added by a program of before, and is no live job.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn is_in_place(conn: &mut PgConnection, job: Job, job_type: &str) -> Result<bool, LedgerError> {
    let lanes = by_lane(conn, &[job]).await?;
    Ok(lanes.keys().all(|lane| queue::job_type(lane) == job_type))
}

/// How long a worker that lives may hold a job: longer than any may take, and wait to run alone. What waits for it longer waits for a worker that
/// knows nothing of it any more: a crash of the server lost what was done, and that the job was.
const HELD_AT_MOST: Duration = Duration::from_secs(1_800);
/// How long what a job is about is done before the job counts as forgotten: by far longer than it takes to say that it is.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Ends jobs whose chunk is loaded, failed or undone for a while, and whose holder lives: it said that the job was done, but the database
/// was restarted in that moment, and nobody says it again. Returns how many.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn end_forgotten(conn: &mut PgConnection, limit: i64) -> Result<u64, LedgerError> {
    let held = queue::held(conn, FORGOTTEN_AFTER, limit).await?;
    let of_chunks = held.iter().filter_map(|held| match held.job {
        Job::LoadChunk(chunk) => Some((&held.id, chunk, false)),
        Job::DeleteChunk(chunk) => Some((&held.id, chunk, true)),
        Job::CancelImport { .. } | Job::SplitSegment(_) => None,
    });
    let (mut ids, mut imports, mut ordinals, mut undos) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, chunk, undo) in of_chunks {
        ids.push(id.clone());
        imports.push(chunk.import.0);
        ordinals.push(chunk.ordinal);
        undos.push(undo);
    }
    if ids.is_empty() {
        return Ok(0);
    }
    let forgotten = sqlx::query_scalar!(
        r#"SELECT j.id AS "id!"
           FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::boolean[]) AS j (id, import_id, ordinal, undo)
           JOIN pgimport.import_chunk AS c ON c.import_id = j.import_id AND c.ordinal = j.ordinal
           WHERE c.finished_at < clock_timestamp() - $5 * interval '1 second'
             AND CASE WHEN j.undo THEN c.state = 'deleted' OR c.kept_count IS NOT NULL ELSE c.state <> 'pending' END"#,
        &ids,
        &imports,
        &ordinals,
        &undos,
        FORGOTTEN_AFTER.as_secs_f64()
    )
    .fetch_all(&mut *conn)
    .await?;
    if forgotten.is_empty() {
        return Ok(0);
    }
    Ok(queue::end(conn, &forgotten).await?)
}

/// Names jobs that were just added, in their order, on what they are for.
async fn set_jobs(tx: &mut PgConnection, jobs: &[Job], ids: Vec<String>) -> Result<(), LedgerError> {
    let (mut of_chunks, mut chunk_ids) = (Vec::new(), Vec::new());
    let (mut of_segments, mut segment_ids) = (Vec::new(), Vec::new());
    for (&job, id) in std::iter::zip(jobs, ids) {
        match job {
            Job::CancelImport { import } => imports::set_cancel_job(tx, import, &id).await?,
            Job::SplitSegment(segment) => {
                of_segments.push(segment);
                segment_ids.push(id);
            }
            Job::LoadChunk(chunk) | Job::DeleteChunk(chunk) => {
                of_chunks.push(chunk);
                chunk_ids.push(id);
            }
        }
    }
    if !of_segments.is_empty() {
        segments::set_jobs(tx, &of_segments, &segment_ids).await?;
    }
    if !of_chunks.is_empty() {
        chunks::set_jobs(tx, &of_chunks, &chunk_ids).await?;
    }
    Ok(())
}

/// Adds chunks behind those that an import has, with their jobs where they may be in line at once, and returns their ordinals, within the
/// caller's transaction, which holds the import's lock.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn add_chunks(
    tx: &mut PgConnection,
    import: ImportId,
    first_ordinal: i32,
    added: &[NewChunk],
    advances: bool,
) -> Result<Vec<i32>, LedgerError> {
    let ordinals: Vec<i32> = (first_ordinal..).take(added.len()).collect();
    let records = added.iter().map(|chunk| chunk.span.record_count).sum();
    let mut turns = imports::count_batch(tx, import, added.len() as u64, records).await?;
    let job_ids = if advances {
        Vec::new()
    } else {
        let load = |&ordinal| Job::LoadChunk(ChunkKey { import, ordinal });
        let jobs: Vec<Job> = ordinals.iter().map(load).collect();
        queue::push(tx, &jobs, &mut turns, Duration::ZERO).await?
    };
    chunks::insert(tx, import, &ordinals, added, &job_ids).await?;
    Ok(ordinals)
}

/// What waits without a live job, at most `limit`: pending chunks of imports that load, undecided ones of undos that are fenced, cancels that
/// are not, and segments that are to be split. A chunk or segment that somebody holds has no need of a job now; the others are locked until the caller's transaction ends.
///
/// Each side has its own partial index, so that history costs nothing.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn missing(conn: &mut PgConnection, limit: i64) -> Result<Vec<Job>, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH waiting AS (
               SELECT i.id AS import_id, NULL::integer AS ordinal, NULL::integer AS segment, i.job_id, i.queue, false AS by_reference FROM pgimport.import AS i
               WHERE i.state = 'cancelling' AND i.fenced_at IS NULL
               UNION ALL
               SELECT s.import_id, NULL, s.segment, s.job_id, i.queue, i.by_reference FROM pgimport.import AS i JOIN pgimport.import_segment AS s ON s.import_id = i.id
               WHERE i.state = 'splitting' AND s.state = 'pending'
               UNION ALL
               SELECT c.import_id, c.ordinal, NULL, c.job_id, i.queue, i.by_reference FROM pgimport.import AS i
               CROSS JOIN LATERAL (
                   SELECT CASE WHEN i.max_parallel IS NOT NULL THEN (
                       SELECT b.ordinal FROM pgimport.import_chunk AS b WHERE b.import_id = i.id AND b.state = 'pending'
                       ORDER BY b.ordinal OFFSET i.max_parallel LIMIT 1) END AS beyond) AS w
               JOIN pgimport.import_chunk AS c ON c.import_id = i.id
               WHERE i.state IN ('splitting', 'loading') AND c.state = 'pending'
                 AND NOT (i.ordered AND EXISTS (
                     SELECT FROM pgimport.import_chunk AS b
                     WHERE b.import_id = i.id AND b.ordinal < c.ordinal AND b.state IN ('pending', 'failed')))
                 AND (w.beyond IS NULL OR c.ordinal < w.beyond)
               UNION ALL
               SELECT c.import_id, c.ordinal, NULL, c.job_id, i.queue, false FROM pgimport.import AS i JOIN pgimport.import_chunk AS c ON c.import_id = i.id
               WHERE i.state = 'cancelling' AND i.fenced_at IS NOT NULL AND c.state = 'loaded' AND c.kept_count IS NULL)
           SELECT w.import_id AS "import_id!", w.ordinal, w.segment FROM waiting AS w
           WHERE NOT EXISTS (
               SELECT FROM apalis.jobs AS j LEFT JOIN apalis.workers AS q ON q.id = j.lock_by
               WHERE j.id = w.job_id
                 AND (j.status = 'Pending' AND j.job_type IN (pgimport.job_type(w.queue), pgimport.job_type(w.queue, w.by_reference))
                      OR j.status IN ('Queued', 'Running') AND q.last_seen > now() - $1 * interval '1 second'
                         AND j.lock_at > now() - $2 * interval '1 second'))
           LIMIT $3"#,
        queue::stale_after().as_secs_f64(),
        HELD_AT_MOST.as_secs_f64(),
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let (mut jobs, mut imports, mut ordinals, mut segments) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let import = ImportId(row.import_id);
        match (row.ordinal, row.segment) {
            (None, None) => jobs.push(Job::CancelImport { import }),
            (None, Some(segment)) => segments.push(SegmentKey { import, segment }),
            (Some(ordinal), _) => {
                imports.push(row.import_id);
                ordinals.push(ordinal);
            }
        }
    }
    if !segments.is_empty() {
        let open = segments::lock_pending(conn, &segments).await?;
        jobs.extend(open.into_iter().map(Job::SplitSegment));
    }
    let chunks = sqlx::query!(
        r#"SELECT c.import_id, c.ordinal, c.state AS "state: ChunkState"
           FROM unnest($1::bigint[], $2::integer[]) AS o (import_id, ordinal) JOIN pgimport.import_chunk AS c USING (import_id, ordinal)
           JOIN pgimport.import AS i ON i.id = c.import_id
           WHERE c.state = 'pending' OR c.state = 'loaded' AND c.kept_count IS NULL AND i.state = 'cancelling'
           FOR UPDATE OF c SKIP LOCKED"#,
        &imports,
        &ordinals
    )
    .fetch_all(&mut *conn)
    .await?;
    jobs.extend(chunks.into_iter().map(|row| {
        let chunk = ChunkKey {
            import: ImportId(row.import_id),
            ordinal: row.ordinal,
        };
        match row.state {
            ChunkState::Loaded => Job::DeleteChunk(chunk),
            _ => Job::LoadChunk(chunk),
        }
    }));
    Ok(jobs)
}
