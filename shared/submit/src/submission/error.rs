//! Why a submission comes to nothing.

use std::fmt;

use super::{fitting::Fitting, input_error::InputError};
use crate::intake::IntakeError;
use ledger::{LedgerError, inputs::Holder};
use model::{DialectError, ImportId, ImportState, Limit};
use session::database::DatabaseError;
use session::retry::MaybeTransient;
use target::{MappingError, NewTableError, TargetError, forms::FormError};

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
    #[error("{origin}: {source}", source = .source)]
    NewTable {
        origin: String,
        source: NewTableError,
        fits: Option<Fitting>,
    },
    #[error("cannot make the table {name}")]
    Create { name: String, source: LedgerError },
    #[error("import {import}")]
    Intake { import: ImportId, source: IntakeError },
    #[error(
        "the same rows are being loaded as import {import}, with --max-deletes {before}: wait for it, or cancel it, before it is submitted with another limit"
    )]
    OtherLimit { import: ImportId, before: Limit },
    #[error(
        "the key '{key}' belongs to import {import}, which has another {what}: choose another key, or cancel that import first"
    )]
    KeyTaken {
        key: String,
        import: ImportId,
        what: &'static str,
    },
    #[error(transparent)]
    LoadedBefore(Box<LoadedBefore>),
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

/// A file that an import has already, alone or among others.
#[derive(Debug)]
pub struct LoadedBefore {
    pub(super) origin: String,
    pub(super) holder: Holder,
}

impl std::error::Error for LoadedBefore {}

impl fmt::Display for LoadedBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, holder } = self;
        let import = holder.import;
        let others = match holder.more {
            0 => String::new(),
            more => format!(" (and {more} more of these files are in imports)"),
        };
        match holder.state {
            ImportState::Splitting if holder.lease_expired => write!(
                f,
                "{origin} is one of import {import}, which was interrupted: submit exactly its files in their order to go on with it (`enqueue status {import}` lists them), or cancel it"
            ),
            ImportState::Splitting | ImportState::Loading => {
                write!(
                    f,
                    "{origin} is being loaded by import {import}{others}: leave it out, or wait and submit again"
                )
            }
            ImportState::Failed => write!(
                f,
                "{origin} is one of import {import}, which failed: mend it with `enqueue retry {import}`, or cancel it and submit its files again"
            ),
            ImportState::Cancelling => {
                write!(
                    f,
                    "{origin} is one of import {import}, which is being cancelled: submit again when that is done"
                )
            }
            ImportState::Loaded | ImportState::Kept | ImportState::Cancelled => write!(
                f,
                "{origin} is in import {import} ({}) already{others}: leave out what is loaded, import each file by itself with --each, or load all of them again with --force",
                holder.state
            ),
        }
    }
}

impl MaybeTransient for SubmitError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Ledger(error) | Self::Create { source: error, .. } if error.is_transient())
    }
}

impl From<sqlx::Error> for SubmitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}
