//! Table `import`: what was submitted, and where it stands.

use std::time::Duration;

use sqlx::{PgConnection, postgres::types::Oid, types::Json};

use super::LedgerError;
use model::{ImportId, ImportOptions, ImportState, ProcessName, UndoOptions};

mod splitting;
mod undo;
pub use splitting::{Abandoned, LEASE, abandoned, fail_split, finish_split, renew_lease, take_over};
pub use undo::{
    find_newer_replacing, find_older_loaded, finish_undo, looks_undone, request_cancel, set_cancel_job, set_undo,
    share_while_cancelling, without_cancel_job,
};

/// An import as it is submitted.
#[derive(Debug)]
pub struct NewImport<'a> {
    pub source: &'a str,
    pub resumable: bool,
    pub target: &'a str,
    pub target_oid: Oid,
    pub id_column: &'a str,
    pub columns: &'a [String],
    pub options: &'a ImportOptions,
    pub key: Option<&'a str>,
    pub fingerprint: Option<&'a str>,
    pub size_bytes: Option<u64>,
    pub submitter: &'a ProcessName,
}

/// One import's row.
#[derive(Debug, Clone)]
pub struct Import {
    pub id: ImportId,
    pub state: ImportState,
    pub source: String,
    pub resumable: bool,
    pub target: String,
    pub target_oid: Oid,
    pub id_column: String,
    pub columns: Vec<String>,
    pub options: ImportOptions,
    pub fingerprint: Option<String>,
    pub size_bytes: Option<u64>,
    pub submitter: String,
    /// Whether the submitter was silent for too long; says something only while splitting.
    pub lease_expired: bool,
    pub undo: Option<UndoOptions>,
    pub error: Option<String>,
    /// Whether every chunk is stored.
    pub split: bool,
    /// When it was submitted, ISO 8601 in UTC.
    pub created_at: String,
    /// **Seconds** from submission to its end, or to now.
    pub elapsed_s: f64,
}

struct Row {
    id: i64,
    state: ImportState,
    source: String,
    resumable: bool,
    target: String,
    target_oid: Oid,
    id_column: String,
    columns: Vec<String>,
    options: serde_json::Value,
    fingerprint: Option<String>,
    size_bytes: Option<i64>,
    submitter: String,
    lease_expired: bool,
    undo: Option<serde_json::Value>,
    error: Option<String>,
    split: bool,
    created_at: String,
    elapsed_s: f64,
}

impl TryFrom<Row> for Import {
    type Error = LedgerError;

    fn try_from(row: Row) -> Result<Self, LedgerError> {
        let unreadable = |error| LedgerError::Options(row.id, error);
        Ok(Self {
            id: ImportId(row.id),
            state: row.state,
            source: row.source,
            resumable: row.resumable,
            target: row.target,
            target_oid: row.target_oid,
            id_column: row.id_column,
            columns: row.columns,
            options: serde_json::from_value(row.options).map_err(unreadable)?,
            fingerprint: row.fingerprint,
            size_bytes: row.size_bytes.map(i64::unsigned_abs),
            submitter: row.submitter,
            lease_expired: row.lease_expired,
            undo: row.undo.map(serde_json::from_value).transpose().map_err(unreadable)?,
            error: row.error,
            split: row.split,
            created_at: row.created_at,
            elapsed_s: row.elapsed_s,
        })
    }
}

/// Adds an import in the state `splitting`; `None` when its key is taken.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, new: &NewImport<'_>) -> Result<Option<ImportId>, LedgerError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO pgimport.import
             (state, source, resumable, target, target_oid, id_column, columns, options, key, fingerprint, size_bytes, submitter, lease_until)
         VALUES ('splitting', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + $12 * interval '1 second')
         ON CONFLICT (key) WHERE state <> 'cancelled' DO NOTHING
         RETURNING id",
        new.source,
        new.resumable,
        new.target,
        new.target_oid,
        new.id_column,
        new.columns,
        Json(new.options) as _,
        new.key,
        new.fingerprint,
        new.size_bytes.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        new.submitter.as_str(),
        LEASE.as_secs_f64()
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(ImportId))
}

/// Reads an import.
///
/// # Errors
/// [`LedgerError`] from the database, or when the row was written by a newer version.
pub async fn read(conn: &mut PgConnection, import: ImportId) -> Result<Option<Import>, LedgerError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, state AS "state: ImportState", source, resumable, target, target_oid, id_column, columns, options, fingerprint, size_bytes,
               submitter, lease_until < clock_timestamp() AS "lease_expired!", undo, error, split_at IS NOT NULL AS "split!",
               to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "created_at!",
               extract(epoch FROM coalesce(ended_at, clock_timestamp()) - created_at)::float8 AS "elapsed_s!"
           FROM pgimport.import WHERE id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(Import::try_from).transpose()
}

/// The import that holds a key.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_by_key(conn: &mut PgConnection, key: &str) -> Result<Option<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import WHERE key = $1 AND state <> 'cancelled'",
        key
    )
    .fetch_optional(conn)
    .await?
    .map(ImportId))
}

/// An interrupted import of the same source into the same target, under another key: the file changed since.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_interrupted(
    conn: &mut PgConnection,
    source: &str,
    target_oid: Oid,
    other_than: ImportId,
) -> Result<Option<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import
         WHERE source = $1 AND target_oid = $2 AND id <> $3 AND state = 'splitting' AND resumable AND lease_until < clock_timestamp()
         ORDER BY id DESC LIMIT 1",
        source,
        target_oid,
        other_than.0
    )
    .fetch_optional(conn)
    .await?
    .map(ImportId))
}

/// The newest imports, at most `limit`.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn latest(conn: &mut PgConnection, limit: i64) -> Result<Vec<ImportId>, LedgerError> {
    Ok(
        sqlx::query_scalar!("SELECT id FROM pgimport.import ORDER BY id DESC LIMIT $1", limit)
            .fetch_all(conn)
            .await?
            .into_iter()
            .map(ImportId)
            .collect(),
    )
}

/// Locks an import until the caller's transaction ends and returns its state.
///
/// By id alone: after waiting for the lock, a condition in the same statement would still be judged by the old snapshot.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn lock(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT state AS "state: ImportState" FROM pgimport.import WHERE id = $1 FOR UPDATE"#,
        import.0
    )
    .fetch_optional(conn)
    .await?)
}

/// Whether an import that loads looks finished. Without a lock: a hint to try [`finish_loading`].
///
/// Looks from the end, for chunks are loaded about in their order: from the beginning every look would pass the index entries of all that
/// are done, which stay until a vacuum.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn looks_loaded(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import WHERE id = $1 AND state = 'loading')
               AND (SELECT ordinal FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'pending'
                    ORDER BY ordinal DESC LIMIT 1) IS NULL AS "finished!""#,
        import.0
    )
    .fetch_one(conn)
    .await?)
}

/// `loading → loaded | failed`, when no chunk is pending. Call with the import locked by an earlier statement. Returns the new state,
/// or `None` when it is not finished.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn finish_loading(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"UPDATE pgimport.import AS i
           SET ended_at = clock_timestamp(),
               state = CASE WHEN EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = $1 AND c.state = 'failed')
                            THEN 'failed' ELSE 'loaded' END,
               error = (SELECT min(c.last_error) FROM pgimport.import_chunk AS c WHERE c.import_id = $1 AND c.state = 'failed')
           WHERE i.id = $1 AND i.state = 'loading'
             AND NOT EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = $1 AND c.state = 'pending')
           RETURNING i.state AS "state: ImportState""#,
        import.0
    )
    .fetch_optional(conn)
    .await?)
}

/// `failed → loading`. Call with the import locked, and its failed chunks opened again in the same transaction.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn reopen(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    let done = sqlx::query!(
        "UPDATE pgimport.import SET state = 'loading', ended_at = NULL, error = NULL
         WHERE id = $1 AND state = 'failed' AND split_at IS NOT NULL",
        import.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Imports that may have ended without anybody noticing: loading without a pending chunk, cancelling without an undecided one.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn looking_finished(conn: &mut PgConnection) -> Result<Vec<(ImportId, ImportState)>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT i.id, i.state AS "state: ImportState" FROM pgimport.import AS i
           WHERE i.state = 'loading' AND NOT EXISTS (
                   SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'pending')
              OR i.state = 'cancelling' AND NOT EXISTS (
                   SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'loaded' AND c.kept_count IS NULL)
               AND NOT EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'pending')
               AND NOT EXISTS (SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'failed')"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (ImportId(row.id), row.state)).collect())
}

/// Whether workers may have something to do: an import that loads or is cancelled, or one that is being split by somebody alive.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn any_open(conn: &mut PgConnection) -> Result<bool, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM pgimport.import AS i
               WHERE i.state IN ('loading', 'cancelling')
                  OR i.state = 'splitting' AND (i.lease_until > clock_timestamp() OR NOT i.resumable OR EXISTS (
                      SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'pending'))) AS "open!""#
    )
    .fetch_one(conn)
    .await?)
}

/// Forgets an import that ended: its chunks, ranges and rejects go with it, its rows stay. `false` when it has not ended.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn forget(conn: &mut PgConnection, import: ImportId) -> Result<bool, LedgerError> {
    let done = sqlx::query!(
        "DELETE FROM pgimport.import WHERE id = $1 AND state IN ('loaded', 'failed', 'cancelled', 'kept')",
        import.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Imports that ended more than `age` ago.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn ended_before(conn: &mut PgConnection, age: Duration) -> Result<Vec<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import WHERE state IN ('loaded', 'failed', 'cancelled', 'kept')
         AND ended_at < clock_timestamp() - $1 * interval '1 second' ORDER BY id",
        age.as_secs_f64()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(ImportId)
    .collect())
}

/// The state of an import; `None` when there is none.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn state(conn: &mut PgConnection, import: ImportId) -> Result<Option<ImportState>, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT state AS "state: ImportState" FROM pgimport.import WHERE id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?)
}
