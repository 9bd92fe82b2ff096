//! What a person asks of an import that was submitted: cancel, keep, retry, forget. Each takes effect without a worker.

use std::time::Duration;

use ledger::{
    LedgerError, cancel, chunks, completion,
    imports::{self, Fence},
    sessions, transition, wakeups,
};
use model::{ImportEvent, ImportId, ImportState, UndoSpec};
use queue::Job;
use session::retry::MaybeTransient;
use sqlx::{Connection as _, PgConnection};
use target::{TargetError, UndoTarget, check_cascades};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("there is no import {0}: see `enqueue status`")]
    Missing(ImportId),
    #[error("import {import} is {state}: {remedy}")]
    State {
        import: ImportId,
        state: ImportState,
        remedy: &'static str,
    },
    #[error(
        "rows of import {0} that were edited since cannot be told from those of others: they stay in any case, for the table has no column by which to find them (such as --import-column would fill)"
    )]
    CannotIncludeEdited(ImportId),
    #[error(
        "import {0} is being cancelled already, with other options, which hold: stop that with `enqueue keep {0}`, and cancel what is left as you want it"
    )]
    OtherUndo(ImportId),
    #[error("refusing to delete: {source}", source = .0)]
    Target(#[source] TargetError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl MaybeTransient for RequestError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Ledger(error) => error.is_transient(),
            Self::Target(TargetError::Catalog(error)) => session::is_transient(error),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for RequestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// How the import stands.
    pub state: ImportState,
    /// Whether this request changed that; it may have been so before.
    pub changed: bool,
}

/// Sets an import to `cancelling`, which takes effect without a worker, and adds the cancel job. Harmless when it is cancelling so, or
/// cancelled, already. `reason` is for people.
///
/// # Errors
/// [`RequestError`], saying why nothing will be deleted.
pub async fn cancel(
    conn: &mut PgConnection,
    import: ImportId,
    undo: UndoSpec,
    reason: Option<&str>,
) -> Result<Asked, RequestError> {
    let mut tx = conn.begin().await?;
    let state = lock(&mut tx, import).await?;
    if !state.allows(ImportEvent::Cancel) {
        let row = imports::read(&mut tx, import)
            .await?
            .ok_or(RequestError::Missing(import))?;
        if state == ImportState::Cancelling && row.undo().is_ok_and(|asked| asked != undo) {
            return Err(RequestError::OtherUndo(import));
        }
        return Ok(Asked { state, changed: false });
    }
    check_undo(&mut tx, import, undo).await?;
    cancel::begin(&mut tx, import, undo, reason, None).await?;
    tx.commit().await?;
    Ok(Asked {
        state: ImportState::Cancelling,
        changed: true,
    })
}

/// Checks that an import can be undone like this: that its kind of identity can, that its table is still there, and that no other table
/// would change with it.
///
/// # Errors
/// [`RequestError`], saying why not.
pub async fn check_undo(conn: &mut PgConnection, import: ImportId, undo: UndoSpec) -> Result<(), RequestError> {
    let row = imports::read(conn, import)
        .await?
        .ok_or(RequestError::Missing(import))?;
    if undo.include_edited && !row.spec()?.identity.finds_edited() {
        return Err(RequestError::CannotIncludeEdited(import));
    }
    if !chunks::any_in_table(conn, import).await? {
        return Ok(());
    }
    let target = UndoTarget::describe(conn, &row.target, row.target_oid)
        .await
        .map_err(RequestError::Target)?;
    check_cascades(conn, &target.name, target.oid, undo.cascade)
        .await
        .map_err(RequestError::Target)
}

/// Stops deleting: what is left of an import that is being cancelled stays.
///
/// # Errors
/// [`RequestError`], when it is not being cancelled.
pub async fn keep(conn: &mut PgConnection, import: ImportId) -> Result<Asked, RequestError> {
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    sessions::wait_patiently(&mut tx).await?;
    sessions::hold_deletions(&mut tx, import).await?;
    let state = lock(&mut tx, import).await?;
    match state {
        ImportState::Cancelling => {}
        ImportState::Cancelled | ImportState::Kept => return Ok(Asked { state, changed: false }),
        _ => {
            return Err(RequestError::State {
                import,
                state,
                remedy: "only an import that is being cancelled can be kept",
            });
        }
    }
    // What was never loaded cannot be kept.
    if imports::lock_for_fence(&mut tx, import).await? == Fence::Open {
        cancel::set_fence(&mut tx, import).await?;
    }
    let state = completion::end_undo(&mut tx, import, true).await?.unwrap_or(state);
    tx.commit().await?;
    Ok(Asked { state, changed: true })
}

/// Opens the failed chunks of an import again. Returns how many.
///
/// # Errors
/// [`RequestError`], when the import has not failed, or failed because its source could not be split.
pub async fn retry(conn: &mut PgConnection, import: ImportId) -> Result<usize, RequestError> {
    let mut tx = conn.begin().await?;
    let state = lock(&mut tx, import).await?;
    if state != ImportState::Failed {
        return Err(RequestError::State {
            import,
            state,
            remedy: "only a failed import can be tried again",
        });
    }
    let row = imports::read(&mut tx, import)
        .await?
        .ok_or(RequestError::Missing(import))?;
    if !row.split {
        let remedy =
            "its source could not be split to its end, so chunks are missing: cancel it and submit the file again";
        return Err(RequestError::State { import, state, remedy });
    }
    transition(&mut tx, import, ImportEvent::Retry, None).await?;
    let opened = chunks::reopen_failed(&mut tx, import).await?;
    let loads: Vec<Job> = opened.into_iter().map(Job::LoadChunk).collect();
    if row.advances {
        wakeups::advance(&mut tx, import).await?;
    } else {
        wakeups::push(&mut tx, &loads, Duration::ZERO).await?;
    }
    tx.commit().await?;
    Ok(loads.len())
}

/// Forgets an import that ended: its history goes, and with it its undo; its rows stay.
///
/// # Errors
/// [`RequestError`], when it has not ended.
pub async fn forget(conn: &mut PgConnection, import: ImportId) -> Result<(), RequestError> {
    if imports::forget(conn, import).await? {
        return Ok(());
    }
    match imports::state(conn, import).await? {
        None => Err(RequestError::Missing(import)),
        Some(state) => Err(RequestError::State {
            import,
            state,
            remedy: "only an import that ended can be forgotten; cancel it, or wait",
        }),
    }
}

/// Forgets every import that ended more than `age` ago, and that this role may forget. Returns how many.
///
/// # Errors
/// [`RequestError`] from the database.
pub async fn forget_older(conn: &mut PgConnection, age: Duration) -> Result<u64, RequestError> {
    let mut forgotten = 0;
    for import in imports::ended_before(conn, age).await? {
        forgotten += u64::from(imports::forget(conn, import).await?);
    }
    Ok(forgotten)
}

/// Locks an import for a person's request, which may wait longer than others, and whose effect must last.
async fn lock(tx: &mut PgConnection, import: ImportId) -> Result<ImportState, RequestError> {
    sessions::commit_durably(tx).await?;
    sessions::wait_patiently(tx).await?;
    imports::lock(tx, import).await?.ok_or(RequestError::Missing(import))
}
