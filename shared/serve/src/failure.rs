//! What could not be done, and how that is told: as JSON to programs, as a page to people.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use ledger::LedgerError;
use model::ImportId;
use serde::Serialize;
use session::{describe_error, is_transient, sqlstate};
use submit::requests::RequestError;
use worker::{PreviewError, VerifyError};

use crate::uploads::Refused;

/// What could not be done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub status: StatusCode,
    pub message: String,
}

/// What the API says of what could not be done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorBody {
    /// What was wrong, and what to do.
    pub error: String,
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const QUERY_CANCELED: &str = "57014";

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn no_import(import: ImportId) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no import {import}"))
    }

    pub fn internal(message: &str) -> Self {
        tracing::error!(message, "this cannot be");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// As the database's error has it. A role that may not see something is told so, for whoever runs the page can mend it.
    fn of_error(error: &(dyn std::error::Error + 'static), transient: bool) -> Self {
        let status = match sqlstate(error).as_deref() {
            Some(INSUFFICIENT_PRIVILEGE) => StatusCode::FORBIDDEN,
            Some(QUERY_CANCELED) => StatusCode::GATEWAY_TIMEOUT,
            _ if transient => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = match status {
            StatusCode::SERVICE_UNAVAILABLE => format!("the database is away, or busy: {}", describe_error(error)),
            _ => describe_error(error),
        };
        if status.is_server_error() {
            // Without the server's words, which may hold data.
            tracing::warn!(status = status.as_u16(), sqlstate = sqlstate(error), "a request failed");
        }
        Self { status, message }
    }
}

impl Failure {
    /// That an import or its table is not as it should be; unless it is the database that did not answer.
    fn of_domain(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut source = Some(error);
        while let Some(error_or_source) = source {
            if let Some(database) = error_or_source.downcast_ref::<sqlx::Error>() {
                return Self::of_error(error, is_transient(database));
            }
            source = error_or_source.source();
        }
        Self::new(StatusCode::CONFLICT, describe_error(error))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Options(message) => Self::bad_request(message),
            Refused::Submission(message) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, message),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::of_error(&error, is_transient(&error))
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        if let LedgerError::Missing(import) = error {
            return Self::no_import(import);
        }
        Self::of_error(&error, error.database().is_some_and(is_transient))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Ledger(error) => error.into(),
            RequestError::Missing(import) => Self::no_import(import),
            error => Self::of_domain(&error),
        }
    }
}

impl From<PreviewError> for Failure {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Missing(import) => Self::no_import(import),
            PreviewError::Ledger(error) => error.into(),
            error @ PreviewError::Target(_) => Self::of_domain(&error),
            error @ PreviewError::Erase(_) => Self::of_error(&error, false),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Missing(import) => Self::no_import(import),
            VerifyError::Store(error) => error.into(),
            VerifyError::Compare(error) => error.into(),
            error => Self::of_domain(&error),
        }
    }
}

/// As JSON, with itself at hand for who tells it otherwise.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = self.message.clone();
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        response.extensions_mut().insert(self.clone());
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Bearer realm=\"pg_import\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
