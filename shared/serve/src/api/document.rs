//! The API's description, as OpenAPI: made of the functions and types that answer, so that it cannot say otherwise.

use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super as api;

/// The description of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    Document::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "pg_import",
        description = "Imports of files into PostgreSQL: what there are, how far each is, and how to take one back. What acts, and what shows records, takes a token as `Authorization: Bearer …`.",
        license(name = "MIT")
    ),
    servers((url = "api/v1")),
    paths(
        api::imports, api::submit, api::sniff, api::check, api::import, api::events, api::errors, api::chunks, api::throughput, api::audit, api::rejects, api::preview,
        api::cancel, api::keep, api::retry, api::forget, api::verify, api::workers, api::tables,
    ),
    modifiers(&Token)
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}
