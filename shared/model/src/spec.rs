//! Everything that a worker must know of an import: one typed, versioned value.

use std::fmt;

use serde::{Deserialize, Serialize};

mod conflict;
mod dialect;
mod json_lines;
mod limit;
mod mapping;
mod rejects;
mod text;
mod values;
mod version1;

pub use conflict::{AttributeSpec, ConflictSpec, MissingSpec};
pub use dialect::{
    ColumnChoice, CsvDialect, Delimiter, DialectError, Escape, LongRows, Quote, QuotedFields, ShortRows, StrayQuotes,
};
pub use json_lines::{JsonLinesSpec, UnknownKeys};
pub use limit::Limit;
pub use mapping::{AddedColumn, AddedValue, FieldSpec, MappingSpec};
pub use rejects::RejectsSpec;
pub use text::{BadBytes, Container, TextSpec};
pub use values::{OnNul, ValuesSpec};
pub use version1::{Version1, Version1Options};

/// The newest version of the spec that this program knows. It reads this one and those before, and leaves later ones to newer programs.
pub const SPEC_VERSION: i32 = 6;

/// How an import's source is read, mapped, loaded and told again.
///
/// Stored on the import as JSON. A closed set: an unknown field or kind is an error, for it may be what keeps rows right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportSpec {
    pub source: SourceSpec,
    /// How its bytes are text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub text: TextSpec,
    pub format: FormatSpec,
    pub mapping: MappingSpec,
    /// How its values are written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub values: ValuesSpec,
    pub split: SplitSpec,
    pub load: LoadSpec,
    pub identity: IdentitySpec,
    pub conflict: ConflictSpec,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rejects: RejectsSpec,
    pub completion: CompletionSpec,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    pub kind: SourceKind,
    /// Whether workers read the bytes where they are: none are stored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub by_reference: bool,
}

/// What kind of source it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A regular file, or an object of a store: it can be read again.
    File,
    /// Standard input, or what was named like a file and can be read once.
    Stream,
}

/// How bytes become records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FormatSpec {
    Csv(CsvDialect),
    JsonLines(JsonLinesSpec),
}

impl FormatSpec {
    /// Whether the source names its fields.
    #[must_use]
    pub fn names_fields(&self) -> bool {
        match self {
            Self::Csv(dialect) => dialect.header,
            Self::JsonLines(_) => true,
        }
    }

    /// Whether every record ends with its line, so that record ends can be found from the middle; if not, why.
    ///
    /// # Errors
    /// The reason, to be put behind "for".
    pub fn ends_with_lines(&self) -> Result<(), &'static str> {
        let Self::Csv(dialect) = self else { return Ok(()) };
        if dialect.quote.0.is_some() {
            Err("a quoted field may hold line ends (--quote none says that there are none)")
        } else if matches!(dialect.escape, Escape::Byte(_)) {
            Err("a line end may be escaped")
        } else if dialect.skip_footer > 0 {
            Err("its last lines are left out")
        } else if dialect.stop_at_header {
            Err("it ends where another table begins")
        } else {
            Ok(())
        }
    }

    /// Refuses what cannot be told apart when it is read.
    ///
    /// # Errors
    /// [`DialectError`], naming the two.
    pub fn check(&self) -> Result<(), DialectError> {
        match self {
            Self::Csv(dialect) => dialect.check(),
            Self::JsonLines(_) => Ok(()),
        }
    }
}

/// How large chunks become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    /// Records of a chunk, at most.
    pub chunk_rows: u64,
    /// **Bytes** of a chunk, at most, unless a single record is longer.
    pub chunk_bytes: usize,
    /// **Bytes** of a record, at most.
    pub max_record: usize,
}

/// How workers put rows into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
    pub method: LoadMethod,
}

/// The statement that puts rows into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadMethod {
    /// `INSERT … SELECT unnest(…)` with binary arrays; no COPY statement.
    #[default]
    Insert,
    /// Binary `COPY … FROM STDIN`.
    Copy,
}

/// How an import finds its rows again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum IdentitySpec {
    /// By ranges of an integer column that the table's own sequence fills.
    Sequence { column: String },
    /// By the transactions that wrote them, on the pages where these put them.
    Transaction {
        /// A `bigint` column that has the import's id, and so finds rows that were edited since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import_column: Option<String>,
    },
}

/// What is done when everything is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletionSpec {
    /// Whether the earlier loaded imports of the target are cancelled.
    pub replace: Replace,
}

/// When an import takes the place of the earlier loaded ones of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    #[default]
    Never,
    /// When rows were loaded and no record was rejected.
    WithoutRejects,
    /// When rows were loaded, whatever was rejected.
    WithRows,
}

impl fmt::Display for LoadMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert => "insert",
            Self::Copy => "copy",
        })
    }
}

impl IdentitySpec {
    /// Whether rows that were edited since can be told from those of others, so that an undo may delete them on request.
    #[must_use]
    pub fn finds_edited(&self) -> bool {
        match self {
            Self::Sequence { .. } => true,
            Self::Transaction { import_column } => import_column.is_some(),
        }
    }

    /// The column of ids that finds rows, and that no field may fill.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Sequence { column } => Some(column),
            Self::Transaction { .. } => None,
        }
    }

    /// The column with the import's id that finds rows which were edited since.
    #[must_use]
    pub fn import_column(&self) -> Option<&str> {
        match self {
            Self::Sequence { .. } => None,
            Self::Transaction { import_column } => import_column.as_deref(),
        }
    }
}

/// What is asked for of [`IdentitySpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityChoice {
    /// A sequence where the table has one that can be used, else transactions.
    #[default]
    Auto,
    Sequence,
    Transaction,
}

impl From<&IdentitySpec> for IdentityChoice {
    fn from(spec: &IdentitySpec) -> Self {
        match spec {
            IdentitySpec::Sequence { .. } => Self::Sequence,
            IdentitySpec::Transaction { .. } => Self::Transaction,
        }
    }
}

impl Replace {
    /// Whether an import that ended like this takes the place of others.
    #[must_use]
    pub fn applies(self, rows_loaded: u64, rejected: u64) -> bool {
        match self {
            Self::Never => false,
            Self::WithoutRejects => rows_loaded > 0 && rejected == 0,
            Self::WithRows => rows_loaded > 0,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The parts of a spec that decide which rows come of a content.
#[derive(Serialize)]
struct RowChanging<'a> {
    /// Left out where it says nothing, as in the keys of before.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a TextSpec>,
    format: &'a FormatSpec,
    mapping: MappingSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a ValuesSpec>,
    conflict: ConflictSpec,
}

impl ImportSpec {
    /// The oldest version that can say it, so that programs of before take part where they can: 4 came with mappings beyond columns,
    /// other identities than sequences, limits of rejects, and rows that are there already; 5 with rows that the source does not have, and with
    /// identities by a column; 6 with bytes that are not stored.
    #[must_use]
    pub fn version(&self) -> i32 {
        let keeps_others = self.conflict == ConflictSpec::Fail;
        if self.source.by_reference {
            6
        } else if self.mapping.is_plain()
            && self.identity.column().is_some()
            && is_default(&self.rejects)
            && keeps_others
        {
            3
        } else if self.conflict.missing().is_none() && self.identity.import_column().is_none() {
            4
        } else {
            5
        }
    }

    /// The same import as version 2 would have written it, if it could.
    #[must_use]
    pub fn before(&self) -> Option<Self> {
        if !is_default(&self.text)
            || !is_default(&self.values)
            || !self.mapping.is_plain()
            || self.conflict != ConflictSpec::Fail
        {
            return None;
        }
        let FormatSpec::Csv(dialect) = &self.format else {
            return None;
        };
        Some(Self {
            format: FormatSpec::Csv(dialect.before()?),
            ..self.clone()
        })
    }

    /// The canonical form of what changes rows: with another one, the same content is another import.
    ///
    /// Every part is named here, so that a new one must be put on one side or the other.
    ///
    /// # Errors
    /// None, as long as the parts are made of strings, numbers and lists of them.
    pub fn row_changing(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self {
            text,
            format,
            mapping,
            values,
            conflict,
            source: _,
            split: _,
            load: _,
            identity: _,
            rejects: _,
            completion: _,
        } = self;
        let parts = RowChanging {
            text: (!is_default(text)).then_some(text),
            format,
            mapping: MappingSpec {
                given: false,
                ..mapping.clone()
            },
            values: (!is_default(values)).then_some(values),
            conflict: conflict.row_changing(),
        };
        // The order of fields is that of the types.
        serde_json::to_vec(&parts)
    }
}

#[cfg(test)]
mod tests;
