//! How an import ends.
//!
//! Whoever commits a change that could be the last one looks afterwards, without a lock, whether the import seems finished; only then it
//! is locked, and the `UPDATE` that ends it, a second statement with a snapshot of its own, decides. Two that look at the same moment
//! come one after the other, and the later one finds it done.

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::cancel;
use crate::{LedgerError, chunks, imports, sessions};
use model::{ImportId, ImportState, UndoOptions};

/// Ends an import that loads, if nothing of it is open; and what it replaces is cancelled in the same transaction.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_if_done(pool: &PgPool, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    finish_loading_if_done(&mut *pool.acquire().await?, import).await
}

async fn finish_loading_if_done(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    if !imports::looks_loaded(conn, import).await? {
        return Ok(None);
    }
    let Some(row) = imports::read(conn, import).await? else {
        return Ok(None);
    };
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    if row.options.replace {
        // Two replacing imports of one table decide one after the other, so that exactly the newest is left.
        sessions::transaction_lock(&mut tx, &format!("pgimport replace {}", row.target_oid.0)).await?;
    }
    imports::lock(&mut tx, import).await?;
    let state = imports::finish_loading(&mut tx, import).await?;
    if state == Some(ImportState::Loaded) && row.options.replace {
        replace(&mut tx, &row).await?;
    }
    tx.commit().await?;
    if let Some(state) = state {
        tracing::info!(%import, %state, duration_s = row.elapsed_s, "import ended");
    }
    Ok(state)
}

/// Cancels what a loaded import replaces: the older loaded imports of its table; or itself, when a newer one was faster.
async fn replace(tx: &mut PgConnection, import: &imports::Import) -> Result<(), LedgerError> {
    let counts = chunks::counts(tx, import.id).await?;
    if counts.rows_loaded == 0 || counts.rejected > 0 && !import.options.replace_anyway {
        return Ok(());
    }
    let older = match imports::find_newer_replacing(tx, import.id, import.target_oid).await? {
        Some(newer) => {
            tracing::info!(import = %import.id, replaced_by = %newer, "a newer import replaced the table's rows already");
            vec![import.id]
        }
        None => imports::find_older_loaded(tx, import.id, import.target_oid).await?,
    };
    for replaced in older {
        let reason = format!("replaced by import {}", import.id);
        cancel::begin(tx, replaced, &UndoOptions::default(), Some(&reason)).await?;
    }
    Ok(())
}

/// Ends an import that is being cancelled, if every chunk of it is decided.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_undo_if_done(pool: &PgPool, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    finish_undoing_if_done(&mut *pool.acquire().await?, import).await
}

async fn finish_undoing_if_done(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    if !imports::looks_undone(conn, import).await? {
        return Ok(None);
    }
    let mut tx = conn.begin().await?;
    sessions::commit_durably(&mut tx).await?;
    imports::lock(&mut tx, import).await?;
    let state = imports::finish_undo(&mut tx, import, false).await?;
    tx.commit().await?;
    if let Some(state) = state {
        tracing::info!(%import, %state, "undo ended");
    }
    Ok(state)
}

/// Ends every import that ended without anybody noticing, as when a worker died between its last commit and its look.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_unnoticed(conn: &mut PgConnection) -> Result<(), LedgerError> {
    for (import, state) in imports::looking_finished(conn).await? {
        match state {
            ImportState::Loading => finish_loading_if_done(conn, import).await?,
            _ => finish_undoing_if_done(conn, import).await?,
        };
    }
    Ok(())
}
