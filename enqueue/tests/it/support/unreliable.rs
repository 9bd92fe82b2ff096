//! HTTP that fails as networks do, and remembers what it was asked for.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use rand::{RngExt as _, rngs::StdRng};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{seeded, until_true};

/// How long a slow answer pauses.
const PAUSE: Duration = Duration::from_millis(200);

/// Which requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    None,
    /// Every second one, by chance, but not one thing for ever; some of the others are slow.
    Half,
    /// The first one for each thing that is asked for.
    EveryFirst,
    /// Every one.
    All,
}

impl Faults {
    /// How likely a request fails, and how often in a row that for one thing does.
    fn chance(self) -> (f64, u32) {
        match self {
            Self::None => (0.0, 0),
            Self::Half => (0.5, 4),
            Self::EveryFirst => (1.0, 1),
            Self::All => (1.0, u32::MAX),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// 503, with the words of S3.
    Busy,
    /// The connection ends in the middle of the body.
    Cut,
    /// The body comes in two halves, with a pause in between.
    Slow,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    /// Still encoded, with its query.
    pub path: String,
    pub range: Option<String>,
    pub status: StatusCode,
    /// Bytes of the whole answer, of which a fault may have kept some back.
    pub bytes: usize,
}

struct Network {
    faults: Mutex<Faults>,
    random: Mutex<StdRng>,
    /// How often in a row requests for something failed.
    failed: Mutex<HashMap<String, u32>>,
    asked: Mutex<Vec<Asked>>,
    /// From which byte of an object nothing is answered.
    hold: watch::Sender<Option<u64>>,
    held: AtomicUsize,
}

impl Network {
    fn fault(&self, thing: String) -> Option<Fault> {
        let faults = *self.faults.lock().expect("faults");
        if faults == Faults::None {
            return None;
        }
        let (probability, most) = faults.chance();
        let mut random = self.random.lock().expect("randomness");
        let mut failed = self.failed.lock().expect("requests");
        let in_a_row = failed.entry(thing).or_default();
        let fails = *in_a_row < most && random.random_bool(probability);
        // What has failed once for all does not fail again.
        *in_a_row = if fails || faults == Faults::EveryFirst {
            *in_a_row + 1
        } else {
            0
        };
        if faults == Faults::All {
            return Some(Fault::Busy);
        }
        match (fails, random.random_bool(0.5)) {
            (true, true) => Some(Fault::Busy),
            (true, false) => Some(Fault::Cut),
            (false, true) => Some(Fault::Slow),
            (false, false) => None,
        }
    }

    /// Waits as long as this byte is held back.
    async fn pass(&self, first: u64) {
        let mut hold = self.hold.subscribe();
        let is_free = |from: &Option<u64>| from.is_none_or(|from| first < from);
        if !is_free(&hold.borrow()) {
            self.held.fetch_add(1, Ordering::Relaxed);
            // An error means that the server is gone.
            drop(hold.wait_for(is_free).await);
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A server on this machine that can be made to fail. Listens until it is dropped.
pub struct Unreliable {
    /// Where, without a slash at its end.
    pub url: String,
    network: Arc<Network>,
    _stop: DropGuard,
}

impl Unreliable {
    /// One that answers as `origin` does, as long as no faults are asked for.
    pub async fn new(origin: Router) -> Self {
        let network = Arc::new(Network {
            faults: Mutex::new(Faults::None),
            random: Mutex::new(seeded()),
            failed: Mutex::default(),
            asked: Mutex::default(),
            hold: watch::Sender::new(None),
            held: AtomicUsize::new(0),
        });
        let router = origin.layer(from_fn_with_state(Arc::clone(&network), answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("to listen");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { listener::serve(listener, router, &stopped).await });
        Self {
            url,
            network,
            _stop: stop.drop_guard(),
        }
    }

    pub fn fail(&self, faults: Faults) {
        *self.network.faults.lock().expect("faults") = faults;
        self.network.failed.lock().expect("requests").clear();
    }

    /// Answers no request for bytes of an object from this one on, until [`Self::release`].
    pub fn hold_from(&self, byte: u64) {
        self.network.hold.send_replace(Some(byte));
    }

    pub fn release(&self) {
        self.network.hold.send_replace(None);
    }

    /// Waits until somebody waits for an answer that is held back.
    pub async fn until_held(&self) {
        until_true("an answer is held back", async || {
            self.network.held.load(Ordering::Relaxed) > 0
        })
        .await;
    }

    /// What was asked for since this was called last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.network.asked.lock().expect("requests"))
    }
}

/// The first byte that a request is about; `None` where it is not about an object's bytes.
fn first_byte(request: &Request) -> Option<u64> {
    if request.method() != Method::GET || request.uri().query().is_some_and(|query| query.contains("list-type")) {
        return None;
    }
    let range = request
        .headers()
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    Some(first.unwrap_or(0))
}

async fn answer(State(network): State<Arc<Network>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let range = request.headers().get(header::RANGE);
    let range = range.map(|range| range.to_str().expect("text").to_owned());
    // What is asked for again after a cut begins later, but has the same end.
    let end = range.as_ref().and_then(|range| range.rsplit('-').next());
    let fault = network.fault(format!("{method} {path} {end:?}"));
    if let Some(first) = first_byte(&request) {
        network.pass(first).await;
    }
    if matches!(fault, Some(Fault::Busy)) {
        return busy();
    }
    let (mut parts, body) = next.run(request).await.into_parts();
    let mut bytes = to_bytes(body, usize::MAX).await.expect("an answer");
    let length = parts.headers.entry(header::CONTENT_LENGTH);
    length.or_insert(bytes.len().into());
    if method == Method::HEAD {
        bytes.clear();
    }
    network.asked.lock().expect("requests").push(Asked {
        method,
        path,
        range,
        status: parts.status,
        bytes: bytes.len(),
    });
    let half = bytes.slice(..bytes.len() / 2);
    let rest = bytes.slice(half.len()..);
    let body = match fault {
        // There is no middle of nothing.
        Some(Fault::Cut) if bytes.is_empty() => return busy(),
        Some(Fault::Cut) => cut(half),
        Some(Fault::Slow) if !bytes.is_empty() => slow(half, rest),
        _ => Body::from(bytes),
    };
    Response::from_parts(parts, body)
}

fn busy() -> Response {
    let words = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}

fn cut(half: Bytes) -> Body {
    let error = io::Error::new(io::ErrorKind::ConnectionReset, "cut");
    // Were both there at once, the half would not be sent.
    let end = stream::once(async {
        tokio::time::sleep(PAUSE / 4).await;
        Err(error)
    });
    Body::from_stream(stream::iter([Ok(half)]).chain(end))
}

fn slow(half: Bytes, rest: Bytes) -> Body {
    let rest = stream::once(async {
        tokio::time::sleep(PAUSE).await;
        Ok::<_, io::Error>(rest)
    });
    Body::from_stream(stream::iter([Ok(half)]).chain(rest))
}
