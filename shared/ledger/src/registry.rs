//! Table `import_registry`: where an import's rows are, and which transactions wrote them.

use model::ChunkKey;
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    LedgerError,
    error::expect_rows,
    number::{signed, unsigned, unsigned_option},
};

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

/// The transactions that wrote a chunk's rows: a row with another `xmin` is not as the import left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowXids {
    /// As rows have them: the lower halves.
    pub xmins: Vec<u32>,
    /// The oldest of them in full; `None` in rows of before, which had the lower halves alone.
    pub oldest: Option<u64>,
}

/// Registers the ids that a chunk put into its target, and the transactions that wrote the rows.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    target: Oid,
    ranges: &[IdRange],
    xids: &[u64],
) -> Result<(), LedgerError> {
    let starts: Vec<i64> = ranges.iter().map(|r| r.start_id).collect();
    let ends: Vec<i64> = ranges.iter().map(|r| r.end_id).collect();
    let steps: Vec<i64> = ranges.iter().map(|r| r.step).collect();
    let xids = signed_xids(xids)?;
    let lower: Vec<i64> = xids.iter().map(|xid| xid & i64::from(u32::MAX)).collect();
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_registry (import_id, ordinal, target_oid, row_xids, xids, start_id, end_id, step)
         SELECT $1, $2, $3, $4, $5, r.start_id, r.end_id, r.step
         FROM unnest($6::bigint[], $7::bigint[], $8::bigint[]) AS r (start_id, end_id, step)",
        chunk.import.0,
        chunk.ordinal,
        target,
        &lower,
        &xids,
        &starts,
        &ends,
        &steps
    )
    .execute(conn)
    .await?;
    expect_rows("registering ids", ranges.len() as u64, done.rows_affected())
}

/// Notes that another import's undo gave rows of a chunk back, and the transaction that did: under the chunk's ids it is as good as its own.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn adopt(conn: &mut PgConnection, chunk: ChunkKey, xid: u64) -> Result<(), LedgerError> {
    let xid: i64 = signed("a transaction id", xid)?;
    sqlx::query!(
        "UPDATE pgimport.import_registry SET xids = xids || $3::bigint, row_xids = row_xids || $4::bigint WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal,
        xid,
        xid & i64::from(u32::MAX)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A range of ids that a chunk put into its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredRange {
    pub range: IdRange,
    pub xids: RowXids,
}

/// Reads the ranges of a chunk, in ascending order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn read(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Vec<RegisteredRange>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT start_id, end_id, step, row_xids, xids FROM pgimport.import_registry
         WHERE import_id = $1 AND ordinal = $2 ORDER BY start_id",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let oldest = row.xids.as_ref().and_then(|xids| xids.iter().copied().min());
            let xmins = row.xids.unwrap_or(row.row_xids);
            Ok(RegisteredRange {
                range: IdRange {
                    start_id: row.start_id,
                    end_id: row.end_id,
                    step: row.step,
                },
                xids: RowXids {
                    xmins: xmins.into_iter().map(xmin).collect::<Result<_, _>>()?,
                    oldest: unsigned_option("a transaction id", oldest)?,
                },
            })
        })
        .collect()
}

/// Transactions, in full, as the database has them.
pub(crate) fn signed_xids(xids: &[u64]) -> Result<Vec<i64>, LedgerError> {
    xids.iter().map(|&xid| signed("a transaction id", xid)).collect()
}

/// The `xmin` of a row that the transaction wrote: the lower half of its id.
pub(crate) fn xmin(xid: i64) -> Result<u32, LedgerError> {
    unsigned("a transaction id", xid & i64::from(u32::MAX))
}

/// A condition in SQL that holds of an id of `target` that a later load put there, of whatever import: where a sequence was set back, the
/// same ids are given twice, and what is under them now is the later one's, edited or not. A part of the statement that looks at the
/// rows, whose alias is `t`, for rows and registry of a load appear together. `id` is the column, quoted.
#[must_use]
pub fn given_to_later(chunk: ChunkKey, target: Oid, ours: &RowXids, id: &str) -> String {
    let ChunkKey { import, ordinal } = chunk;
    let later = match ours.oldest {
        // Rows of before have no such ids, and are earlier.
        Some(oldest) => format!("r.xids[1] > {oldest}"),
        None => format!("(r.xids IS NOT NULL OR r.import_id > {import})"),
    };
    format!(
        "EXISTS (SELECT FROM pgimport.import_registry AS r
                 WHERE r.target_oid = {} AND r.voided_by IS NULL AND (r.import_id, r.ordinal) <> ({import}, {ordinal}) AND {later}
                   AND {id} BETWEEN r.start_id AND r.end_id AND ({id} - r.start_id) % r.step = 0)",
        target.0
    )
}

/// A condition of the same kind, that holds of a row that an import which knows its rows by transaction put there, or wrote over what was
/// there: it is that import's, whatever its id. The latter are among them only
/// if `updated` says so, for what is overwritten comes back.
#[must_use]
pub fn written_by_another(chunk: ChunkKey, updated: bool) -> String {
    let ChunkKey { import, ordinal } = chunk;
    let kind = if updated {
        ""
    } else {
        " AND NOT EXISTS (SELECT FROM pgimport.import AS i WHERE i.id = p.import_id AND i.ordered)"
    };
    format!(
        "EXISTS (SELECT FROM pgimport.import_pages AS p, pg_catalog.unnest(p.xids) AS x (xid)
                 WHERE p.leaf_oid = t.tableoid AND (p.import_id, p.ordinal) <> ({import}, {ordinal})
                   AND x.xid & 4294967295 = t.xmin::pg_catalog.text::pg_catalog.int8{kind})"
    )
}

/// The transaction id that the server gives out next, in full.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn next_xid(conn: &mut PgConnection) -> Result<u64, LedgerError> {
    let next = sqlx::query_scalar!(r#"SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 AS "xid!""#)
        .fetch_one(conn)
        .await?;
    unsigned("a transaction id", next)
}

/// Removes the ranges of a chunk whose rows are deleted.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delete(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, LedgerError> {
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
