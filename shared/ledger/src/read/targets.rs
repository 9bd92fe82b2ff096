//! Tables that are loaded: when each was loaded last, and how well.

use model::{ImportId, ImportState};
use serde::Serialize;
use sqlx::PgConnection;

use super::status;
use crate::{LedgerError, chunks::Totals, number::unsigned};

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
    /// **Seconds** since then.
    pub stale_s: Option<f64>,
    /// The rows that it put there.
    pub last_loaded_rows: Option<u64>,
}

/// When the newest loaded import of each table that is there ended: **seconds** since 1970.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn last_successes(conn: &mut PgConnection) -> Result<Vec<(String, f64)>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT format('%I.%I', n.nspname, c.relname) AS "target!", extract(epoch FROM loaded.ended_at)::float8 AS "at!"
           FROM (SELECT target_oid, max(id) AS id FROM pgimport.import WHERE state = 'loaded' GROUP BY target_oid) AS t
           JOIN pgimport.import AS loaded ON loaded.id = t.id
           JOIN pg_class AS c ON c.oid = t.target_oid
           JOIN pg_namespace AS n ON n.oid = c.relnamespace
           WHERE loaded.ended_at IS NOT NULL"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.target, row.at)).collect())
}

/// The tables that imports are known of, those that were loaded longest ago first, and those that are gone last, at most `limit`. Costs grow with the history: 100 ms for
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
               loaded.id AS "loaded_id?", loaded.totals AS loaded_totals, to_char(loaded.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS loaded_at,
               extract(epoch FROM clock_timestamp() - loaded.ended_at)::float8 AS stale
           FROM of_table AS t
           JOIN pgimport.import AS last ON last.id = t.last
           LEFT JOIN pgimport.import AS loaded ON loaded.id = t.loaded
           LEFT JOIN pg_class AS c ON c.oid = t.target_oid
           LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
           ORDER BY c.oid IS NULL, loaded.ended_at NULLS FIRST, last.id LIMIT $1"#,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut targets = Vec::with_capacity(rows.len());
    for row in rows {
        let last_loaded = row.loaded_id.map(ImportId);
        let frozen = row
            .loaded_totals
            .and_then(|totals| serde_json::from_value::<Totals>(totals).ok());
        let last_loaded_rows = match (last_loaded, frozen) {
            (_, Some(totals)) => Some(totals.rows_loaded),
            // One of before has none.
            (Some(import), None) => status(conn, import).await?.map(|status| status.loaded),
            (None, None) => None,
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
            stale_s: row.stale.map(|seconds| seconds.max(0.0)),
            last_loaded_rows,
        });
    }
    Ok(targets)
}
