//! HTTP on a socket, with bounds: on how many connections there are, on how long one may take to say what it wants, and on how long an end
//! waits for those that are not done.

#![warn(clippy::unwrap_used)]

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// The type of figures, as Prometheus asks for them.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at once; who comes then waits in the system's queue.
const CONNECTIONS: usize = 512;
/// How long the head of a request may take to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may be taken of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an end waits for requests that are being answered.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long nobody is listened to after the system refused a connection, as it does when it is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers requests with `router` until `stop`, and finishes what was begun, as far as that does not take long.
pub async fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) {
    serve_some(listener, router, stop, CONNECTIONS).await;
}

/// The same, with at most so many connections.
async fn serve_some(listener: TcpListener, router: Router, stop: &CancellationToken, most: usize) {
    let connections = Arc::new(Semaphore::new(most));
    let tracker = TaskTracker::new();
    loop {
        let accepted = stop.run_until_cancelled(async {
            // Nobody closes it.
            let permit = Arc::clone(&connections).acquire_owned().await.ok();
            (permit, listener.accept().await)
        });
        let Some((permit, accepted)) = accepted.await else {
            break;
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (router, stop) = (router.clone(), stop.clone());
        tracker.spawn(async move {
            connection(stream, peer, router, &stop).await;
            drop(permit);
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(FAREWELL, tracker.wait()).await.is_err() {
        tracing::warn!(
            connections = tracker.len(),
            "requests that were not done are broken off"
        );
    }
}

async fn connection(stream: tokio::net::TcpStream, peer: SocketAddr, router: Router, stop: &CancellationToken) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // Whoever asked is gone, or never said what it wanted.
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    const FEW: usize = 8;

    async fn start(stop: &CancellationToken) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let stop = stop.clone();
        (
            address,
            tokio::spawn(async move { serve_some(listener, router, &stop, FEW).await }),
        )
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn who_never_says_what_it_wants_keeps_no_other_and_no_end_waiting() {
        let stop = CancellationToken::new();
        let (address, serving) = start(&stop).await;
        let mut silent = Vec::new();
        for _ in 0..FEW {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HT").await.unwrap();
            silent.push(stream);
        }
        // The silent ones are cut off first.
        assert!(ask(address).await.ends_with("here"));
        let mut rest = Vec::new();
        drop(silent[0].read_to_end(&mut rest).await);
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(b"GET / HT").await.unwrap();
        stop.cancel();
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
