//! Table `import_pages`: where an import's rows are that is known by the transactions that wrote them.

use model::{ChunkKey, ImportId};
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    LedgerError,
    error::expect_rows,
    number::{signed, unsigned, unsigned_option},
    registry::{RowXids, signed_xids, xmin},
};

/// A run of pages on which a chunk put rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// The table that holds them: the target, or a partition of it.
    pub leaf: Oid,
    /// The file that held that table.
    pub filenode: Oid,
    /// The first and the last page, from 0.
    pub start: u32,
    pub end: u32,
    /// How many rows.
    pub rows: u64,
}

/// The same with the transactions that wrote the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredPages {
    pub range: PageRange,
    pub xids: RowXids,
    /// Whether another import's undo gave the rows back, which other ranges of the chunk count too.
    pub adopted: bool,
}

/// Registers the pages on which a chunk put rows, and the transactions that wrote these.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    ranges: &[PageRange],
    xids: &[u64],
) -> Result<(), LedgerError> {
    add(conn, chunk, ranges, xids, false).await
}

/// Registers where another import's undo gave rows of a chunk back, and the transaction that did.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn adopt(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    ranges: &[PageRange],
    xid: u64,
) -> Result<(), LedgerError> {
    add(conn, chunk, ranges, &[xid], true).await
}

async fn add(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    ranges: &[PageRange],
    xids: &[u64],
    adopted: bool,
) -> Result<(), LedgerError> {
    let leaves: Vec<Oid> = ranges.iter().map(|range| range.leaf).collect();
    let filenodes: Vec<Oid> = ranges.iter().map(|range| range.filenode).collect();
    let starts: Vec<i64> = ranges.iter().map(|range| range.start.into()).collect();
    let ends: Vec<i64> = ranges.iter().map(|range| range.end.into()).collect();
    let rows = ranges
        .iter()
        .map(|range| signed::<u64, i64>("a page range's rows", range.rows))
        .collect::<Result<Vec<_>, _>>()?;
    let xids = signed_xids(xids)?;
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_pages (import_id, ordinal, leaf_oid, start_page, end_page, filenode, row_count, xids, adopted)
         SELECT $1, $2, r.leaf_oid, r.start_page, r.end_page, r.filenode, r.row_count, $8, $9
         FROM unnest($3::oid[], $4::bigint[], $5::bigint[], $6::oid[], $7::bigint[])
             AS r (leaf_oid, start_page, end_page, filenode, row_count)",
        chunk.import.0,
        chunk.ordinal,
        &leaves,
        &starts,
        &ends,
        &filenodes,
        &rows,
        &xids,
        adopted
    )
    .execute(conn)
    .await?;
    expect_rows("registering pages", ranges.len() as u64, done.rows_affected())
}

/// Reads the pages of a chunk, table by table in ascending order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn read(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Vec<RegisteredPages>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT leaf_oid, start_page, end_page, filenode, row_count, xids, adopted FROM pgimport.import_pages
         WHERE import_id = $1 AND ordinal = $2 ORDER BY leaf_oid, start_page",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let oldest = row.xids.iter().copied().min();
            Ok(RegisteredPages {
                range: PageRange {
                    leaf: row.leaf_oid,
                    filenode: row.filenode,
                    start: unsigned("a page's number", row.start_page)?,
                    end: unsigned("a page's number", row.end_page)?,
                    rows: unsigned("a page range's rows", row.row_count)?,
                },
                xids: RowXids {
                    oldest: unsigned_option("a transaction id", oldest)?,
                    xmins: row.xids.into_iter().map(xmin).collect::<Result<_, _>>()?,
                },
                adopted: row.adopted,
            })
        })
        .collect()
}

/// The transactions that wrote the rows of an import which are not deleted yet, as rows have them.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn xmins(conn: &mut PgConnection, import: ImportId) -> Result<Vec<u32>, LedgerError> {
    let xids = sqlx::query_scalar!(
        r#"SELECT DISTINCT x.xid AS "xid!" FROM pgimport.import_pages AS p, unnest(p.xids) AS x (xid) WHERE p.import_id = $1"#,
        import.0
    )
    .fetch_all(conn)
    .await?;
    xids.into_iter().map(xmin).collect()
}

/// Removes the pages of a chunk whose rows are deleted.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delete(conn: &mut PgConnection, chunk: ChunkKey) -> Result<u64, LedgerError> {
    let done = sqlx::query!(
        "DELETE FROM pgimport.import_pages WHERE import_id = $1 AND ordinal = $2",
        chunk.import.0,
        chunk.ordinal
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
