//! What the chunks of imports that have not ended add up to.

use std::collections::HashMap;

use model::ImportState;
use sqlx::PgConnection;

use crate::{
    LedgerError,
    chunks::Totals,
    number::{unsigned, unsigned_option},
};

/// What is stored of an import, and what of its chunks is not as it shall be in the end.
pub(super) struct Counts {
    /// Chunks and records that are stored; `None` of imports of before.
    stored: Option<(u64, u64)>,
    /// The totals when its undo began, or was fenced.
    frozen: Option<Totals>,
    is_fenced: bool,
    /// An older worker's fence does not say what is left from each chunk on.
    is_uncounted: bool,
    open: Open,
}

struct Open {
    pending: u64,
    failed: u64,
    /// Records of pending and failed chunks.
    open_records: u64,
    rejected: u64,
    /// Of an undo: what it has not decided, and what it left.
    undecided: u64,
    undecided_rows: u64,
    kept_chunks: u64,
    kept: u64,
    missing: u64,
    /// What came of records whose key was taken.
    updated: u64,
    unchanged: u64,
    skipped: u64,
    restored: u64,
    /// Rows that the source did not have, and those that were put back.
    removed: u64,
    returned: u64,
}

impl Counts {
    /// The totals of an import in this state; `None` where they have to be added up.
    pub(super) fn totals(self, state: ImportState) -> Option<Totals> {
        match (state, self.frozen) {
            (ImportState::Cancelling, _) if self.is_uncounted => None,
            (ImportState::Cancelling, Some(totals)) if self.is_fenced => Some(self.open.undoing(&totals)),
            // Until the fence nothing is taken away.
            (ImportState::Cancelling, Some(totals)) => Some(totals),
            // It was fenced since its state was read, and nothing is open any more.
            (state, _) if self.is_fenced && state != ImportState::Cancelling => None,
            _ => self.stored.map(|(chunks, records)| self.open.loading(chunks, records)),
        }
    }
}

impl Open {
    /// The totals of an import that loads: what is stored, less what is open.
    fn loading(&self, chunks: u64, records: u64) -> Totals {
        let no_rows = self.open_records + self.rejected + self.unchanged + self.skipped;
        Totals {
            chunks,
            pending: self.pending,
            failed: self.failed,
            loaded: chunks.saturating_sub(self.pending + self.failed),
            records,
            rejected: self.rejected,
            rows_loaded: records.saturating_sub(no_rows),
            rows_updated: self.updated,
            unchanged: self.unchanged,
            skipped: self.skipped,
            rows_removed: self.removed,
            ..Totals::default()
        }
    }

    /// The totals of an import whose undo is fenced: as they were at the fence, less what is decided.
    fn undoing(&self, at_fence: &Totals) -> Totals {
        let decided = at_fence.rows_loaded.saturating_sub(self.undecided_rows);
        let loaded = self.undecided + self.kept_chunks;
        Totals {
            loaded,
            deleted: (at_fence.loaded + at_fence.deleted).saturating_sub(loaded),
            rows_kept: self.kept,
            rows_missing: self.missing,
            rows_deleted: decided.saturating_sub(self.kept + self.missing),
            rows_restored: self.restored,
            rows_returned: self.returned,
            ..*at_fence
        }
    }
}

/// Counts for some imports by their ids; none for one that is gone, or has ended since.
///
/// # Errors
/// [`LedgerError`] from the database.
pub(super) async fn counts(conn: &mut PgConnection, imports: &[i64]) -> Result<HashMap<i64, Counts>, LedgerError> {
    if imports.is_empty() {
        return Ok(HashMap::new());
    }
    // Chunks that are open cost the sum of those that wait, which the submission's back-pressure bounds. Of an undo, the first that is open
    // says what is left from it on; less what was decided out of order.
    let rows = sqlx::query!(
        r#"SELECT i.id, i.fenced_at IS NOT NULL AS "fenced!", i.chunk_count, i.record_count, i.totals,
               pending.chunks AS "pending_chunks!", pending.records AS "pending_records!",
               failed.chunks AS "failed_chunks!", failed.records AS "failed_records!", rejected.records AS "rejected!",
               open.ordinal AS "open_ordinal?", undecided.chunks AS "undecided_chunks?", undecided.rows AS "undecided_rows?",
               kept.chunks AS "kept_chunks!", kept.rows AS "kept!", kept.missing AS "missing!",
               conflict.updated AS "updated!", conflict.unchanged AS "unchanged!", conflict.skipped AS "skipped!", conflict.restored AS "restored!",
               conflict.removed AS "removed!", conflict.returned AS "returned!"
           FROM pgimport.import AS i
           CROSS JOIN LATERAL (
               SELECT count(*) AS chunks, coalesce(sum(c.record_count), 0)::bigint AS records FROM pgimport.import_chunk AS c
               WHERE c.import_id = i.id AND c.state = 'pending') AS pending
           CROSS JOIN LATERAL (
               SELECT count(*) AS chunks, coalesce(sum(c.record_count), 0)::bigint AS records FROM pgimport.import_chunk AS c
               WHERE c.import_id = i.id AND c.state = 'failed') AS failed
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(c.rejected_count), 0)::bigint AS records FROM pgimport.import_chunk AS c
               WHERE c.import_id = i.id AND c.rejected_count > 0) AS rejected
           LEFT JOIN LATERAL (
               SELECT c.ordinal, c.undo_chunks_left AS chunks, c.undo_rows_left AS rows FROM pgimport.import_chunk AS c
               WHERE i.state = 'cancelling' AND i.fenced_at IS NOT NULL
                 AND c.import_id = i.id AND c.state = 'loaded' AND c.kept_count IS NULL
               ORDER BY c.ordinal LIMIT 1) AS open ON true
           CROSS JOIN LATERAL (
               SELECT open.chunks - count(*) AS chunks, open.rows - coalesce(sum(c.undo_rows), 0)::bigint AS rows
               FROM pgimport.import_chunk AS c
               WHERE c.import_id = i.id AND c.ordinal > open.ordinal AND c.undo_rows IS NOT NULL
                 AND (c.state = 'deleted' OR c.kept_count IS NOT NULL)) AS undecided
           CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE c.kept_count > 0) AS chunks, coalesce(sum(c.kept_count) FILTER (WHERE NOT c.sweep), 0)::bigint AS rows,
                   coalesce(sum(c.missing_count), 0)::bigint AS missing
               FROM pgimport.import_chunk AS c
               WHERE i.state = 'cancelling' AND i.fenced_at IS NOT NULL
                 AND c.import_id = i.id AND (c.kept_count > 0 OR c.missing_count > 0)) AS kept
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(c.updated_count), 0)::bigint AS updated, coalesce(sum(c.unchanged_count), 0)::bigint AS unchanged,
                   coalesce(sum(c.skipped_count), 0)::bigint AS skipped, coalesce(sum(c.restored_count), 0)::bigint AS restored,
                   coalesce(sum(c.removed_count), 0)::bigint AS removed, coalesce(sum(c.returned_count), 0)::bigint AS returned
               FROM pgimport.import_conflict AS c WHERE c.import_id = i.id) AS conflict
           WHERE i.id = ANY ($1) AND i.state IN ('splitting', 'loading', 'cancelling')"#,
        imports
    )
    .fetch_all(conn)
    .await?;
    let counts = rows.into_iter().map(|row| {
        let open = Open {
            pending: count(row.pending_chunks)?,
            failed: count(row.failed_chunks)?,
            open_records: count(row.pending_records)? + count(row.failed_records)?,
            rejected: count(row.rejected)?,
            undecided: count(row.undecided_chunks.unwrap_or_default())?,
            undecided_rows: count(row.undecided_rows.unwrap_or_default())?,
            kept_chunks: count(row.kept_chunks)?,
            kept: count(row.kept)?,
            missing: count(row.missing)?,
            updated: count(row.updated)?,
            unchanged: count(row.unchanged)?,
            skipped: count(row.skipped)?,
            restored: count(row.restored)?,
            removed: count(row.removed)?,
            returned: count(row.returned)?,
        };
        let counts = Counts {
            stored: unsigned_option("the number of chunks", row.chunk_count)?
                .zip(unsigned_option("the number of records", row.record_count)?),
            frozen: row.totals.and_then(|totals| serde_json::from_value(totals).ok()),
            is_fenced: row.fenced,
            is_uncounted: row.open_ordinal.is_some() && row.undecided_chunks.is_none(),
            open,
        };
        Ok((row.id, counts))
    });
    counts.collect()
}

fn count(value: i64) -> Result<u64, LedgerError> {
    unsigned("a sum of chunks", value)
}
