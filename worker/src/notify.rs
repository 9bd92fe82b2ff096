//! Telling the world of an import's end: messages that the ledger owes are sent, signed as Standard Webhooks has it, and again after growing
//! pauses until they are taken or given up.
//!
//! Beside the load and never in its way: a task of its own, with a connection of its own. Any worker that has the secret sends.

mod message;
mod networks;

use std::{
    env, fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use connect::{ConnectArgs, ConnectError};
use ledger::{
    LedgerError,
    deliveries::{self, Delivery, Wanted},
};
use model::NotifyUrl;
use rand::RngExt as _;
use reqwest::{Client, StatusCode, redirect::Policy};
use sqlx::PgPool;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Metrics, SendOutcome};
use message::Message;
pub use networks::Networks;
use networks::{Refused, Resolver};

/// With what messages are signed.
pub const SECRET_VARIABLE: &str = "PG_IMPORT_NOTIFY_SECRET";
/// The staging's file with the same.
pub const SECRET_FILE: &str = ".notify.secret";
/// Networks beyond the public internet that messages may go to.
pub const ALLOW_VARIABLE: &str = "PG_IMPORT_NOTIFY_ALLOW";

/// How often it is looked for what is due.
const INTERVAL: Duration = Duration::from_secs(1);
/// Messages that are sent at once, and those of them to one host.
const AT_ONCE: usize = 32;
const AT_ONCE_OF_HOST: i64 = 4;
/// How often a message may end its worker.
const MOST_UNHEARD: i32 = 20;
/// How long a receiver may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a claimed message is nobody else's: well beyond the time that sending it may take.
const LEASE: Duration = Duration::from_secs(30);
/// What passes after each failed attempt, about; after the last it is given up. Those that Standard Webhooks recommends: three days in all.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// With what a worker signs, and where to it may send.
#[derive(Debug, Clone)]
pub struct NotifyConfig {
    pub secret: NotifySecret,
    pub allowed: Networks,
}

/// Why messages could not be signed, or where to they might go.
#[derive(Debug, thiserror::Error)]
pub enum NotifyConfigError {
    #[error("{origin} cannot be used: {SECRET_FORM}")]
    Secret { origin: String },
    #[error("{ALLOW_VARIABLE} cannot be used: {0}")]
    Allowed(String),
    #[error("{0} is not valid UTF-8")]
    NotUnicode(&'static str),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("messages could not be sent over HTTP")]
    Client(#[source] reqwest::Error),
}

const SECRET_FORM: &str =
    "expected whsec_ and the Base64 of 24 bytes or more, as `echo whsec_$(openssl rand -base64 32)` makes it";
/// **Characters** of 24 bytes in Base64.
const SECRET_LENGTH: usize = 32;

/// The secret that receivers share.
#[derive(Clone)]
pub struct NotifySecret(Arc<Webhook>);

impl fmt::Debug for NotifySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifySecret").finish_non_exhaustive()
    }
}

impl FromStr for NotifySecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let long_enough = text.trim_start_matches("whsec_").trim_end_matches('=').len() >= SECRET_LENGTH;
        match Webhook::new(text) {
            Ok(webhook) if long_enough => Ok(Self(Arc::new(webhook))),
            _ => Err(SECRET_FORM),
        }
    }
}

impl NotifyConfig {
    /// The secret is the environment's, or else the staging's; without any, this worker sends nothing, and leaves it to others.
    ///
    /// # Errors
    /// [`NotifyConfigError`], naming the setting at fault; the secret is never part of it.
    pub fn find(connect: &ConnectArgs, allowed: Networks) -> Result<Option<Self>, NotifyConfigError> {
        let (origin, text) = match (variable(SECRET_VARIABLE)?, connect.staging_file(SECRET_FILE)?) {
            (Some(text), _) => (SECRET_VARIABLE.to_owned(), text),
            (None, Some((path, text))) => (path.display().to_string(), text),
            (None, None) => return Ok(None),
        };
        let secret = text.parse().map_err(|_| NotifyConfigError::Secret { origin })?;
        Ok(Some(Self { secret, allowed }))
    }

    /// The same, with the networks that the environment allows.
    ///
    /// # Errors
    /// [`NotifyConfigError`], naming the setting at fault.
    pub fn from_environment(connect: &ConnectArgs) -> Result<Option<Self>, NotifyConfigError> {
        let allowed = variable(ALLOW_VARIABLE)?.unwrap_or_default();
        Self::find(connect, allowed.parse().map_err(NotifyConfigError::Allowed)?)
    }
}

fn variable(name: &'static str) -> Result<Option<String>, NotifyConfigError> {
    match env::var(name) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text)),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(NotifyConfigError::NotUnicode(name)),
    }
}

/// Sends what is due.
pub(crate) struct Notifier {
    secret: NotifySecret,
    allowed: Networks,
    /// They differ in the addresses that they find.
    encrypted: Client,
    clear: Client,
    metrics: Arc<Metrics>,
}

/// What keeps a message from being delivered.
struct Undelivered {
    /// For whoever submitted: nothing that only the worker's network knows.
    error: String,
    /// For those who run workers.
    detail: Option<String>,
    /// The receiver wants none ever again.
    for_good: bool,
}

impl Undelivered {
    fn for_now(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            detail: None,
            for_good: false,
        }
    }

    fn for_good(error: impl Into<String>) -> Self {
        Self {
            for_good: true,
            ..Self::for_now(error)
        }
    }
}

impl Notifier {
    pub(crate) fn new(config: &NotifyConfig, metrics: &Arc<Metrics>) -> Result<Self, NotifyConfigError> {
        // Somebody else in this process may have said the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = |encrypted: bool| {
            let allowed = config.allowed.clone();
            Client::builder()
                .user_agent(concat!("pg_import/", env!("CARGO_PKG_VERSION")))
                .timeout(SEND_TIMEOUT)
                // Neither leads to an address that was not checked.
                .redirect(Policy::none())
                .no_proxy()
                .dns_resolver(Resolver { allowed, encrypted })
                .pool_max_idle_per_host(0)
                .build()
                .map_err(NotifyConfigError::Client)
        };
        Ok(Self {
            secret: config.secret.clone(),
            allowed: config.allowed.clone(),
            encrypted: client(true)?,
            clear: client(false)?,
            metrics: Arc::clone(metrics),
        })
    }

    /// Sends what is due until `stop`, and then what nobody has tried to send yet: nobody may be there after this worker to tell of what it
    /// ended. A message that takes its time keeps none for other hosts waiting.
    pub(crate) async fn run(self: Arc<Self>, pool: PgPool, stop: CancellationToken) {
        let mut sending = Sending::default();
        loop {
            let stopping = stop.is_cancelled();
            if let Err(error) = self.send_due(&pool, &mut sending, stopping).await {
                tracing::warn!(
                    error = session::describe_error(&error),
                    "notifications could not be sent"
                );
            }
            if stopping && sending.tasks.is_empty() {
                return;
            }
            tokio::select! {
                () = sending.one_ends() => {}
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Begins to send what is due, as far as there is room.
    async fn send_due(self: &Arc<Self>, pool: &PgPool, sending: &mut Sending, fresh: bool) -> Result<(), LedgerError> {
        let room = AT_ONCE - sending.tasks.len();
        if room == 0 {
            return Ok(());
        }
        let wanted = Wanted {
            most: i64::try_from(room).unwrap_or(i64::MAX),
            most_of_host: AT_ONCE_OF_HOST,
            without: &sending.hosts,
            fresh,
        };
        let due = deliveries::claim(&mut *pool.acquire().await?, wanted, LEASE).await?;
        fail::fail_point!("after-notify-claim", !due.is_empty(), |_| Ok(()));
        for delivery in due {
            let (this, pool) = (Arc::clone(self), pool.clone());
            sending.hosts.push(delivery.host.clone());
            sending.tasks.spawn(async move {
                if let Err(error) = this.deliver(&pool, &delivery).await {
                    tracing::warn!(
                        error = session::describe_error(&error),
                        "what came of a notification could not be written down: it will be sent again"
                    );
                }
                delivery.host
            });
        }
        Ok(())
    }

    async fn deliver(&self, pool: &PgPool, delivery: &Delivery) -> Result<(), LedgerError> {
        let outcome = if delivery.unheard() > MOST_UNHEARD {
            Err(Undelivered::for_good(
                "workers ended again and again while they sent it",
            ))
        } else {
            self.send(delivery).await
        };
        fail::fail_point!("after-notify-send");
        let import = delivery.end.import;
        let mut conn = pool.acquire().await?;
        let Err(Undelivered {
            error,
            detail,
            for_good,
        }) = outcome
        else {
            deliveries::delivered(&mut conn, delivery).await?;
            self.metrics.sent(SendOutcome::Delivered);
            tracing::debug!(%import, message = delivery.message_id, "notification delivered");
            return Ok(());
        };
        let attempt = delivery.attempts + 1;
        let pause = pause_after(attempt).filter(|_| !for_good);
        deliveries::failed(&mut conn, delivery, &error, pause).await?;
        let (outcome, next) = match pause {
            Some(pause) => (SendOutcome::Failed, format!("in {} s", pause.as_secs())),
            None => (SendOutcome::GivenUp, "never".to_owned()),
        };
        self.metrics.sent(outcome);
        tracing::warn!(%import, message = delivery.message_id, attempt, error, detail, next, "a notification was not delivered");
        Ok(())
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), Undelivered> {
        let url: NotifyUrl = delivery
            .url
            .parse()
            .map_err(|error| Undelivered::for_good(format!("the address cannot be used: {error}")))?;
        let encrypted = url.is_encrypted();
        // An address in numbers is not looked up, so that the resolver does not see it.
        if let Some(address) = url.ip() {
            let checked = self.allowed.check(address, encrypted);
            checked.map_err(|refused| Undelivered::for_now(refused.to_string()))?;
        }
        let body = serde_json::to_string(&Message::from(&delivery.end));
        let body = body.map_err(|error| Undelivered::for_now(error.to_string()))?;
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let timestamp = i64::try_from(seconds).unwrap_or(i64::MAX);
        let signature = self.secret.0.sign(&delivery.message_id, timestamp, body.as_bytes());
        let client = if encrypted { &self.encrypted } else { &self.clear };
        let request = client
            .post(url.expose().clone())
            .header("content-type", "application/json")
            .header(HEADER_WEBHOOK_ID, &delivery.message_id)
            .header(HEADER_WEBHOOK_TIMESTAMP, timestamp)
            .header(
                HEADER_WEBHOOK_SIGNATURE,
                signature.map_err(|error| Undelivered::for_now(error.to_string()))?,
            )
            .body(body);
        // The address may hold a secret.
        let answer = request.send().await.map_err(|error| describe(error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Undelivered::for_good(
                "the receiver answered 410 Gone: it wants no more",
            )),
            status if status.is_redirection() => Err(Undelivered::for_now(format!(
                "the receiver answered {status}: redirections are not followed"
            ))),
            status => Err(Undelivered::for_now(format!("the receiver answered {status}"))),
        }
    }
}

/// What is being sent, and to which hosts: each as often as messages are.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<String>,
    hosts: Vec<String>,
}

impl Sending {
    /// Waits for the next end; for ever, when nothing is sent.
    async fn one_ends(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(host)) => {
                if let Some(index) = self.hosts.iter().position(|other| *other == host) {
                    self.hosts.swap_remove(index);
                }
            }
            // Nobody knows whose task it was: its host is free when all are.
            Some(Err(_)) if self.tasks.is_empty() => self.hosts.clear(),
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }
}

fn describe(error: reqwest::Error) -> Undelivered {
    if error.is_timeout() {
        return Undelivered::for_now(format!("no answer within {} s", SEND_TIMEOUT.as_secs()));
    }
    if let Some(refused) = refusal(&error) {
        return Undelivered::for_now(refused.to_string());
    }
    let error_to_tell = if error.is_connect() {
        "no connection could be made (the worker's log says why)"
    } else {
        "the connection broke off (the worker's log says why)"
    };
    Undelivered {
        detail: Some(session::describe_error(&error)),
        ..Undelivered::for_now(error_to_tell)
    }
}

/// Why the resolver refused a host, if it did.
fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// What passes after so many attempts, all of them failed: not the same for all that failed together. `None` when that were enough.
fn pause_after(attempts: i32) -> Option<Duration> {
    let index = usize::try_from(attempts).ok()?.checked_sub(1)?;
    Some(PAUSES.get(index)?.mul_f64(rand::rng().random_range(0.8..1.2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_about_those_that_are_meant_and_end() {
        let pauses: Vec<Duration> = (1..).map_while(pause_after).collect();
        assert_eq!(pauses.len(), PAUSES.len());
        for (pause, meant) in std::iter::zip(pauses, PAUSES) {
            assert!(
                pause >= meant.mul_f64(0.8) && pause <= meant.mul_f64(1.2),
                "{pause:?} {meant:?}"
            );
        }
        assert_eq!(pause_after(0), None);
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        let secret = format!("whsec_{}", "QUJD".repeat(8));
        let parsed: NotifySecret = secret.parse().unwrap();
        assert!(!format!("{parsed:?}").contains("QUJD"));
        assert!(format!("{secret}\n").parse::<NotifySecret>().is_ok());
        for bad in ["", "whsec_", "whsec_QUJD", &format!("whsec_{}", "!".repeat(40))] {
            assert!(bad.parse::<NotifySecret>().is_err(), "{bad}");
        }
    }
}
