//! Takes ids for a chunk's rows from the target's own sequence.

use ledger::registry::IdRange;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::types::Oid};
use target::SequenceIdentity;

/// The upper half of the advisory lock's key under which ids are taken; the lower half is the sequence's oid.
const LOCK_SPACE: i64 = 0x7067_696d; // "pgim"

/// A sequence whose `CACHE` is at least this gives its values by the block: two statements for a block cost about what `nextval` for so many
/// values does.
const LEAST_BLOCK: u64 = 100;

/// Takes `count` values of a sequence.
///
/// All loaders take theirs one after the other, under an advisory lock that is held for the time of one message to the server, so that each
/// gets nearly always one range; other writers that call `nextval` meanwhile only make gaps. A second message is needed only where a
/// sequence begins again, ends, or was altered since the target was described. The sequence cannot be altered from the first `nextval` to
/// the transaction's end.
///
/// # Errors
/// Of the database; the connection must be closed then, not used again: it may still hold the lock.
pub async fn take(conn: &mut PgConnection, id: &SequenceIdentity, count: u64) -> Result<Vec<IdRange>, sqlx::Error> {
    let mut ranges = Vec::new();
    let (mut missing, mut block) = (count, id.cache);
    loop {
        if block < LEAST_BLOCK || missing < block {
            let each = take_each(conn, id.sequence_oid, missing).await?;
            ranges.extend(each);
            break;
        }
        let blocks = take_blocks(conn, id.sequence_oid, missing, block).await?;
        for start in blocks.starts {
            let values = blocks.shape.reserved(start).min(missing);
            ranges.extend(blocks.shape.range(start, values));
            missing -= values;
        }
        if missing == 0 {
            break;
        }
        block = blocks.shape.cache;
    }
    Ok(join(ranges))
}

/// Calls `nextval` for each of `count` values.
///
/// The parts of the statement depend on one another, so the server cannot run them in another order: lock, take, unlock. The ids travel
/// only where they are more than one range.
async fn take_each(conn: &mut PgConnection, sequence: Oid, count: u64) -> Result<Vec<IdRange>, sqlx::Error> {
    let row = sqlx::query!(
        r#"WITH locked AS MATERIALIZED (SELECT pg_catalog.pg_advisory_lock($1)),
               taken AS MATERIALIZED (
                   SELECT pg_catalog.array_agg(pg_catalog.nextval($2::pg_catalog.oid::pg_catalog.regclass)) AS ids
                   FROM (SELECT pg_catalog.generate_series(1, $3::pg_catalog.int4) FROM locked) AS n),
               unlocked AS MATERIALIZED (SELECT pg_catalog.pg_advisory_unlock($1) FROM taken)
           SELECT ids[1] AS "first!", ids[$3] AS "last!", increment AS "increment!",
               CASE WHEN ids[$3] - ids[1] = ($3 - 1) * increment THEN '{}' ELSE ids END AS "ids!"
           FROM taken, unlocked,
               pg_catalog.pg_sequence_parameters(CASE WHEN taken.ids IS NOT NULL THEN $2::pg_catalog.oid END)"#,
        lock_key(sequence),
        sequence,
        i32::try_from(count).unwrap_or(i32::MAX)
    )
    .fetch_one(conn)
    .await?;
    let step = step_of(row.increment);
    let range = |start_id, end_id| IdRange { start_id, end_id, step };
    let ranges = if row.ids.is_empty() {
        // In the sequence's direction.
        vec![range(row.first.min(row.last), row.first.max(row.last))]
    } else {
        row.ids.into_iter().map(|id| range(id, id)).collect()
    };
    Ok(ranges)
}

/// The first values of blocks that were taken from a sequence, and what it was like then.
struct Blocks {
    starts: Vec<i64>,
    shape: Shape,
}

/// Takes blocks that hold `count` values, if each has as many as `believed`, the `CACHE` that the sequence had when it was last looked at.
/// Where it has more by now, no block is taken beyond need.
///
/// The first `nextval` of a block sets the whole block aside for this session, which would give out its other values at the next calls.
/// They are taken as taken here, and the session is made to forget them; before, it is made to forget what it may have left of a block,
/// for then the first call would give the rest of that one. The shape is read after it, so it is the one that counted.
async fn take_blocks(conn: &mut PgConnection, sequence: Oid, count: u64, believed: u64) -> Result<Blocks, sqlx::Error> {
    let (key, oid) = (lock_key(sequence), sequence.0);
    let each: String = (0..count.div_ceil(believed))
        .map(|before| {
            let needed = match before {
                0 => String::new(),
                // Of numerics alone, as the server has it: see `session::database::role_session`.
                _ => format!(
                    " FROM pg_catalog.pg_sequence_parameters({oid}::pg_catalog.oid)
                      WHERE cache_size::pg_catalog.numeric * {before}::pg_catalog.numeric < {count}::pg_catalog.numeric"
                ),
            };
            format!("DISCARD SEQUENCES; SELECT pg_catalog.nextval({oid}::pg_catalog.regclass){needed};")
        })
        .collect();
    let statements = format!(
        "SELECT pg_catalog.pg_advisory_lock({key});
         {each}
         DISCARD SEQUENCES;
         SELECT pg_catalog.pg_advisory_unlock({key});
         SELECT increment, cache_size, minimum_value, maximum_value FROM pg_catalog.pg_sequence_parameters({oid}::pg_catalog.oid)"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(conn).await?;
    let [_locked, starts @ .., _unlocked, shape] = rows.as_slice() else {
        return Err(sqlx::Error::RowNotFound);
    };
    Ok(Blocks {
        starts: starts.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        shape: Shape {
            increment: shape.try_get("increment")?,
            cache: shape.try_get::<i64, _>("cache_size")?.unsigned_abs(),
            lowest: shape.try_get("minimum_value")?,
            highest: shape.try_get("maximum_value")?,
        },
    })
}

/// What a sequence's blocks look like.
struct Shape {
    increment: i64,
    cache: u64,
    lowest: i64,
    highest: i64,
}

impl Shape {
    /// How many values `nextval` set aside with `start`: the block that reaches the sequence's end is shorter.
    fn reserved(&self, start: i64) -> u64 {
        let end = if self.increment > 0 { self.highest } else { self.lowest };
        let more = start.abs_diff(end) / self.increment.unsigned_abs().max(1);
        self.cache.min(more.saturating_add(1))
    }

    /// The first `values` of the block that begins with `start`, in the sequence's direction; nothing for none.
    fn range(&self, start: i64, values: u64) -> Option<IdRange> {
        let step = step_of(self.increment);
        let distance = values.checked_sub(1)?.wrapping_mul(self.increment.unsigned_abs());
        // Within the sequence's bounds, as `reserved` found.
        let (start_id, end_id) = if self.increment > 0 {
            (start, start.wrapping_add_unsigned(distance))
        } else {
            (start.wrapping_sub_unsigned(distance), start)
        };
        Some(IdRange { start_id, end_id, step })
    }
}

/// The distance of neighbouring ids of a sequence.
fn step_of(increment: i64) -> i64 {
    increment.checked_abs().unwrap_or(i64::MAX)
}

fn lock_key(sequence: Oid) -> i64 {
    LOCK_SPACE << 32 | i64::from(sequence.0)
}

/// Sorts ranges of one step, and joins those that are a step apart.
pub(super) fn join(mut ranges: Vec<IdRange>) -> Vec<IdRange> {
    ranges.sort_unstable_by_key(|range| range.start_id);
    ranges
        .chunk_by(|before, after| before.end_id.checked_add(before.step) == Some(after.start_id))
        .filter_map(|neighbours| {
            Some(IdRange {
                end_id: neighbours.last()?.end_id,
                ..*neighbours.first()?
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start_id: i64, end_id: i64, step: i64) -> IdRange {
        IdRange { start_id, end_id, step }
    }

    fn join_ids(ids: &[i64], step: i64) -> Vec<IdRange> {
        join(ids.iter().map(|&id| range(id, id, step)).collect())
    }

    #[test]
    fn only_neighbours_are_joined() {
        assert_eq!(
            join_ids(&[3, 1, 5, 9, 12, 14], 2),
            [range(1, 5, 2), range(9, 9, 2), range(12, 14, 2)]
        );
        assert_eq!(
            join_ids(&[i64::MAX, i64::MIN], 2),
            [range(i64::MIN, i64::MIN, 2), range(i64::MAX, i64::MAX, 2)]
        );
        assert_eq!(
            join(vec![
                range(2001, 3000, 1),
                range(1, 1000, 1),
                range(1001, 2000, 1),
                range(4001, 4500, 1)
            ]),
            [range(1, 3000, 1), range(4001, 4500, 1)]
        );
    }

    #[test]
    fn a_block_ends_where_the_sequence_does() {
        let up = Shape {
            increment: 3,
            cache: 100,
            lowest: 1,
            highest: 320,
        };
        assert_eq!(up.reserved(1), 100);
        assert_eq!(up.range(1, 100), Some(range(1, 298, 3)));
        assert_eq!(up.reserved(301), 7);
        assert_eq!(up.range(301, 7), Some(range(301, 319, 3)));
        assert_eq!(up.range(301, 0), None);
        let down = Shape {
            increment: -3,
            cache: 100,
            lowest: -10,
            highest: -1,
        };
        assert_eq!(down.reserved(-1), 4);
        assert_eq!(down.range(-1, 4), Some(range(-10, -1, 3)));
        let widest = Shape {
            increment: i64::MIN,
            cache: 100,
            lowest: i64::MIN,
            highest: i64::MAX,
        };
        assert_eq!(widest.reserved(i64::MAX), 2);
        assert_eq!(widest.reserved(i64::MIN), 1);
    }
}
