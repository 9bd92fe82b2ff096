//! Rows of a table that a source does not have: what may be deleted of them, and what of a row has to be kept so that it can come back.

use model::{ConflictSpec, Limit, MissingSpec};
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    ConflictColumn, ConflictError, KeyColumn, Target, TargetError, UndoTarget, catalog, check_cascades,
    conflict::{check_attributes, listed},
    rights,
};

/// The columns of rows that are deleted, and may come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeRows {
    pub key: Vec<KeyColumn>,
    /// All that the server does not generate; those of the key are among them.
    pub columns: Vec<KeptColumn>,
}

/// A column that rows are kept with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptColumn {
    /// Which of those that they were kept with, from 1: one that is gone since is left out.
    pub number: usize,
    pub column: ConflictColumn,
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
        rights::check_own(conn, self.oid, &self.name, ("DELETE", "delete from")).await?;
        let columns = catalog::conflict::whole_row(conn, self.oid).await?;
        let columns: Vec<String> = columns.into_iter().map(|(_, name)| name).collect();
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
        rights::check_own(conn, self.oid, &self.name, ("DELETE", "delete from")).await?;
        let table = self.name.clone();
        let now = catalog::conflict::whole_row(conn, self.oid).await?;
        let is_known = |name: &String| rows.columns.iter().any(|kept| kept.column.name == *name);
        if let Some((_, column)) = now.into_iter().find(|(_, name)| !is_known(name)) {
            return Err(ConflictError::Added { table, column }.into());
        }
        let known = spec
            .missing()
            .map(|missing| missing.columns.as_slice())
            .unwrap_or_default();
        let gone = (1..)
            .zip(known)
            .find(|(number, _)| rows.columns.iter().all(|kept| kept.number != *number));
        if let Some((_, column)) = gone {
            let column = column.clone();
            return Err(ConflictError::Altered { table, column }.into());
        }
        Ok(Some(rows))
    }

    /// Describes rows that were deleted for the source did not have them, and come back.
    ///
    /// # Errors
    /// [`ConflictError`], where they cannot be told from those that are there, or would not come back as they were; [`TargetError::Privilege`];
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
        rights::check_own(conn, self.oid, &self.name, ("INSERT", "insert into")).await?;
        Ok(Some(rows))
    }

    /// What `ON CONFLICT` names to leave out rows of which a key is taken: nothing, for all keys, or else the columns of this one. `family` is
    /// [`UndoTarget::family`].
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn find_arbiter(
        &self,
        conn: &mut PgConnection,
        family: &[Oid],
        key: &[KeyColumn],
    ) -> Result<String, TargetError> {
        if !catalog::conflict::has_deferrable(conn, family).await? {
            return Ok(String::new());
        }
        let names: Vec<String> = key.iter().map(|key| key.column.name.clone()).collect();
        Ok(format!("({})", listed(&names)))
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
        let names: Vec<String> = described.iter().map(|column| column.name.clone()).collect();
        let Some(index) = catalog::conflict::unique_index(conn, self.oid, &names).await? else {
            let (table, columns) = (self.name.clone(), listed(&names));
            return Err(ConflictError::NoIndex { table, columns }.into());
        };
        let key = std::iter::zip(described, index.operators).map(|(column, equals)| KeyColumn {
            column,
            equals,
            nullable: false,
        });
        let there = catalog::conflict::whole_row(conn, self.oid).await?;
        let (mut numbers, mut names, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        for (number, attribute) in (1..).zip(&missing.attributes) {
            if let Some((_, name)) = there.iter().find(|(known, _)| *known == attribute.number) {
                numbers.push(number);
                names.push(name.clone());
                attributes.push(*attribute);
            }
        }
        let columns = catalog::conflict::columns(conn, self.oid, &self.name, &names, &attributes).await?;
        Ok(Some(WholeRows {
            key: key.collect(),
            columns: std::iter::zip(numbers, columns)
                .map(|(number, column)| KeptColumn { number, column })
                .collect(),
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
