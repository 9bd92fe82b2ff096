//! What has to be known of a table to delete an import's rows from it: less than to load it, for an undo must be possible when loading no
//! longer is.

use model::IdentitySpec;
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{TargetError, catalog, rights};

/// A table from which rows are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoTarget {
    pub oid: Oid,
    /// As it is called now: schema-qualified, quoted where SQL needs it.
    pub name: String,
    /// What statements name in FROM: the table alone, without those that inherit from it.
    pub from: String,
    /// Whether a deletion may leave rows: by a trigger, or a rule.
    pub has_triggers: bool,
    /// Whether row-level security may hide rows from this role.
    pub row_security: bool,
}

impl UndoTarget {
    /// Describes the table of an import, whatever it is called now. `name` is what it was called when the import was submitted.
    ///
    /// # Errors
    /// [`TargetError::Gone`] when it was dropped; [`TargetError::Catalog`].
    pub async fn describe(conn: &mut PgConnection, name: &str, oid: Oid) -> Result<Self, TargetError> {
        catalog::describe_undo(conn, oid)
            .await?
            .ok_or_else(|| TargetError::Gone { name: name.to_owned() })
    }

    /// Checks that the role that asked for an undo may itself delete from the table, whatever this session's may; one that is gone may
    /// not.
    ///
    /// # Errors
    /// [`TargetError::Privilege`], naming the GRANT; [`TargetError::HeldBack`]; [`TargetError::Catalog`].
    pub async fn check_may_undo(&self, conn: &mut PgConnection, role: &str) -> Result<(), TargetError> {
        rights::UNDO.check(conn, role, self.oid, &self.name).await
    }

    /// The same of restoring rows.
    ///
    /// # Errors
    /// As [`UndoTarget::check_may_undo`].
    pub async fn check_may_restore(&self, conn: &mut PgConnection, role: &str) -> Result<(), TargetError> {
        rights::RESTORE.check(conn, role, self.oid, &self.name).await
    }

    /// The same of putting rows back that an import deleted.
    ///
    /// # Errors
    /// As [`UndoTarget::check_may_undo`].
    pub async fn check_may_return(&self, conn: &mut PgConnection, role: &str) -> Result<(), TargetError> {
        rights::RETURN.check(conn, role, self.oid, &self.name).await
    }

    /// The same of deleting rows, of a role that submitted an import which does.
    ///
    /// # Errors
    /// As [`UndoTarget::check_may_undo`].
    pub async fn check_may_remove(&self, conn: &mut PgConnection, role: &str) -> Result<(), TargetError> {
        rights::REMOVE.check(conn, role, self.oid, &self.name).await
    }

    /// The table, and all partitioned tables and partitions that it may share rows with.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn family(&self, conn: &mut PgConnection) -> Result<Vec<Oid>, TargetError> {
        catalog::family(conn, self.oid).await
    }

    /// The column by which an import finds rows that were edited since, if it has one and the table still does.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn find_import_column<'s>(
        &self,
        conn: &mut PgConnection,
        identity: &'s IdentitySpec,
    ) -> Result<Option<&'s str>, TargetError> {
        match identity.import_column() {
            Some(column) if catalog::has_bigint(conn, self.oid, column).await? => Ok(Some(column)),
            _ => Ok(None),
        }
    }

    /// Whether the name that was found is still this table's, now that the caller's transaction has written to it and nobody can rename
    /// it any more.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn is_named_so_still(&self, conn: &mut PgConnection) -> Result<bool, TargetError> {
        Ok(catalog::resolve_exact(conn, &self.name).await? == Some(self.oid))
    }
}

/// A table that holds rows that were put into the target: the target itself, or a partition of it, if it still is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub oid: Oid,
    /// Schema-qualified, quoted where SQL needs it.
    pub name: String,
    /// The file that holds it.
    pub filenode: Oid,
    /// Whether it is the target, or a partition of it, now.
    pub belongs: bool,
    /// Whether its rows may be deleted, and restored if need be, under its own name, as they would be under the target's.
    pub stands_alone: bool,
}

impl UndoTarget {
    /// Those of some tables that are there still. Rows of them are deleted, and some changed where it `restores`.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn leaves(
        &self,
        conn: &mut PgConnection,
        oids: &[Oid],
        restores: bool,
    ) -> Result<Vec<Leaf>, TargetError> {
        catalog::leaves(conn, self.oid, oids, restores).await
    }
}

/// Checks that deleting rows of the table `name` changes rows of no other by a foreign key `ON DELETE CASCADE`, `SET NULL` or
/// `SET DEFAULT`, unless that is `allowed`.
///
/// # Errors
/// [`TargetError::Cascades`], naming them; [`TargetError::Catalog`].
pub async fn check_cascades(conn: &mut PgConnection, name: &str, oid: Oid, allowed: bool) -> Result<(), TargetError> {
    let cascades = catalog::cascades(conn, oid).await?;
    if allowed || cascades.is_empty() {
        return Ok(());
    }
    let references: Vec<String> = cascades
        .iter()
        .map(|(constraint, table)| format!("{table} ({constraint})"))
        .collect();
    Err(TargetError::Cascades {
        table: name.to_owned(),
        references: references.join(", "),
    })
}
