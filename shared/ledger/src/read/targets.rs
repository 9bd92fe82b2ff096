//! Tables that are loaded: when each was loaded last, and how well.

use model::{ImportId, ImportState};
use serde::Serialize;
use sqlx::PgConnection;

use super::status;
use crate::{LedgerError, number::unsigned};

/// A table that imports load, or loaded.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TargetStatus {
    /// The table as it is called now; of one that is gone, as it was called.
    pub target: String,
    /// Whether it is still there.
    pub exists: bool,
    /// Its rows, as the server estimates them; `None` where it never did.
    pub estimated_rows: Option<u64>,
    /// Imports into it, whatever came of them.
    pub imports: u64,
    /// Those of them that load it, or are undone, at this moment.
    pub running: u64,
    /// The newest import, and how it stands.
    pub last_import: ImportId,
    pub last_state: ImportState,
    /// The newest import that is loaded; `None` where none is.
    pub last_loaded: Option<ImportId>,
    /// When that one ended: ISO 8601, UTC.
    pub last_loaded_at: Option<String>,
    /// The same in **seconds** since 1970.
    #[serde(skip)]
    pub last_loaded_unix_s: Option<f64>,
    /// **Seconds** since then.
    pub stale_s: Option<f64>,
    /// The rows that it put there.
    pub last_loaded_rows: Option<u64>,
}

/// The tables that imports are known of, those that were loaded longest ago first, at most `limit`. Costs grow with the history: 100 ms for
/// 100,000 imports.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn targets(conn: &mut PgConnection, limit: i64) -> Result<Vec<TargetStatus>, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH of_table AS (SELECT target_oid, count(*) AS imports,
                   count(*) FILTER (WHERE state IN ('splitting', 'loading', 'cancelling')) AS running,
                   max(id) AS last, max(id) FILTER (WHERE state = 'loaded') AS loaded
               FROM pgimport.import GROUP BY target_oid)
           SELECT coalesce(format('%I.%I', n.nspname, c.relname), last.target) AS "target!", c.oid IS NOT NULL AS "exists!",
               CASE WHEN c.relkind = 'p' THEN
                   (SELECT sum(nullif(p.reltuples, -1)) FROM pg_partition_tree(c.oid) AS t JOIN pg_class AS p ON p.oid = t.relid WHERE t.isleaf)::bigint
                   ELSE nullif(c.reltuples, -1)::bigint END AS estimated,
               t.imports AS "imports!", t.running AS "running!", last.id AS last_id, last.state AS "last_state: ImportState",
               loaded.id AS "loaded_id?", to_char(loaded.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS loaded_at,
               extract(epoch FROM loaded.ended_at)::float8 AS loaded_unix, extract(epoch FROM clock_timestamp() - loaded.ended_at)::float8 AS stale
           FROM of_table AS t
           JOIN pgimport.import AS last ON last.id = t.last
           LEFT JOIN pgimport.import AS loaded ON loaded.id = t.loaded
           LEFT JOIN pg_class AS c ON c.oid = t.target_oid
           LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
           ORDER BY loaded.ended_at NULLS FIRST, last.id LIMIT $1"#,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut targets = Vec::with_capacity(rows.len());
    for row in rows {
        let last_loaded = row.loaded_id.map(ImportId);
        let last_loaded_rows = match last_loaded {
            Some(import) => status(conn, import).await?.map(|status| status.loaded),
            None => None,
        };
        targets.push(TargetStatus {
            target: row.target,
            exists: row.exists,
            estimated_rows: row.estimated.map(|rows| unsigned("an estimate", rows)).transpose()?,
            imports: unsigned("a number of imports", row.imports)?,
            running: unsigned("a number of imports", row.running)?,
            last_import: ImportId(row.last_id),
            last_state: row.last_state,
            last_loaded,
            last_loaded_at: row.loaded_at,
            last_loaded_unix_s: row.loaded_unix,
            stale_s: row.stale.map(|seconds| seconds.max(0.0)),
            last_loaded_rows,
        });
    }
    Ok(targets)
}
