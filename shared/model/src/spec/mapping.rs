//! What fills the columns of the target: fields of records, and what is known of them.

use serde::{Deserialize, Serialize};

use super::is_default;

/// Which column is filled by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingSpec {
    /// What each field is for, in the order of the fields.
    pub fields: Vec<FieldSpec>,
    /// The columns that no field fills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<AddedColumn>,
    /// Whether somebody named the columns of fields that have names in the source. Changes no row.
    #[serde(default, skip_serializing_if = "is_default")]
    pub given: bool,
}

/// What a field is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldSpec {
    /// It fills the target's column of this name.
    Column(String),
    /// The same, and the source has another name for it.
    Renamed { field: String, column: String },
    /// Nothing. What the source calls it.
    Ignored(String),
}

/// A column that no field fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedColumn {
    pub column: String,
    pub value: AddedValue,
}

/// What is known of a record beside its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddedValue {
    /// The same for all records, read as a quoted field would be.
    Constant(String),
    /// What its input is called.
    File,
    /// The line that it begins on, from 1; its number, where the source has no lines.
    Line,
    /// The id of its import.
    Import,
}

impl FieldSpec {
    /// The column that it fills.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column) | Self::Renamed { column, .. } => Some(column),
            Self::Ignored(_) => None,
        }
    }

    /// What it is called in the source.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Column(name) | Self::Renamed { field: name, .. } | Self::Ignored(name) => name,
        }
    }
}

impl MappingSpec {
    /// Fields that fill these columns, one after the other.
    #[must_use]
    pub fn of_columns(columns: Vec<String>) -> Self {
        Self {
            fields: columns.into_iter().map(FieldSpec::Column).collect(),
            added: Vec::new(),
            given: false,
        }
    }

    /// All columns that are filled: by fields in their order, and then the others.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let added = self.added.iter().map(|added| added.column.as_str());
        self.fields
            .iter()
            .filter_map(FieldSpec::column)
            .chain(added)
            .map(str::to_owned)
            .collect()
    }

    /// What the source calls its fields.
    #[must_use]
    pub fn field_names(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name().to_owned()).collect()
    }

    /// Whether every field fills a column under its own name, and nothing else fills any.
    #[must_use]
    pub(super) fn is_plain(&self) -> bool {
        !self.given && self.added.is_empty() && self.fields.iter().all(|field| matches!(field, FieldSpec::Column(_)))
    }
}
