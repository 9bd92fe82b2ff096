//! The table being loaded, described by what the catalog says of it.
//!
//! Owns every question about a target's shape: its columns and types, how an import can find its rows again, and what keeps it from being
//! loaded. Reads the catalog only; rows are the worker's.

#![warn(clippy::unwrap_used)]

use std::{collections::HashSet, fmt, sync::Arc};

use sqlx::{PgConnection, postgres::types::Oid};

mod catalog;
mod characters;
mod conflict;
mod create;
pub mod forms;
pub mod guess;
mod identity;
mod mapping;
mod rights;
mod sweep;
mod undo;
pub mod values;

pub use characters::Characters;
pub use conflict::{
    Conflict, ConflictChoice, ConflictColumn, ConflictError, ConflictRequest, KeyColumn, Restored, is_of_key,
    text_array,
};
pub use create::{NewColumn, NewTable, NewTableError, Place, name_columns};
pub use identity::{Identity, SequenceIdentity};
pub use mapping::{FieldNames, MappingError, MappingRequest, NO_COLUMN, find_alike, map_fields};
pub use session::quote_identifier;
pub use sweep::{KeptColumn, WholeRows};
pub use undo::{Leaf, UndoTarget, check_cascades};

use model::{IdentityChoice, IdentitySpec, LoadMethod};

/// How a column's values are checked and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `text`, or `varchar` with its limit in characters.
    Text {
        max_chars: Option<u32>,
    },
    Int2,
    Int4,
    Int8,
    Bool,
    Float4,
    Float8,
    /// `numeric`, with its precision and scale in decimal digits if they are declared.
    Numeric {
        precision_scale: Option<(u16, i16)>,
    },
    Date,
    /// `timestamp`, with its digits of a second if they are declared.
    Timestamp {
        precision: Option<u8>,
    },
    /// `timestamptz`, with its digits of a second if they are declared.
    Timestamptz {
        precision: Option<u8>,
    },
    Uuid,
    /// Any other type: sent as text and cast by the server.
    Other {
        /// For people.
        type_name: String,
        /// With its schema, quoted where SQL needs it. Of a domain, the type below it: a cast to a domain with a length cuts values to it, and an
        /// assignment does not.
        sql_name: String,
        nature: Nature,
    },
}

/// What is known of a type whose values the server casts: of a domain, that of the type below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Strings of all kinds.
    Text,
    /// `bytea`.
    Bytes,
    Json,
    Jsonb,
    /// Arrays of any type but the next.
    Array,
    /// Arrays of `json` or `jsonb`.
    JsonArray,
    /// Others of which the empty string is a value.
    MayBeEmpty,
    Other,
}

/// For people, without a length or a precision.
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text { max_chars: None } => "text",
            Self::Text { .. } => "varchar",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Bool => "boolean",
            Self::Float4 => "real",
            Self::Float8 => "double precision",
            Self::Numeric { .. } => "numeric",
            Self::Date => "date",
            Self::Timestamp { .. } => "timestamp",
            Self::Timestamptz { .. } => "timestamptz",
            Self::Uuid => "uuid",
            Self::Other { type_name, .. } => type_name,
        })
    }
}

impl ColumnType {
    /// Whether the empty string is one of its values.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(
            self,
            Self::Text { .. }
                | Self::Other {
                    nature: Nature::Text | Nature::Bytes | Nature::MayBeEmpty,
                    ..
                }
        )
    }
}

/// One column of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Whether it may be left out: it has a default, or takes NULL.
    pub optional: bool,
    /// The type in which its values are sent, and the array of it.
    pub element_oid: Oid,
    pub array_oid: Oid,
    /// What its text may consist of, where the database's encoding cannot hold all of UTF-8.
    pub characters: Option<Arc<Characters>>,
}

/// A table that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub oid: Oid,
    /// Schema-qualified, quoted where SQL needs it.
    pub name: String,
    /// What statements name in FROM: the table alone, without those that inherit from it.
    pub from: String,
    pub identity: Identity,
    /// The columns that a file can fill, in the table's order: neither those of its identity nor generated ones.
    pub columns: Vec<Column>,
    /// Whether rows may be written by other transaction ids than the loading one: a trigger can open a subtransaction.
    pub has_triggers: bool,
    /// Why binary COPY cannot be used, if it cannot.
    pub copy_obstacle: Option<String>,
}

/// Why a table cannot be loaded, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("there is no table {name} in this database")]
    Missing { name: String },
    #[error("there is no schema {schema} in this database: CREATE SCHEMA {schema}")]
    NoSchema { schema: String },
    #[error("the role's search path leads to no schema in which {name} could be made: name one, as in schema.table")]
    NoPlace { name: String },
    #[error(transparent)]
    New(#[from] NewTableError),
    #[error("'{name}' is not a table's name: write schema.table, with double quotes round a part that needs them")]
    Name { name: String },
    #[error("{name} is {kind}: only ordinary and partitioned tables can be loaded")]
    Kind { name: String, kind: &'static str },
    #[error(
        "{name} has no integer column filled by a sequence (GENERATED ALWAYS AS IDENTITY, or serial): add one, so that imported rows can be told and undone"
    )]
    NoId { name: String },
    #[error("{name} has several columns filled by a sequence ({columns}): pg_import cannot tell which one is the id")]
    SeveralIds { name: String, columns: String },
    #[error(
        "the id column {column} of {name} leads no valid index, so that an import's rows could not be found again: CREATE INDEX ON {name} ({column})"
    )]
    NoIndex { name: String, column: String },
    #[error(
        "{name} cannot be loaded by transaction: its trigger {trigger} may write to other rows of it, which would look like the import's; give it an integer column filled by a sequence"
    )]
    Triggers { name: String, trigger: String },
    #[error("the role '{role}' may not {what}: {remedy}")]
    Privilege { role: String, what: String, remedy: String },
    #[error(
        "{name} is UNLOGGED: a crash of the server empties it, so that nothing could be promised of its rows; ALTER TABLE {name} SET LOGGED"
    )]
    Unlogged { name: String },
    #[error(
        "{name} has row-level security for this role, which may hide rows from the deletion: cancel as the table's owner, or as a role with BYPASSRLS"
    )]
    RowSecurity { name: String },
    #[error(
        "{name} has row-level security for the role '{role}', which {did}, and none for the worker's: its policies would not be asked"
    )]
    HeldBack {
        name: String,
        role: String,
        did: &'static str,
    },
    #[error(
        "{name} has a rule on INSERT: rows may end elsewhere, so that neither their number nor their ids can be checked"
    )]
    Rules { name: String },
    #[error("binary COPY cannot load {name}: {obstacle}")]
    Copy { name: String, obstacle: String },
    #[error(
        "the table {name} was dropped, or dropped and made again since the import was submitted: this import cannot go on, nor be undone"
    )]
    Gone { name: String },
    #[error("{name} belongs to pg_import itself")]
    Own { name: String },
    #[error("the table {name} no longer has the column {column}, which this import fills")]
    ColumnGone { name: String, column: String },
    #[error("rows of {references} would be deleted or changed with those of {table} by a foreign key")]
    Cascades { table: String, references: String },
    #[error(transparent)]
    Conflict(#[from] ConflictError),
    #[error("cannot read the catalog")]
    Catalog(#[source] sqlx::Error),
}

impl Target {
    /// Whether the table's name still means this table.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn is_named_so_still(&self, conn: &mut PgConnection) -> Result<bool, TargetError> {
        Ok(catalog::resolve_exact(conn, &self.name).await? == Some(self.oid))
    }

    /// Whether the id column is part of the key of an index of this table, or of one of its partitions. `schema` and `table` are where the
    /// index is.
    ///
    /// # Errors
    /// From the catalog.
    pub async fn has_id_in_key(
        &self,
        conn: &mut PgConnection,
        schema: &str,
        table: &str,
        index: &str,
    ) -> Result<bool, sqlx::Error> {
        catalog::is_in_key(conn, self, (schema, table, index)).await
    }

    /// Whether a trigger fires where rows are inserted, or updated if they are, but for the server's own.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn has_trigger(&self, conn: &mut PgConnection, updates: bool) -> Result<bool, TargetError> {
        Ok(catalog::find_trigger(conn, self.oid, updates).await?.is_some())
    }

    /// Finds a table by its name as SQL would read it in this session.
    ///
    /// # Errors
    /// [`TargetError`], saying what to do about it.
    pub async fn find(conn: &mut PgConnection, name: &str) -> Result<Oid, TargetError> {
        catalog::resolve(conn, name).await
    }

    /// Describes a table, and checks that it can be loaded. In the description every name has its schema, whose session's search path
    /// should be the server's alone for that.
    ///
    /// # Errors
    /// [`TargetError`], saying what to do about it.
    pub async fn describe(conn: &mut PgConnection, oid: Oid, identity: IdentityChoice) -> Result<Self, TargetError> {
        catalog::describe(conn, oid, identity).await
    }

    /// Describes the table of an import that was submitted earlier, whatever it is called now. `name` is what it was called then, and
    /// `identity` how the import finds its rows.
    ///
    /// # Errors
    /// [`TargetError::Gone`] when it was dropped, and every error of [`Target::describe`].
    pub async fn describe_again(
        conn: &mut PgConnection,
        name: &str,
        oid: Oid,
        identity: &IdentitySpec,
    ) -> Result<Self, TargetError> {
        match catalog::describe(conn, oid, identity.into()).await {
            Err(TargetError::Missing { .. }) => Err(TargetError::Gone { name: name.to_owned() }),
            outcome => outcome,
        }
    }

    /// Checks that the role that submitted an import may itself put rows into the table, and change some if need be, whatever
    /// this session's may.
    ///
    /// # Errors
    /// [`TargetError::Privilege`], naming the GRANT; [`TargetError::HeldBack`]; [`TargetError::Catalog`].
    pub async fn check_may_load(&self, conn: &mut PgConnection, role: &str, updates: bool) -> Result<(), TargetError> {
        rights::LOAD.check(conn, role, self.oid, &self.name).await?;
        if updates {
            rights::UPDATE.check(conn, role, self.oid, &self.name).await?;
        }
        Ok(())
    }

    /// Checks that the chosen method can load the table.
    ///
    /// # Errors
    /// [`TargetError::Copy`].
    pub fn check_method(&self, method: LoadMethod, columns: &[String]) -> Result<(), TargetError> {
        if method == LoadMethod::Insert {
            return Ok(());
        }
        let chosen: HashSet<&str> = columns.iter().map(String::as_str).collect();
        let as_text = self.columns.iter().find_map(|column| match &column.kind {
            ColumnType::Other { type_name, .. } if chosen.contains(column.name.as_str()) => Some(format!(
                "its column {} has the type {type_name}, which is sent as text and cast by the server",
                column.name
            )),
            _ => None,
        });
        match self.copy_obstacle.clone().or(as_text) {
            Some(obstacle) => Err(TargetError::Copy {
                name: self.name.clone(),
                obstacle,
            }),
            None => Ok(()),
        }
    }

    /// The columns with the given names, in their order.
    ///
    /// # Errors
    /// [`TargetError::ColumnGone`].
    pub fn select(&self, names: &[String]) -> Result<Vec<&Column>, TargetError> {
        names
            .iter()
            .map(|name| {
                self.columns
                    .iter()
                    .find(|column| &column.name == name)
                    .ok_or_else(|| TargetError::ColumnGone {
                        name: self.name.clone(),
                        column: name.clone(),
                    })
            })
            .collect()
    }
}
