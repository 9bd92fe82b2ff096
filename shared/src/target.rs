//! The table being loaded, described by what the catalog says of it.
//!
//! Owns every question about a target's shape: its columns and types, which column holds the ids, the sequence behind it, and what keeps
//! it from being loaded. Reads the catalog only; rows are the loader's and the eraser's.

use std::{collections::HashSet, sync::Arc};

use sqlx::{PgConnection, postgres::types::Oid};

mod catalog;
mod characters;
mod mapping;

pub use characters::Characters;
pub use mapping::{MappingError, map_fields};

use crate::model::LoadMethod;

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
        /// With its schema, quoted where SQL needs it.
        sql_name: String,
    },
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

/// The column that is filled from the target's own sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdColumn {
    pub name: String,
    /// **Bytes** of its integer type: 2, 4 or 8.
    pub width: i16,
    pub sequence_oid: Oid,
    /// The sequence's name, quoted where SQL needs it.
    pub sequence: String,
    /// How many values `nextval` sets aside for a session at once: the sequence's `CACHE`, 1 where nobody set it.
    pub sequence_cache: u64,
}

/// A table that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub oid: Oid,
    /// Schema-qualified, quoted where SQL needs it.
    pub name: String,
    /// What statements name in FROM: the table alone, without those that inherit from it.
    pub from: String,
    pub id: IdColumn,
    /// The columns that a file can fill, in the table's order: neither the id nor generated ones.
    pub columns: Vec<Column>,
    /// Whether rows may be written by other transaction ids than the loading one: a trigger can open a subtransaction.
    pub has_triggers: bool,
    /// Why binary COPY cannot be used, if it cannot.
    pub copy_obstacle: Option<String>,
}

/// Why a table cannot be loaded, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("there is no table {name} in this database: create it, or name another with --table schema.table")]
    Missing { name: String },
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
        "the id column {column} of {name} has no valid unique index of its own: CREATE UNIQUE INDEX ON {name} ({column})"
    )]
    NoUniqueIndex { name: String, column: String },
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
        "{name} has a rule on INSERT: rows may end elsewhere, so that neither their number nor their ids can be checked"
    )]
    Rules { name: String },
    #[error("--load-method copy cannot load {name}: {obstacle}; use --load-method insert")]
    Copy { name: String, obstacle: String },
    #[error("the table {name} was dropped and made again since the import was submitted: this import cannot go on")]
    Replaced { name: String },
    #[error("the table {name} no longer has the column {column}, which this import fills")]
    ColumnGone { name: String, column: String },
    #[error("cannot read the catalog")]
    Catalog(#[source] sqlx::Error),
}

impl Target {
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
    pub async fn describe(conn: &mut PgConnection, oid: Oid) -> Result<Self, TargetError> {
        catalog::describe(conn, oid).await
    }

    /// Describes the table of an import that was submitted earlier.
    ///
    /// # Errors
    /// [`TargetError::Replaced`] when the name now means another table, and every error of [`Target::describe`].
    pub async fn describe_again(conn: &mut PgConnection, name: &str, oid: Oid) -> Result<Self, TargetError> {
        Self::check_same(conn, name, oid).await?;
        catalog::describe(conn, oid).await
    }

    /// Foreign keys `ON DELETE CASCADE`, `SET NULL` or `SET DEFAULT` that reference the table: (constraint, referencing table). To delete
    /// rows of the table changes rows of those.
    ///
    /// # Errors
    /// [`TargetError::Catalog`].
    pub async fn cascades(conn: &mut PgConnection, oid: Oid) -> Result<Vec<(String, String)>, TargetError> {
        catalog::cascades(conn, oid).await
    }

    /// Whether `name` still means the table with this oid.
    ///
    /// # Errors
    /// [`TargetError::Replaced`], [`TargetError::Missing`] or [`TargetError::Catalog`].
    pub async fn check_same(conn: &mut PgConnection, name: &str, oid: Oid) -> Result<(), TargetError> {
        if catalog::resolve(conn, name).await? == oid {
            Ok(())
        } else {
            Err(TargetError::Replaced { name: name.to_owned() })
        }
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

/// What has to be known of a table to delete an import's rows from it: less than to load it, for an undo must be possible when loading no
/// longer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoTarget {
    /// What statements name in FROM: the table alone, without those that inherit from it.
    pub from: String,
    /// The column that holds the ids.
    pub id: String,
    /// Whether a deletion may leave rows: by a trigger, or a rule.
    pub has_triggers: bool,
    /// Whether row-level security may hide rows from this role.
    pub row_security: bool,
    /// The sequences that fill the ids: one, unless somebody has altered the column since it was loaded.
    sequences: Vec<SequenceState>,
}

/// Where a sequence stands, and what file it has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SequenceState {
    /// The last value given; what lies before the first one where there is none, or where this role may not know it.
    last: i64,
    ascends: bool,
    filenode: Oid,
}

impl UndoTarget {
    /// Describes the table of an import.
    ///
    /// # Errors
    /// [`TargetError`], when the name means another table now.
    pub async fn describe(conn: &mut PgConnection, name: &str, oid: Oid, id: &str) -> Result<Self, TargetError> {
        Target::check_same(conn, name, oid).await?;
        catalog::describe_undo(conn, name, oid, id).await
    }

    /// Whether a sequence stands before ids from `lowest` to `highest`, which were taken from it: it was set back since, and may have
    /// given them again.
    #[must_use]
    pub fn stands_before(&self, lowest: i64, highest: i64) -> bool {
        self.sequences.iter().any(|sequence| {
            if sequence.ascends {
                sequence.last < highest
            } else {
                sequence.last > lowest
            }
        })
    }

    /// Whether ids that were taken from a sequence with this file may have been given again, however far it is by now: it was restarted,
    /// altered or replaced since. What was not recorded tells nothing.
    ///
    /// To ask where a sequence stands takes a lock on it: it stays as it is until the transaction's end.
    #[must_use]
    pub fn may_have_given_again(&self, filenode: Option<Oid>) -> bool {
        filenode.is_some_and(|then| !matches!(self.sequences.as_slice(), [now] if now.filenode == then))
    }
}

/// Quotes an identifier for SQL.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
