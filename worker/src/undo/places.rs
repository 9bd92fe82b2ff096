//! Where an import's rows are, whatever its identity: a part of a table, in SQL, and the transactions that wrote the rows there.

use std::collections::BTreeMap;

use ledger::{
    LedgerError,
    pages::{self, RegisteredPages},
    registry::{self, IdRange, RegisteredRange, RowXids},
};
use model::{ChunkKey, IdentitySpec};
use sqlx::{PgConnection, postgres::types::Oid};
use target::{Leaf, TargetError, UndoTarget, quote_identifier};

/// Where a chunk put its rows, as the ledger has it.
#[derive(Debug, Clone)]
pub enum Registered {
    Ids {
        column: String,
        ranges: Vec<RegisteredRange>,
    },
    Pages(Vec<RegisteredPages>),
}

impl Registered {
    /// Of a chunk of an import of this identity.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub async fn read(conn: &mut PgConnection, chunk: ChunkKey, identity: &IdentitySpec) -> Result<Self, LedgerError> {
        Ok(match identity {
            IdentitySpec::Sequence { column } => Self::Ids {
                column: column.clone(),
                ranges: registry::read(conn, chunk).await?,
            },
            IdentitySpec::Transaction { .. } => Self::Pages(pages::read(conn, chunk).await?),
        })
    }

    /// Removes it from the ledger: the rows are deleted.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub async fn forget(conn: &mut PgConnection, chunk: ChunkKey, identity: &IdentitySpec) -> Result<(), LedgerError> {
        match identity {
            IdentitySpec::Sequence { .. } => registry::delete(conn, chunk).await?,
            IdentitySpec::Transaction { .. } => pages::delete(conn, chunk).await?,
        };
        Ok(())
    }

    /// Whether ids say where the rows are.
    pub(super) fn has_ids(&self) -> bool {
        matches!(self, Self::Ids { .. })
    }

    /// How many rows.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Ids { ranges, .. } => ranges.iter().map(|range| range.range.count()).sum(),
            Self::Pages(ranges) => rows_of(ranges.iter()),
        }
    }

    /// The transactions, as rows have them.
    pub(super) fn xmins(&self) -> Vec<u32> {
        let all: Vec<&RowXids> = match self {
            Self::Ids { ranges, .. } => ranges.iter().map(|range| &range.xids).collect(),
            Self::Pages(ranges) => ranges.iter().map(|range| &range.xids).collect(),
        };
        let mut xmins: Vec<u32> = all.into_iter().flat_map(|xids| xids.xmins.clone()).collect();
        xmins.sort_unstable();
        xmins.dedup();
        xmins
    }

    /// The oldest of the transactions, in full, where that is known.
    pub(super) fn oldest_xid(&self) -> Option<u64> {
        match self {
            Self::Ids { ranges, .. } => ranges.iter().filter_map(|range| range.xids.oldest).min(),
            Self::Pages(ranges) => ranges.iter().filter_map(|range| range.xids.oldest).min(),
        }
    }
}

/// A part of a table where rows of a chunk are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// What a statement names in FROM; its alias is `t`.
    pub from: String,
    /// Which of the rows there are in it.
    pub within: String,
    pub xids: RowXids,
    /// How many the chunk put there.
    pub registered: u64,
    /// How many of its rows there may be: also those that it had put elsewhere, and that were given back to it here.
    pub most: u64,
    /// The column with the ids, quoted, where rows are found by ids.
    pub id: Option<String>,
}

/// The places of a chunk, and what of it is not in the table any more.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub places: Vec<Place>,
    /// Rows in partitions that were dropped.
    pub gone: u64,
    /// Rows in partitions that were detached, and may come back.
    pub outside: u64,
    /// The files that hold the tables, as far as they were looked at.
    leaves: Vec<Leaf>,
}

impl Places {
    /// Finds them, to delete rows there, and to change some where it `restores`.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub(crate) async fn find(
        conn: &mut PgConnection,
        target: &UndoTarget,
        registered: &Registered,
        restores: bool,
    ) -> Result<Self, TargetError> {
        match registered {
            Registered::Ids { column, ranges } => Ok(Self {
                places: ranges.iter().map(|range| by_ids(target, column, range)).collect(),
                ..Self::default()
            }),
            Registered::Pages(ranges) => {
                let mut by_leaf: BTreeMap<u32, Vec<&RegisteredPages>> = BTreeMap::new();
                for range in ranges {
                    by_leaf.entry(range.range.leaf.0).or_default().push(range);
                }
                let oids: Vec<Oid> = by_leaf.keys().copied().map(Oid).collect();
                let leaves = target.leaves(conn, &oids, restores).await?;
                let mut found = Self::default();
                for (oid, ranges) in by_leaf {
                    match leaves.iter().find(|leaf| leaf.oid.0 == oid) {
                        Some(leaf) if leaf.belongs => found.places.extend(by_pages(target, leaf, &ranges)),
                        Some(_) => found.outside += rows_of(ranges.iter().copied()),
                        None => found.gone += rows_of(ranges.iter().copied()),
                    }
                }
                found.leaves = leaves;
                Ok(found)
            }
        }
    }

    /// Whether the tables are still in the files in which they were found. Asked after a statement that locks them, it says whether that saw
    /// every row where it looked.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub(crate) async fn are_still(&self, conn: &mut PgConnection, target: &UndoTarget) -> Result<bool, TargetError> {
        if self.leaves.is_empty() {
            return Ok(true);
        }
        let oids: Vec<Oid> = self.leaves.iter().map(|leaf| leaf.oid).collect();
        let now = target.leaves(conn, &oids, false).await?;
        let files = |leaves: &[Leaf]| {
            let mut files: Vec<_> = leaves
                .iter()
                .map(|leaf| (leaf.oid.0, leaf.filenode.0, leaf.belongs))
                .collect();
            files.sort_unstable();
            files
        };
        Ok(files(&now) == files(&self.leaves))
    }
}

/// How many rows the chunk put there; those that were given back to it are among them.
fn rows_of<'r>(ranges: impl IntoIterator<Item = &'r RegisteredPages>) -> u64 {
    let own = ranges.into_iter().filter(|range| !range.adopted);
    own.map(|range| range.range.rows).sum()
}

/// The rows under a range's ids, and none that lie between them.
fn by_ids(target: &UndoTarget, column: &str, registered: &RegisteredRange) -> Place {
    let id = format!("t.{}", quote_identifier(column));
    let IdRange { start_id, end_id, step } = registered.range;
    let within = format!(
        "{id} BETWEEN '{start_id}'::pg_catalog.int8 AND '{end_id}'::pg_catalog.int8 AND ({id} - '{start_id}'::pg_catalog.int8) % '{step}'::pg_catalog.int8 = 0"
    );
    Place {
        from: target.from.clone(),
        within,
        xids: registered.xids.clone(),
        registered: registered.range.count(),
        most: registered.range.count(),
        id: Some(id),
    }
}

/// The rows on pages of a table; of one that is in another file by now, all rows, for they may have moved.
fn by_pages(target: &UndoTarget, leaf: &Leaf, ranges: &[&RegisteredPages]) -> Vec<Place> {
    let (from, of_leaf) = if leaf.stands_alone {
        (format!("ONLY {}", leaf.name), String::new())
    } else {
        let oid = leaf.oid.0;
        (
            target.from.clone(),
            format!(" AND t.tableoid OPERATOR(pg_catalog.=) '{oid}'::pg_catalog.oid"),
        )
    };
    let place = |within: &str, xids: RowXids, ranges: &[&RegisteredPages]| Place {
        from: from.clone(),
        within: format!("{within}{of_leaf}"),
        xids,
        registered: rows_of(ranges.iter().copied()),
        most: ranges.iter().map(|range| range.range.rows).sum(),
        id: None,
    };
    let is_rewritten = ranges.iter().any(|range| range.range.filenode != leaf.filenode);
    if is_rewritten {
        let mut xmins: Vec<u32> = ranges.iter().flat_map(|range| range.xids.xmins.clone()).collect();
        xmins.sort_unstable();
        xmins.dedup();
        let xids = RowXids {
            xmins,
            oldest: ranges.iter().filter_map(|range| range.xids.oldest).min(),
        };
        return vec![place("true", xids, ranges)];
    }
    let on_pages = |range: &&RegisteredPages| {
        let (start, behind) = (range.range.start, u64::from(range.range.end) + 1);
        let within = format!(
            "t.ctid OPERATOR(pg_catalog.>=) '({start},0)'::pg_catalog.tid AND t.ctid OPERATOR(pg_catalog.<) '({behind},0)'::pg_catalog.tid"
        );
        place(&within, range.xids.clone(), &[range])
    };
    ranges.iter().map(on_pages).collect()
}
