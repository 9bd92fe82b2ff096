//! Buckets of an object store: moto, which answers as S3 does, behind a network that can be made to fail.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::sync::OnceCell;

use super::{Call, World, http, skipped::skipped_unless, unreliable::Unreliable, until};

/// Where moto's server is; `.ci/moto` installs it, and says.
const SERVER: &str = "PG_IMPORT_MOTO_SERVER";
/// Set where its absence is a fault.
const REQUIRED: &str = "PG_IMPORT_REQUIRE_MOTO";

/// What a person's own stores are known by; tests set theirs.
pub const SETTINGS: [&str; 18] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_ALLOW_HTTP",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SKIP_SIGNATURE",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_SAS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "PG_IMPORT_ALLOW_REFERENCE",
];

pub const ACCESS_KEY: &str = "AKIDOFTHETESTS012345";
pub const SECRET: &str = "s3cret/KeyOf+TheTests/0123456789abcdefgh";
pub const SESSION_TOKEN: &str = "s3cretSessionTokenOfTheTests0123456789";
/// moto looks no further than this.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDOFTHETESTS012345/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// Stops moto when this process is gone, by whatever end: it reads until nobody holds the other end of its input.
const WATCHER: &str = r#"log=$1; shift; "$@" >"$log" 2>&1 & read -r _; kill $!; rm -f "$log""#;

/// A bucket, or the end of a test for which there can be none.
macro_rules! bucket {
    () => {
        match $crate::support::objects::Bucket::new().await {
            Some(bucket) => bucket,
            None => return,
        }
    };
}
pub(crate) use bucket;

/// Where the moto of this process listens; `None`, and a word of it, where it is not installed.
async fn moto() -> Option<&'static str> {
    static SHARED: OnceCell<Option<String>> = OnceCell::const_new();
    let moto = SHARED.get_or_init(start).await.as_deref();
    if moto.is_none() {
        skipped_unless(REQUIRED, "moto is not installed (.ci/moto does it)");
    }
    moto
}

#[expect(clippy::zombie_processes, reason = "it outlives this process, to clean up after it")]
async fn start() -> Option<String> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/moto/bin/moto_server");
    let server = std::env::var_os(SERVER).map_or_else(|| PathBuf::from(default), PathBuf::from);
    if !server.exists() {
        return None;
    }
    let log = std::env::temp_dir().join(format!("pg_import-moto-{}.log", std::process::id()));
    File::create(&log).expect("a log");
    let mut watcher = Command::new("/bin/sh")
        .args(["-c", WATCHER, "watcher"])
        .args([&log, &server])
        .args(["-H", "127.0.0.1", "-p", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("to start moto");
    // Held until this process ends.
    std::mem::forget(watcher.stdin.take());
    let url = until("moto listens", async || {
        let words = fs::read_to_string(&log).ok()?;
        let (_, rest) = words.split_once("Running on ")?;
        Some(rest.lines().next()?.trim().to_owned())
    })
    .await;
    Some(url)
}

/// A bucket of its own, for one test.
pub struct Bucket {
    pub name: String,
    /// What the programs reach it through.
    pub network: Unreliable,
    origin: Origin,
}

impl Bucket {
    /// `None` where there is no moto.
    pub async fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let origin = Origin {
            url: moto().await?,
            client: http(),
        };
        let router = Router::new().fallback(forward).with_state(origin.clone());
        let bucket = Self {
            name: format!("bucket-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            network: Unreliable::new(router).await,
            origin,
        };
        bucket.ask(Method::PUT, "", Vec::new()).await;
        Some(bucket)
    }

    /// From now on, what is overwritten stays, as an earlier version.
    pub async fn keep_versions(&self) {
        let on = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
        self.ask(Method::PUT, "?versioning", on).await;
    }

    /// Puts an object there, past the network and its faults.
    pub async fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        self.ask(Method::PUT, &format!("/{key}"), content).await;
    }

    pub async fn delete(&self, key: &str) {
        self.ask(Method::DELETE, &format!("/{key}"), Vec::new()).await;
    }

    async fn ask(&self, method: Method, what: &str, body: impl Into<Vec<u8>>) {
        let url = format!("{}/{}{what}", self.origin.url, self.name);
        let request = self.origin.client.request(method, &url).body(body.into());
        let request = request
            .header(header::AUTHORIZATION, AUTHORIZATION)
            .header(header::CONTENT_TYPE, "application/octet-stream");
        let answer = request.send().await.expect("an answer of moto");
        assert!(answer.status().is_success(), "{url}: {answer:?}");
    }

    /// An object's address.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// What a program reaches this bucket by.
    pub fn settings(&self) -> [(&str, &str); 6] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.network.url),
            ("AWS_ALLOW_HTTP", "true"),
        ]
    }
}

impl Call {
    /// A program that may read from a bucket.
    pub fn with(self, bucket: &Bucket) -> Self {
        self.envs(bucket.settings())
    }
}

#[derive(Clone)]
struct Origin {
    url: &'static str,
    client: reqwest::Client,
}

/// Passes a request on to moto, and looks, in its place, whether it is signed by somebody that is known.
async fn forward(State(origin): State<Origin>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let said = parts.headers.get(header::AUTHORIZATION);
    let said = said.map(|said| said.to_str().expect("text").to_owned());
    // Other stores' clients may ask without a signature.
    if said.is_some_and(|said| !said.contains(ACCESS_KEY)) {
        let words = "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does not exist \
                     in our records.</Message></Error>";
        return (StatusCode::FORBIDDEN, words).into_response();
    }
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    headers.insert(header::AUTHORIZATION, AUTHORIZATION.parse().expect("a header"));
    // Google's client encodes more than moto decodes.
    let encoded = [("%2F", "/"), ("%2D", "-"), ("%2E", "."), ("%5F", "_"), ("%7E", "~")];
    let path = encoded.iter().fold(parts.uri.path().to_owned(), |path, (code, text)| {
        path.replace(code, text)
    });
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let request = origin
        .client
        .request(parts.method, format!("{}{path}{query}", origin.url))
        .headers(headers);
    let answer = request.send().await.expect("an answer of moto");
    let (status, headers) = (answer.status(), kept(answer.headers()));
    let body = answer.bytes().await.expect("an answer of moto");
    (status, headers, Body::from(body)).into_response()
}

/// The headers that are about the object, not about the connection.
fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for of_the_connection in [header::CONNECTION, header::TRANSFER_ENCODING, header::DATE] {
        headers.remove(of_the_connection);
    }
    headers
}

/// Orders with names so long that a few of them make many bytes: less than 1,000 to the MiB.
pub fn long_orders(shop: &str, rows: usize) -> String {
    let mut text = "PointOfSale;Product;Date;Stock\n".to_owned();
    let name = "x".repeat(1024);
    for row in 0..rows {
        text.push_str(&format!("{shop};{row} {name};2025-01-{:02};{row}\n", row % 28 + 1));
    }
    text
}

impl World {
    /// Every row of the ledger and the queue, as text.
    pub async fn all_that_is_stored(&self) -> String {
        let tables =
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('pgimport', 'apalis')";
        let mut all = self.texts("SELECT convert_from(job, 'UTF8') FROM apalis.jobs").await;
        for table in self.texts(tables).await {
            all.extend(self.content(&table).await);
        }
        all.join("\n")
    }
}
