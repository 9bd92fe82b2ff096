//! What is asked for behind the question mark of an address.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;

use crate::{app::App, failure::Failure};

/// As its type says; what it does not know, or cannot read, is told.
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        if query.contains("%00") {
            return Err(Failure::bad_request("no text of the database holds a NUL"));
        }
        serde_urlencoded::from_str(query)
            .map(Self)
            .map_err(|error| Failure::bad_request(format!("the address asks for what there is not: {error}")))
    }
}
