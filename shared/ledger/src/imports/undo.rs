//! An import while it is undone: how, by whom, the fence before the first deletion, and how it ends.

use model::{ImportId, ImportState, UNDO_VERSION, UndoSpec};
use sqlx::{PgConnection, postgres::types::Oid, types::Json};

use crate::{LedgerError, chunks::Totals, error::expect_rows};

/// Says how an import is undone, and for whom, where that is not this session's role; in the transaction that asks for it. Only workers may
/// ask for others.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn set_undo(
    conn: &mut PgConnection,
    import: ImportId,
    undo: UndoSpec,
    role: Option<&str>,
) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import SET undo = $2, undo_version = $3, cancelled_by = coalesce($4::text::name, cancelled_by) WHERE id = $1",
        import.0,
        Json(undo) as _,
        UNDO_VERSION,
        role
    )
    .execute(conn)
    .await?;
    expect_rows("saying how to undo", 1, done.rows_affected())
}

/// Names the job that was just added to run an import's cancel.
///
/// # Errors
/// [`LedgerError`] from the database.
pub(crate) async fn set_cancel_job(conn: &mut PgConnection, import: ImportId, job_id: &str) -> Result<(), LedgerError> {
    sqlx::query!("UPDATE pgimport.import SET job_id = $2 WHERE id = $1", import.0, job_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Records why a cancel could not be run. Returns how many times in a row that was; `None` when there is nothing left to run.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn note_cancel_error(
    conn: &mut PgConnection,
    import: ImportId,
    error: &str,
) -> Result<Option<u32>, LedgerError> {
    let retries = sqlx::query_scalar!(
        "UPDATE pgimport.import SET cancel_error = $2, cancel_retries = least(cancel_retries, 1000) + 1
         WHERE id = $1 AND state = 'cancelling' AND fenced_at IS NULL RETURNING cancel_retries",
        import.0,
        error
    )
    .fetch_optional(conn)
    .await?;
    crate::number::unsigned_option("the cancel's retries", retries.map(i64::from))
}

/// Where the fence of an undo stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// The import is not being cancelled.
    NotCancelling,
    /// It has to be set yet.
    Open,
    /// It is set: nothing is added any more, and deletions may begin.
    Set,
}

/// Locks an import until the caller's transaction ends, and says where its fence stands.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn lock_for_fence(conn: &mut PgConnection, import: ImportId) -> Result<Fence, LedgerError> {
    super::lock(conn, import).await?;
    fence(conn, import).await
}

/// Keeps an import from leaving `cancelling` until the caller's transaction ends, beside others who do the same, and says where its fence
/// stands.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn lock_for_deletion(conn: &mut PgConnection, import: ImportId) -> Result<Fence, LedgerError> {
    sqlx::query!("SELECT FROM pgimport.import WHERE id = $1 FOR SHARE", import.0)
        .fetch_optional(&mut *conn)
        .await?;
    fence(conn, import).await
}

/// Where the fence stands; a statement of its own, for its snapshot has what the lock waited for.
async fn fence(conn: &mut PgConnection, import: ImportId) -> Result<Fence, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT state AS "state: ImportState", fenced_at IS NOT NULL AS "fenced!" FROM pgimport.import WHERE id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        Some(row) if row.state == ImportState::Cancelling => {
            if row.fenced {
                Fence::Set
            } else {
                Fence::Open
            }
        }
        _ => Fence::NotCancelling,
    })
}

/// Sets the fence, with what the chunks add up to now that nothing is added.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn set_fenced(conn: &mut PgConnection, import: ImportId, totals: &Totals) -> Result<(), LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import SET fenced_at = clock_timestamp(), totals = $2, cancel_retries = 0, cancel_error = NULL, job_id = NULL
         WHERE id = $1 AND state = 'cancelling' AND fenced_at IS NULL",
        import.0,
        Json(totals) as _
    )
    .execute(conn)
    .await?;
    expect_rows("setting the fence", 1, done.rows_affected())
}

/// Whether an undo is decided, of an import that was locked by an earlier statement: `None` while a chunk is open; else whether rows were
/// left. With `stop`, what is not decided is left.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn undo_decided(conn: &mut PgConnection, import: ImportId, stop: bool) -> Result<Option<bool>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT i.state = 'cancelling' AND i.fenced_at IS NOT NULL AS "fenced!",
               EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'loaded' AND kept_count IS NULL) AS "open!",
               EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'loaded') AS "left!"
           FROM pgimport.import AS i WHERE i.id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.filter(|row| row.fenced && (stop || !row.open)).map(|row| row.left))
}

/// Whether an import that is being cancelled looks done. Without a lock: a hint to lock it and look again. From the end, as
/// [`looks_loaded`](super::looks_loaded) does.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn looks_undone(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import WHERE id = $1 AND state = 'cancelling' AND fenced_at IS NOT NULL)
               AND (SELECT ordinal FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'loaded' AND kept_count IS NULL
                    ORDER BY ordinal DESC LIMIT 1) IS NULL AS "finished!""#,
        import.0
    )
    .fetch_one(conn)
    .await?)
}

/// Whether the role that submitted an import may itself delete from the table; of an import of before, whether this
/// session's role may.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn may_submitter_delete(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(
               (SELECT has_table_privilege(r.oid, c.oid, 'DELETE') AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
                FROM pg_roles AS r, pg_class AS c
                WHERE r.rolname = coalesce(i.submitted_by, session_user) AND c.oid = i.target_oid), false) AS "may!"
           FROM pgimport.import AS i WHERE i.id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?
    .unwrap_or(false))
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

/// A loaded import of the same table that was submitted after `import` and took the place of those before it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_newer_replacing(
    conn: &mut PgConnection,
    import: ImportId,
    target_oid: Oid,
) -> Result<Option<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import WHERE target_oid = $1 AND state = 'loaded' AND id > $2 AND replacing ORDER BY id DESC LIMIT 1",
        target_oid,
        import.0
    )
    .fetch_optional(conn)
    .await?
    .map(ImportId))
}

/// Records that an import took the place of those before it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn set_replacing(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    let done = sqlx::query!("UPDATE pgimport.import SET replacing = true WHERE id = $1", import.0)
        .execute(conn)
        .await?;
    expect_rows("recording a replacement", 1, done.rows_affected())
}

/// Gives up the key of an import of which nothing was stored, so that the same source can be submitted in another way.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn clear_key(conn: &mut PgConnection, import: ImportId) -> Result<(), LedgerError> {
    sqlx::query!("UPDATE pgimport.import SET key = NULL WHERE id = $1", import.0)
        .execute(conn)
        .await?;
    Ok(())
}
