//! The vocabulary as types: ids, states and their transitions, positions, the spec of an import and of its undo. No I/O, and nothing
//! else of this project.

#![warn(clippy::unwrap_used)]

mod chunk;
mod codec;
mod ids;
mod import;
mod notify;
mod position;
mod queue;
mod share;
mod spec;
mod text;
mod undo;
pub mod words;

pub use chunk::{ChunkKind, ChunkState};
pub use codec::Codec;
pub use ids::{ChunkKey, ImportId, ProcessName, SegmentKey};
pub use import::{IllegalTransition, ImportEvent, ImportState};
pub use notify::{NotifyUrl, NotifyUrlError};
pub use position::{Position, Span};
pub use queue::{Lane, QueueName, QueueNameError};
pub use share::{Priority, Share};
pub use spec::{
    AddedColumn, AddedValue, AttributeSpec, BadBytes, ColumnChoice, CompletionSpec, ConflictSpec, Container,
    CsvDialect, Delimiter, DialectError, Escape, FieldSpec, FormatSpec, IdentityChoice, IdentitySpec, ImportSpec,
    JsonLinesSpec, Limit, LoadMethod, LoadSpec, LongRows, MappingSpec, MissingSpec, OnNul, Quote, QuotedFields,
    RejectsSpec, Replace, SPEC_VERSION, ShortRows, SourceKind, SourceSpec, SplitSpec, StrayQuotes, TextSpec,
    UnknownKeys, ValuesSpec, Version1, Version1Options,
};
pub use undo::{UNDO_VERSION, UndoSpec};

/// What a program can live with, as the schema asks it: see `pgimport.oldest_protocol()`. Raised when what workers do beside one another
/// changes: since 2, workers know named queues.
pub const PROTOCOL: i32 = 2;
