//! Files on a web server, with what such servers may lack.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

use super::unreliable::Unreliable;

/// What a server can do.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// It answers for parts of a file.
    pub ranges: bool,
    /// It says by what a change is known.
    pub etags: bool,
    /// It says when a file was changed.
    pub times: bool,
}

pub const GOOD: Manners = Manners {
    ranges: true,
    etags: true,
    times: true,
};

struct Page {
    content: Bytes,
    etag: String,
    modified: String,
}

struct Site {
    manners: Manners,
    pages: Mutex<HashMap<String, Page>>,
    puts: AtomicU32,
}

/// Serves files until it is dropped.
pub struct Website {
    pub network: Unreliable,
    site: Arc<Site>,
}

impl Website {
    pub async fn new(manners: Manners) -> Self {
        let site = Arc::new(Site {
            manners,
            pages: Mutex::default(),
            puts: AtomicU32::new(0),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&site));
        Self {
            network: Unreliable::new(router).await,
            site,
        }
    }

    /// Puts a file there; its ETag goes by its content, its time by how often this was called.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        let content = content.into();
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let page = Page {
            content,
            etag: format!("\"{:016x}\"", hasher.finish()),
            modified: format!(
                "Sat, 28 Nov 2026 00:00:{:02} GMT",
                self.site.puts.fetch_add(1, Ordering::Relaxed)
            ),
        };
        self.site.pages.lock().expect("pages").insert(path.to_owned(), page);
    }

    /// Changes a file, of which the server says nothing.
    pub fn tamper(&self, path: &str, content: impl Into<Bytes>) {
        self.site
            .pages
            .lock()
            .expect("pages")
            .get_mut(path)
            .expect("a page")
            .content = content.into();
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.network.url)
    }
}

async fn serve(State(site): State<Arc<Site>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let pages = site.pages.lock().expect("pages");
    let Some(page) = pages.get(uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Manners { ranges, etags, times } = site.manners;
    let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let other = etags && said(header::IF_MATCH).is_some_and(|etag| etag != page.etag);
    // The times differ in their last digits alone.
    let newer = times && said(header::IF_UNMODIFIED_SINCE).is_some_and(|time| page.modified.as_str() > time);
    if other || newer {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let mut answer = HeaderMap::new();
    let text = |text: &str| HeaderValue::from_str(text).expect("a header");
    if etags {
        answer.insert(header::ETAG, text(&page.etag));
    }
    if times {
        answer.insert(header::LAST_MODIFIED, text(&page.modified));
    }
    let size = page.content.len();
    let wanted = said(header::RANGE)
        .filter(|_| ranges)
        .map(|range| range_of(range, size));
    let (status, body) = match wanted {
        None => (StatusCode::OK, page.content.clone()),
        Some(None) => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        Some(Some(range)) => {
            let place = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            answer.insert(header::CONTENT_RANGE, text(&place));
            (StatusCode::PARTIAL_CONTENT, page.content.slice(range))
        }
    };
    // An answer to HEAD says how long the body would be.
    (status, answer, body).into_response()
}

/// What `bytes=A-B`, `bytes=A-` or `bytes=-N` means; `None` where there is no such part.
fn range_of(text: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => first..(last + 1).min(size),
        (Ok(first), Err(_)) => first..size,
        (Err(_), Ok(last)) => size.saturating_sub(last)..size,
        (Err(_), Err(_)) => return None,
    };
    (range.start < range.end).then_some(range)
}
