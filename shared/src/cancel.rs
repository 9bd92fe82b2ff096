//! Undoing an import: the request, the fence, and the end that a person may put to it.
//!
//! Owns the transactions of the cancel protocol up to the deletion jobs; the rows of the target are the worker's eraser's.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::{
    model::{ImportEvent, ImportId, ImportState, UndoOptions},
    patience::MaybeTransient,
    queue::{self, Job},
    store::{StoreError, chunks, imports, is_transient, payloads, registry, sessions},
    target::{Target, TargetError, UndoTarget},
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

impl MaybeTransient for CancelError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Target(TargetError::Catalog(error)) => is_transient(error),
            _ => false,
        }
    }
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
    UndoTarget::describe(conn, &import.target, import.target_oid, &import.id_column)
        .await
        .map_err(CancelError::Target)?;
    check_cascades(conn, import, options).await
}

/// Checks that deleting from the target changes no other table, or may.
///
/// # Errors
/// [`CancelError::Cascades`], naming them.
pub async fn check_cascades(
    conn: &mut PgConnection,
    import: &imports::Import,
    options: &UndoOptions,
) -> Result<(), CancelError> {
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
        push_job(tx, import, Duration::ZERO).await?;
    }
    Ok(())
}

/// Adds the job that runs an import's cancel.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn push_job(tx: &mut PgConnection, import: ImportId, delay: Duration) -> Result<(), StoreError> {
    for id in queue::push(tx, &[Job::CancelImport { import }], delay).await? {
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
    sessions::hold_deletions(&mut tx, import).await?;
    if imports::lock(&mut tx, import).await? != Some(ImportState::Cancelling) {
        return Ok(None);
    }
    chunks::fence(&mut tx, import).await?;
    payloads::delete_all(&mut tx, import).await?;
    let loaded = chunks::list_loaded(&mut tx, import).await?;
    note_reused_ids(&mut tx, import).await?;
    for part in loaded.chunks(JOBS_AT_ONCE) {
        let jobs: Vec<Job> = part.iter().copied().map(Job::DeleteChunk).collect();
        let ids = queue::push(&mut tx, &jobs, Duration::ZERO).await?;
        chunks::set_jobs(&mut tx, part, &ids).await?;
    }
    tx.commit().await?;
    Ok(Some(loaded.len()))
}

/// Looks once, before the first deletion takes its ranges away, where the sequence stands.
async fn note_reused_ids(tx: &mut PgConnection, import: ImportId) -> Result<(), StoreError> {
    let (Some(row), Some((lowest, highest))) = (imports::read(tx, import).await?, registry::extent(tx, import).await?)
    else {
        return Ok(());
    };
    let target = match UndoTarget::describe(tx, &row.target, row.target_oid, &row.id_column).await {
        Ok(target) => target,
        Err(TargetError::Catalog(error)) => return Err(error.into()),
        // The rows are kept: each deletion says why.
        Err(_) => return Ok(()),
    };
    if target.stands_before(lowest, highest) {
        let options = UndoOptions {
            ids_reused: true,
            ..row.undo.unwrap_or_default()
        };
        imports::set_undo(tx, import, &options).await?;
    }
    Ok(())
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
