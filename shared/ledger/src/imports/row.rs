//! An import's row as it is read: in the form of whichever version wrote it.

use model::{ImportId, ImportSpec, ImportState, QueueName, SPEC_VERSION, UNDO_VERSION, UndoSpec, Version1};
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{LedgerError, Unreadable, number::unsigned_option};

/// One import's row.
#[derive(Debug, Clone)]
pub struct Import {
    pub id: ImportId,
    pub state: ImportState,
    pub source: String,
    pub resumable: bool,
    /// The table's name at submission; it may have been renamed since.
    pub target: String,
    pub target_oid: Oid,
    spec: Result<ImportSpec, Unreadable>,
    undo: Result<Option<UndoSpec>, Unreadable>,
    /// The role that submitted it; `None` in rows of before.
    pub submitted_by: Option<String>,
    /// The role that asked for its undo.
    pub cancelled_by: Option<String>,
    pub fingerprint: Option<String>,
    pub size_bytes: Option<u64>,
    /// Whether the submitter was silent for too long; says something only while splitting.
    pub lease_expired: bool,
    pub fenced: bool,
    /// Whether every chunk is stored.
    pub split: bool,
    /// Whether only some of its chunks are in line at once, and whoever ends one brings the next: see [`advance`](crate::wakeups::advance).
    pub advances: bool,
    /// That all its jobs are in.
    pub queue: QueueName,
    /// **Seconds** from submission to its end, or to now.
    pub elapsed_s: f64,
}

impl Import {
    /// How it is read and loaded.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] when a newer version has to do it.
    pub fn spec(&self) -> Result<&ImportSpec, LedgerError> {
        self.spec.as_ref().map_err(|error| self.unreadable(error))
    }

    /// How it is undone.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`] when a newer version has to do it.
    pub fn undo(&self) -> Result<UndoSpec, LedgerError> {
        match &self.undo {
            Ok(undo) => Ok(undo.unwrap_or_default()),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    fn unreadable(&self, error: &Unreadable) -> LedgerError {
        LedgerError::Unreadable {
            import: self.id,
            source: error.clone(),
        }
    }
}

/// A spec as it is stored: in the form of its version.
pub(crate) struct StoredSpec {
    pub version: Option<i32>,
    pub spec: Option<serde_json::Value>,
    pub options: serde_json::Value,
    pub columns: Vec<String>,
    pub id_column: String,
    pub resumable: bool,
}

impl StoredSpec {
    pub(crate) fn read(self) -> Result<ImportSpec, Unreadable> {
        let unreadable = |error: serde_json::Error| Unreadable::Spec(error.to_string());
        match (self.version, self.spec) {
            (None | Some(1), _) => Ok(Version1 {
                options: serde_json::from_value(self.options).map_err(unreadable)?,
                columns: self.columns,
                id_column: self.id_column,
                resumable: self.resumable,
            }
            .into()),
            (Some(newer), _) if newer > SPEC_VERSION => Err(Unreadable::NewerSpec(newer)),
            // What a later version added means in an earlier one what it meant then.
            (Some(_), Some(spec)) => serde_json::from_value(spec).map_err(unreadable),
            (Some(_), None) => Err(Unreadable::Spec("it is missing".to_owned())),
        }
    }
}

pub(crate) fn read_undo(undo: Option<serde_json::Value>, version: Option<i32>) -> Result<Option<UndoSpec>, Unreadable> {
    match version {
        Some(newer) if newer > UNDO_VERSION => Err(Unreadable::NewerUndo(newer)),
        _ => undo
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| Unreadable::Undo(error.to_string())),
    }
}

/// Reads an import.
///
/// # Errors
/// [`LedgerError`] from the database. What a newer version wrote is no error here: see [`Import::spec`].
pub async fn read(conn: &mut PgConnection, import: ImportId) -> Result<Option<Import>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT id, state AS "state: ImportState", source, resumable, target, target_oid, id_column, columns, options, spec, spec_version,
               undo, undo_version, submitted_by::text, cancelled_by::text, fingerprint, size_bytes,
               lease_until < pg_catalog.clock_timestamp() AS "lease_expired!", fenced_at IS NOT NULL AS "fenced!", split_at IS NOT NULL AS "split!",
               ordered OR max_parallel IS NOT NULL AS "advances!", queue AS "queue: QueueName",
               extract(epoch FROM coalesce(ended_at, pg_catalog.clock_timestamp()) - created_at)::float8 AS "elapsed_s!"
           FROM pgimport.import WHERE id = $1"#,
        import.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let spec = StoredSpec {
            version: row.spec_version,
            spec: row.spec,
            options: row.options,
            columns: row.columns,
            id_column: row.id_column,
            resumable: row.resumable,
        };
        Ok(Import {
            id: ImportId(row.id),
            state: row.state,
            source: row.source,
            resumable: row.resumable,
            target: row.target,
            target_oid: row.target_oid,
            spec: spec.read(),
            undo: read_undo(row.undo, row.undo_version),
            submitted_by: row.submitted_by,
            cancelled_by: row.cancelled_by,
            fingerprint: row.fingerprint,
            size_bytes: unsigned_option("a source's size", row.size_bytes)?,
            lease_expired: row.lease_expired,
            fenced: row.fenced,
            split: row.split,
            advances: row.advances,
            queue: row.queue,
            elapsed_s: row.elapsed_s,
        })
    })
    .transpose()
}
