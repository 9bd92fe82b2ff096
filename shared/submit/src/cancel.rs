//! What a person asks of an undo: that it begins, and that it ends with what is left.

use sqlx::{Connection as _, PgConnection};

use ledger::{LedgerError, cancel, chunks, imports, payloads, sessions};
use model::{ImportEvent, ImportId, ImportState, UndoOptions};
use session::retry::MaybeTransient;
use target::{TargetError, UndoTarget, check_cascades};

/// Why an import cannot be cancelled or kept.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    #[error("there is no import {0}: see `enqueue status`")]
    Missing(ImportId),
    #[error("import {import} is {state}: {remedy}")]
    State {
        import: ImportId,
        state: ImportState,
        remedy: &'static str,
    },
    #[error("refusing to delete: {source}", source = .0)]
    Target(#[source] TargetError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl MaybeTransient for CancelError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Ledger(error) => error.is_transient(),
            Self::Target(TargetError::Catalog(error)) => session::is_transient(error),
            _ => false,
        }
    }
}

impl From<queue::QueueError> for CancelError {
    fn from(error: queue::QueueError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<sqlx::Error> for CancelError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// Sets an import to `cancelling`, which takes effect without a worker, and adds the cancel job. Harmless when it is cancelling or
/// cancelled already.
///
/// # Errors
/// [`CancelError`], saying why nothing will be deleted.
pub async fn request(
    conn: &mut PgConnection,
    import: ImportId,
    options: &UndoOptions,
    reason: Option<&str>,
) -> Result<ImportState, CancelError> {
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    sessions::wait_patiently(&mut tx).await?;
    let state = imports::lock(&mut tx, import)
        .await?
        .ok_or(CancelError::Missing(import))?;
    if !state.allows(ImportEvent::Cancel) {
        return Ok(state);
    }
    let row = imports::read(&mut tx, import)
        .await?
        .ok_or(CancelError::Missing(import))?;
    check_target(&mut tx, &row, options).await?;
    cancel::begin(&mut tx, import, options, reason).await?;
    tx.commit().await?;
    Ok(ImportState::Cancelling)
}

/// Checks that deleting by id from the target removes this import's rows and changes no others.
///
/// # Errors
/// [`CancelError::Target`] when the table was made again, or when other tables would change.
pub async fn check_target(
    conn: &mut PgConnection,
    import: &imports::Import,
    options: &UndoOptions,
) -> Result<(), CancelError> {
    let nothing_loaded = chunks::counts(conn, import.id).await?.rows_loaded == 0;
    if nothing_loaded {
        return Ok(());
    }
    UndoTarget::describe(conn, &import.target, import.target_oid, &import.id_column)
        .await
        .map_err(CancelError::Target)?;
    check_cascades(conn, &import.target, import.target_oid, options.cascade)
        .await
        .map_err(CancelError::Target)
}

/// Stops deleting: what is left of an import that is being cancelled stays.
///
/// # Errors
/// [`CancelError`], when it is not being cancelled.
pub async fn keep(conn: &mut PgConnection, import: ImportId) -> Result<ImportState, CancelError> {
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    sessions::wait_patiently(&mut tx).await?;
    sessions::hold_deletions(&mut tx, import).await?;
    let state = imports::lock(&mut tx, import)
        .await?
        .ok_or(CancelError::Missing(import))?;
    match state {
        ImportState::Cancelling => {}
        ImportState::Cancelled | ImportState::Kept => return Ok(state),
        _ => {
            return Err(CancelError::State {
                import,
                state,
                remedy: "only an import that is being cancelled can be kept",
            });
        }
    }
    // What was never loaded cannot be kept.
    chunks::fence(&mut tx, import).await?;
    payloads::delete_all(&mut tx, import).await?;
    let state = imports::finish_undo(&mut tx, import, true).await?.unwrap_or(state);
    tx.commit().await?;
    Ok(state)
}
