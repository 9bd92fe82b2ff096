//! Why a submission comes to nothing.

use super::{fitting::Fitting, input_error::InputError};
use crate::intake::IntakeError;
use ledger::LedgerError;
use model::{DialectError, ImportId, ImportState};
use session::database::DatabaseError;
use session::retry::MaybeTransient;
use target::{MappingError, TargetError, forms::FormError};

/// Why nothing was submitted, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Dialect(#[from] DialectError),
    #[error(transparent)]
    Form(#[from] FormError),
    #[error("NULL is forced or forbidden in the column '{column}', which the file does not fill; it fills: {known}")]
    NotLoaded { column: String, known: String },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{origin}: {source}", source = .source)]
    Mapping {
        origin: String,
        source: MappingError,
        fits: Option<Fitting>,
    },
    #[error("import {import}")]
    Intake { import: ImportId, source: IntakeError },
    #[error(
        "the key '{key}' belongs to import {import}, which has another {what}: choose another key, or cancel that import first"
    )]
    KeyTaken {
        key: String,
        import: ImportId,
        what: &'static str,
    },
    #[error(
        "{origin} is in import {import} ({state}) already: leave it out, import each file by itself with --each, or load all of them again with --force"
    )]
    LoadedBefore {
        origin: String,
        import: ImportId,
        state: ImportState,
    },
    #[error(
        "the file is one of import {import}, which was interrupted: submit all of its files together to go on with it, or cancel it"
    )]
    PartOfInterrupted { import: ImportId },
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
