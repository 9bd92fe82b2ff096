//! The only way by which an import changes its state.

use model::{ImportEvent, ImportId, ImportState};
use sqlx::{PgConnection, types::Json};

use crate::{
    LedgerError, chunks,
    error::expect_rows,
    events::{self, NewEvent},
    imports,
};

/// Moves an import by an event, and writes it down: checks that it can happen in the import's state, and freezes what the chunks add up
/// to where the import ends. `note` says why, for people.
///
/// Locks the import until the caller's transaction ends. Whether the event *has* happened is the caller's to know, by a statement after
/// the import was locked.
///
/// # Errors
/// [`LedgerError::Transition`] when the event cannot happen in the import's state; [`LedgerError::Missing`]; or from the database.
pub async fn transition(
    conn: &mut PgConnection,
    import: ImportId,
    event: ImportEvent,
    note: Option<&str>,
) -> Result<ImportState, LedgerError> {
    let from = imports::lock(conn, import).await?.ok_or(LedgerError::Missing(import))?;
    let to = from
        .after(event)
        .map_err(|source| LedgerError::Transition { import, source })?;
    let totals = match to.is_final() {
        true => Some(chunks::totals(conn, import).await?),
        false => None,
    };
    // An undo ends with the words with which it was asked for.
    let keeps_words = matches!(event, ImportEvent::AllDeleted | ImportEvent::Keep);
    let done = sqlx::query!(
        "UPDATE pgimport.import
         SET state = $3, job_id = NULL, error = CASE WHEN $4 THEN coalesce($5, error) ELSE $5 END,
             ended_at = CASE WHEN $6 THEN clock_timestamp() END,
             split_at = CASE WHEN $7 THEN clock_timestamp() ELSE split_at END,
             fenced_at = CASE WHEN $8 THEN NULL ELSE fenced_at END,
             totals = CASE WHEN $9 THEN NULL ELSE totals END, cancel_retries = 0, cancel_error = NULL
         WHERE id = $1 AND state = $2",
        import.0,
        from as ImportState,
        to as ImportState,
        keeps_words,
        note,
        to.is_final(),
        event == ImportEvent::SourceEnded,
        event == ImportEvent::Cancel,
        event == ImportEvent::Retry,
    )
    .execute(&mut *conn)
    .await?;
    expect_rows("changing an import's state", 1, done.rows_affected())?;
    if let Some(totals) = &totals {
        // After the state: the schema forgets what an earlier end came to.
        sqlx::query!(
            "UPDATE pgimport.import SET totals = $2 WHERE id = $1",
            import.0,
            Json(totals) as _
        )
        .execute(&mut *conn)
        .await?;
    }
    let event = NewEvent {
        import,
        event: Some(event),
        from: Some(from),
        to,
        note,
        totals: totals.as_ref(),
    };
    events::insert(conn, &event).await?;
    Ok(to)
}
