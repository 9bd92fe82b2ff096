//! What an undo would do, without doing it.

use ledger::{LedgerError, before, chunks, imports};
use model::{ChunkKind, ImportId, UndoSpec};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use target::{TargetError, UndoTarget, check_cascades};

use super::{
    edited::Edited,
    erase::{EraseError, Rows, conflicts_of},
    places::Registered,
    put_back::Removed,
};

/// What an undo of an import would do to its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UndoPreview {
    pub import_id: i64,
    /// The table, as it is called now.
    pub target: String,
    /// Rows that would go.
    pub would_delete: u64,
    /// Rows that would get their former values back.
    pub would_restore: u64,
    /// Rows that the source did not have, which were deleted and would come back.
    pub would_return: u64,
    /// Rows that would stay, for they are not as the import left them.
    pub would_keep: u64,
    /// Rows that are not as the import left them, whether they would go or stay: edited since, or somebody else's.
    pub edited: u64,
    /// Those of which nobody can tell whether they were edited: in chunks of which *every* row differs, as after a rewrite of the table; and,
    /// where rows have no ids, those that are not found, which may be gone too.
    pub cannot_tell: u64,
    /// Rows that are gone already.
    pub missing: u64,
}

/// Why an undo cannot be previewed.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error("there is no import {0}: see `enqueue status`")]
    Missing(ImportId),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("refusing to delete: {source}", source = .0)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Erase(#[from] EraseError),
}

impl From<sqlx::Error> for PreviewError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// Looks at all rows of an import, in one transaction that changes nothing.
///
/// # Errors
/// [`PreviewError`], saying why nothing would be deleted.
pub async fn preview(conn: &mut PgConnection, import: ImportId, undo: UndoSpec) -> Result<UndoPreview, PreviewError> {
    let mut tx = conn.begin().await?;
    let row = imports::read(&mut tx, import)
        .await?
        .ok_or(PreviewError::Missing(import))?;
    let mut preview = UndoPreview {
        import_id: import.0,
        target: row.target.clone(),
        ..UndoPreview::default()
    };
    let chunks = chunks::list_in_table(&mut tx, import).await?;
    if chunks.is_empty() {
        return Ok(preview);
    }
    let target = UndoTarget::describe(&mut tx, &row.target, row.target_oid).await?;
    if target.row_security {
        return Err(TargetError::RowSecurity { name: target.name }.into());
    }
    check_cascades(&mut tx, &target.name, target.oid, undo.cascade).await?;
    preview.target.clone_from(&target.name);
    let spec = row.spec()?;
    let restored = target.describe_restored(&mut tx, &spec.conflict, undo.cascade).await?;
    for (kind, chunk) in chunks {
        if kind == ChunkKind::Sweep {
            if let Some(rows) = target.describe_returned(&mut tx, &spec.conflict).await? {
                let removed = Removed {
                    chunk,
                    target: &target,
                    rows: &rows,
                };
                let would_return = removed.count(&mut tx).await?;
                preview.would_return += would_return;
                preview.would_keep += before::count(&mut tx, chunk).await?.0.saturating_sub(would_return);
            }
            continue;
        }
        let registered = Registered::read(&mut tx, chunk, &spec.identity).await?;
        let rows = Rows {
            chunk,
            target: &target,
            registered: &registered,
            conflicts: conflicts_of(&mut tx, chunk, spec).await?,
            restored: restored.as_ref(),
            import_column: None,
        };
        rows.check_age(&mut tx, undo).await?;
        let found = rows.find(&mut tx).await?;
        preview.missing += found
            .in_table
            .saturating_sub(found.ours + found.differing + found.unknown);
        preview.would_keep += found.unknown;
        preview.cannot_tell += found.unknown;
        preview.edited += found.differing;
        if found.ours == 0 {
            preview.cannot_tell += found.differing;
        }
        preview.would_delete += found.ours - found.restorable.min(found.ours);
        preview.would_restore += found.restorable;
        if undo.include_edited {
            preview.would_delete += found.differing;
        } else {
            preview.would_keep += found.differing;
        }
    }
    if let Some(column) = target.find_import_column(&mut tx, &spec.identity).await? {
        let edited = Edited::find(&mut tx, import, &target, column).await?;
        let edited = edited.count(&mut tx).await?.min(preview.cannot_tell);
        preview.missing += preview.cannot_tell - edited;
        preview.edited += edited;
        preview.cannot_tell = 0;
        (preview.would_keep, preview.would_delete) = if undo.include_edited {
            (0, preview.would_delete + edited)
        } else {
            (edited, preview.would_delete)
        };
    }
    Ok(preview)
}
