//! A worker's life: sessions under names of their own, one after the other, until it is told to stop or nothing is left to do.
//!
//! The queue's workers end at the first database error, and under its own monitor a process can stay alive without one. So each session
//! here is started anew, under a new name and after a growing pause, until the database was away for too long.

mod fetch;
mod pace;
mod session;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use ::session::{
    Hosts,
    database::{self, Commit, DatabaseError, Purpose},
};
use ledger::LedgerError;
use model::{ProcessName, QueueName};
use object_source::Allowed;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    listen,
    metrics::Metrics,
    notify::{Notifier, NotifyConfig, NotifyConfigError},
};
use session::SessionEnd;

/// The pause before the second start; doubled with each, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How often one of the runtime's threads is woken.
const WAKE_INTERVAL: Duration = Duration::from_millis(500);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Where the database is; the sessions' settings are added here.
    pub connect: Hosts,
    /// Chunks that are written to their targets at once; half as many more are fetched and parsed meanwhile.
    pub concurrency: u32,
    /// The queues that it serves, in turn; at least one.
    pub queues: Vec<QueueName>,
    /// End when nothing is left to do.
    pub drain: bool,
    /// How long running chunks may take to finish after the worker was told to stop.
    pub shutdown_timeout: Duration,
    /// How long the database may be away before the worker gives up.
    pub give_up_after: Duration,
    /// Starts without a recorded outcome, and real failures, after which a chunk is given up.
    pub max_attempts: u32,
    /// How long transient errors of a chunk are tried again.
    pub retry_for: Duration,
    /// How long one job may take.
    pub job_timeout: Duration,
    /// Where to answer whether this worker can work, and what it did; nowhere, without.
    pub listen: Option<SocketAddr>,
    /// How to tell the world of imports that end; without, that is left to others.
    pub notify: Option<NotifyConfig>,
    /// What it may read of what imports refer to.
    pub references: Allowed,
}

impl WorkerConfig {
    #[must_use]
    pub fn new(connect: impl Into<Hosts>) -> Self {
        Self {
            connect: connect.into(),
            concurrency: default_concurrency(),
            queues: vec![QueueName::default()],
            drain: false,
            shutdown_timeout: Duration::from_secs(30),
            give_up_after: Duration::from_secs(300),
            max_attempts: 5,
            retry_for: Duration::from_secs(3600),
            job_timeout: Duration::from_secs(600),
            listen: None,
            notify: None,
            references: Allowed::default(),
        }
    }
}

/// The number of cores.
#[must_use]
pub fn default_concurrency() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Why a worker ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Notify(#[from] NotifyConfigError),
    #[error("gave up after {} s without a working session", .after.as_secs())]
    GaveUp { after: Duration, source: SessionError },
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Store(#[from] LedgerError),
    #[error(transparent)]
    Jobs(#[from] queue::QueueError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot reach the database")]
    Connect(#[source] sqlx::Error),
    #[error("the database did not answer")]
    NoAnswer,
    #[error("the queue's worker ended")]
    Queue(#[source] apalis::prelude::WorkerError),
    #[error("other workers took this one for dead")]
    DeclaredDead,
}

/// Works until `stop` is cancelled, or, with `drain`, until nothing is left to do.
///
/// # Errors
/// [`WorkerError`]: at once when the schema or a privilege is missing or the role may only read, or after the database was away for too long.
pub async fn run(config: &WorkerConfig, stop: &CancellationToken) -> Result<(), WorkerError> {
    let _awake = keep_awake();
    let metrics = Arc::<Metrics>::default();
    let ended = CancellationToken::new();
    let _end = ended.clone().drop_guard();
    if let Some(address) = config.listen {
        let listening = listen::start(address, &metrics, &ended);
        let address = listening.map_err(|source| WorkerError::Listen { address, source })?;
        tracing::info!(%address, "listening: /healthz, /readyz, /metrics");
    }
    let notifier = match &config.notify {
        Some(notify) => Some(Arc::new(Notifier::new(notify, &metrics)?)),
        None => None,
    };
    let mut last_success = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut checked = false;
    loop {
        let Some(checking) = stop.run_until_cancelled(check(config, &mut checked)).await else {
            return Ok(());
        };
        let outcome = match checking {
            Ok(host) => session::run(config, host, &metrics, notifier.as_ref(), stop).await,
            // What is wrong with the settings does not pass by waiting; later on, somebody may be about to change them.
            Err(error) if !checked && is_refusal(&error) => return Err(error.into()),
            // A standby may be promoted; and what a worker could do once it is given back, as after an upgrade.
            Err(
                error @ (DatabaseError::Connect { .. }
                | DatabaseError::Version(_)
                | DatabaseError::Standby { .. }
                | DatabaseError::NoHost(_)),
            ) => SessionEnd {
                worked: false,
                outcome: Err(error.into()),
            },
            Err(error) if checked => SessionEnd {
                worked: false,
                outcome: Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        if outcome.worked {
            (last_success, pause) = (Instant::now(), FIRST_PAUSE);
        }
        match outcome.outcome {
            Ok(()) => return Ok(()),
            Err(error) if stop.is_cancelled() => {
                tracing::warn!(
                    error = ::session::describe_error(&error),
                    "the session had ended when the worker was told to stop"
                );
                return Ok(());
            }
            Err(source) if last_success.elapsed() > config.give_up_after => {
                return Err(WorkerError::GaveUp {
                    after: config.give_up_after,
                    source,
                });
            }
            Err(error) => {
                tracing::warn!(
                    error = ::session::describe_error(&error),
                    pause_ms = pause.as_millis(),
                    "starting again"
                );
            }
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        if stop.run_until_cancelled(tokio::time::sleep(jittered)).await.is_none() {
            return Ok(());
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Whether the server was reached, and does not let this role in: a wrong password, no such role or database, or none that may come from here.
fn is_refusal(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Connect { .. } => {
            ::session::sqlstate(error).is_some_and(|code| code.starts_with("28") || code == "3D000")
        }
        DatabaseError::NoHost(error) => !error.may_pass(),
        _ => false,
    }
}

/// A runtime of which one thread at least is left when one is stuck, on a single core too.
///
/// # Errors
/// Of the operating system.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if default_concurrency() < 2 {
        builder.worker_threads(2);
    }
    builder.enable_all().build()
}

/// Wakes one of the runtime's threads every now and then, until the returned value is dropped.
///
/// One thread of the runtime hears the sockets and the clock for all. When it takes a task from there that never yields, nobody does any
/// more, idle as the others are, until one of them is woken: heartbeats and deadlines would stop with the task.
fn keep_awake() -> mpsc::Sender<()> {
    let runtime = tokio::runtime::Handle::current();
    let (awake, ended) = mpsc::channel();
    std::thread::spawn(move || {
        while ended.recv_timeout(WAKE_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
            runtime.spawn(std::future::ready(()));
        }
    });
    awake
}

/// Chooses the host for a session, and checks the schema's version and the role's privileges once, and whether the server takes changes each
/// time. All that a session opens is with that host: after a failover there is another session.
async fn check(config: &WorkerConfig, checked: &mut bool) -> Result<Hosts, DatabaseError> {
    let host = database::whole(&config.connect, "a worker").await?;
    let session = database::session(host.clone(), &new_name(), Commit::Durable);
    if *checked {
        database::check_again(&session).await?;
    } else {
        database::check(&session, Purpose::Work).await?.close().await;
        *checked = true;
    }
    Ok(host)
}

/// A name that no process ever had.
fn new_name() -> ProcessName {
    ProcessName::new(
        crate::maintenance::WORKER_ROLE,
        &::session::host_name(),
        std::process::id(),
        rand::rng().random(),
    )
}
