//! Undoing an import: the request, the fence, and the end that a person may put to it.
//!
//! Owns the transactions of the cancel protocol up to the deletion jobs; the rows of the target are the worker's eraser's.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::{
    model::{ImportEvent, ImportId, ImportState, UndoOptions},
    queue::{self, Job},
    store::{StoreError, chunks, imports, payloads, sessions},
    target::{Target, TargetError},
};

/// Deletion jobs added by one statement.
const JOBS_AT_ONCE: usize = 5_000;

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
    #[error(
        "refusing to delete from {table}: rows of {references} would be deleted or changed with them by a foreign key; --cascade allows it"
    )]
    Cascades { table: String, references: String },
    #[error("refusing to delete: {source}", source = .0)]
    Target(#[source] TargetError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CancelError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
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
    begin(&mut tx, import, options, reason).await?;
    tx.commit().await?;
    Ok(ImportState::Cancelling)
}

/// Checks that deleting by id from the target removes this import's rows and changes no others.
///
/// # Errors
/// [`CancelError::Target`] when the table was made again; [`CancelError::Cascades`] when other tables would change.
pub async fn check_target(
    conn: &mut PgConnection,
    import: &imports::Import,
    options: &UndoOptions,
) -> Result<(), CancelError> {
    let nothing_loaded = chunks::counts(conn, import.id).await?.rows_loaded == 0;
    if nothing_loaded {
        return Ok(());
    }
    Target::check_same(conn, &import.target, import.target_oid)
        .await
        .map_err(CancelError::Target)?;
    let cascades = Target::cascades(conn, import.target_oid)
        .await
        .map_err(CancelError::Target)?;
    if options.cascade || cascades.is_empty() {
        return Ok(());
    }
    let references = cascades
        .iter()
        .map(|(constraint, table)| format!("{table} ({constraint})"))
        .collect::<Vec<_>>();
    Err(CancelError::Cascades {
        table: import.target.clone(),
        references: references.join(", "),
    })
}

/// Sets a locked import to `cancelling` and adds the cancel job, within the caller's transaction.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn begin(
    tx: &mut PgConnection,
    import: ImportId,
    options: &UndoOptions,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    if imports::request_cancel(tx, import, options, reason).await? {
        chunks::reopen_kept(tx, import).await?;
        push_job(tx, import).await?;
    }
    Ok(())
}

/// Adds the job that runs an import's cancel.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn push_job(tx: &mut PgConnection, import: ImportId) -> Result<(), StoreError> {
    for id in queue::push(tx, &[Job::CancelImport { import }], Duration::ZERO).await? {
        imports::set_cancel_job(tx, import, &id).await?;
    }
    Ok(())
}

/// Runs the cancel: closes what is not loaded, and adds a deletion job for each chunk that is. One transaction of separate statements,
/// for each must see what the one before it waited for. Returns how many deletions there are; `None` when the import is not cancelling.
///
/// # Errors
/// [`StoreError`] from the database, a lock timeout among them when a load still runs.
pub async fn fence(conn: &mut PgConnection, import: ImportId) -> Result<Option<usize>, StoreError> {
    let mut tx = conn.begin().await?;
    if imports::lock(&mut tx, import).await? != Some(ImportState::Cancelling) {
        return Ok(None);
    }
    chunks::fence(&mut tx, import).await?;
    payloads::delete_all(&mut tx, import).await?;
    let loaded = chunks::list_loaded(&mut tx, import).await?;
    for part in loaded.chunks(JOBS_AT_ONCE) {
        let jobs: Vec<Job> = part.iter().copied().map(Job::DeleteChunk).collect();
        let ids = queue::push(&mut tx, &jobs, Duration::ZERO).await?;
        chunks::set_jobs(&mut tx, part, &ids).await?;
    }
    tx.commit().await?;
    Ok(Some(loaded.len()))
}

/// Stops deleting: what is left of an import that is being cancelled stays.
///
/// # Errors
/// [`CancelError`], when it is not being cancelled.
pub async fn keep(conn: &mut PgConnection, import: ImportId) -> Result<ImportState, CancelError> {
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    sessions::wait_patiently(&mut tx).await?;
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
