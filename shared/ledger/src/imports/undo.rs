//! The changes of state that belong to an undo.

use sqlx::{PgConnection, postgres::types::Oid, types::Json};

use super::LedgerError;
use model::{ImportId, ImportState, UndoOptions};
use queue;

/// `splitting | loading | loaded | failed | kept → cancelling`. Call with the import locked. `false` when it is in no such state.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn request_cancel(
    conn: &mut PgConnection,
    import: ImportId,
    options: &UndoOptions,
    reason: Option<&str>,
) -> Result<bool, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import SET state = 'cancelling', undo = $2, error = $3, ended_at = NULL, job_id = NULL
         WHERE id = $1 AND state IN ('splitting', 'loading', 'loaded', 'failed', 'kept')",
        import.0,
        Json(options) as _,
        reason
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records how an import that is being cancelled is undone from now on.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn set_undo(conn: &mut PgConnection, import: ImportId, options: &UndoOptions) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.import SET undo = $2 WHERE id = $1",
        import.0,
        Json(options) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Names the job that was just added to run an import's cancel.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn set_cancel_job(conn: &mut PgConnection, import: ImportId, job_id: &str) -> Result<(), LedgerError> {
    sqlx::query!("UPDATE pgimport.import SET job_id = $2 WHERE id = $1", import.0, job_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps an import from leaving `cancelling` until the caller's transaction ends, beside others who do the same. `false` when it is
/// not cancelling.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn share_while_cancelling(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    let state = sqlx::query_scalar!(
        r#"SELECT state AS "state: ImportState" FROM pgimport.import WHERE id = $1 FOR SHARE"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(state == Some(ImportState::Cancelling))
}

/// `cancelling → cancelled | kept`. With `keep`, deleting stops here; without, only when every chunk is decided. Call with the import
/// locked by an earlier statement. Returns the new state, or `None` when it is not finished.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_undo(
    conn: &mut PgConnection,
    import: ImportId,
    keep: bool,
) -> Result<Option<ImportState>, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"UPDATE pgimport.import AS i
           SET ended_at = clock_timestamp(), job_id = NULL,
               state = CASE WHEN EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = $1 AND c.state = 'loaded')
                            THEN 'kept' ELSE 'cancelled' END
           WHERE i.id = $1 AND i.state = 'cancelling'
             AND ($2 OR NOT EXISTS (
                     SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = $1 AND c.state = 'loaded' AND c.kept_count IS NULL)
                 AND NOT EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = $1 AND c.state IN ('pending', 'failed')))
           RETURNING i.state AS "state: ImportState""#,
        import.0,
        keep
    )
    .fetch_optional(conn)
    .await?)
}

/// Whether an import that is being cancelled looks done. Without a lock: a hint to try [`finish_undo`]. From the end, as
/// [`looks_loaded`](super::looks_loaded) does; each state by itself, for each has an index of its own.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn looks_undone(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import WHERE id = $1 AND state = 'cancelling')
               AND (SELECT ordinal FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'loaded' AND kept_count IS NULL
                    ORDER BY ordinal DESC LIMIT 1) IS NULL
               AND NOT EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'pending')
               AND NOT EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'failed') AS "finished!""#,
        import.0
    )
    .fetch_one(conn)
    .await?)
}

/// Imports that are being cancelled, are not fenced yet, and have no live job to do it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn without_cancel_job(conn: &mut PgConnection) -> Result<Vec<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT i.id FROM pgimport.import AS i
         WHERE i.state = 'cancelling'
           AND EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state IN ('pending', 'failed'))
           AND NOT EXISTS (
               SELECT FROM apalis.jobs AS j LEFT JOIN apalis.workers AS w ON w.id = j.lock_by
               WHERE j.id = i.job_id
                 AND (j.status = 'Pending'
                      OR j.status IN ('Queued', 'Running') AND w.last_seen > now() - $1 * interval '1 second'))",
        queue::stale_after().as_secs_f64()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(ImportId)
    .collect())
}

/// The loaded imports of a table that were submitted before `import`, locked until the caller's transaction ends.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_older_loaded(
    conn: &mut PgConnection,
    import: ImportId,
    target_oid: Oid,
) -> Result<Vec<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import WHERE target_oid = $1 AND state = 'loaded' AND id < $2 ORDER BY id FOR UPDATE",
        target_oid,
        import.0
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(ImportId)
    .collect())
}

/// A loaded import of the same table that was submitted after `import` and did replace: with rows, and without rejects or regardless.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_newer_replacing(
    conn: &mut PgConnection,
    import: ImportId,
    target_oid: Oid,
) -> Result<Option<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import
         WHERE target_oid = $1 AND state = 'loaded' AND id > $2 AND (options -> 'replace')::boolean
           AND EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = import.id AND c.loaded_count > 0)
           AND ((options -> 'replace_anyway')::boolean
                OR NOT EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = import.id AND c.rejected_count > 0))
         ORDER BY id DESC LIMIT 1",
        target_oid,
        import.0
    )
    .fetch_optional(conn)
    .await?
    .map(ImportId))
}
