//! The pages on which rows are put that have no ids.

use ledger::pages::PageRange;
use sqlx::{
    AssertSqlSafe, PgConnection, Row as _,
    postgres::{PgRow, types::Oid},
};

use super::{
    plan::{LoadError, Put, unsigned},
    sink::ArrayBuffer,
    statements::ByTransaction,
};

/// Puts rows into the target.
pub(super) async fn insert(
    conn: &mut PgConnection,
    by: &ByTransaction,
    columns: &[ArrayBuffer],
) -> Result<Put, LoadError> {
    let mut query = sqlx::query(AssertSqlSafe(by.insert.as_str()));
    for column in columns {
        query = query.bind(column);
    }
    let mut put = Put::default();
    for row in &query.fetch_all(conn).await.map_err(LoadError::Rows)? {
        add(&mut put, row)?;
    }
    Ok(put)
}

/// Adds a run of pages that a statement returns.
pub(super) fn add(put: &mut Put, row: &PgRow) -> Result<(), LoadError> {
    let (range, first) = run(row)?;
    put.taken += range.rows;
    put.first = Some((range.leaf, first));
    put.pages.push(range);
    Ok(())
}

/// A run of pages that a statement returns, and the first place there.
pub(crate) fn run(row: &PgRow) -> Result<(PageRange, String), LoadError> {
    let (first, last): (String, String) = (row.try_get("first")?, row.try_get("last")?);
    let range = PageRange {
        leaf: row.try_get("leaf")?,
        filenode: row.try_get("filenode")?,
        start: page_of(&first)?,
        end: page_of(&last)?,
        rows: unsigned(row.try_get("rows")?)?,
    };
    Ok((range, first))
}

/// The xmins of rows, one for each of these places.
pub(super) async fn xmins(
    conn: &mut PgConnection,
    by: &ByTransaction,
    places: Vec<(Oid, String)>,
) -> Result<Vec<u64>, LoadError> {
    let (leaves, places): (Vec<Oid>, Vec<String>) = places.into_iter().unzip();
    let rows = sqlx::query(AssertSqlSafe(by.xmin_each.as_str()))
        .bind(leaves)
        .bind(places)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| unsigned(row.try_get("xmin")?)).collect()
}

/// The page of a place, which the server writes as `(page,number)`.
fn page_of(place: &str) -> Result<u32, LoadError> {
    let page = place.strip_prefix('(').and_then(|place| place.split_once(','));
    page.and_then(|(page, _)| page.parse().ok())
        .ok_or_else(|| LoadError::Place {
            place: place.to_owned(),
        })
}

/// The same pages in as few runs as they are.
pub(crate) fn join(mut ranges: Vec<PageRange>) -> Vec<PageRange> {
    ranges.sort_unstable_by_key(|range| (range.leaf.0, range.filenode.0, range.start));
    let mut joined: Vec<PageRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last)
                if (last.leaf, last.filenode) == (range.leaf, range.filenode)
                    && u64::from(range.start) <= u64::from(last.end) + 1 =>
            {
                last.end = last.end.max(range.end);
                last.rows += range.rows;
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(leaf: u32, start: u32, end: u32, rows: u64) -> PageRange {
        PageRange {
            leaf: Oid(leaf),
            filenode: Oid(9),
            start,
            end,
            rows,
        }
    }

    #[test]
    fn runs_that_touch_are_one_and_no_row_is_lost() {
        let ranges = vec![
            range(2, 7, 9, 1),
            range(1, 5, 6, 2),
            range(1, 0, 3, 4),
            range(1, 3, 3, 8),
            range(1, 7, 7, 16),
            range(1, u32::MAX, u32::MAX, 32),
        ];
        assert_eq!(
            join(ranges),
            [
                range(1, 0, 3, 12),
                range(1, 5, 7, 18),
                range(1, u32::MAX, u32::MAX, 32),
                range(2, 7, 9, 1)
            ]
        );
    }

    #[test]
    fn a_place_has_a_page() {
        assert_eq!(page_of("(4294967295,1)").ok(), Some(u32::MAX));
        assert!(page_of("(-1,1)").is_err() && page_of("1,1").is_err());
    }
}
