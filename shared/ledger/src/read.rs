//! What a person or a script sees of an import.

use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    LedgerError,
    chunks::{self, ChunkCounts},
    imports,
};
use model::{ImportId, ImportState};

/// One import with what its chunks add up to. The names of its fields are part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct ImportStatus {
    pub import_id: ImportId,
    pub state: ImportState,
    pub source: String,
    pub target: String,
    /// Records found so far.
    pub records: u64,
    /// Rows that were put into the target.
    pub loaded: u64,
    /// Records that could not be.
    pub rejected: u64,
    /// Rows that an undo deleted, left, and no longer found.
    pub deleted: u64,
    pub kept: u64,
    pub missing: u64,
    pub chunks: u64,
    pub chunks_pending: u64,
    pub chunks_loaded: u64,
    pub chunks_failed: u64,
    /// **Bytes** of the source, once known.
    pub size_bytes: Option<u64>,
    /// ISO 8601, UTC.
    pub created_at: String,
    /// **Seconds** from submission to the end, or to now.
    pub elapsed_s: f64,
    /// While splitting: whether the submitter was silent for too long.
    pub interrupted: bool,
    /// Why it failed, was kept, or was cancelled by the system.
    pub error: Option<String>,
    /// The first errors of chunks.
    pub chunk_errors: Vec<ChunkError>,
}

/// The error of one chunk.
#[derive(Debug, Clone, Serialize)]
pub struct ChunkError {
    pub ordinal: i32,
    /// The line of the source on which the chunk begins.
    pub first_line: u64,
    pub error: String,
}

/// Chunk errors shown, at most.
const CHUNK_ERRORS: i64 = 5;

impl ImportStatus {
    /// Reads the status of an import; `None` when there is none.
    ///
    /// # Errors
    /// [`LedgerError`] from the database.
    pub async fn read(conn: &mut PgConnection, import: ImportId) -> Result<Option<Self>, LedgerError> {
        let Some(row) = imports::read(conn, import).await? else {
            return Ok(None);
        };
        let counts = chunks::counts(conn, import).await?;
        let chunk_errors = chunks::errors(conn, import, CHUNK_ERRORS).await?;
        Ok(Some(Self::new(row, &counts, chunk_errors)))
    }

    fn new(row: imports::Import, counts: &ChunkCounts, errors: Vec<(i32, u64, String)>) -> Self {
        Self {
            import_id: row.id,
            state: row.state,
            source: row.source,
            target: row.target,
            records: counts.records,
            loaded: counts.rows_loaded,
            rejected: counts.rejected,
            deleted: counts.rows_deleted,
            kept: counts.rows_kept,
            missing: counts.rows_missing,
            chunks: counts.chunks,
            chunks_pending: counts.pending,
            chunks_loaded: counts.loaded,
            chunks_failed: counts.failed,
            size_bytes: row.size_bytes,
            created_at: row.created_at,
            elapsed_s: row.elapsed_s,
            interrupted: row.state == ImportState::Splitting && row.lease_expired,
            error: row.error,
            chunk_errors: errors
                .into_iter()
                .map(|(ordinal, first_line, error)| ChunkError {
                    ordinal,
                    first_line,
                    error,
                })
                .collect(),
        }
    }

    /// Rows still in the target, as far as the ledger knows.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.loaded.saturating_sub(self.deleted).saturating_sub(self.missing)
    }
}
