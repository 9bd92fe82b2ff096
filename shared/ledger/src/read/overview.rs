//! The whole database in a few numbers.

use model::{ImportState, Lane};
use sqlx::PgConnection;

use crate::{
    LedgerError,
    deliveries::{self, Undelivered},
    number::unsigned,
};

/// How the whole stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Imports in each state that any is in.
    pub imports: Vec<(ImportState, u64)>,
    /// Chunks that are to be loaded, and how many **bytes** their payloads have.
    pub chunks_pending: u64,
    pub bytes_pending: u64,
    /// Chunks of failed imports that could not be loaded.
    pub chunks_failed: u64,
    /// **Seconds** for which the import has run whose chunks wait longest; `None` when nothing waits.
    pub oldest_pending_s: Option<f64>,
    /// Workers that are alive.
    pub workers: u64,
    /// Lanes in which imports wait for workers, and that none serves.
    pub unserved: Vec<Lane>,
    /// Notifications that are not delivered.
    pub undelivered: Undelivered,
}

/// Counts imports, what waits, and who works. Costs grow with the history: 50 ms for 100,000 imports.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn overview(conn: &mut PgConnection) -> Result<Overview, LedgerError> {
    let states = sqlx::query!(
        r#"SELECT state AS "state: ImportState", count(*) AS "count!" FROM pgimport.import GROUP BY state ORDER BY state"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let waiting = sqlx::query!(
        r#"SELECT coalesce(sum(p.chunks), 0)::bigint AS "chunks!", coalesce(sum(p.bytes), 0)::bigint AS "bytes!",
               coalesce(sum(f.chunks), 0)::bigint AS "failed!",
               extract(epoch FROM clock_timestamp() - min(i.created_at) FILTER (WHERE p.chunks > 0))::float8 AS oldest
           FROM pgimport.import AS i
           CROSS JOIN LATERAL (SELECT count(*) AS chunks, sum(c.payload_bytes)::bigint AS bytes FROM pgimport.import_chunk AS c
               WHERE i.state <> 'failed' AND c.import_id = i.id AND c.state = 'pending') AS p
           CROSS JOIN LATERAL (SELECT count(*) AS chunks FROM pgimport.import_chunk AS c
               WHERE c.import_id = i.id AND c.state = 'failed') AS f
           WHERE i.state IN ('splitting', 'loading', 'failed')"#
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(Overview {
        imports: states
            .into_iter()
            .map(|row| Ok((row.state, unsigned("a number of imports", row.count)?)))
            .collect::<Result<_, LedgerError>>()?,
        chunks_pending: unsigned("a number of chunks", waiting.chunks)?,
        bytes_pending: unsigned("the payload that waits", waiting.bytes)?,
        chunks_failed: unsigned("a number of chunks", waiting.failed)?,
        oldest_pending_s: waiting.oldest.map(|seconds| seconds.max(0.0)),
        undelivered: deliveries::undelivered(conn).await?,
        workers: crate::workers::count_alive(conn).await?,
        unserved: crate::workers::unserved_lanes(conn).await?,
    })
}
