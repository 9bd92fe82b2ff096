//! Table `import_event`: what happened to an import, and who did it. The role and the time are the server's own.

use model::{ImportEvent, ImportId, ImportState};
use sqlx::{PgConnection, types::Json};

use crate::{LedgerError, chunks::Totals};

/// A change of an import's state.
#[derive(Debug)]
pub(crate) struct NewEvent<'a> {
    pub import: ImportId,
    /// What happened; `None` for the submission.
    pub event: Option<ImportEvent>,
    pub from: Option<ImportState>,
    pub to: ImportState,
    /// Why, for people.
    pub note: Option<&'a str>,
    /// What the import came to, where it ended.
    pub totals: Option<&'a Totals>,
}

/// Writes an event, in the transaction of the change.
pub(crate) async fn insert(conn: &mut PgConnection, new: &NewEvent<'_>) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO pgimport.import_event (import_id, event, from_state, to_state, note, totals)
         VALUES ($1, coalesce($2, 'submitted'), $3, $4, $5, $6)",
        new.import.0,
        new.event as Option<ImportEvent>,
        new.from as Option<ImportState>,
        new.to as ImportState,
        new.note,
        new.totals.map(Json) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A change of an import's state, as it was written.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Event {
    pub event: String,
    pub from: Option<ImportState>,
    pub to: ImportState,
    /// ISO 8601, UTC.
    pub at: String,
    pub role: String,
    pub process: String,
    pub note: Option<String>,
}

/// The events of an import, in their order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list(conn: &mut PgConnection, import: ImportId) -> Result<Vec<Event>, LedgerError> {
    Ok(sqlx::query_as!(
        Event,
        r#"SELECT event, from_state AS "from: ImportState", to_state AS "to: ImportState", role::text AS "role!", process, note,
               to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "at!"
           FROM pgimport.import_event WHERE import_id = $1 ORDER BY id"#,
        import.0
    )
    .fetch_all(conn)
    .await?)
}
