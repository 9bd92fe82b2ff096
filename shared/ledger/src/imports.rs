//! Table `import`: what was submitted, and where it stands.

use std::{collections::HashMap, time::Duration};

use model::{ImportId, ImportSpec, ImportState, Lane, ProcessName, QueueName, Share};
use sqlx::{PgConnection, postgres::types::Oid, types::Json};

use crate::{
    LedgerError,
    events::{self, NewEvent},
    number::signed,
};

mod row;
mod splitting;
mod undo;
pub use row::{Import, read};
pub(crate) use row::{StoredSpec, read_undo};
pub use splitting::{
    Abandoned, LEASE, abandoned, count_batch, current_turn, finish_split, lock_for_submitter, may_take_over,
    renew_lease, take_over,
};
pub(crate) use splitting::{Window, lock_window, take_turns};
pub(crate) use undo::set_cancel_job;
pub use undo::{
    Fence, clear_key, find_newer_replacing, find_older_loaded, lock_for_deletion, lock_for_fence, looks_undone,
    may_submitter_delete, note_cancel_error, set_fenced, set_replacing, set_undo, undo_decided,
};

/// An import as it is submitted.
#[derive(Debug)]
pub struct NewImport<'a> {
    pub source: &'a str,
    pub resumable: bool,
    pub target: &'a str,
    pub target_oid: Oid,
    pub spec: &'a ImportSpec,
    pub key: Option<&'a str>,
    pub fingerprint: Option<&'a str>,
    pub size_bytes: Option<u64>,
    pub submitter: &'a ProcessName,
    pub share: Share,
    pub queue: &'a QueueName,
    /// Whether workers find its chunks, so that no submitter has to show that it lives.
    pub split_by_workers: bool,
}

/// Adds an import in the state `splitting`, with the event of its submission, to the caller's transaction; `None` when its key is taken.
/// This waits for a rival who has just taken it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, new: &NewImport<'_>) -> Result<Option<ImportId>, LedgerError> {
    // Programs of before, which need it, know no other identities.
    let id_column = new.spec.identity.column().unwrap_or_default();
    let size_bytes: Option<i64> = new.size_bytes.map(|n| signed("a source's size", n)).transpose()?;
    let id = sqlx::query_scalar!(
        "INSERT INTO pgimport.import
             (state, source, resumable, target, target_oid, id_column, columns, options, spec, spec_version, key, fingerprint, size_bytes,
              submitter, lease_until, chunk_count, record_count, ordered, stride, max_parallel,
              queue, by_reference)
         VALUES ('splitting', $1, $2, $3, $4, $5, $6, '{}', $7, $8, $9, $10, $11, $12, CASE WHEN $18 THEN 'infinity' ELSE now() + $13 * interval '1 second' END, 0, 0, $14, $15, $16, $17, $19)
         ON CONFLICT (key) WHERE state <> 'cancelled' DO NOTHING
         RETURNING id",
        new.source,
        new.resumable,
        new.target,
        new.target_oid,
        id_column,
        &new.spec.mapping.columns(),
        Json(new.spec) as _,
        new.spec.version(),
        new.key,
        new.fingerprint,
        size_bytes,
        new.submitter.as_str(),
        LEASE.as_secs_f64(),
        new.spec.conflict.is_ordered(),
        new.share.priority.stride(),
        new.share.max_parallel.map(|most| i32::from(most.get())),
        new.queue.as_str(),
        new.split_by_workers,
        new.spec.source.by_reference
    )
    .fetch_optional(&mut *conn)
    .await?
    .map(ImportId);
    if let Some(import) = id {
        let event = NewEvent {
            import,
            event: None,
            from: None,
            to: ImportState::Splitting,
            note: None,
            totals: None,
        };
        events::insert(conn, &event).await?;
    }
    Ok(id)
}

/// Whether only some chunks of such an import are in line at once, and whoever loads one brings the next.
#[must_use]
pub fn advances(spec: &ImportSpec, share: Share) -> bool {
    spec.conflict.is_ordered() || share.max_parallel.is_some()
}

/// The import that holds one of these keys.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_by_key(conn: &mut PgConnection, keys: &[&str]) -> Result<Option<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import WHERE key = ANY ($1) AND state <> 'cancelled' ORDER BY id DESC LIMIT 1",
        keys as &[&str]
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
         WHERE source = $1 AND target_oid = $2 AND id <> $3 AND state = 'splitting' AND resumable AND lease_until < pg_catalog.clock_timestamp()
         ORDER BY id DESC LIMIT 1",
        source,
        target_oid,
        other_than.0
    )
    .fetch_optional(conn)
    .await?
    .map(ImportId))
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

/// Whether an import that loads looks finished. Without a lock: a hint to lock it and look again.
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

/// How loading went, of an import that was locked by an earlier statement; `None` while a chunk is open. The error is that of a failed
/// chunk.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn loading_ended(
    conn: &mut PgConnection,
    import: ImportId,
) -> Result<Option<Result<(), Option<String>>>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'pending') AS "open!",
               EXISTS (SELECT FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'failed') AS "failed!",
               (SELECT last_error FROM pgimport.import_chunk WHERE import_id = $1 AND state = 'failed' ORDER BY ordinal LIMIT 1) AS error"#,
        import.0
    )
    .fetch_one(conn)
    .await?;
    Ok(match (row.open, row.failed) {
        (true, _) => None,
        (false, true) => Some(Err(row.error)),
        (false, false) => Some(Ok(())),
    })
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
              OR i.state = 'cancelling' AND i.fenced_at IS NOT NULL AND NOT EXISTS (
                   SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'loaded' AND c.kept_count IS NULL)"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (ImportId(row.id), row.state)).collect())
}

/// Whether workers that serve `queues` may have something to do: an import that loads or is cancelled, or one that is being split by
/// somebody alive. What only newer workers can do does not count, nor what is read where only others may read: `may_read` says it of an address.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn any_open(
    conn: &mut PgConnection,
    queues: &[QueueName],
    may_read: impl Fn(&str) -> bool,
) -> Result<bool, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT i.state AS "state: ImportState", i.resumable, i.columns, i.id_column, i.options, i.spec, i.spec_version, i.undo,
               i.undo_version, ARRAY(SELECT r.address FROM pgimport.import_reference AS r WHERE r.import_id = i.id) AS "addresses!"
           FROM pgimport.import AS i
           WHERE i.queue = ANY ($1) AND (i.state IN ('loading', 'cancelling')
              OR i.state = 'splitting' AND (i.lease_until > pg_catalog.clock_timestamp() OR NOT i.resumable OR EXISTS (
                  SELECT FROM pgimport.import_chunk AS c WHERE c.import_id = i.id AND c.state = 'pending')))"#,
        queues as &[QueueName]
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().any(|row| {
        let spec = StoredSpec {
            version: row.spec_version,
            spec: row.spec,
            options: row.options,
            columns: row.columns,
            id_column: row.id_column,
            resumable: row.resumable,
        };
        if row.state == ImportState::Cancelling {
            return spec.read().is_ok() && read_undo(row.undo, row.undo_version).is_ok();
        }
        spec.read().is_ok() && row.addresses.iter().all(|address| may_read(address))
    }))
}

/// The lanes of imports; those that are not there are left out.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn lanes(conn: &mut PgConnection, imports: &[ImportId]) -> Result<HashMap<ImportId, Lane>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT id, queue AS "queue: QueueName", by_reference FROM pgimport.import WHERE id = ANY ($1)"#,
        imports as &[ImportId]
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (ImportId(row.id), Lane::new(row.queue, row.by_reference)))
        .collect())
}

/// Every queue that an import was ever in, but for those of imports that were forgotten.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn known_queues(conn: &mut PgConnection) -> Result<Vec<QueueName>, LedgerError> {
    Ok(
        sqlx::query_scalar!(r#"SELECT DISTINCT queue AS "queue: QueueName" FROM pgimport.import"#)
            .fetch_all(conn)
            .await?,
    )
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

/// Imports that ended more than `age` ago, and that this session's role may act for.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn ended_before(conn: &mut PgConnection, age: Duration) -> Result<Vec<ImportId>, LedgerError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM pgimport.import WHERE state IN ('loaded', 'failed', 'cancelled', 'kept')
         AND ended_at < pg_catalog.clock_timestamp() - $1 * interval '1 second' AND pgimport.may_act_for(submitted_by, target_oid) ORDER BY id",
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
