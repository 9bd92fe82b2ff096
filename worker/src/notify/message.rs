//! What is told of an import's end, as Standard Webhooks has it: a type, a time and data.

use ledger::deliveries::ImportEnd;
use model::{ImportId, ImportState};
use serde::Serialize;

/// The body of a message. It depends on nothing but what had happened: sent again, it is the same.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    /// `import.loaded`, `import.failed`, `import.cancelled` or `import.kept`.
    r#type: String,
    /// When it happened: ISO 8601, UTC.
    timestamp: &'a str,
    data: MessageData<'a>,
}

/// The names are those of `enqueue status --json`.
#[derive(Debug, Serialize)]
struct MessageData<'a> {
    import_id: ImportId,
    state: ImportState,
    event: &'a str,
    source: &'a str,
    target: &'a str,
    submitted_by: Option<&'a str>,
    created_at: &'a str,
    records: u64,
    loaded: u64,
    inserted: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
    removed: u64,
    rejected: u64,
    deleted: u64,
    restored: u64,
    returned: u64,
    kept: u64,
    missing: u64,
    error: Option<&'a str>,
}

impl<'a> From<&'a ImportEnd> for Message<'a> {
    fn from(end: &'a ImportEnd) -> Self {
        let totals = &end.totals;
        Self {
            r#type: format!("import.{}", end.state.as_str()),
            timestamp: &end.at,
            data: MessageData {
                import_id: end.import,
                state: end.state,
                event: &end.event,
                source: &end.source,
                target: &end.target,
                submitted_by: end.submitted_by.as_deref(),
                created_at: &end.submitted_at,
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
                error: end.note.as_deref(),
            },
        }
    }
}
