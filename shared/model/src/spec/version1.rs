//! The first version of the spec: options, and what stood beside them in columns of their own.
//!
//! Read of imports that were submitted before, and said again for the key that they hold. Not written any more.

use serde::{Deserialize, Serialize};

use super::{
    CompletionSpec, ConflictSpec, CsvDialect, FormatSpec, IdentitySpec, ImportSpec, LoadMethod, LoadSpec, MappingSpec,
    RejectsSpec, Replace, SourceKind, SourceSpec, SplitSpec, TextSpec, ValuesSpec,
};

/// The options of the first version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version1Options {
    pub delimiter: u8,
    pub header: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
    pub load_method: LoadMethod,
    pub chunk_rows: u64,
    pub chunk_bytes: usize,
    pub max_record: usize,
    #[serde(default)]
    pub replace: bool,
    #[serde(default)]
    pub replace_anyway: bool,
}

/// An import as the first version has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version1 {
    pub options: Version1Options,
    pub columns: Vec<String>,
    pub id_column: String,
    /// Whether the source is a regular file.
    pub resumable: bool,
}

impl Version1Options {
    /// What of the options changes the rows that end in the target, as the keys of the first version say it.
    #[must_use]
    pub fn row_changing(&self) -> String {
        format!(
            "delimiter={} header={} null={:?}",
            self.delimiter, self.header, self.null
        )
    }
}

impl From<Version1> for ImportSpec {
    fn from(import: Version1) -> Self {
        let Version1 {
            options,
            columns,
            id_column,
            resumable,
        } = import;
        Self {
            source: SourceSpec {
                kind: if resumable {
                    SourceKind::File
                } else {
                    SourceKind::Stream
                },
                by_reference: false,
            },
            text: TextSpec::default(),
            format: FormatSpec::Csv(CsvDialect {
                null: options.null.into_iter().collect(),
                ..CsvDialect::plain(options.delimiter, options.header)
            }),
            mapping: MappingSpec::of_columns(columns),
            values: ValuesSpec::default(),
            split: SplitSpec {
                chunk_rows: options.chunk_rows,
                chunk_bytes: options.chunk_bytes,
                max_record: options.max_record,
            },
            load: LoadSpec {
                method: options.load_method,
            },
            identity: IdentitySpec::Sequence { column: id_column },
            conflict: ConflictSpec::Fail,
            rejects: RejectsSpec::default(),
            completion: CompletionSpec {
                replace: match (options.replace, options.replace_anyway) {
                    (false, _) => Replace::Never,
                    (true, false) => Replace::WithoutRejects,
                    (true, true) => Replace::WithRows,
                },
            },
        }
    }
}

impl Version1 {
    /// The same import as the first version would have written it, if it could.
    #[must_use]
    pub fn of(spec: &ImportSpec) -> Option<Self> {
        let ImportSpec {
            source: SourceSpec { kind, by_reference: _ },
            text: _,
            format: _,
            mapping,
            values: _,
            split:
                SplitSpec {
                    chunk_rows,
                    chunk_bytes,
                    max_record,
                },
            load: LoadSpec { method },
            identity,
            // What it could not say is none of what came before either.
            conflict: _,
            rejects: _,
            completion: CompletionSpec { replace },
        } = spec;
        let FormatSpec::Csv(dialect) = spec.before()?.format else {
            return None;
        };
        Some(Self {
            options: Version1Options {
                delimiter: dialect.delimiter.as_byte()?,
                header: dialect.header,
                null: dialect.null.into_iter().next(),
                load_method: *method,
                chunk_rows: *chunk_rows,
                chunk_bytes: *chunk_bytes,
                max_record: *max_record,
                replace: *replace != Replace::Never,
                replace_anyway: *replace == Replace::WithRows,
            },
            columns: mapping.columns(),
            id_column: identity.column()?.to_owned(),
            resumable: *kind == SourceKind::File,
        })
    }
}
