//! Why a submission comes to nothing.

use super::fitting::Fitting;
use crate::intake::IntakeError;
use format::csv::read::HeaderError;
use format::{csv::split::SplitError, jsonl::KeysError};
use ledger::LedgerError;
use model::{DialectError, ImportId};
use session::database::DatabaseError;
use session::retry::MaybeTransient;
use source::{EncodingError, SourceError};
use target::{MappingError, TargetError, forms::FormError};

/// Why nothing was submitted, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{origin}: the header cannot be read")]
    Header { origin: String, source: SplitError },
    #[error("{origin}, line {line}: {source}")]
    Names {
        origin: String,
        line: u64,
        source: HeaderError,
        fits: Option<Fitting>,
    },
    #[error("{origin}: {source}")]
    Keys { origin: String, source: KeysError },
    #[error(
        "{origin}: no delimiter was found with which most records have the same number of fields: name it with -d, or look with `enqueue sniff`"
    )]
    NoDelimiter { origin: String },
    #[error(transparent)]
    Dialect(#[from] DialectError),
    #[error(transparent)]
    Form(#[from] FormError),
    #[error("NULL is forced or forbidden in the column '{column}', which the file does not fill; it fills: {known}")]
    NotLoaded { column: String, known: String },
    #[error("{origin}: {source}")]
    Encoding { origin: String, source: EncodingError },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{origin}: {source}", source = .source)]
    Mapping {
        origin: String,
        source: MappingError,
        fits: Option<Fitting>,
    },
    #[error("{origin}, import {import}")]
    Intake {
        origin: String,
        import: ImportId,
        source: IntakeError,
    },
    #[error(
        "the key '{key}' belongs to import {import}, which has another {what}: choose another key, or cancel that import first"
    )]
    KeyTaken {
        key: String,
        import: ImportId,
        what: &'static str,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("cannot reach the database")]
    Connect(#[source] sqlx::Error),
    #[error("how the source is loaded cannot be written as JSON")]
    Spec(#[from] serde_json::Error),
    #[error("a background task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
    #[error(
        "import {import} of the same rows was interrupted, and belongs to the role '{role}': only that role or a member of it can go on, or cancel it"
    )]
    NotYours { import: ImportId, role: String },
}

impl MaybeTransient for SubmitError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_transient())
    }
}

impl From<sqlx::Error> for SubmitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}
