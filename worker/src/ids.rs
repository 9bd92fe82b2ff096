//! Takes ids for a chunk's rows from the target's own sequence.

use shared::store::registry::IdRange;
use sqlx::{PgConnection, postgres::types::Oid};

/// The upper half of the advisory lock's key under which ids are taken; the lower half is the sequence's oid.
const LOCK_SPACE: i64 = 0x7067_696d; // "pgim"

/// Takes `count` values of a sequence, which must not be 0, as ranges in ascending order.
///
/// All loaders take theirs one after the other, under an advisory lock that is held for this statement alone, so that each gets nearly
/// always one range; other writers that call `nextval` meanwhile only make gaps. The parts of the statement depend on one another, so
/// the server cannot run them in another order: lock, take, unlock. The ids travel only where they are more than one range.
///
/// # Errors
/// Of the database; the connection must be closed then, not used again: it may still hold the lock.
pub async fn take(conn: &mut PgConnection, sequence: Oid, count: u64) -> Result<Vec<IdRange>, sqlx::Error> {
    let row = sqlx::query!(
        r#"WITH locked AS MATERIALIZED (SELECT pg_advisory_lock($1)),
               taken AS MATERIALIZED (
                   SELECT array_agg(nextval($2::oid::regclass)) AS ids FROM (SELECT generate_series(1, $3::integer) FROM locked) AS n),
               unlocked AS MATERIALIZED (SELECT pg_advisory_unlock($1) FROM taken)
           SELECT ids[1] AS "first!", ids[$3] AS "last!", seqincrement AS "increment!",
               CASE WHEN ids[$3] - ids[1] = ($3 - 1) * seqincrement THEN '{}' ELSE ids END AS "ids!"
           FROM taken, unlocked, pg_sequence WHERE seqrelid = $2"#,
        LOCK_SPACE << 32 | i64::from(sequence.0),
        sequence,
        i32::try_from(count).unwrap_or(i32::MAX)
    )
    .fetch_one(conn)
    .await?;
    let step = row.increment.checked_abs().unwrap_or(i64::MAX);
    if row.ids.is_empty() {
        // In the sequence's direction.
        let (start_id, end_id) = (row.first.min(row.last), row.first.max(row.last));
        return Ok(vec![IdRange { start_id, end_id, step }]);
    }
    Ok(into_ranges(row.ids, step))
}

/// Joins ids that are `step` apart.
fn into_ranges(mut ids: Vec<i64>, step: i64) -> Vec<IdRange> {
    ids.sort_unstable();
    ids.chunk_by(|before, after| before.checked_add(step) == Some(*after))
        .filter_map(|range| match range {
            [start_id, .., end_id] => Some((*start_id, *end_id)),
            [id] => Some((*id, *id)),
            [] => None,
        })
        .map(|(start_id, end_id)| IdRange { start_id, end_id, step })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_neighbours_are_joined() {
        let range = |start_id, end_id| IdRange {
            start_id,
            end_id,
            step: 2,
        };
        assert_eq!(
            into_ranges(vec![3, 1, 5, 9, 12, 14], 2),
            [range(1, 5), range(9, 9), range(12, 14)]
        );
        assert_eq!(
            into_ranges(vec![i64::MAX, i64::MIN], 2),
            [range(i64::MIN, i64::MIN), range(i64::MAX, i64::MAX)]
        );
    }
}
