//! The API's description, as OpenAPI: made of the functions and types that answer, so that it cannot say otherwise.

use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        ContentBuilder, OpenApi, Ref, ResponseBuilder,
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
    servers((url = ".", description = "Beside this document")),
    paths(
        api::imports, api::submit, api::sniff, api::check, api::import, api::events, api::errors, api::chunks, api::throughput, api::audit, api::rejects, api::preview,
        api::cancel, api::keep, api::retry, api::forget, api::verify, api::workers, api::tables,
    ),
    modifiers(&Token, &Failures)
)]
struct Document;

struct Token;

/// What every call may answer: it is said once, here.
struct Failures;

const FAILURES: [(&str, &str); 8] = [
    ("400", "The question cannot be understood"),
    ("401", "It takes the token"),
    ("403", "It is not allowed"),
    ("404", "There is no such thing"),
    ("408", "The request did not come to its end in time"),
    ("500", "A fault"),
    ("503", "The database is away, or busy"),
    ("504", "The database took too long"),
];

impl Modify for Failures {
    fn modify(&self, document: &mut OpenApi) {
        let body = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("ErrorBody")))
            .build();
        let operations = document
            .paths
            .paths
            .values_mut()
            .flat_map(|path| [&mut path.get, &mut path.post, &mut path.delete].into_iter().flatten());
        for operation in operations {
            for (status, words) in FAILURES {
                let response = ResponseBuilder::new()
                    .description(words)
                    .content("application/json", body.clone())
                    .build();
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(|| response.into());
            }
        }
    }
}

impl Modify for Token {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}
