//! What people and scripts see of imports: the one read model, of which the command line's JSON is made.
//!
//! What it costs does not grow with an import's chunks. One that ended has its totals frozen; of one that runs, the chunks and records
//! are counted as they are stored, and only what waits, failed or is otherwise rare is added up, each by an index of its own, and what found rows that were there already; of one that is
//! undone, each chunk says what is left from it on. Imports of before have no such counts, and are added up as long as they run.

mod errors;
mod events;
mod open;
mod overview;
mod picture;
mod reject;
mod targets;

pub use errors::{ErrorGroup, GroupedErrors, grouped_errors};
pub use events::{EventStatus, NotificationStatus, events};
pub use overview::{Overview, overview};
pub use picture::{ChunkCell, Picture, RateBucket, Throughput, picture, throughput};
pub use reject::RejectReport;
pub use targets::{TargetStatus, last_successes, targets};

use std::time::Duration;

use model::{ImportId, ImportState, QueueName};
use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    LedgerError,
    chunks::{self, Totals},
    imports::{StoredSpec, read_undo},
    inputs,
    number::{unsigned, unsigned_option},
};

/// One import with what its chunks add up to. The names of its fields are part of the contract of the command line and of the API.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ImportStatus {
    pub import_id: ImportId,
    pub state: ImportState,
    pub source: String,
    /// How many files that are, or one stream.
    pub inputs: u64,
    /// Those of several, in their order, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The table as it is called now.
    pub target: String,
    /// The table's name when the import was submitted, if it has another now.
    pub renamed_from: Option<String>,
    /// The queue whose workers load it, and undo it.
    pub queue: QueueName,
    /// Records found so far.
    pub records: u64,
    /// Rows that were put into the target: those that were inserted, and those of others that were updated.
    pub loaded: u64,
    pub inserted: u64,
    pub updated: u64,
    /// Records of which the row was there with the same values, and those that gave way to a row or another record of their key.
    pub unchanged: u64,
    pub skipped: u64,
    /// Rows of the target that were deleted, for the source did not have them.
    pub removed: u64,
    /// Records that could not be loaded.
    pub rejected: u64,
    /// Rows that an undo deleted, gave their former values back, put back, left, and no longer found.
    pub deleted: u64,
    pub restored: u64,
    pub returned: u64,
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
    /// **Seconds** since the submission.
    pub age_s: f64,
    /// While splitting: whether the submitter was silent for too long.
    pub interrupted: bool,
    /// The role that submitted it; `None` of imports of before.
    pub submitted_by: Option<String>,
    /// Why this program leaves it to newer ones.
    pub unreadable: Option<String>,
    /// Why it failed, was kept, or was cancelled by the system; while it is cancelled, what keeps that from being done.
    pub error: Option<String>,
    /// The first errors of chunks.
    pub chunk_errors: Vec<ChunkError>,
}

/// The error of one chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChunkError {
    pub ordinal: i32,
    /// The file, where the import has several.
    pub input: Option<String>,
    /// The line of the source on which the chunk begins, where it has lines.
    pub first_line: Option<u64>,
    pub error: String,
}

/// Chunk errors shown, at most.
const CHUNK_ERRORS: i64 = 5;

impl ImportStatus {
    /// Rows still in the target, as far as the ledger knows.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.loaded
            .saturating_sub(self.deleted + self.restored)
            .saturating_sub(self.missing)
    }

    /// How much of what is known so far is done: of an import that is undone rows, of any other records.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self.state {
            ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept => Progress {
                done: self.deleted + self.restored + self.kept + self.missing,
                total: self.loaded,
            },
            _ => Progress {
                done: self.loaded + self.rejected + self.unchanged + self.skipped,
                total: self.records,
            },
        }
    }

    /// **Rows a second** from the submission to the end of the load, or to now; 0 of an import that is undone, of which nobody knows.
    #[must_use]
    pub fn mean_rows_per_s(&self) -> f64 {
        match self.state {
            ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "a speed")]
            _ if self.elapsed_s > 0.0 => self.loaded as f64 / self.elapsed_s,
            _ => 0.0,
        }
    }
}

/// How much is done, of what is known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Reads the status of an import; `None` when there is none.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn status(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportStatus>, LedgerError> {
    let only = ImportFilter {
        before: Some(ImportId(import.0.saturating_add(1))),
        ..ImportFilter::default()
    };
    let newest = statuses(conn, import, &only, 1).await?;
    Ok(newest.into_iter().next())
}

/// Names the files of an import that has several.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn name_files(conn: &mut PgConnection, status: &mut ImportStatus) -> Result<(), LedgerError> {
    if status.inputs > 1 {
        let inputs = inputs::list(conn, status.import_id).await?;
        status.files = inputs.into_iter().map(|input| input.name).collect();
    }
    Ok(())
}

/// Which imports are asked for; all, where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportFilter {
    /// Those in one of these states; in any, when there is none.
    pub states: Vec<ImportState>,
    /// Whose source or table has this in its name, whatever its case.
    pub text: Option<String>,
    /// Submitted no longer ago than this.
    pub since: Option<Duration>,
    /// Submitted by this role.
    pub submitted_by: Option<String>,
    /// Older than this one: what comes behind the last one of a page.
    pub before: Option<ImportId>,
}

/// Reads the newest imports of those asked for, at most `limit`, the newest first.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list(
    conn: &mut PgConnection,
    filter: &ImportFilter,
    limit: i64,
) -> Result<Vec<ImportStatus>, LedgerError> {
    statuses(conn, ImportId(0), filter, limit).await
}

/// The imports from `oldest` on.
async fn statuses(
    conn: &mut PgConnection,
    oldest: ImportId,
    filter: &ImportFilter,
    limit: i64,
) -> Result<Vec<ImportStatus>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT i.id, i.state AS "state: ImportState", i.source, i.resumable, i.target, i.columns, i.id_column, i.options, i.spec,
               i.spec_version, i.undo, i.undo_version, i.submitted_by::text, i.size_bytes, i.lease_until < clock_timestamp() AS "lease_expired!",
               i.queue AS "queue: QueueName", i.totals, coalesce(i.cancel_error, i.error) AS error,
               coalesce((SELECT p.input + 1 FROM pgimport.import_input AS p WHERE p.import_id = i.id ORDER BY p.input DESC LIMIT 1), 1) AS "inputs!",
               to_char(i.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "created_at!",
               extract(epoch FROM coalesce(i.ended_at, clock_timestamp()) - i.created_at)::float8 AS "elapsed_s!",
               extract(epoch FROM clock_timestamp() - i.created_at)::float8 AS "age_s!",
               (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE c.oid = i.target_oid) AS current_name
           FROM pgimport.import AS i
           WHERE i.id >= $1 AND i.id < $3 AND (cardinality($4::text[]) = 0 OR i.state = ANY ($4))
             AND ($5::float8 IS NULL OR i.created_at >= clock_timestamp() - $5 * interval '1 second')
             AND ($6::text IS NULL OR i.submitted_by = $6::name)
             AND ($7::text IS NULL OR position(lower($7) IN lower(i.source)) > 0 OR position(lower($7) IN lower(i.target)) > 0)
           ORDER BY i.id DESC LIMIT $2"#,
        oldest.0,
        limit,
        filter.before.map_or(i64::MAX, |import| import.0),
        &filter.states as &[ImportState],
        filter.since.map(|since| since.as_secs_f64()),
        filter.submitted_by.as_deref(),
        filter.text.as_deref()
    )
    .fetch_all(&mut *conn)
    .await?;
    let running: Vec<i64> = rows
        .iter()
        .filter(|row| !row.state.is_final())
        .map(|row| row.id)
        .collect();
    let mut counts = open::counts(conn, &running).await?;
    let mut statuses = Vec::with_capacity(rows.len());
    for row in rows {
        let import = ImportId(row.id);
        let frozen = row
            .totals
            .and_then(|totals| serde_json::from_value::<Totals>(totals).ok());
        let totals = match (
            counts.remove(&row.id).and_then(|counts| counts.totals(row.state)),
            frozen,
        ) {
            (Some(totals), _) => totals,
            (None, Some(totals)) if row.state.is_final() => totals,
            (None, _) => chunks::totals(conn, import).await?,
        };
        let stored = StoredSpec {
            version: row.spec_version,
            spec: row.spec,
            options: row.options,
            columns: row.columns,
            id_column: row.id_column,
            resumable: row.resumable,
        };
        let undo = match row.state {
            ImportState::Cancelling => read_undo(row.undo, row.undo_version).err(),
            _ => None,
        };
        let unreadable = stored.read().err().or(undo);
        let target = row.current_name.unwrap_or_else(|| row.target.clone());
        statuses.push(ImportStatus {
            import_id: import,
            state: row.state,
            source: row.source,
            // They are numbered from 0; an import of one has no row for it.
            inputs: unsigned("the number of inputs", row.inputs.into())?,
            files: Vec::new(),
            renamed_from: (row.target != target).then_some(row.target),
            target,
            queue: row.queue,
            records: totals.records,
            loaded: totals.rows_loaded,
            inserted: totals.rows_inserted(),
            updated: totals.rows_updated,
            unchanged: totals.unchanged,
            skipped: totals.skipped,
            removed: totals.rows_removed,
            rejected: totals.rejected,
            deleted: totals.rows_taken_out(),
            restored: totals.rows_restored,
            returned: totals.rows_returned,
            kept: totals.rows_kept,
            missing: totals.rows_missing,
            chunks: totals.chunks,
            chunks_pending: totals.pending,
            chunks_loaded: totals.loaded,
            chunks_failed: totals.failed,
            size_bytes: unsigned_option("a source's size", row.size_bytes)?,
            created_at: row.created_at,
            elapsed_s: row.elapsed_s,
            age_s: row.age_s.max(0.0),
            interrupted: row.state == ImportState::Splitting && row.lease_expired,
            submitted_by: row.submitted_by,
            unreadable: unreadable.map(|error| error.to_string()),
            error: row.error,
            chunk_errors: chunk_errors(conn, import).await?,
        });
    }
    Ok(statuses)
}

async fn chunk_errors(conn: &mut PgConnection, import: ImportId) -> Result<Vec<ChunkError>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT c.ordinal, p.name AS "name?", c.first_line, c.last_error AS "last_error!" FROM pgimport.import_chunk AS c
           LEFT JOIN pgimport.import_input AS p ON p.import_id = c.import_id AND p.input = c.input
           WHERE c.import_id = $1 AND c.last_error IS NOT NULL AND c.state IN ('pending', 'failed', 'loaded') ORDER BY c.ordinal LIMIT $2"#,
        import.0,
        CHUNK_ERRORS
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ChunkError {
                ordinal: row.ordinal,
                input: row.name,
                first_line: unsigned_option("a line's number", row.first_line)?,
                error: row.last_error,
            })
        })
        .collect()
}
