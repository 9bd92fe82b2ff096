//! An import's chunks as a picture that is as large for a hundred thousand of them as for ten, and its speed over time.

use model::ImportId;
use serde::Serialize;
use sqlx::PgConnection;

use crate::{LedgerError, number::unsigned};

/// Chunks that lie behind one another, as one cell of a picture, by what is to be said of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChunkCell {
    /// The first of them, and the last.
    pub first: u64,
    pub last: u64,
    /// Not begun, or given back.
    pub waiting: u64,
    /// In the hands of a worker that is alive.
    pub running: u64,
    pub loaded: u64,
    pub failed: u64,
    /// Never loaded, for the import was cancelled before.
    pub cancelled: u64,
    /// Loaded and undone.
    pub deleted: u64,
    /// Undone, but rows stayed.
    pub kept: u64,
    pub rejected_records: u64,
}

/// All chunks of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Picture {
    pub chunks: u64,
    /// How many chunks a cell stands for; the last may have fewer.
    pub chunks_a_cell: u64,
    pub cells: Vec<ChunkCell>,
}

/// Draws an import's chunks as at most `cells` cells. What it costs grows with the chunks: 50 ms for 100,000.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn picture(conn: &mut PgConnection, import: ImportId, cells: u32) -> Result<Picture, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH size AS (SELECT coalesce(max(ordinal), 0) + 1 AS chunks FROM pgimport.import_chunk WHERE import_id = $1),
               cell AS (SELECT (chunks + $2::integer - 1) / $2::integer AS width FROM size)
           SELECT cell.width AS "width!", min(c.ordinal) AS "first!", max(c.ordinal) AS "last!",
               count(*) FILTER (WHERE c.state = 'pending' AND w.name IS NULL) AS "waiting!",
               count(*) FILTER (WHERE c.state = 'pending' AND w.name IS NOT NULL) AS "running!",
               count(*) FILTER (WHERE c.state = 'loaded' AND c.kept_count IS NULL) AS "loaded!",
               count(*) FILTER (WHERE c.state = 'failed') AS "failed!",
               count(*) FILTER (WHERE c.state = 'cancelled') AS "cancelled!",
               count(*) FILTER (WHERE c.state = 'deleted' AND coalesce(c.kept_count, 0) = 0) AS "deleted!",
               count(*) FILTER (WHERE c.state = 'loaded' AND c.kept_count IS NOT NULL OR c.state = 'deleted' AND c.kept_count > 0) AS "kept!",
               coalesce(sum(c.rejected_count), 0)::bigint AS "rejected!"
           FROM cell CROSS JOIN pgimport.import_chunk AS c
           LEFT JOIN pgimport.worker AS w ON w.name = c.worker
           WHERE c.import_id = $1
           GROUP BY cell.width, c.ordinal / cell.width ORDER BY c.ordinal / cell.width"#,
        import.0,
        i32::try_from(cells.max(1)).unwrap_or(i32::MAX)
    )
    .fetch_all(conn)
    .await?;
    let count = |value| unsigned("a number of chunks", value);
    let mut picture = Picture {
        chunks: 0,
        chunks_a_cell: 1,
        cells: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        picture.chunks_a_cell = count(row.width.into())?;
        picture.chunks = count(i64::from(row.last) + 1)?;
        picture.cells.push(ChunkCell {
            first: count(row.first.into())?,
            last: count(row.last.into())?,
            waiting: count(row.waiting)?,
            running: count(row.running)?,
            loaded: count(row.loaded)?,
            failed: count(row.failed)?,
            cancelled: count(row.cancelled)?,
            deleted: count(row.deleted)?,
            kept: count(row.kept)?,
            rejected_records: count(row.rejected)?,
        });
    }
    Ok(picture)
}

/// The rows of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RateBucket {
    /// **Seconds** from the submission to its beginning.
    pub from_s: f64,
    /// Rows whose chunk was done within it: loaded, or undone where the import is undone.
    pub rows: u64,
}

/// How fast an import was.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Throughput {
    /// **Seconds** that each stretch lasts.
    pub width_s: f64,
    pub buckets: Vec<RateBucket>,
    /// **Rows a second** of late: of the last tenth of the time, and of two seconds at least. 0 where nothing was done in it.
    pub rows_per_s: f64,
}

/// Chunks that are looked at for an import's speed; of more, every second, third, … stands for those beside it.
const SAMPLED_CHUNKS: i32 = 1_000;

/// The rows of an import over the time that it took, in equal stretches: `most` of them, but none shorter than a second, and no more than
/// there are chunks. Costs the same however many chunks it has.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn throughput(conn: &mut PgConnection, import: ImportId, most: u32) -> Result<Throughput, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH began AS (SELECT i.id, i.created_at, i.state IN ('cancelling', 'cancelled', 'kept') AS undone, coalesce(i.chunk_count, 0)::integer AS chunks,
                    greatest(extract(epoch FROM coalesce(i.ended_at, clock_timestamp()) - i.created_at)::float8, 0.001) AS elapsed
                FROM pgimport.import AS i WHERE i.id = $1),
               step AS (SELECT greatest(1, (chunks + $3::integer - 1) / $3::integer) AS width,
                    greatest(1, least($2::integer, chunks, floor(elapsed)::integer)) AS buckets FROM began),
               done AS (SELECT c.finished_at, CASE WHEN began.undone THEN coalesce(c.deleted_count, 0) ELSE coalesce(c.loaded_count, 0) END * step.width AS rows
                FROM began CROSS JOIN step CROSS JOIN LATERAL generate_series(0, began.chunks - 1, step.width) AS s (ordinal)
                JOIN pgimport.import_chunk AS c ON c.import_id = began.id AND c.ordinal = s.ordinal
                WHERE c.finished_at IS NOT NULL
                  AND CASE WHEN began.undone THEN c.state = 'deleted' OR c.kept_count IS NOT NULL ELSE c.state = 'loaded' END),
               placed AS (SELECT extract(epoch FROM done.finished_at - began.created_at)::float8 AS at, done.rows FROM began CROSS JOIN done)
           SELECT began.elapsed AS "elapsed!", step.buckets AS "buckets!",
               least(greatest(floor(placed.at / began.elapsed * step.buckets)::integer, 0), step.buckets - 1) AS "bucket?",
               sum(placed.rows)::bigint AS "rows?",
               (sum(placed.rows) FILTER (WHERE placed.at >= began.elapsed - greatest(began.elapsed / 10, 2)))::bigint AS "recent?"
           FROM began CROSS JOIN step LEFT JOIN placed ON true GROUP BY 1, 2, 3 ORDER BY 3"#,
        import.0,
        i32::try_from(most.max(1)).unwrap_or(i32::MAX),
        SAMPLED_CHUNKS
    )
    .fetch_all(conn)
    .await?;
    let buckets: u32 = unsigned(
        "a number of stretches",
        rows.first().map_or(1, |row| row.buckets).into(),
    )?;
    let elapsed = rows.first().map_or(0.0, |row| row.elapsed);
    let width_s = elapsed / f64::from(buckets);
    let mut throughput = Throughput {
        width_s,
        buckets: (0..buckets)
            .map(|n| RateBucket {
                from_s: width_s * f64::from(n),
                rows: 0,
            })
            .collect(),
        rows_per_s: 0.0,
    };
    let mut recent = 0_u64;
    for row in rows {
        let (Some(bucket), Some(rows)) = (row.bucket, row.rows) else {
            continue;
        };
        recent += unsigned::<u64>("the rows of late", row.recent.unwrap_or(0))?;
        let bucket: usize = unsigned("a stretch of time", bucket.into())?;
        if let Some(bucket) = throughput.buckets.get_mut(bucket) {
            bucket.rows = unsigned("the rows of a stretch of time", rows)?;
        }
    }
    let window = (elapsed / 10.0).max(2.0).min(elapsed);
    if window > 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let recent = recent as f64;
        throughput.rows_per_s = recent / window;
    }
    Ok(throughput)
}
