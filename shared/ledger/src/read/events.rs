//! What happened to an import, and who did it.

use model::{ImportId, ImportState};
use serde::Serialize;
use sqlx::PgConnection;

use crate::LedgerError;

/// A change of an import's state.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EventStatus {
    /// What happened: submitted, `source_ended`, `split_failed`, `all_loaded`, `some_failed`, retry, cancel, `all_deleted`, keep.
    pub event: String,
    /// The state before; `None` for the submission.
    pub from: Option<ImportState>,
    pub to: ImportState,
    /// ISO 8601, UTC.
    pub at: String,
    /// **Seconds** since the submission.
    pub after_s: f64,
    /// Whose session it was, as the server knows it.
    pub role: String,
    /// Which process: a worker, a submitter, a page.
    pub process: String,
    /// Why, where the event does not say it.
    pub note: Option<String>,
}

/// The changes of an import's state, in their order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn events(conn: &mut PgConnection, import: ImportId) -> Result<Vec<EventStatus>, LedgerError> {
    Ok(sqlx::query_as!(
        EventStatus,
        r#"SELECT event, from_state AS "from: ImportState", to_state AS "to: ImportState",
               to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "at!",
               greatest(extract(epoch FROM at - min(at) OVER ())::float8, 0) AS "after_s!", role::text AS "role!", process, note
           FROM pgimport.import_event WHERE import_id = $1 ORDER BY id"#,
        import.0
    )
    .fetch_all(conn)
    .await?)
}
