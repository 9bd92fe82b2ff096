//! What is asked for: what stands in a path, behind its question mark, and in a form. What cannot be understood is told like every failure.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{StatusCode, request::Parts},
};
use model::ImportId;
use serde::de::DeserializeOwned;

use crate::{app::App, failure::Failure};

/// **Bytes** of what may stand behind the question mark.
const QUERY_BYTES: usize = 8 << 10;

/// What stands behind the question mark, if it can be anything at all.
pub(crate) fn check(query: &str) -> Result<&str, Failure> {
    if query.len() > QUERY_BYTES {
        return Err(Failure::new(StatusCode::URI_TOO_LONG, "the address is too long"));
    }
    if query.contains("%00") {
        return Err(Failure::bad_request("no text of the database holds a NUL"));
    }
    Ok(query)
}

/// What stands behind the question mark, as its type says.
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        let query = check(parts.uri.query().unwrap_or_default())?;
        serde_urlencoded::from_str(query)
            .map(Self)
            .map_err(|error| Failure::bad_request(format!("the address asks for what there is not: {error}")))
    }
}

/// The import that a path names, in the one way that there is to write its number.
pub(crate) struct Named(pub ImportId);

impl FromRequestParts<App> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let none = || Failure::new(StatusCode::NOT_FOUND, "there is no such import");
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, app).await else {
            return Err(none());
        };
        let id: ImportId = text.parse().map_err(|_| none())?;
        if id.to_string() == text {
            Ok(Self(id))
        } else {
            Err(none())
        }
    }
}

/// The bytes of a form.
pub(crate) struct Form(pub Bytes);

impl FromRequest<App> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        Bytes::from_request(request, app)
            .await
            .map(Self)
            .map_err(|error| Failure::new(error.status(), "the form is too long, or broke off"))
    }
}
