//! Rows of a table that a source does not have: what may be deleted of them, and what of a row has to be kept so that it can come back.

use model::{ConflictSpec, Limit, MissingSpec};
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    ConflictColumn, ConflictError, Target, TargetError, UndoTarget, catalog, check_cascades,
    conflict::check_attributes, quote_identifier,
};

/// The columns of rows that are deleted, and may come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeRows {
    pub key: Vec<ConflictColumn>,
    /// All that the server does not generate; those of the key are among them.
    pub columns: Vec<ConflictColumn>,
}

impl Target {
    /// Settles that rows are deleted whose `key` no record has.
    ///
    /// # Errors
    /// [`ConflictError`], where they could not come back or more would come of it; [`TargetError::Privilege`]; [`TargetError::Catalog`].
    pub(crate) async fn resolve_missing(
        &self,
        conn: &mut PgConnection,
        key: &[String],
        max: Limit,
    ) -> Result<MissingSpec, TargetError> {
        let nullable = |name: &&String| {
            let mut columns = self.columns.iter();
            columns.any(|column| column.name == **name && column.nullable)
        };
        if let Some(column) = key.iter().find(nullable) {
            return Err(ConflictError::NullableKey { column: column.clone() }.into());
        }
        check_deletions(conn, self.oid, &self.name).await?;
        if let Some(role) = catalog::conflict::who_may_not(conn, self.oid, "DELETE").await? {
            return Err(TargetError::Privilege {
                what: format!("delete from {}", self.name),
                remedy: format!("GRANT DELETE ON {} TO {}", self.name, quote_identifier(&role)),
                role,
            });
        }
        let columns = catalog::conflict::whole_row(conn, self.oid).await?;
        let described = catalog::conflict::columns(conn, self.oid, &self.name, &columns, &[]).await?;
        Ok(MissingSpec {
            max,
            columns,
            attributes: described.iter().map(|column| column.attribute).collect(),
        })
    }
}

impl UndoTarget {
    /// Describes rows that are deleted for a source does not have them.
    ///
    /// # Errors
    /// [`ConflictError`], where they could not come back as they were, or more would come of it; [`TargetError::RowSecurity`];
    /// [`TargetError::Catalog`].
    pub async fn describe_removed(
        &self,
        conn: &mut PgConnection,
        spec: &ConflictSpec,
    ) -> Result<Option<WholeRows>, TargetError> {
        let Some(rows) = self.describe_whole(conn, spec).await? else {
            return Ok(None);
        };
        if self.row_security {
            return Err(TargetError::RowSecurity {
                name: self.name.clone(),
            });
        }
        check_deletions(conn, self.oid, &self.name).await?;
        let now = catalog::conflict::whole_row(conn, self.oid).await?;
        let is_known = |name: &String| rows.columns.iter().any(|column| column.name == *name);
        if let Some(column) = now.into_iter().find(|name| !is_known(name)) {
            let table = self.name.clone();
            return Err(ConflictError::Added { table, column }.into());
        }
        Ok(Some(rows))
    }

    /// Describes rows that were deleted for the source did not have them, and come back.
    ///
    /// # Errors
    /// [`TargetError::ColumnGone`]; [`ConflictError::Altered`], and [`ConflictError::Changed`], where they would not come back as they were;
    /// [`TargetError::Catalog`].
    pub async fn describe_returned(
        &self,
        conn: &mut PgConnection,
        spec: &ConflictSpec,
    ) -> Result<Option<WholeRows>, TargetError> {
        let Some(rows) = self.describe_whole(conn, spec).await? else {
            return Ok(None);
        };
        if let Some(trigger) = catalog::conflict::trigger_before_insert(conn, self.oid).await? {
            let table = self.name.clone();
            return Err(ConflictError::Changed { table, trigger }.into());
        }
        Ok(Some(rows))
    }

    async fn describe_whole(
        &self,
        conn: &mut PgConnection,
        spec: &ConflictSpec,
    ) -> Result<Option<WholeRows>, TargetError> {
        let ConflictSpec::Update {
            key,
            attributes,
            missing: Some(missing),
            ..
        } = spec
        else {
            return Ok(None);
        };
        let of_key = attributes.get(..key.len()).unwrap_or_default();
        let described = catalog::conflict::columns(conn, self.oid, &self.name, key, of_key).await?;
        check_attributes(&self.name, &described, of_key, key.len())?;
        let columns =
            catalog::conflict::columns(conn, self.oid, &self.name, &missing.columns, &missing.attributes).await?;
        check_attributes(&self.name, &columns, &missing.attributes, 0)?;
        Ok(Some(WholeRows {
            key: described,
            columns,
        }))
    }
}

/// Refuses a table where deleting a row does more than that, or less.
async fn check_deletions(conn: &mut PgConnection, oid: Oid, name: &str) -> Result<(), TargetError> {
    check_cascades(conn, name, oid, false)
        .await
        .map_err(|error| match error {
            TargetError::Cascades { table, references } => ConflictError::MissingCascades { table, references }.into(),
            error => error,
        })?;
    if let Some(what) = catalog::conflict::watches_deletions(conn, oid).await? {
        let table = name.to_owned();
        return Err(ConflictError::WatchesDeletions { table, what }.into());
    }
    Ok(())
}
