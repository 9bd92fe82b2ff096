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
