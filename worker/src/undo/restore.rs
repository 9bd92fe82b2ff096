//! Gives rows that a chunk overwrote their former values back.

use ledger::before;
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{ConflictColumn, Restored, quote_identifier, text_array};

use super::places::Place;

/// Restores those rows of a place that are as the chunk left them, and that it had found there. Returns how many.
///
/// # Errors
/// Of the database; a constraint that the former values break by now among them.
pub(super) async fn restore(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    place: &Place,
    ours: &str,
    restored: &Restored,
) -> Result<u64, sqlx::Error> {
    let set = (1..).zip(&restored.columns).map(|(number, column)| {
        let ConflictColumn { name, sql_type, .. } = column;
        format!("{} = b.image[{number}]::{sql_type}", quote_identifier(name))
    });
    let statement = format!(
        "UPDATE {} AS t SET {} FROM pgimport.import_before AS b WHERE {} AND {ours} AND {}",
        place.from,
        set.collect::<Vec<_>>().join(", "),
        place.within,
        before::found_by(chunk, &text_array(&restored.key))
    );
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    Ok(query.execute(conn).await?.rows_affected())
}

/// How many rows of a place that are as the chunk left them would be restored.
///
/// # Errors
/// Of the database.
pub(super) async fn count(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    place: &Place,
    ours: &str,
    restored: &Restored,
) -> Result<u64, sqlx::Error> {
    let statement = format!(
        "SELECT pg_catalog.count(*) FROM {} AS t WHERE {} AND {ours}
         AND EXISTS (SELECT FROM pgimport.import_before AS b WHERE {})",
        place.from,
        place.within,
        before::hash_found_by(chunk, &text_array(&restored.key))
    );
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
    Ok(count.unsigned_abs())
}
