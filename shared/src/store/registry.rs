//! Table `import_registry`: which ids of the target are whose.

use sqlx::{PgConnection, postgres::types::Oid};

use super::{StoreError, error::expect_rows};
use crate::model::{ChunkKey, ImportId};

/// The ids `start_id, start_id + step, … end_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub start_id: i64,
    pub end_id: i64,
    /// Distance of neighbouring ids, positive.
    pub step: i64,
}

impl IdRange {
    /// How many ids it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.end_id.abs_diff(self.start_id) / self.step.unsigned_abs().max(1) + 1
    }

    /// The ids in ascending order.
    pub fn ids(self) -> impl Iterator<Item = i64> {
        (0..self.count()).map(move |n| self.start_id.wrapping_add_unsigned(n * self.step.unsigned_abs()))
    }
}

/// Ids that were taken from a target's sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIds {
    /// In ascending order, as few as can be.
    pub ranges: Vec<IdRange>,
    /// The file that the sequence had then. It gets another when it is restarted, or its values are altered in any other way but by
    /// `setval`.
    pub sequence_filenode: Oid,
}

/// Registers the ids that a chunk puts into its target, and voids older ranges that hold any of them: where ids come again, the table
/// was emptied and its sequence restarted, and the older rows are gone.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn insert(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    target: Oid,
    ids: &TakenIds,
    row_xids: &[i64],
) -> Result<(), StoreError> {
    let ranges = &ids.ranges;
    let starts: Vec<i64> = ranges.iter().map(|r| r.start_id).collect();
    let ends: Vec<i64> = ranges.iter().map(|r| r.end_id).collect();
    let steps: Vec<i64> = ranges.iter().map(|r| r.step).collect();
    let (Some(lowest), Some(highest)) = (starts.iter().min(), ends.iter().max()) else {
        return Ok(());
    };
    sqlx::query!(
        "UPDATE pgimport.import_registry AS r SET voided_by = $2
         WHERE r.target_oid = $1 AND r.end_id >= $3 AND r.start_id <= $4 AND r.voided_by IS NULL
           AND EXISTS (SELECT FROM unnest($5::pg_catalog.int8[], $6::pg_catalog.int8[], $7::pg_catalog.int8[]) AS n (start_id, end_id, step)
                       WHERE n.start_id <= r.end_id AND n.end_id >= r.start_id
                         AND (n.start_id - r.start_id) % pg_catalog.gcd(n.step, r.step) = 0)",
        target,
        chunk.import.0,
        lowest,
        highest,
        &starts,
        &ends,
        &steps
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_registry (import_id, ordinal, target_oid, row_xids, sequence_filenode, start_id, end_id, step)
         SELECT $1, $2, $3, $4, $5, r.start_id, r.end_id, r.step
         FROM unnest($6::pg_catalog.int8[], $7::pg_catalog.int8[], $8::pg_catalog.int8[]) AS r (start_id, end_id, step)",
        chunk.import.0,
        chunk.ordinal,
        target,
        row_xids,
        ids.sequence_filenode,
        &starts,
        &ends,
        &steps
    )
    .execute(conn)
    .await?;
    expect_rows("registering ids", ranges.len() as u64, done.rows_affected())
}

/// The ranges of a chunk that still name its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredRange {
    pub range: IdRange,
    pub row_xids: Vec<i64>,
    /// Whether a later import was given some of these ids again.
    pub voided: bool,
    /// See [`TakenIds::sequence_filenode`]; `None` in rows that an earlier version wrote.
    pub sequence_filenode: Option<Oid>,
}

/// Reads the ranges of a chunk, in ascending order.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn read(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Vec<RegisteredRange>, StoreError> {
    let rows = sqlx::query!(
        "SELECT start_id, end_id, step, row_xids, voided_by, sequence_filenode FROM pgimport.import_registry
         WHERE import_id = $1 AND ordinal = $2 ORDER BY start_id",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| RegisteredRange {
            range: IdRange {
                start_id: row.start_id,
                end_id: row.end_id,
                step: row.step,
            },
            row_xids: row.row_xids,
            voided: row.voided_by.is_some(),
            sequence_filenode: row.sequence_filenode,
        })
        .collect())
}

/// Reads the ranges of a chunk whose rows are about to be deleted, locked: a load that is given some of the ids again waits to void them,
/// and one that did so before is seen.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn lock(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Vec<RegisteredRange>, StoreError> {
    sqlx::query!(
        "SELECT FROM pgimport.import_registry WHERE import_id = $1 AND ordinal = $2 ORDER BY start_id FOR UPDATE",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_all(&mut *conn)
    .await?;
    // A second statement: its snapshot has what the first one waited for.
    read(conn, chunk).await
}

/// The smallest and the largest id registered for an import; `None` without any.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn extent(conn: &mut PgConnection, import: ImportId) -> Result<Option<(i64, i64)>, StoreError> {
    let row = sqlx::query!(
        "SELECT pg_catalog.min(start_id) AS lowest, pg_catalog.max(end_id) AS highest FROM pgimport.import_registry WHERE import_id = $1",
        import.0
    )
    .fetch_one(conn)
    .await?;
    Ok(row.lowest.zip(row.highest))
}

/// Removes the ranges of a chunk whose rows are deleted.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn delete(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM pgimport.import_registry WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_and_lists_its_ids() {
        let range = IdRange {
            start_id: 3,
            end_id: 9,
            step: 2,
        };
        assert_eq!(range.count(), 4);
        assert_eq!(range.ids().collect::<Vec<_>>(), [3, 5, 7, 9]);
        let one = IdRange {
            start_id: i64::MAX,
            end_id: i64::MAX,
            step: 1,
        };
        assert_eq!(one.ids().collect::<Vec<_>>(), [i64::MAX]);
    }
}
