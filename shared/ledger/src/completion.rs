//! How an import ends.
//!
//! Whoever commits a change that could be the last one looks afterwards, without a lock, whether the import seems finished; only then it
//! is locked, and a second statement with a snapshot of its own decides. Two that look at the same moment come one after the other, and
//! the later one finds it done.

use model::{ImportEvent, ImportId, ImportState, Limit, Replace, UndoSpec};
use sqlx::{Connection as _, PgConnection};

use crate::{
    LedgerError, cancel, chunks,
    imports::{self, Import},
    sessions, transition,
};

/// Ends an import that loads, if nothing of it is open; and what it replaces is cancelled in the same transaction.
///
/// # Errors
/// [`LedgerError`] from the database; [`LedgerError::Unreadable`] when a newer version has to end it.
pub async fn finish_if_done(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    if !imports::looks_loaded(conn, import).await? {
        return Ok(None);
    }
    let Some(row) = imports::read(conn, import).await? else {
        return Ok(None);
    };
    let (replace, rejects) = (row.spec()?.completion.replace, row.spec()?.rejects);
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    if replace != Replace::Never {
        // Two replacing imports of one table decide one after the other, so that exactly the newest is left.
        sessions::transaction_lock(&mut tx, &format!("pgimport replace {}", row.target_oid.0)).await?;
    }
    if imports::lock(&mut tx, import).await? != Some(ImportState::Loading) {
        return Ok(None);
    }
    let ended = match imports::loading_ended(&mut tx, import).await? {
        Some(Ok(())) => Some(
            check_rejects(&mut tx, import, rejects.max)
                .await?
                .map_err(|many| Some(many.to_string())),
        ),
        ended => ended,
    };
    let state = match ended {
        None => return Ok(None),
        Some(Err(error)) => {
            let failed = transition(&mut tx, import, ImportEvent::SomeFailed, error.as_deref()).await?;
            if rejects.all_or_nothing {
                let role = row.submitted_by.as_deref();
                cancel::begin(&mut tx, import, UndoSpec::default(), error.as_deref(), role).await?;
            }
            failed
        }
        Some(Ok(())) => {
            let (replaces, note) = decide_replace(&mut tx, &row, replace).await?;
            let state = transition(&mut tx, import, ImportEvent::AllLoaded, note).await?;
            if replaces {
                cancel_replaced(&mut tx, &row).await?;
            }
            state
        }
    };
    tx.commit().await?;
    tracing::info!(%import, state = state.as_str(), duration_s = row.elapsed_s, "import ended");
    Ok(Some(state))
}

/// The last chunk of an import's source is stored: within the caller's transaction, which holds its lock. Where it `sweeps`, a chunk comes
/// behind the others that deletes what the source does not have.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn end_split(tx: &mut PgConnection, import: ImportId, sweeps: bool) -> Result<(), LedgerError> {
    if sweeps {
        chunks::insert_sweep(tx, import).await?;
        imports::count_batch(tx, import, 1, 0).await?;
    }
    transition(tx, import, ImportEvent::SourceEnded, None).await?;
    Ok(())
}

/// The source of an import cannot be split to its end: within the caller's transaction, which holds its lock. With `all_or_nothing` what was
/// loaded is undone, as `role` if this is not its session.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn fail_split(
    tx: &mut PgConnection,
    import: ImportId,
    message: &str,
    all_or_nothing: bool,
    role: Option<&str>,
) -> Result<(), LedgerError> {
    chunks::fail_pending(tx, import, "the import's source could not be split to its end").await?;
    transition(tx, import, ImportEvent::SplitFailed, Some(message)).await?;
    if all_or_nothing {
        cancel::begin(tx, import, UndoSpec::default(), Some(message), role).await?;
    }
    // Of which nothing is stored, that need not be cancelled before the source is submitted in another way.
    if chunks::split_progress(tx, import).await?.chunks == 0 {
        imports::clear_key(tx, import).await?;
    }
    Ok(())
}

/// An import has more rejects than it may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rejected} records were rejected, and --max-rejects is {max}: see why with `enqueue rejects {import}`")]
pub struct TooManyRejects {
    import: ImportId,
    rejected: u64,
    max: Limit,
}

/// Whether an import has no more rejects than it may have, as far as that is known now.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn check_rejects(
    conn: &mut PgConnection,
    import: ImportId,
    max: Option<Limit>,
) -> Result<Result<(), TooManyRejects>, LedgerError> {
    let Some(max) = max else { return Ok(Ok(())) };
    let (rejected, records) = chunks::rejected(conn, import).await?;
    Ok(if max.is_exceeded(rejected, records) {
        Err(TooManyRejects { import, rejected, max })
    } else {
        Ok(())
    })
}

/// Whether an import takes the place of others, and why not, where it should but may not.
async fn decide_replace(
    tx: &mut PgConnection,
    import: &Import,
    replace: Replace,
) -> Result<(bool, Option<&'static str>), LedgerError> {
    if replace == Replace::Never {
        return Ok((false, None));
    }
    let totals = chunks::totals(tx, import.id).await?;
    if !replace.applies(totals.rows_loaded, totals.rejected) {
        return Ok((false, None));
    }
    if !imports::may_submitter_delete(tx, import.id).await? {
        let note = "the earlier imports of the table were not replaced: the role that submitted this one may not DELETE from it";
        return Ok((false, Some(note)));
    }
    Ok((true, None))
}

/// Cancels what a loaded import replaces: the older loaded imports of its table; or itself, when a newer one was faster.
async fn cancel_replaced(tx: &mut PgConnection, import: &Import) -> Result<(), LedgerError> {
    imports::set_replacing(tx, import.id).await?;
    let (by, older) = match imports::find_newer_replacing(tx, import.id, import.target_oid).await? {
        Some(newer) => {
            tracing::info!(import = %import.id, replaced_by = %newer, "a newer import replaced the table's rows already");
            (newer, vec![import.id])
        }
        None => (
            import.id,
            imports::find_older_loaded(tx, import.id, import.target_oid).await?,
        ),
    };
    let (reason, role) = (format!("replaced by import {by}"), import.submitted_by.as_deref());
    for replaced in older {
        cancel::begin(tx, replaced, UndoSpec::default(), Some(&reason), role).await?;
    }
    Ok(())
}

/// Ends an import that is being cancelled, if every chunk of it is decided.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_undo_if_done(
    conn: &mut PgConnection,
    import: ImportId,
) -> Result<Option<ImportState>, LedgerError> {
    if !imports::looks_undone(conn, import).await? {
        return Ok(None);
    }
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    imports::lock(&mut tx, import).await?;
    let state = end_undo(&mut tx, import, false).await?;
    tx.commit().await?;
    if let Some(state) = state {
        tracing::info!(%import, state = state.as_str(), "undo ended");
    }
    Ok(state)
}

/// Ends the undo of an import that was locked by an earlier statement, if it is decided; with `stop`, as it stands.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn end_undo(tx: &mut PgConnection, import: ImportId, stop: bool) -> Result<Option<ImportState>, LedgerError> {
    let event = match imports::undo_decided(tx, import, stop).await? {
        None => return Ok(None),
        Some(true) => ImportEvent::Keep,
        Some(false) => ImportEvent::AllDeleted,
    };
    Ok(Some(transition(tx, import, event, None).await?))
}

/// Ends every import that ended without anybody noticing, as when a worker died between its last commit and its look. What keeps one from
/// being ended keeps none of the others; those that a newer version has to end are left to it.
///
/// # Errors
/// [`LedgerError`] from the database, when it could not even be asked which.
pub async fn finish_unnoticed(conn: &mut PgConnection) -> Result<(), LedgerError> {
    for (import, state) in imports::looking_finished(conn).await? {
        let outcome = match state {
            ImportState::Loading => finish_if_done(conn, import).await,
            _ => finish_undo_if_done(conn, import).await,
        };
        match outcome {
            Ok(_) => {}
            Err(error @ LedgerError::Unreadable { .. }) => {
                tracing::debug!(%import, error = session::describe_error(&error), "left to newer workers");
            }
            Err(error) => {
                tracing::warn!(%import, error = session::describe_error(&error), "an import could not be ended and will be tried again");
            }
        }
    }
    Ok(())
}
