//! Table `import_notification`: where somebody is told of an import's end.

use model::{ImportId, ImportState, NotifyUrl};
use sqlx::PgConnection;

use crate::{LedgerError, imports};

/// Has messages about an import sent to `url` from now on, beside others. Returns the state that it is in, of which nothing is sent.
///
/// Locks the import until the caller's transaction ends, so that it does not end meanwhile unheard.
///
/// # Errors
/// [`LedgerError::Missing`]; from the database, when the role may not act for the import's submitter.
pub async fn add(conn: &mut PgConnection, import: ImportId, url: &NotifyUrl) -> Result<ImportState, LedgerError> {
    let state = imports::lock(conn, import).await?.ok_or(LedgerError::Missing(import))?;
    // What conflicts is not named: that would take the right to read addresses.
    sqlx::query!(
        "INSERT INTO pgimport.import_notification (import_id, url) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        import.0,
        url.expose().as_str()
    )
    .execute(conn)
    .await?;
    Ok(state)
}
