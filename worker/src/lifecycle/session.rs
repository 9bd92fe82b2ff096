//! One session of a worker: registered under one name, with the queue's workers, a heartbeat and maintenance, until one of them ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use apalis::prelude::{BackendExt as _, Codec, Data, WorkerBuilder, WorkerBuilderExt as _, WorkerContext};
use apalis_core::backend::queue::Queue as TaskQueue;
use apalis_postgres::{Config, InsertEvent};
use futures::channel::mpsc as wakeups;
use ledger::{
    LedgerError, imports,
    workers::{self, NewWorker, Standing},
};
use model::{Lane, ProcessName, QueueName};
use object_source::{Address, Allowed};
use queue::{self, HEARTBEAT, INSERT_CHANNEL, QUEUE};
use session::{
    Hosts,
    database::{self, Commit},
};
use sqlx::{PgPool, postgres::PgListener};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{SessionError, WorkerConfig, fetch::Queues, pace::Pace};
use crate::{
    jobs::{self, JobContext},
    maintenance,
    metrics::Metrics,
    notify::Notifier,
};

/// Jobs that one of the queue's workers runs at once. Its event channel holds four with a batch of one; above that, a graceful stop never
/// ends and loses its acknowledgements.
const JOBS_PER_QUEUE_WORKER: u32 = 4;
/// The queue's tables grow by thousands of rows within seconds, and a plan that was kept from before would read them whole each time.
const INDEXES_ONLY: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];
/// How long abandoned jobs get to give their attempts back.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a worker may take to say that it ends, on a server that is busy.
const SIGN_OFF_TIMEOUT: Duration = Duration::from_secs(3);
/// How long each further step of an ending may take: what is left undone, others find within seconds.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a session may take to begin: a host that swallows packets must not hold up a stop, or the count of failures.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the database gets to answer a heartbeat; two that are not answered make a worker stale for the others too.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an end waits for the last notifications.
const LAST_SENDS_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a draining worker looks whether anything is left.
const DRAIN_INTERVAL: Duration = Duration::from_millis(200);

/// How a session went.
pub(super) struct SessionEnd {
    /// Whether it got as far as to work.
    pub worked: bool,
    pub outcome: Result<(), SessionError>,
}

/// Runs one session with one host until `stop`, or, with `drain`, until nothing is left to do.
pub(super) async fn run(
    config: &WorkerConfig,
    host: Hosts,
    metrics: &Arc<Metrics>,
    notifier: Option<&Arc<Notifier>>,
    stop: &CancellationToken,
) -> SessionEnd {
    let name = super::new_name();
    let start = timeout(START_TIMEOUT, Session::start(config, &host, &name));
    let Some(started) = stop.run_until_cancelled(start).await else {
        return SessionEnd {
            worked: false,
            outcome: Ok(()),
        };
    };
    match started.unwrap_or(Err(SessionError::NoAnswer)) {
        Ok(session) => SessionEnd {
            worked: true,
            outcome: session.run(config, metrics, notifier, stop).await,
        },
        Err(error) => SessionEnd {
            worked: false,
            outcome: Err(error),
        },
    }
}

struct Session {
    name: ProcessName,
    queue_workers: Vec<String>,
    /// For the ledger, the queue and maintenance.
    pool: PgPool,
    /// For what is written to targets.
    loaders: PgPool,
    /// For the heartbeat alone: no load may keep it waiting.
    heartbeat: database::Session,
    listener: PgListener,
    /// How another one for it is opened.
    ledger: Hosts,
}

impl Session {
    async fn start(config: &WorkerConfig, host: &Hosts, name: &ProcessName) -> Result<Self, SessionError> {
        let ledger = database::session(host.clone(), name, Commit::Deferred);
        let mut heartbeat = ledger.connect().await.map_err(SessionError::Connect)?;
        let new = NewWorker {
            name,
            host: &session::host_name(),
            pid: std::process::id(),
            concurrency: config.concurrency,
            queues: &config.queues,
            reads_references: config.references != Allowed::None,
            version: env!("CARGO_PKG_VERSION"),
        };
        workers::register(&mut heartbeat, &new).await?;
        let unreadable = queue::set_aside_unreadable(&mut heartbeat).await?;
        if unreadable > 0 {
            tracing::warn!(jobs = unreadable, "jobs that pg_import did not add were set aside");
        }
        let queue_workers = jobs_at_once(config.concurrency).div_ceil(JOBS_PER_QUEUE_WORKER).max(1);
        // Triggers and defaults of the targets may count on the role's own search path.
        let of_role = database::role_session(host.clone(), name, Commit::Deferred);
        let loaders = database::pool(of_role, config.concurrency).of_one_host();
        // Each of the queue's workers has one for fetching and one for its heartbeat; maintenance two, the listener, the look at what is
        // left and notifications one each. The jobs share the others: they need one for moments only.
        let notifying = u32::from(config.notify.is_some());
        let pool = database::pool(
            ledger.clone().with(INDEXES_ONLY),
            2 * queue_workers + 4 + notifying + config.concurrency,
        )
        .of_one_host();
        let mut listener = PgListener::connect_with(&pool).await.map_err(SessionError::Connect)?;
        listener.listen(INSERT_CHANNEL).await.map_err(SessionError::Connect)?;
        Ok(Self {
            name: name.clone(),
            queue_workers: (0..queue_workers).map(|n| format!("{name}#{n}")).collect(),
            pool,
            loaders,
            heartbeat,
            listener,
            ledger,
        })
    }

    async fn run(
        self,
        config: &WorkerConfig,
        metrics: &Arc<Metrics>,
        notifier: Option<&Arc<Notifier>>,
        stop: &CancellationToken,
    ) -> Result<(), SessionError> {
        let Self {
            name,
            queue_workers,
            pool,
            loaders,
            heartbeat,
            listener,
            ledger,
        } = self;
        let queues: Vec<&str> = config.queues.iter().map(QueueName::as_str).collect();
        tracing::info!(worker = %name, concurrency = config.concurrency, queues = queues.join(","), "worker ready");
        let context = Arc::new(JobContext::new(
            pool.clone(),
            loaders.clone(),
            name.clone(),
            config,
            Arc::clone(metrics),
        ));
        metrics.heard();
        let ended = CancellationToken::new();
        let (wakers, wakeups): (Vec<_>, Vec<_>) = queue_workers.iter().map(|_| wakeups::channel::<()>(1)).unzip();
        let mut helpers = JoinSet::new();
        let queues: Vec<Vec<String>> = config
            .queues
            .iter()
            .map(|queue| job_types(queue, &config.references))
            .collect();
        helpers.spawn(forward_announcements(listener, queues.concat(), wakers));
        let (standing, senior) = watch::channel(false);
        helpers.spawn(maintenance::run(pool.clone(), senior, ended.clone()));
        let told = CancellationToken::new();
        let mut telling = JoinSet::new();
        if let Some(notifier) = notifier {
            telling.spawn(Arc::clone(notifier).run(pool.clone(), told.clone()));
        }
        let mut heartbeat = tokio::spawn(beat(
            heartbeat,
            ledger,
            name.clone(),
            queue_workers.clone(),
            Arc::clone(metrics),
            standing,
            ended.clone(),
        ));
        let mut queue = Queue::start(&queue_workers, &queues, wakeups, config.concurrency, &pool, context);
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = drained(&pool, config) => Ok(()),
            Some(ended) = queue.workers.join_next() => Err(match ended {
                Ok(Err(error)) => SessionError::Queue(error),
                _ => SessionError::DeclaredDead,
            }),
            beat = &mut heartbeat => beat.unwrap_or(Err(SessionError::DeclaredDead)),
        };
        // After a loss of the session its jobs have nothing to wait for: others have them.
        let patience = if outcome.is_ok() {
            config.shutdown_timeout
        } else {
            Duration::ZERO
        };
        queue.stop(patience).await;
        told.cancel();
        let patience = if outcome.is_ok() {
            LAST_SENDS_TIMEOUT
        } else {
            Duration::ZERO
        };
        if timeout(patience, join_all(&mut telling)).await.is_err() {
            tracing::debug!("notifications are left to others");
        }
        telling.abort_all();
        ended.cancel();
        drop(timeout(FAREWELL_TIMEOUT, helpers.shutdown()).await);
        heartbeat.abort();
        metrics.unheard();
        // Others can take at once what this worker did not finish. After an error the database may hear it all the same.
        let farewell = timeout(SIGN_OFF_TIMEOUT, sign_off(&pool, &name, &queue_workers)).await;
        if !matches!(farewell, Ok(Ok(()))) {
            tracing::warn!(worker = %name, "could not sign off; others will notice within seconds");
        }
        drop(timeout(FAREWELL_TIMEOUT, async { tokio::join!(loaders.close(), pool.close()) }).await);
        outcome
    }
}

/// The queue's workers of a session.
struct Queue {
    workers: JoinSet<Result<(), apalis::prelude::WorkerError>>,
    stops: Vec<WorkerContext>,
    context: Arc<JobContext>,
}

impl Queue {
    fn start(
        names: &[String],
        queues: &[Vec<String>],
        wakeups: Vec<wakeups::Receiver<()>>,
        concurrency: u32,
        pool: &PgPool,
        context: Arc<JobContext>,
    ) -> Self {
        let (mut workers, mut stops) = (JoinSet::new(), Vec::new());
        let slots = split_evenly(jobs_at_once(concurrency), names.len());
        for (n, ((name, wakeups), slots)) in std::iter::zip(names, wakeups).zip(slots).enumerate() {
            let worker_context = WorkerContext::new(name);
            stops.push(worker_context.clone());
            let queues = Queues::new(pool, queue_config(), queues, n, Pace::new(wakeups));
            workers.spawn(work(worker_context, queues, slots, Arc::clone(&context)));
        }
        Self {
            workers,
            stops,
            context,
        }
    }

    /// Takes no new job and lets those that run finish; abandons them when that takes too long. Ends in any case.
    async fn stop(&mut self, patience: Duration) {
        self.context.closing.cancel();
        for worker in &self.stops {
            // An error means that it stopped already.
            drop(worker.stop());
        }
        if timeout(patience, join_all(&mut self.workers)).await.is_ok() {
            return;
        }
        self.context.abandon.cancel();
        drop(timeout_at(Instant::now() + ABANDON_TIMEOUT, join_all(&mut self.workers)).await);
        // A task that never yields cannot be ended; it is left behind, and what it still writes is decided by the chunk's row.
        drop(timeout(FAREWELL_TIMEOUT, self.workers.shutdown()).await);
    }
}

/// What the jobs of a queue are called that a worker takes.
fn job_types(queue: &QueueName, references: &Allowed) -> Vec<String> {
    let lane = |by_reference| queue::job_type(&Lane::new(queue.clone(), by_reference));
    match references {
        Allowed::None => vec![lane(false)],
        Allowed::Below(_) | Allowed::All => vec![lane(false), lane(true)],
    }
}

fn queue_config() -> Config {
    // A batch of one: prefetched jobs would starve the heartbeats and acknowledgements of those that run.
    Config::default()
        .queue(QUEUE)
        .batch_size(1)
        // It need not say more often that it lives: `beat` does. What counts for its rescues is the product of the two.
        .heartbeat_interval(queue::stale_after())
        .missed_heartbeats(1)
}

/// Runs one of the queue's workers.
async fn work(
    name: WorkerContext,
    queues: Queues,
    concurrency: usize,
    context: Arc<JobContext>,
) -> Result<(), apalis::prelude::WorkerError> {
    let worker = WorkerBuilder::new(name)
        .backend(queues.with_codec(AsTheyAre))
        .concurrency(concurrency)
        .data(context)
        .build(handle);
    worker.run().await
}

async fn handle(arguments: Vec<u8>, queue: TaskQueue, context: Data<Arc<JobContext>>) {
    jobs::run(&context, queue.as_ref(), &arguments).await;
}

/// Leaves a job's bytes to the handler. An error of the queue's own codec would end the worker, and then, the job being given back, every
/// other one.
struct AsTheyAre;

impl Codec<Vec<u8>> for AsTheyAre {
    type Error = Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, bytes: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(bytes.clone())
    }

    fn decode(&self, bytes: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(bytes.clone())
    }
}

/// Tells every one of the queue's workers of each job that is announced in a queue they serve; the first to ask has it.
async fn forward_announcements(mut listener: PgListener, job_types: Vec<String>, mut wakers: Vec<wakeups::Sender<()>>) {
    // An error ends the announcements, not the work: the interval goes on, and a lost database ends the session elsewhere.
    while let Ok(announced) = listener.recv().await {
        let event = serde_json::from_str::<InsertEvent>(announced.payload());
        if event.is_ok_and(|event| !job_types.contains(&event.job_type)) {
            continue;
        }
        for waker in &mut wakers {
            // Full means that it is awake.
            drop(waker.try_send(()));
        }
    }
}

/// Says that this worker lives, for as long as it does and the database hears it.
async fn beat(
    mut conn: database::Session,
    ledger: Hosts,
    name: ProcessName,
    queue_workers: Vec<String>,
    metrics: Arc<Metrics>,
    senior: watch::Sender<bool>,
    ended: CancellationToken,
) -> Result<(), SessionError> {
    let mut last = Instant::now();
    let mut interval = tokio::time::interval(HEARTBEAT);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while ended.run_until_cancelled(interval.tick()).await.is_some() {
        let heartbeat = workers::heartbeat(&mut conn, &name, &queue_workers, maintenance::SENIORS);
        match timeout(HEARTBEAT_TIMEOUT, heartbeat).await {
            Ok(Ok(Standing::Gone)) => return Err(SessionError::DeclaredDead),
            Ok(Ok(standing)) => {
                last = Instant::now();
                metrics.heard();
                senior.send_replace(standing == Standing::Senior);
            }
            Ok(Err(error)) if last.elapsed() > queue::stale_after() => return Err(error.into()),
            Err(_) if last.elapsed() > queue::stale_after() => return Err(SessionError::DeclaredDead),
            Ok(Err(_)) | Err(_) => {
                if let Ok(Ok(fresh)) = timeout(HEARTBEAT_TIMEOUT, ledger.connect()).await {
                    conn = fresh;
                }
            }
        }
    }
    Ok(())
}

/// Returns when nothing is left to do in the worker's queues; never without `drain`.
async fn drained(pool: &PgPool, config: &WorkerConfig) {
    let may_read = |address: &str| Address::read(address).is_ok_and(|address| config.references.allows(&address));
    loop {
        tokio::time::sleep(DRAIN_INTERVAL).await;
        if !config.drain {
            std::future::pending::<()>().await;
        }
        let Ok(mut conn) = pool.acquire().await else {
            continue;
        };
        if matches!(imports::any_open(&mut conn, &config.queues, may_read).await, Ok(false)) {
            return;
        }
    }
}

async fn join_all<T: 'static>(set: &mut JoinSet<T>) {
    while set.join_next().await.is_some() {}
}

/// Gives back the jobs that this worker still holds, and its name.
async fn sign_off(pool: &PgPool, name: &ProcessName, queue_workers: &[String]) -> Result<(), LedgerError> {
    let mut conn = pool.acquire().await?;
    queue::release(&mut conn, queue_workers).await?;
    workers::remove(&mut conn, name).await
}

/// Jobs that run at once: as many as may write, and some that fetch and parse what is written next.
fn jobs_at_once(concurrency: u32) -> u32 {
    concurrency + concurrency.div_ceil(2)
}

/// `total` in `parts` that differ by one at most.
fn split_evenly(total: u32, parts: usize) -> impl Iterator<Item = usize> {
    let (total, parts) = (usize::try_from(total).unwrap_or(usize::MAX), parts.max(1));
    (0..parts).map(move |part| total / parts + usize::from(part < total % parts))
}

#[cfg(test)]
mod tests {
    use super::split_evenly;

    #[test]
    fn slots_are_split_evenly_and_none_is_lost() {
        assert_eq!(split_evenly(5, 2).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(split_evenly(8, 2).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(split_evenly(1, 1).collect::<Vec<_>>(), [1]);
    }
}
