//! Table `import_segment`: the parts of a source by reference that workers cut into chunks, and how these become the import's.
//!
//! A segment is split by whoever gets its job, and what it found is kept with it. Once all segments before it are stored, its chunks get
//! their places in the source, and are stored as a submitter would store them: see [`store_split`].

use std::{ops::Range, time::Duration};

use model::{ImportId, ImportState, Position, QueueName, SegmentKey, Span};
use queue::Job;
use sqlx::{Connection as _, PgConnection};

use crate::{
    LedgerError,
    chunks::{NewChunk, Retry},
    completion::{end_split, fail_split},
    error::expect_rows,
    imports,
    number::{column, signed, unsigned, unsigned_option},
    sessions, wakeups,
};

/// A part of an input, as it is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegment {
    pub input: u32,
    /// **Bytes** of the input.
    pub range: Range<u64>,
    /// The line on which it begins, where that is known: of the first one of its input.
    pub first_line: Option<u64>,
}

/// Adds the segments of an import with their jobs, within the transaction that adds the import.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(tx: &mut PgConnection, import: ImportId, segments: &[NewSegment]) -> Result<(), LedgerError> {
    let offset = |value| signed::<u64, i64>("a segment's bounds", value);
    let inputs = column(segments, |s| signed("an input's number", s.input))?;
    let starts: Vec<i64> = column(segments, |s| offset(s.range.start))?;
    let ends: Vec<i64> = column(segments, |s| offset(s.range.end))?;
    let lines: Vec<Option<i64>> = column(segments, |s| s.first_line.map(offset).transpose())?;
    let split = |segment| Job::SplitSegment(SegmentKey { import, segment });
    let jobs: Vec<Job> = (0..).take(segments.len()).map(split).collect();
    let mut turns = imports::take_turns(tx, import, segments.len()).await?;
    let job_ids = queue::push(tx, &jobs, &mut turns, Duration::ZERO).await?;
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_segment (import_id, segment, input, start_byte, end_byte, first_line, job_id)
         SELECT $1, s.number - 1, s.input, s.start_byte, s.end_byte, s.first_line, s.job_id
         FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) WITH ORDINALITY
             AS s (input, start_byte, end_byte, first_line, job_id, number)",
        import.0,
        &inputs as &[i32],
        &starts,
        &ends,
        lines as Vec<Option<i64>>,
        &job_ids
    )
    .execute(tx)
    .await?;
    expect_rows("storing segments", segments.len() as u64, done.rows_affected())
}

/// Whether workers split an import.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn has_any(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import_segment WHERE import_id = $1) AS "has_any!""#,
        import.0
    )
    .fetch_one(conn)
    .await?)
}

/// A segment that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub input: u32,
    /// **Bytes** of the input: records that begin within these are its own.
    pub range: Range<u64>,
    /// The line on which it begins, of the first one of its input, which begins where a record may begin.
    pub first_line: Option<u64>,
}

/// What became of a try to begin a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Started(Segment),
    /// Nothing was counted: it has that many attempts already.
    Tried(u32),
    /// It is split, or its import is not being split.
    NotPending,
}

/// Counts a start, in a transaction of its own and before the work, as that of a chunk; not of a segment that has `limit` attempts, nor of
/// an import in none of the worker's `queues`.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn start(
    conn: &mut PgConnection,
    segment: SegmentKey,
    worker: &str,
    queues: &[QueueName],
    limit: u32,
) -> Result<Start, LedgerError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import_segment AS s SET attempts = attempts + 1, worker = $3
           FROM pgimport.import AS i
           WHERE s.import_id = $1 AND s.segment = $2 AND s.state = 'pending' AND s.attempts < $4 AND i.id = $1 AND i.state = 'splitting'
             AND i.queue = ANY ($5)
           RETURNING s.input, s.start_byte, s.end_byte, s.first_line, set_config('synchronous_commit', 'on', true) AS "durable!""#,
        segment.import.0,
        segment.segment,
        worker,
        signed::<u32, i32>("the limit of attempts", limit)?,
        queues as &[QueueName]
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        return Ok(Start::Started(Segment {
            input: unsigned("an input's number", row.input.into())?,
            range: unsigned("a segment's start", row.start_byte)?..unsigned("a segment's end", row.end_byte)?,
            first_line: unsigned_option("a line's number", row.first_line)?,
        }));
    }
    let attempts = sqlx::query_scalar!(
        "SELECT s.attempts FROM pgimport.import_segment AS s JOIN pgimport.import AS i ON i.id = s.import_id
         WHERE s.import_id = $1 AND s.segment = $2 AND s.state = 'pending' AND i.state = 'splitting' AND i.queue = ANY ($3)",
        segment.import.0,
        segment.segment,
        queues as &[QueueName]
    )
    .fetch_optional(conn)
    .await?;
    Ok(match attempts {
        None => Start::NotPending,
        Some(attempts) => Start::Tried(unsigned("a segment's attempts", attempts.into())?),
    })
}

/// A chunk as it was found in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundChunk {
    /// **Bytes** of the input.
    pub range: Range<u64>,
    pub records: u64,
    /// The line on which it begins, from 0 at the first record of the segment.
    pub line: u64,
    /// BLAKE3 of its bytes.
    pub digest: [u8; 32],
}

/// What a segment was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// **Bytes** of the input, from the first line that begins within the segment to the first one behind it.
    pub range: Range<u64>,
    /// In their order.
    pub chunks: Vec<FoundChunk>,
    /// How many lines that range has.
    pub lines: u64,
}

/// `pending → split`: keeps what was found in a segment. `false` when somebody else has split it, or its import is not being split any more.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish(conn: &mut PgConnection, segment: SegmentKey, found: &Found) -> Result<bool, LedgerError> {
    let number = |value| signed::<u64, i64>("a chunk's bounds", value);
    let chunks = &found.chunks;
    let starts: Vec<i64> = column(chunks, |c| number(c.range.start))?;
    let ends: Vec<i64> = column(chunks, |c| number(c.range.end))?;
    let records: Vec<i64> = column(chunks, |c| number(c.records))?;
    let chunk_lines: Vec<i64> = column(chunks, |c| number(c.line))?;
    let digests: Vec<&[u8]> = chunks.iter().map(|c| c.digest.as_slice()).collect();
    let done = sqlx::query!(
        "UPDATE pgimport.import_segment AS s
         SET state = 'split', chunk_starts = $3, chunk_ends = $4, chunk_records = $5, chunk_lines = $6, chunk_digests = $7, lines = $8,
             begins_at = $9, ends_at = $10, retries = 0, retrying_since = NULL, last_error = NULL
         FROM pgimport.import AS i
         WHERE s.import_id = $1 AND s.segment = $2 AND s.state = 'pending' AND i.id = $1 AND i.state = 'splitting'",
        segment.import.0,
        segment.segment,
        &starts,
        &ends,
        &records,
        &chunk_lines,
        &digests as &[&[u8]],
        number(found.lines)?,
        number(found.range.start)?,
        number(found.range.end)?
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores the chunks of all segments that were split and have only stored ones before them, each segment in a durable transaction; and with the last
/// one the import's source has ended. Call it after [`finish`]; whoever comes first does it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn store_split(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    let Some(row) = imports::read(conn, import).await? else {
        return Ok(());
    };
    let (advances, spec) = (row.advances, row.spec()?);
    let sweeps = spec.conflict.missing().is_some();
    let mut stored_any = false;
    loop {
        let mut tx = conn.begin().await?;
        sessions::commit_durably(&mut tx).await?;
        if imports::lock(&mut tx, import).await? != Some(ImportState::Splitting) {
            break;
        }
        // Seen by a statement of its own, after the lock.
        match next(&mut tx, import).await? {
            Next::Split(segment) => match check(&mut tx, import, &segment).await? {
                Ok(before) => store(&mut tx, import, segment, before, advances).await?,
                Err(misfit) => {
                    let role = row.submitted_by.as_deref();
                    fail_split(&mut tx, import, misfit, spec.rejects.all_or_nothing, role).await?;
                    tx.commit().await?;
                    return Ok(());
                }
            },
            Next::Pending => break,
            Next::None => {
                end_split(&mut tx, import, sweeps).await?;
                tx.commit().await?;
                stored_any = true;
                break;
            }
        }
        tx.commit().await?;
        stored_any = true;
    }
    if advances && stored_any {
        wakeups::advance(conn, import).await?;
    }
    Ok(())
}

/// What comes behind the segments that are stored.
enum Next {
    Split(SplitSegment),
    /// It is still to be split.
    Pending,
    None,
}

struct SplitSegment {
    segment: i32,
    input: i32,
    start_byte: i64,
    end_byte: i64,
    is_first: bool,
    begins_at: Option<i64>,
    ends_at: Option<i64>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    records: Vec<i64>,
    lines: Vec<i64>,
    digests: Vec<Vec<u8>>,
}

async fn next(conn: &mut PgConnection, import: ImportId) -> Result<Next, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT segment, state = 'split' AS "split!", input, start_byte, end_byte, first_line IS NOT NULL AS "is_first!", begins_at, ends_at,
               coalesce(chunk_starts, '{}') AS "starts!", coalesce(chunk_ends, '{}') AS "ends!",
               coalesce(chunk_records, '{}') AS "records!", coalesce(chunk_lines, '{}') AS "lines!", coalesce(chunk_digests, '{}') AS "digests!"
           FROM pgimport.import_segment WHERE import_id = $1 AND state <> 'stored' ORDER BY segment LIMIT 1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        None => Next::None,
        Some(row) if !row.split => Next::Pending,
        Some(row) => Next::Split(SplitSegment {
            segment: row.segment,
            input: row.input,
            start_byte: row.start_byte,
            end_byte: row.end_byte,
            is_first: row.is_first,
            begins_at: row.begins_at,
            ends_at: row.ends_at,
            starts: row.starts,
            ends: row.ends,
            records: row.records,
            lines: row.lines,
            digests: row.digests,
        }),
    })
}

/// What lies before a segment.
struct Before {
    next_ordinal: i32,
    /// The number of the next record of its input.
    next_record: i64,
    /// The line on which its first record begins.
    first_line: i64,
    /// Where the segment before it ends, of the same input.
    ended_at: Option<i64>,
    /// Whether it is the last one of its input.
    is_last: bool,
}

/// Why the chunks of a segment cannot be stored: whoever split it, and the one before it, read other bytes than were submitted.
const MISFIT: &str = "the source changed while workers split it: their parts do not fit together; submit it again when nobody writes to it";

/// What lies before a segment, if that fits it: nothing between two of them belongs to nobody, or to both.
async fn check(
    conn: &mut PgConnection,
    import: ImportId,
    segment: &SplitSegment,
) -> Result<Result<Before, &'static str>, LedgerError> {
    let before = sqlx::query_as!(
        Before,
        r#"SELECT coalesce(l.ordinal + 1, 0) AS "next_ordinal!",
               CASE WHEN l.input = $2 THEN l.first_record + l.record_count ELSE 1 END AS "next_record!",
               (SELECT coalesce(min(s.first_line) + coalesce(sum(s.lines) FILTER (WHERE s.segment < $3), 0), 0)::bigint
                FROM pgimport.import_segment AS s WHERE s.import_id = $1 AND s.input = $2) AS "first_line!",
               (SELECT s.ends_at FROM pgimport.import_segment AS s
                WHERE s.import_id = $1 AND s.segment = $3 - 1 AND s.input = $2) AS ended_at,
               NOT EXISTS (SELECT FROM pgimport.import_segment AS s
                           WHERE s.import_id = $1 AND s.segment = $3 + 1 AND s.input = $2) AS "is_last!"
           FROM (VALUES (1)) AS one
           LEFT JOIN LATERAL (
               SELECT c.ordinal, c.input, c.first_record, c.record_count FROM pgimport.import_chunk AS c
               WHERE c.import_id = $1 ORDER BY c.ordinal DESC LIMIT 1) AS l ON true"#,
        import.0,
        segment.input,
        segment.segment
    )
    .fetch_one(conn)
    .await?;
    let SplitSegment { begins_at, ends_at, .. } = *segment;
    let begins = if segment.is_first {
        Some(segment.start_byte)
    } else {
        before.ended_at
    };
    let count = segment.starts.len();
    let alike = [
        segment.ends.len(),
        segment.records.len(),
        segment.lines.len(),
        segment.digests.len(),
    ] == [count; 4];
    let bounds = std::iter::zip(&segment.starts, &segment.ends);
    let mut reached = begins_at;
    let ascend = bounds.into_iter().all(|(start, end)| {
        let fits = reached.is_some_and(|reached| *start >= reached) && end > start;
        reached = Some(*end);
        fits
    });
    let within = reached <= ends_at;
    let ends = !before.is_last || ends_at == Some(segment.end_byte);
    let fits = begins_at.is_some() && begins_at == begins && alike && ascend && within && ends;
    Ok(if fits { Ok(before) } else { Err(MISFIT) })
}

/// `split → stored`: gives the chunks of a segment their places, which are known by now.
async fn store(
    tx: &mut PgConnection,
    import: ImportId,
    segment: SplitSegment,
    before: Before,
    advances: bool,
) -> Result<(), LedgerError> {
    let input = unsigned("an input's number", segment.input.into())?;
    let mut record = unsigned("a record's number", before.next_record)?;
    let mut added = Vec::with_capacity(segment.starts.len());
    let bounds = std::iter::zip(segment.starts, segment.ends);
    let counts = std::iter::zip(segment.records, segment.lines);
    for (((start, end), (records, line)), digest) in bounds.zip(counts).zip(segment.digests) {
        let records = unsigned("a chunk's records", records)?;
        let digest = digest.try_into().map_err(|bytes: Vec<u8>| LedgerError::Inconsistent {
            what: "the length of a chunk's digest",
            value: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        })?;
        added.push(NewChunk {
            span: Span {
                start: Position {
                    input,
                    record: Some(record),
                    byte: Some(unsigned("a chunk's start", start)?),
                    line: Some(unsigned("a chunk's line", before.first_line.saturating_add(line))?),
                },
                end_byte: Some(unsigned("a chunk's end", end)?),
                record_count: records,
            },
            payload_bytes: 0,
            digest: Some(digest),
        });
        record = record.saturating_add(records);
    }
    if !added.is_empty() {
        wakeups::add_chunks(tx, import, before.next_ordinal, &added, advances).await?;
    }
    let done = sqlx::query!(
        "UPDATE pgimport.import_segment
         SET state = 'stored', chunk_starts = NULL, chunk_ends = NULL, chunk_records = NULL, chunk_lines = NULL, chunk_digests = NULL
         WHERE import_id = $1 AND segment = $2 AND state = 'split'",
        import.0,
        segment.segment
    )
    .execute(tx)
    .await?;
    expect_rows("storing a segment's chunks", 1, done.rows_affected())
}

/// Notes an error of `worker` after which a segment is tried again, on it and on its import, where people see it until that goes on. With `give_back`
/// its attempt does not count. `None` when it is not pending any more.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn note_retry(
    tx: &mut PgConnection,
    segment: SegmentKey,
    worker: &str,
    error: &str,
    give_back: bool,
) -> Result<Option<Retry>, LedgerError> {
    let row = sqlx::query!(
        r#"UPDATE pgimport.import_segment AS s
           SET attempts = greatest(s.attempts - CASE WHEN $5 AND s.worker = $3 THEN 1 ELSE 0 END, 0), retries = s.retries + 1,
               retrying_since = coalesce(s.retrying_since, clock_timestamp()), worker = nullif(s.worker, $3), last_error = $4
           FROM pgimport.import AS i
           WHERE s.import_id = $1 AND s.segment = $2 AND s.state = 'pending' AND i.id = $1 AND i.state = 'splitting'
           RETURNING s.attempts, s.retries, extract(epoch FROM clock_timestamp() - s.retrying_since)::float8 AS "retrying_for!""#,
        segment.import.0,
        segment.segment,
        worker,
        error,
        give_back
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    show(tx, segment.import, error).await?;
    Ok(Some(Retry {
        attempts: unsigned("a segment's attempts", row.attempts.into())?,
        retries: unsigned("a segment's retries", row.retries.into())?,
        retrying_for: Duration::from_secs_f64(row.retrying_for.max(0.0)),
    }))
}

/// Gives back the attempt of a segment whose work was abandoned by a graceful stop, or is left to others, for this reason.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn give_back(
    conn: &mut PgConnection,
    segment: SegmentKey,
    worker: &str,
    reason: Option<&str>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.import_segment
         SET attempts = greatest(attempts - 1, 0), worker = NULL, last_error = coalesce($4, last_error)
         WHERE import_id = $1 AND segment = $2 AND state = 'pending' AND worker = $3",
        segment.import.0,
        segment.segment,
        worker,
        reason
    )
    .execute(&mut *conn)
    .await?;
    match reason {
        Some(reason) => show(conn, segment.import, reason).await,
        None => Ok(()),
    }
}

/// Says on an import that is being split what keeps a segment from it, for people: until that goes on.
async fn show(conn: &mut PgConnection, import: ImportId, error: &str) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.import SET error = $2 WHERE id = $1 AND state = 'splitting'",
        import.0,
        error
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Fails an import one of whose segments cannot be split, in the caller's transaction. `false` when it is not being split any more.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn fail(tx: &mut PgConnection, segment: SegmentKey, message: &str) -> Result<bool, LedgerError> {
    let import = segment.import;
    if imports::lock(tx, import).await? != Some(ImportState::Splitting) {
        return Ok(false);
    }
    let Some(row) = imports::read(tx, import).await? else {
        return Ok(false);
    };
    let role = row.submitted_by.as_deref();
    fail_split(tx, import, message, row.spec()?.rejects.all_or_nothing, role).await?;
    Ok(true)
}

/// Names jobs that were just added for segments.
pub(crate) async fn set_jobs(
    conn: &mut PgConnection,
    segments: &[SegmentKey],
    job_ids: &[String],
) -> Result<(), LedgerError> {
    let imports: Vec<i64> = segments.iter().map(|s| s.import.0).collect();
    let numbers: Vec<i32> = segments.iter().map(|s| s.segment).collect();
    sqlx::query!(
        "UPDATE pgimport.import_segment AS s SET job_id = j.job_id
         FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS j (import_id, segment, job_id)
         WHERE s.import_id = j.import_id AND s.segment = j.segment",
        &imports,
        &numbers,
        job_ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of some segments that are pending, but for those that somebody holds; locked until the caller's transaction ends.
pub(crate) async fn lock_pending(
    conn: &mut PgConnection,
    segments: &[SegmentKey],
) -> Result<Vec<SegmentKey>, LedgerError> {
    let imports: Vec<i64> = segments.iter().map(|s| s.import.0).collect();
    let numbers: Vec<i32> = segments.iter().map(|s| s.segment).collect();
    let rows = sqlx::query!(
        "SELECT s.import_id, s.segment
         FROM unnest($1::bigint[], $2::integer[]) AS o (import_id, segment) JOIN pgimport.import_segment AS s USING (import_id, segment)
         WHERE s.state = 'pending' FOR UPDATE OF s SKIP LOCKED",
        &imports,
        &numbers
    )
    .fetch_all(conn)
    .await?;
    let keys = rows.into_iter().map(|row| SegmentKey {
        import: ImportId(row.import_id),
        segment: row.segment,
    });
    Ok(keys.collect())
}

/// Imports whose next segment is split, and not stored: whoever split it died before.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn unstored(conn: &mut PgConnection) -> Result<Vec<ImportId>, LedgerError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT i.id FROM pgimport.import AS i
           WHERE i.state = 'splitting' AND EXISTS (SELECT FROM pgimport.import_segment AS s WHERE s.import_id = i.id)
             AND coalesce((SELECT s.state FROM pgimport.import_segment AS s WHERE s.import_id = i.id AND s.state <> 'stored'
                           ORDER BY s.segment LIMIT 1), 'split') = 'split'"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(ImportId).collect())
}
