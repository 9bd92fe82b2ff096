//! Which path leads where, and what every answer comes with.

use std::{net::IpAddr, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::{access::Visitor, api, app::App, failure::Failure, metrics, pages};

/// Everything comes from here, and nothing runs or is drawn that is not in a file of ours.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How long a request may take, from its head to its answer.
const IN_TIME: Duration = Duration::from_secs(60);
/// **Bytes** of a request that asks for something: a form.
const FORM_BYTES: usize = 64 << 10;
/// **Bytes** of the beginning of a file: somewhat more than are looked at, to know whether there are more.
const SAMPLE_BYTES: usize = (1 << 20) + (64 << 10);

pub(crate) fn router(app: App) -> Router {
    let prefix = app.config.prefix.clone();
    let router = if prefix.is_empty() {
        paths()
    } else {
        let root = format!("{prefix}/");
        Router::new()
            .nest(&prefix, paths())
            .route(&root, get(pages::imports::page))
    };
    router
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this is not to be asked for like that")
        })
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(middleware::from_fn(harden))
        .with_state(app)
}

/// Lets nobody read who may not, and tells people in a page what programs are told in JSON.
async fn guard(
    State(app): State<App>,
    visitor: Result<Visitor, Failure>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let path = path.strip_prefix(&app.config.prefix).unwrap_or(path);
    let for_people = !["/api/", "/metrics", "/healthz", "/assets/"]
        .iter()
        .any(|begin| path.starts_with(begin));
    let open = ["/assets/", "/healthz", "/sign-in"]
        .iter()
        .any(|begin| path.starts_with(begin));
    // Where somebody is led back to: from a form, to the page that had it.
    let wanted = match (request.method(), request.uri().path_and_query()) {
        (&Method::GET, Some(wanted)) => wanted.to_string(),
        _ => {
            let (page, _) = request.uri().path().rsplit_once('/').unwrap_or_default();
            page.to_owned()
        }
    };
    let is_fragment = path.starts_with("/live/");
    let refused = match &visitor {
        _ if !is_meant(&app, request.headers()) => Some(Failure::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this listens for this machine alone, under localhost or 127.0.0.1; a reverse proxy before it takes --behind-proxy",
        )),
        _ if open => None,
        Err(failure) => Some(failure.clone()),
        Ok(visitor) => visitor.must_look(&app).err(),
    };
    // Reading an upload, or all rows of an import, takes as long as it takes.
    let is_long = request.method() == Method::POST
        && (path == "/api/v1/imports" || path.starts_with("/api/v1/imports/") && path.ends_with("/verify"));
    // What is open is open to whoever comes with a token that is nobody's, too.
    request.extensions_mut().insert(visitor.clone().unwrap_or_default());
    let response = match refused {
        Some(failure) => failure.into_response(),
        None if is_long => next.run(request).await,
        None => match tokio::time::timeout(IN_TIME, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request did not come to its end in time",
            )
            .into_response(),
        },
    };
    match response.extensions().get::<Failure>() {
        Some(failure) if for_people && !is_fragment => {
            pages::failure(&app, &visitor.unwrap_or_default(), &failure.clone(), &wanted)
        }
        _ => response,
    }
}

/// Whether a request means this machine, where only those of this machine are listened to: a page of somebody else's, whose name leads here
/// by now, asks under that name.
fn is_meant(app: &App, headers: &HeaderMap) -> bool {
    if app.config.behind_proxy || !app.config.listen.ip().is_loopback() {
        return true;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What every answer comes with.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn paths() -> Router<App> {
    Router::new()
        .merge(people())
        .nest("/api/v1", programs())
        .route("/metrics", get(metrics::page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/assets/{file}", get(pages::assets::file))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
}

/// Pages.
fn people() -> Router<App> {
    Router::new()
        .route("/", get(pages::imports::page))
        .route("/imports", get(pages::imports::page))
        .route("/live/imports", get(pages::imports::live))
        .route("/imports/{id}", get(pages::import::page))
        .route("/live/imports/{id}", get(pages::import::live))
        .route("/imports/{id}/rejects", get(pages::rejects::page))
        .route("/imports/{id}/rejects.csv", get(pages::rejects::csv))
        .route(
            "/imports/{id}/cancel",
            get(pages::confirm::cancel).post(pages::acts::cancel),
        )
        .route("/imports/{id}/keep", get(pages::confirm::keep).post(pages::acts::keep))
        .route(
            "/imports/{id}/forget",
            get(pages::confirm::forget).post(pages::acts::forget),
        )
        .route("/imports/{id}/retry", post(pages::acts::retry))
        .route("/imports/{id}/verify", post(pages::acts::verify))
        .route("/upload", get(pages::upload::page))
        .route("/live/upload", get(pages::upload::live))
        .route("/workers", get(pages::workers::page))
        .route("/live/workers", get(pages::workers::live))
        .route("/tables", get(pages::tables::page))
        .route("/live/tables", get(pages::tables::live))
        .route("/sign-in", get(pages::sign_in::page).post(pages::sign_in::enter))
        .route("/sign-out", post(pages::sign_in::leave))
}

/// The API.
fn programs() -> Router<App> {
    Router::new()
        .route("/openapi.json", get(api::document))
        .route(
            "/imports",
            get(api::imports).merge(post(api::submit).layer(DefaultBodyLimit::disable())),
        )
        .route("/sniff", post(api::sniff).layer(DefaultBodyLimit::max(SAMPLE_BYTES)))
        .route("/check", post(api::check).layer(DefaultBodyLimit::max(SAMPLE_BYTES)))
        .route("/imports/{id}", get(api::import).delete(api::forget))
        .route("/imports/{id}/events", get(api::events))
        .route("/imports/{id}/errors", get(api::errors))
        .route("/imports/{id}/chunks", get(api::chunks))
        .route("/imports/{id}/throughput", get(api::throughput))
        .route("/imports/{id}/audit", get(api::audit))
        .route("/imports/{id}/rejects", get(api::rejects))
        .route("/imports/{id}/preview", get(api::preview))
        .route("/imports/{id}/cancel", post(api::cancel))
        .route("/imports/{id}/keep", post(api::keep))
        .route("/imports/{id}/retry", post(api::retry))
        .route("/imports/{id}/verify", post(api::verify))
        .route("/workers", get(api::workers))
        .route("/tables", get(api::tables))
}
