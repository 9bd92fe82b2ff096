//! The key by which an import finds rows that are there already, and the columns that it may update.

use model::{AttributeSpec, ConflictSpec, Limit};
use sqlx::PgConnection;

use crate::{Target, TargetError, UndoTarget, catalog, find_alike, quote_identifier, rights};

/// What shall become of a record whose key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConflictChoice {
    /// It is rejected.
    #[default]
    Error,
    Ignore,
    Update,
}

/// What is asked for of [`ConflictSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConflictRequest {
    pub choice: ConflictChoice,
    /// The columns of the key, in place of the primary key's.
    pub key: Option<Vec<String>>,
    /// The columns to update, in place of all that are filled.
    pub columns: Option<Vec<String>>,
    /// Rows whose key no record has are deleted, unless they are more.
    pub max_deletes: Option<Limit>,
}

/// A column of a key, or one that is updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictColumn {
    pub name: String,
    pub attribute: AttributeSpec,
    /// Its type as SQL names it, with its length or precision; of a domain, the type below it.
    pub sql_type: String,
    /// The same without a length, of types that are cut to it when they are cast.
    pub uncut_type: String,
    pub is_domain: bool,
    /// The collation by which its values are compared, if they have one.
    pub collation: Option<String>,
    /// The function that writes its values.
    pub output: String,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    pub column: ConflictColumn,
    /// The operator by which the key's index finds it, as `OPERATOR(schema.=)`.
    pub equals: String,
    pub nullable: bool,
}

/// The columns by which rows that are there already are found, and those that are updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub key: Vec<KeyColumn>,
    /// None where rows are left as they are.
    pub columns: Vec<ConflictColumn>,
    /// Whether rows are deleted whose key no record has, so that those are to be remembered which one has.
    pub removes_missing: bool,
}

/// Why rows that are there already cannot be found or updated.
#[derive(Debug, thiserror::Error)]
pub enum ConflictError {
    #[error("{table} has no primary key: name the columns of a unique one with --conflict-columns")]
    NoPrimaryKey { table: String },
    #[error(
        "{table} has no unique index on ({columns}) by which rows could be found: CREATE UNIQUE INDEX ON {table} ({columns}); one with a condition, an expression, another order of comparison, or that is deferrable, does not do"
    )]
    NoIndex { table: String, columns: String },
    #[error(
        "the unique index on ({columns}) of {table} takes NULLs for equal: make its columns NOT NULL, or the index NULLS DISTINCT"
    )]
    NullsNotDistinct { table: String, columns: String },
    #[error("{table} has no column {column} that could be given a value; there are: {known}")]
    Unknown {
        table: String,
        column: String,
        known: String,
    },
    #[error(
        "the column {column} of the key is not in the source: fill it, or name the columns of another unique key with --conflict-columns"
    )]
    NotFilled { column: String },
    #[error("the column {column} cannot be updated: {why}")]
    NotUpdated { column: String, why: &'static str },
    #[error(
        "the foreign key {constraint} of {references} refers to a column that would be updated, and changes rows there: leave it out with --update-columns"
    )]
    Referenced { constraint: String, references: String },
    #[error(
        "the column {column} of {table} is not what it was when the import was submitted: it has another type, or was made anew under the name"
    )]
    Altered { table: String, column: String },
    #[error(
        "the trigger {trigger} of {table} could give restored rows other values than they had: ALTER TABLE {table} DISABLE TRIGGER {trigger}, and cancel again"
    )]
    Changed { table: String, trigger: String },
    #[error(
        "the column {column} of the key may be NULL, so that nobody can say which rows the source has: ALTER TABLE … ALTER COLUMN {column} SET NOT NULL, or leave out --delete-missing"
    )]
    NullableKey { column: String },
    #[error(
        "rows of {table} that the source does not have cannot be deleted: that would change rows of {references}, which would not come back"
    )]
    MissingCascades { table: String, references: String },
    #[error(
        "rows of {table} that the source does not have cannot be deleted: {what} does something of its own then, which would not be taken back"
    )]
    WatchesDeletions { table: String, what: String },
    #[error(
        "{table} has a column {column} that it did not have when the import was submitted, so that rows could not come back with it: cancel the import and submit again"
    )]
    Added { table: String, column: String },
    #[error("no column is left to update beside those of the key{}", if *.removes { "" } else { ": --on-conflict ignore does the same" })]
    NothingToUpdate { removes: bool },
    #[error("rows of {table} cannot be told from those that are there: {obstacle}")]
    Obstacle { table: String, obstacle: &'static str },
}

impl Target {
    /// Settles what is done with rows that are there already, where columns of these names are filled.
    ///
    /// # Errors
    /// [`ConflictError`], saying what to do about it; [`TargetError::Catalog`].
    pub async fn resolve_conflict(
        &self,
        conn: &mut PgConnection,
        request: &ConflictRequest,
        filled: &[String],
    ) -> Result<ConflictSpec, TargetError> {
        if request.choice == ConflictChoice::Error {
            return Ok(ConflictSpec::Fail);
        }
        let key =
            match &request.key {
                Some(named) => self.find_columns(named)?,
                None => catalog::conflict::primary_key(conn, self.oid).await?.ok_or_else(|| {
                    ConflictError::NoPrimaryKey {
                        table: self.name.clone(),
                    }
                })?,
            };
        if let Some(column) = key.iter().find(|column| !filled.contains(column)) {
            let column = column.clone();
            return Err(ConflictError::NotFilled { column }.into());
        }
        let spec = if request.choice == ConflictChoice::Ignore {
            ConflictSpec::Ignore { key }
        } else {
            let columns = self.updated_columns(conn, request, filled, &key).await?;
            let all: Vec<String> = key.iter().chain(&columns).cloned().collect();
            let described = catalog::conflict::columns(conn, self.oid, &self.name, &all, &[]).await?;
            let missing = match request.max_deletes {
                Some(max) => Some(self.resolve_missing(conn, &key, max).await?),
                None => None,
            };
            ConflictSpec::Update {
                key,
                columns,
                attributes: described.iter().map(|column| column.attribute).collect(),
                missing,
            }
        };
        self.describe_conflict(conn, &spec).await?;
        Ok(spec)
    }

    async fn updated_columns(
        &self,
        conn: &mut PgConnection,
        request: &ConflictRequest,
        filled: &[String],
        key: &[String],
    ) -> Result<Vec<String>, TargetError> {
        let fixed = catalog::conflict::always_generated(conn, self.oid).await?;
        let why_not = |column: &String| {
            if key.contains(column) {
                Some("it is part of the key")
            } else if fixed.contains(column) {
                Some("it is GENERATED ALWAYS")
            } else if !filled.contains(column) {
                Some("the source has no value for it")
            } else {
                None
            }
        };
        let columns = match &request.columns {
            Some(named) => self.find_columns(named)?,
            None => filled
                .iter()
                .filter(|column| why_not(column).is_none())
                .cloned()
                .collect(),
        };
        for column in &columns {
            if let Some(why) = why_not(column) {
                let column = column.clone();
                return Err(ConflictError::NotUpdated { column, why }.into());
            }
        }
        if columns.is_empty() {
            let removes = request.max_deletes.is_some();
            return Err(ConflictError::NothingToUpdate { removes }.into());
        }
        Ok(columns)
    }

    /// The columns that somebody named, as columns are called.
    fn find_columns(&self, named: &[String]) -> Result<Vec<String>, ConflictError> {
        let mut found: Vec<String> = Vec::new();
        for name in named {
            let known = self.columns.iter().map(|column| column.name.as_str());
            match find_alike(known, name.trim()).as_slice() {
                [column] if !found.iter().any(|before| before == column) => found.push((*column).to_owned()),
                [column] => {
                    return Err(ConflictError::NotUpdated {
                        column: (*column).to_owned(),
                        why: "it is named twice",
                    });
                }
                _ => {
                    let known: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
                    return Err(ConflictError::Unknown {
                        table: self.name.clone(),
                        column: name.clone(),
                        known: known.join(", "),
                    });
                }
            }
        }
        Ok(found)
    }

    /// Describes what an import needs to find rows that are there already; `None` where it does not look for them.
    ///
    /// # Errors
    /// [`ConflictError`], where there is no index that does it or a column is gone; [`TargetError::Catalog`].
    pub async fn describe_conflict(
        &self,
        conn: &mut PgConnection,
        spec: &ConflictSpec,
    ) -> Result<Option<Conflict>, TargetError> {
        let (key, updated, attributes): (&[String], &[String], &[AttributeSpec]) = match spec {
            ConflictSpec::Fail => return Ok(None),
            ConflictSpec::Ignore { key } => (key, &[], &[]),
            ConflictSpec::Update {
                key,
                columns,
                attributes,
                missing: _,
            } => (key, columns, attributes),
        };
        let columns: Vec<String> = key.iter().chain(updated).cloned().collect();
        let mut columns = catalog::conflict::columns(conn, self.oid, &self.name, &columns, &[]).await?;
        check_attributes(&self.name, &columns, attributes, key.len())?;
        let updated = columns.split_off(key.len());
        let Some(index) = catalog::conflict::unique_index(conn, self.oid, key).await? else {
            return Err(ConflictError::NoIndex {
                table: self.name.clone(),
                columns: listed(key),
            }
            .into());
        };
        let is_nullable = |name: &str| self.columns.iter().any(|column| column.name == name && column.nullable);
        if index.nulls_not_distinct && key.iter().any(|name| is_nullable(name)) {
            return Err(ConflictError::NullsNotDistinct {
                table: self.name.clone(),
                columns: listed(key),
            }
            .into());
        }
        if let Some(obstacle) = catalog::conflict::obstacle(conn, self.oid).await? {
            let table = self.name.clone();
            return Err(ConflictError::Obstacle { table, obstacle }.into());
        }
        if let (false, Some(trigger)) = (updated.is_empty(), catalog::find_trigger(conn, self.oid, true).await?) {
            let name = self.name.clone();
            return Err(TargetError::Triggers { name, trigger });
        }
        let names: Vec<String> = updated.iter().map(|column| column.name.clone()).collect();
        if let Some((constraint, references)) = catalog::conflict::referencing(conn, self.oid, &names).await? {
            return Err(ConflictError::Referenced { constraint, references }.into());
        }
        if !updated.is_empty() {
            rights::check_own(conn, self.oid, &self.name, ("UPDATE", "update")).await?;
        }
        let key = std::iter::zip(columns, index.operators).map(|(column, equals)| KeyColumn {
            nullable: is_nullable(&column.name),
            column,
            equals,
        });
        Ok(Some(Conflict {
            key: key.collect(),
            columns: updated,
            removes_missing: spec.missing().is_some(),
        }))
    }
}

/// The columns by which rows are found that an import updated, and those that it gives back what they had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub key: Vec<ConflictColumn>,
    pub columns: Vec<ConflictColumn>,
}

impl UndoTarget {
    /// Describes what an undo needs to restore rows; `None` where the import did not update any.
    ///
    /// # Errors
    /// [`TargetError::ColumnGone`]; [`TargetError::Cascades`], unless that is `allowed`, and [`ConflictError::Changed`], where more would come of it;
    /// [`TargetError::Catalog`].
    pub async fn describe_restored(
        &self,
        conn: &mut PgConnection,
        spec: &ConflictSpec,
        allowed: bool,
    ) -> Result<Option<Restored>, TargetError> {
        let ConflictSpec::Update {
            key,
            columns,
            attributes,
            missing: _,
        } = spec
        else {
            return Ok(None);
        };
        let names: Vec<String> = key.iter().chain(columns).cloned().collect();
        let mut described = catalog::conflict::columns(conn, self.oid, &self.name, &names, attributes).await?;
        check_attributes(&self.name, &described, attributes, key.len())?;
        let columns = described.split_off(key.len());
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if let (false, Some((constraint, table))) =
            (allowed, catalog::conflict::referencing(conn, self.oid, &names).await?)
        {
            return Err(TargetError::Cascades {
                table: self.name.clone(),
                references: format!("{table} ({constraint})"),
            });
        }
        if let Some(trigger) = catalog::conflict::trigger_before_update(conn, self.oid).await? {
            let table = self.name.clone();
            return Err(ConflictError::Changed { table, trigger }.into());
        }
        Ok(Some(Restored {
            key: described,
            columns,
        }))
    }
}

/// That a row `t` has the key of which `value` gives the columns, by their numbers from 1: in SQL, as the key's index compares them.
#[must_use]
pub fn is_of_key(key: &[KeyColumn], value: impl Fn(usize, &KeyColumn) -> String) -> String {
    let equal = (1..).zip(key).map(|(number, key)| {
        let KeyColumn { column, equals, .. } = key;
        format!("{} {equals} {}", column.of_row(), column.as_key(&value(number, key)))
    });
    equal.collect::<Vec<_>>().join(" AND ")
}

/// Names of columns, for people and for SQL.
pub(crate) fn listed(names: &[String]) -> String {
    names
        .iter()
        .map(|name| quote_identifier(name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Refuses columns that are others than they were, and those of the key where they have another type: what is kept of rows is found by its text.
pub(crate) fn check_attributes(
    table: &str,
    columns: &[ConflictColumn],
    known: &[AttributeSpec],
    keys: usize,
) -> Result<(), ConflictError> {
    for (index, (column, known)) in std::iter::zip(columns, known).enumerate() {
        let same_type = column.attribute.type_oid == known.type_oid || index >= keys;
        if column.attribute.number != known.number || !same_type {
            return Err(ConflictError::Altered {
                table: table.to_owned(),
                column: column.name.clone(),
            });
        }
    }
    Ok(())
}

impl ConflictColumn {
    /// What a row `t` has in it, in the type that it is compared and written in.
    #[must_use]
    pub fn of_row(&self) -> String {
        let name = quote_identifier(&self.name);
        if self.is_domain {
            format!("t.{name}::{}", self.sql_type)
        } else {
            format!("t.{name}")
        }
    }

    /// A value as it is compared with others of the column, whatever its length.
    #[must_use]
    pub fn as_key(&self, value: &str) -> String {
        match &self.collation {
            Some(collation) => format!("({value}::{} COLLATE {collation})", self.uncut_type),
            None => format!("{value}::{}", self.uncut_type),
        }
    }
}

/// Rows' values as the server writes them, as an array of text: in SQL, of a row `t`.
#[must_use]
pub fn text_array<'c>(columns: impl IntoIterator<Item = &'c ConflictColumn>) -> String {
    let each: Vec<String> = columns
        .into_iter()
        .map(|column| format!("pg_catalog.textin({}({}))", column.output, column.of_row()))
        .collect();
    format!("ARRAY[{}]::pg_catalog.text[]", each.join(", "))
}

/// A unique index, and by which operators it finds the columns of a key.
pub(crate) struct UniqueIndex {
    pub operators: Vec<String>,
    pub nulls_not_distinct: bool,
}
