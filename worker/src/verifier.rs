//! Compares what the ledger says of an import with the target and, given the file, with what the file says. Reads only.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use shared::{
    model::{ChunkKey, ChunkState, ImportId, LoadMethod, UndoOptions},
    source::{SourceError, fingerprint},
    store::{
        StoreError,
        chunks::{self, ChunkRow},
        imports::{self, Import},
        registry::{self, IdRange},
        rejects,
    },
    target::{Column, ColumnType, Target, TargetError, UndoTarget, quote_identifier},
};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::{
    encode::Rows,
    parser::{self, ChunkOrigin, ParseError, ParsedChunk, RecordShape},
};

/// Differences of one kind that are told one by one.
const TOLD: usize = 10;
/// Chunks read from the ledger at once.
const PAGE: i64 = 500;

/// What was compared, and what differs.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
    pub chunks: u64,
    pub records: u64,
    pub rows: u64,
    pub rejected: u64,
    /// Records of chunks whose rows an undo took out again, or that were cancelled before they were loaded.
    pub undone: u64,
    /// Whether the file was compared too.
    pub file: bool,
    pub differences: Vec<Difference>,
}

/// Everything that differs in one way.
#[derive(Debug, Serialize)]
pub struct Difference {
    pub kind: DifferenceKind,
    pub count: u64,
    /// The first ten.
    pub examples: Vec<String>,
}

/// The ways in which ledger, table and file can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// A chunk that is neither loaded nor undone.
    OpenChunk,
    /// Records of a chunk that are neither loaded nor rejected.
    RecordCount,
    /// Rejected records that are not in the ledger.
    RejectCount,
    /// Ids registered for a chunk, and rows it loaded.
    RegistryCount,
    /// Registered ids that have no row.
    MissingRow,
    /// The file is not the one that was imported.
    Fingerprint,
    /// Records of the file that are parsed otherwise now.
    Parse,
    /// Rows that differ from the file's record.
    Content,
}

/// What keeps an import from being verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("there is no import {0}: see `enqueue status`")]
    Missing(ImportId),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot compare with the table")]
    Compare(#[from] sqlx::Error),
    #[error("a background task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Verification {
    /// Whether everything agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    fn differ(&mut self, kind: DifferenceKind, count: u64, example: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        let position = self
            .differences
            .iter()
            .position(|difference| difference.kind == kind)
            .unwrap_or_else(|| {
                self.differences.push(Difference {
                    kind,
                    count: 0,
                    examples: Vec::new(),
                });
                self.differences.len() - 1
            });
        if let Some(difference) = self.differences.get_mut(position) {
            difference.count += count;
            if difference.examples.len() < TOLD {
                difference.examples.push(example());
            }
        }
    }
}

/// Verifies an import, chunk by chunk; with `file`, also that the table holds what the file says.
///
/// # Errors
/// [`VerifyError`], when something cannot be read. What differs is no error.
pub async fn verify(conn: &mut PgConnection, id: ImportId, file: Option<&Path>) -> Result<Verification, VerifyError> {
    let import = imports::read(conn, id).await?.ok_or(VerifyError::Missing(id))?;
    let target = Target::describe_again(conn, &import.target, import.target_oid).await?;
    let rows = UndoTarget::describe(conn, &import.target, import.target_oid, &import.id_column).await?;
    let mut report = Verification {
        file: file.is_some(),
        ..Verification::default()
    };
    let mut comparison = None;
    if let Some(path) = file {
        let owned = path.to_owned();
        let found = tokio::task::spawn_blocking(move || fingerprint(&owned)).await??;
        if import
            .fingerprint
            .as_ref()
            .is_some_and(|expected| *expected == found.hash)
        {
            comparison = Some(FileComparison::new(path, &import, &target)?);
        } else {
            report.differ(DifferenceKind::Fingerprint, 1, || {
                format!("{} has other content than import {id}", path.display())
            });
        }
    }
    let mut from = 0;
    loop {
        let page = chunks::page(conn, id, from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(report) };
        from = last.ordinal + 1;
        for chunk in &page {
            verify_chunk(
                conn,
                &rows,
                ChunkKey {
                    import: id,
                    ordinal: chunk.ordinal,
                },
                chunk,
                comparison.as_mut(),
                &mut report,
            )
            .await?;
        }
    }
}

async fn verify_chunk(
    conn: &mut PgConnection,
    target: &UndoTarget,
    key: ChunkKey,
    chunk: &ChunkRow,
    comparison: Option<&mut FileComparison>,
    report: &mut Verification,
) -> Result<(), VerifyError> {
    let place = || format!("chunk {} (lines from {})", chunk.ordinal, chunk.first_line);
    report.chunks += 1;
    report.records += chunk.record_count;
    match chunk.state {
        ChunkState::Pending | ChunkState::Failed => {
            report.differ(DifferenceKind::OpenChunk, 1, || {
                format!("{} is {:?}", place(), chunk.state).to_lowercase()
            });
            return Ok(());
        }
        // Nothing of it is, or shall be, in the table.
        ChunkState::Cancelled | ChunkState::Deleted => {
            report.undone += chunk.record_count;
            return Ok(());
        }
        ChunkState::Loaded => {}
    }
    report.rows += chunk.loaded_count;
    report.rejected += chunk.rejected_count;
    let accounted = chunk.loaded_count + chunk.rejected_count;
    report.differ(
        DifferenceKind::RecordCount,
        accounted.abs_diff(chunk.record_count),
        || {
            format!(
                "{}: {} records, {accounted} loaded or rejected",
                place(),
                chunk.record_count
            )
        },
    );
    let stored = rejects::of_chunk(conn, key).await?;
    report.differ(
        DifferenceKind::RejectCount,
        chunk.rejected_count.abs_diff(stored.len() as u64),
        || format!("{}: {} rejected, {} kept", place(), chunk.rejected_count, stored.len()),
    );
    let registered = registry::read(conn, key).await?;
    let ranges: Vec<IdRange> = registered.iter().map(|r| r.range).collect();
    let ids: u64 = ranges.iter().map(IdRange::count).sum();
    report.differ(DifferenceKind::RegistryCount, ids.abs_diff(chunk.loaded_count), || {
        format!("{}: {ids} ids registered, {} rows loaded", place(), chunk.loaded_count)
    });
    let present = crate::preview(conn, target, &registered, &UndoOptions::default())
        .await?
        .present;
    let expected = ids - chunk.deleted_count.min(ids);
    report.differ(DifferenceKind::MissingRow, expected.saturating_sub(present), || {
        format!("{}: {expected} rows expected, {present} found", place())
    });
    if let Some(comparison) = comparison.filter(|_| chunk.deleted_count == 0) {
        let lines: Vec<u64> = stored.iter().map(|reject| reject.line).collect();
        comparison.compare(conn, chunk, &ranges, &lines, report).await?;
    }
    Ok(())
}

/// The file beside the table.
struct FileComparison {
    path: PathBuf,
    shape: Arc<RecordShape>,
    statement: String,
}

impl FileComparison {
    fn new(path: &Path, import: &Import, target: &Target) -> Result<Self, VerifyError> {
        let columns: Vec<Column> = target.select(&import.columns)?.into_iter().cloned().collect();
        let statement = comparing_statement(target, &columns);
        let shape = RecordShape {
            columns,
            delimiter: import.options.delimiter,
            null: import.options.null.clone(),
            // Values travel as arrays, whatever loaded them.
            method: LoadMethod::Insert,
            id_width: target.id.width,
        };
        Ok(Self {
            path: path.to_owned(),
            shape: Arc::new(shape),
            statement,
        })
    }

    async fn compare(
        &mut self,
        conn: &mut PgConnection,
        chunk: &ChunkRow,
        ranges: &[IdRange],
        reject_lines: &[u64],
        report: &mut Verification,
    ) -> Result<(), VerifyError> {
        let parsed = match self.parse(chunk).await? {
            Ok(parsed) => parsed,
            Err(error) => {
                report.differ(DifferenceKind::Parse, chunk.record_count, || {
                    format!("chunk {}: {error}", chunk.ordinal)
                });
                return Ok(());
            }
        };
        let lines: Vec<u64> = parsed.rejects.iter().map(|reject| reject.line).collect();
        if lines != reject_lines {
            report.differ(
                DifferenceKind::Parse,
                lines.len().abs_diff(reject_lines.len()).max(1) as u64,
                || {
                    format!(
                        "chunk {}: the lines {reject_lines:?} were rejected, now {lines:?}",
                        chunk.ordinal
                    )
                },
            );
            return Ok(());
        }
        let Rows::Arrays(columns) = parsed.rows else {
            return Ok(());
        };
        let ids: Vec<i64> = ranges.iter().flat_map(|range| range.ids()).collect();
        let mut query = sqlx::query(AssertSqlSafe(self.statement.as_str())).bind(ids);
        for column in &columns {
            query = query.bind(column);
        }
        let differing = query.fetch_all(conn).await?;
        for row in &differing {
            let id: i64 = row.try_get("id")?;
            report.differ(DifferenceKind::Content, 1, || {
                format!("the row with id {id} (chunk {})", chunk.ordinal)
            });
        }
        Ok(())
    }

    /// Reads and parses a chunk's bytes off the runtime.
    async fn parse(&self, chunk: &ChunkRow) -> Result<Result<ParsedChunk, ParseError>, VerifyError> {
        let (path, shape) = (self.path.clone(), Arc::clone(&self.shape));
        let (start, end) = (chunk.start_byte, chunk.end_byte);
        let origin = ChunkOrigin {
            start_byte: start,
            first_line: chunk.first_line,
            record_count: chunk.record_count,
        };
        tokio::task::spawn_blocking(move || {
            let bytes = read_span(&path, start, end).map_err(|source| VerifyError::Read { path, source })?;
            Ok(parser::parse(&bytes, &shape, origin))
        })
        .await?
    }
}

fn read_span(path: &Path, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The ids whose row differs from the values beside them. A type that the server casts from text is compared as text: it may have no
/// equality of its own.
fn comparing_statement(target: &Target, columns: &[Column]) -> String {
    let (mut selected, mut differs) = (
        vec!["pg_catalog.unnest($1::pg_catalog.int8[]) AS id".to_owned()],
        Vec::new(),
    );
    for (index, column) in columns.iter().enumerate() {
        let (parameter, name) = (index + 2, quote_identifier(&column.name));
        selected.push(format!("pg_catalog.unnest(${parameter}) AS v{index}"));
        differs.push(match &column.kind {
            ColumnType::Other { sql_name, .. } => {
                format!("t.{name}::pg_catalog.text IS DISTINCT FROM f.v{index}::{sql_name}::pg_catalog.text")
            }
            // varchar has no equality of its own, and somebody may have made one.
            ColumnType::Text { .. } => format!("t.{name}::pg_catalog.text IS DISTINCT FROM f.v{index}"),
            _ => format!("t.{name} IS DISTINCT FROM f.v{index}"),
        });
    }
    let id = quote_identifier(&target.id.name);
    format!(
        "SELECT f.id FROM (SELECT {}) AS f JOIN {} AS t ON t.{id} = f.id WHERE {} ORDER BY f.id",
        selected.join(", "),
        target.from,
        differs.join(" OR ")
    )
}
