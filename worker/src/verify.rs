//! Compares what the ledger says of an import with the target and, given its files, with what they say. Reads only.

mod file;
mod source_text;

use std::{collections::HashMap, io};

use ledger::{
    LedgerError, before,
    chunks::{self, ChunkRow},
    conflicts::{ChunkConflicts, ConflictCounts},
    imports::{self, Import},
    inputs::{self, Input},
    rejects::{self, Reject},
};
use model::{ChunkKey, ChunkKind, ChunkState, ImportId};
use serde::Serialize;
use source::{Fingerprint, Source, SourceError};
use sqlx::PgConnection;
use target::{Target, TargetError, UndoTarget};

use crate::{
    load::shape::{About, ShapeError},
    undo::{
        erase::{EraseError, Rows, conflicts_of},
        places::Registered,
    },
};
use file::FileComparison;

/// Differences of one kind that are told one by one.
const TOLD: usize = 10;
/// Chunks read from the ledger at once.
const PAGE: i64 = 500;

/// What was compared, and what differs.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Verification {
    pub chunks: u64,
    pub records: u64,
    pub rows: u64,
    pub rejected: u64,
    /// Records whose row was there already with the same values, and those that gave way to a row or another record of their key.
    pub unchanged: u64,
    pub skipped: u64,
    /// Rows that were deleted, for the source did not have them, and are not put back; and those of them that an undo would put back.
    pub removed: u64,
    pub returnable: u64,
    /// Records of chunks whose rows an undo took out again, or that were cancelled before they were loaded.
    pub undone: u64,
    /// Whether the file was compared too.
    pub file: bool,
    pub differences: Vec<Difference>,
    /// Records of the file that nothing can be compared with.
    pub not_compared: Vec<NotCompared>,
}

/// Records that are not compared for one reason.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NotCompared {
    pub reason: WhyNot,
    pub records: u64,
}

/// Why records are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// Their chunk is undone in part, and rows without ids do not say which are left.
    PartiallyUndone,
    /// They found their row there, or gave way to another row or record: whose values the row has now is not the import's to say.
    RowOfOthers,
}

/// Everything that differs in one way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Difference {
    pub kind: DifferenceKind,
    pub count: u64,
    /// The first ten.
    pub examples: Vec<String>,
}

/// The ways in which ledger, table and file can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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

impl DifferenceKind {
    /// In words, behind how many.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::OpenChunk => "chunks neither loaded nor undone",
            Self::RecordCount => "records of which nothing came",
            Self::RejectCount => "rejected records that the ledger does not hold",
            Self::RegistryCount => "registered ids that do not match the rows loaded",
            Self::MissingRow => "rows that are gone from the table",
            Self::Fingerprint => "the file is not the one that was imported",
            Self::Parse => "records that are read otherwise now",
            Self::Content => "rows that differ from the file",
        }
    }
}

/// What keeps an import from being verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("there is no import {0}: see `enqueue status`")]
    Missing(ImportId),
    #[error(transparent)]
    Store(#[from] LedgerError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{origin} can be read only once: name a file, or an object")]
    Stream { origin: String },
    #[error("cannot read {origin}")]
    Read { origin: String, source: io::Error },
    #[error("cannot compare with the table")]
    Compare(#[from] sqlx::Error),
    #[error(transparent)]
    Erase(#[from] EraseError),
    #[error("a background task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Verification {
    /// Whether everything agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    /// Takes note of records that are not compared.
    fn leave(&mut self, reason: WhyNot, records: u64) {
        if records == 0 {
            return;
        }
        match self.not_compared.iter_mut().find(|left| left.reason == reason) {
            Some(left) => left.records += records,
            None => self.not_compared.push(NotCompared { reason, records }),
        }
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

/// Verifies an import, chunk by chunk; with its `files`, in any order, also that the table holds what they say.
///
/// # Errors
/// [`VerifyError`], when something cannot be read. What differs is no error.
pub async fn verify(conn: &mut PgConnection, id: ImportId, files: &[Source]) -> Result<Verification, VerifyError> {
    let import = imports::read(conn, id).await?.ok_or(VerifyError::Missing(id))?;
    let spec = import.spec()?;
    let target = UndoTarget::describe(conn, &import.target, import.target_oid).await?;
    let mut report = Verification {
        file: !files.is_empty(),
        ..Verification::default()
    };
    let inputs = inputs::list(conn, id).await?;
    let mut comparison = None;
    if !files.is_empty() {
        let found = find_inputs(&inputs, &import, files, &mut report).await?;
        let described = Target::describe_again(conn, &import.target, import.target_oid, &spec.identity).await?;
        let about = About::read(conn, &import, spec).await?;
        let conflict = described.describe_conflict(conn, &spec.conflict).await?;
        comparison = Some(FileComparison::new(found, spec, &about, described, conflict)?);
    }
    let mut from = 0;
    loop {
        let page = chunks::page(conn, id, from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(report) };
        from = last.ordinal + 1;
        for chunk in &page {
            let place = place(chunk, &inputs);
            let key = ChunkKey {
                import: id,
                ordinal: chunk.ordinal,
            };
            let conflicts = conflicts_of(conn, key, spec).await?;
            if !report.account(chunk, &conflicts, &place) {
                continue;
            }
            if chunk.kind == ChunkKind::Sweep {
                verify_removed(conn, key, &conflicts, &place, &mut report).await?;
                continue;
            }
            let rejects = verify_rejects(conn, key, chunk, &place, &mut report).await?;
            let registered = Registered::read(conn, key, &spec.identity).await?;
            let rows = Rows {
                chunk: key,
                target: &target,
                registered: &registered,
                conflicts,
                // What is restored is an undo's to know.
                restored: None,
                import_column: None,
            };
            verify_rows(conn, chunk, &place, &rows, &mut report).await?;
            if let Some(comparison) = &mut comparison {
                comparison
                    .compare(conn, (chunk, &place), &rows, &rejects, &mut report)
                    .await?;
            }
        }
    }
}

/// The file of each input, by its number; what is not as it was imported is a difference.
async fn find_inputs(
    inputs: &[Input],
    import: &Import,
    files: &[Source],
    report: &mut Verification,
) -> Result<HashMap<u32, Source>, VerifyError> {
    let mut given: HashMap<String, Source> = HashMap::new();
    for source in files {
        let source = source.clone();
        let (source, found) =
            tokio::task::spawn_blocking(move || known(&source).map(|found| (source, found))).await??;
        given.insert(found.hash, source);
    }
    let mut fingerprints: Vec<String> = inputs.iter().map(|input| input.fingerprint.clone()).collect();
    if fingerprints.is_empty() {
        // Of an import of one, the import's own.
        fingerprints.extend(import.fingerprint.clone());
    }
    let mut found = HashMap::new();
    for (number, expected) in (0..).zip(&fingerprints) {
        if let Some(source) = given.get(expected) {
            found.insert(number, source.clone());
        }
    }
    for (hash, source) in &given {
        report.differ(
            DifferenceKind::Fingerprint,
            u64::from(!fingerprints.contains(hash)),
            || format!("{} has other content than import {}", source.describe(), import.id),
        );
    }
    let missing = fingerprints.len().saturating_sub(found.len());
    if missing > 0 && fingerprints.len() > 1 {
        report.differ(DifferenceKind::Fingerprint, missing as u64, || {
            format!("{missing} of the import's {} files were not given", fingerprints.len())
        });
    }
    Ok(found)
}

/// By what a source is known: it has to be one that can be read again.
fn known(source: &Source) -> Result<Fingerprint, VerifyError> {
    match source.fingerprint()? {
        Some(found) => Ok(found),
        None => {
            // To open a directory, or what is not there, says what is wrong with it.
            source.open()?;
            Err(VerifyError::Stream {
                origin: source.describe(),
            })
        }
    }
}

/// A chunk, for people; with its file, where the import has several.
fn place(chunk: &ChunkRow, inputs: &[Input]) -> String {
    let file = usize::try_from(chunk.span.start.input)
        .ok()
        .and_then(|number| inputs.get(number));
    let file = file.map(|input| format!(" of {}", input.name)).unwrap_or_default();
    match chunk.span.start.line {
        Some(line) => format!("chunk {} (lines from {line}{file})", chunk.ordinal),
        None => format!("chunk {}{file}", chunk.ordinal),
    }
}

impl Verification {
    /// Adds a chunk to the account. `false` when none of its records is, or shall be, in the table.
    fn account(&mut self, chunk: &ChunkRow, conflicts: &ChunkConflicts, place: &str) -> bool {
        let records = chunk.span.record_count;
        self.chunks += 1;
        self.records += records;
        match chunk.state {
            ChunkState::Pending | ChunkState::Failed => {
                self.differ(DifferenceKind::OpenChunk, 1, || {
                    format!("{place} is {}", format!("{:?}", chunk.state).to_lowercase())
                });
                return false;
            }
            ChunkState::Cancelled | ChunkState::Deleted => {
                self.undone += records;
                return false;
            }
            ChunkState::Loaded => {}
        }
        // An undo may have left a part of it.
        let gone = chunk.deleted_count + chunk.missing_count;
        self.rows += chunk.loaded_count.saturating_sub(gone);
        self.undone += gone;
        self.rejected += chunk.rejected_count;
        let ConflictCounts { unchanged, skipped, .. } = conflicts.counts;
        self.unchanged += unchanged;
        self.skipped += skipped;
        let accounted = chunk.loaded_count + chunk.rejected_count + unchanged + skipped;
        self.differ(DifferenceKind::RecordCount, accounted.abs_diff(records), || {
            format!("{place}: {records} records, {accounted} of them loaded, rejected, unchanged or skipped")
        });
        true
    }
}

/// Compares the rows that were removed with those that are kept to be put back. One of an import that was undone since has no image any more,
/// and is kept nevertheless.
async fn verify_removed(
    conn: &mut PgConnection,
    key: ChunkKey,
    conflicts: &ChunkConflicts,
    place: &str,
    report: &mut Verification,
) -> Result<(), VerifyError> {
    let removed = conflicts.removed.saturating_sub(conflicts.returned);
    let (returnable, kept) = before::count(conn, key).await?;
    report.removed += removed;
    report.returnable += returnable;
    report.differ(DifferenceKind::RegistryCount, removed.abs_diff(kept), || {
        format!("{place}: {removed} rows removed, {kept} kept in the ledger")
    });
    Ok(())
}

/// Compares the rejects that were counted with those that are kept, which it returns.
async fn verify_rejects(
    conn: &mut PgConnection,
    key: ChunkKey,
    chunk: &ChunkRow,
    place: &str,
    report: &mut Verification,
) -> Result<Vec<Reject>, VerifyError> {
    let stored = rejects::of_chunk(conn, key).await?;
    report.differ(
        DifferenceKind::RejectCount,
        chunk.rejected_count.abs_diff(stored.len() as u64),
        || format!("{}: {} rejected, {} kept", place, chunk.rejected_count, stored.len()),
    );
    Ok(stored)
}

/// Compares the rows that were counted with those that are registered and those that are there.
async fn verify_rows(
    conn: &mut PgConnection,
    chunk: &ChunkRow,
    place: &str,
    rows: &Rows<'_>,
    report: &mut Verification,
) -> Result<(), VerifyError> {
    let found = rows.find(conn).await?;
    report.differ(
        DifferenceKind::RegistryCount,
        found.registered.abs_diff(chunk.loaded_count),
        || {
            format!(
                "{}: {} rows registered, {} rows loaded",
                place, found.registered, chunk.loaded_count
            )
        },
    );
    // Of rows without ids those that an undo could not find cannot be found here either.
    let lost = match rows.registered {
        Registered::Ids { .. } => 0,
        Registered::Pages(_) => chunk.kept_count,
    };
    let gone = chunk.deleted_count + chunk.missing_count + lost;
    let (expected, present) = (found.registered.saturating_sub(gone), found.ours + found.differing);
    report.differ(DifferenceKind::MissingRow, expected.saturating_sub(present), || {
        format!("{place}: {expected} rows expected, {present} found")
    });
    Ok(())
}
