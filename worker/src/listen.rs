//! What a worker answers over HTTP: whether it lives, whether it can work, and what it did.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Listens, and answers until `stop`. Returns where.
///
/// # Errors
/// When it cannot listen there.
pub(crate) fn start(address: SocketAddr, metrics: &Arc<Metrics>, stop: &CancellationToken) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(Arc::clone(metrics));
    let stop = stop.clone();
    tokio::spawn(async move {
        // It ends with the worker: who asks meanwhile is answered, but nobody is waited for.
        listener::serve(listener, router, &stop).await;
    });
    Ok(address)
}

/// Ready is who is registered, and whom the database heard of not too long ago: to others it is alive for as long.
async fn ready(State(metrics): State<Arc<Metrics>>) -> Response {
    let silent = |words: String| (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    match metrics.heartbeat_age() {
        None => silent("not registered: no session with the database\n".to_owned()),
        Some(age) if age > queue::stale_after() => silent(format!(
            "the database has not heard of this worker for {:.0} s\n",
            age.as_secs_f64()
        )),
        Some(_) => "ready\n".into_response(),
    }
}

async fn figures(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, listener::OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
