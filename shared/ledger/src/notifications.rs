//! Table `import_notification`: where somebody is told of an import's end.

use model::{ImportId, ImportState, NotifyUrl};
use sqlx::PgConnection;

use crate::{LedgerError, imports};

/// Has messages about an import sent to `url`, in place of any other address, unless it has ended. Returns the state that it is in.
///
/// Locks the import until the caller's transaction ends, so that it does not end meanwhile unheard.
///
/// # Errors
/// [`LedgerError::Missing`]; from the database, when the role may not act for the import's submitter.
pub async fn set(conn: &mut PgConnection, import: ImportId, url: &NotifyUrl) -> Result<ImportState, LedgerError> {
    let state = imports::lock(conn, import).await?.ok_or(LedgerError::Missing(import))?;
    if !state.is_final() {
        // Not as EXCLUDED has it: that would take the right to read addresses.
        sqlx::query!(
            "INSERT INTO pgimport.import_notification (import_id, url) VALUES ($1, $2)
             ON CONFLICT (import_id) DO UPDATE SET url = $2",
            import.0,
            url.expose().as_str()
        )
        .execute(conn)
        .await?;
    }
    Ok(state)
}
