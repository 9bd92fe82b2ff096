//! Somebody who is told of imports.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Call, until};

/// With what messages are signed.
pub const SECRET: &str = "whsec_VGhlIHNlY3JldCBvZiB0aGUgdGVzdHMgb2YgcGdfaW1wb3J0";

/// What a receiver does with a message.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(StatusCode),
    /// It is to be sent elsewhere.
    Elsewhere(String),
    /// Nothing, for ever.
    Silence,
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// Its content, after its signature was looked at.
    pub fn content(&self) -> Value {
        let webhook = Webhook::new(SECRET).expect("a secret");
        webhook.verify(&self.body, &self.headers).expect("a signature");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }
}

#[derive(Default)]
struct Seen {
    received: Mutex<Vec<Received>>,
    replies: Mutex<VecDeque<Reply>>,
}

/// Listens until it is dropped.
pub struct Receiver {
    /// Where, without a slash at its end.
    pub url: String,
    seen: Arc<Seen>,
    _stop: DropGuard,
}

impl Receiver {
    /// One that takes every message after the first ones, which get these replies.
    pub async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("to listen");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Seen {
            replies: Mutex::new(replies.into_iter().collect()),
            ..Seen::default()
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&seen));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { listener::serve(listener, router, &stopped).await });
        Self {
            url,
            seen,
            _stop: stop.drop_guard(),
        }
    }

    pub fn received(&self) -> Vec<Received> {
        self.seen.received.lock().expect("what came").clone()
    }

    /// Waits until so many came.
    pub async fn until_received(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} messages came"), async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }
}

async fn take(State(seen): State<Arc<Seen>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    seen.received.lock().expect("what came").push(Received {
        path: uri.to_string(),
        headers,
        body,
    });
    let reply = seen.replies.lock().expect("replies").pop_front();
    match reply {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(Reply::Status(status)) => (status, "a long explanation with a s3cret").into_response(),
        Some(Reply::Elsewhere(url)) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
        Some(Reply::Silence) => std::future::pending().await,
    }
}

impl Call {
    /// A worker that may tell receivers on this machine.
    pub fn telling(self) -> Self {
        self.env("PG_IMPORT_NOTIFY_SECRET", SECRET)
            .env("PG_IMPORT_NOTIFY_ALLOW", "127.0.0.0/8")
    }
}
