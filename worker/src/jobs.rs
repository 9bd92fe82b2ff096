//! What a worker does with a job: decode it, do it, and settle what came of it on the chunk.
//!
//! A handler never fails towards the queue: the queue would fetch the job again at once, or for ever. What has to be tried again gets
//! a new job that waits; what that cannot be written for, because the database is gone, maintenance finds again.

mod cancel_import;
mod delete_chunk;
mod load_chunk;
mod outcome;
mod referenced;
mod split_segment;
mod sweep;

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use ledger::{LedgerError, wakeups};
use model::{ImportId, Limit, ProcessName, QueueName, Span};
use object_source::{Object, Stores};
use queue::{Job, JobError};
use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::sync::{RwLock, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

pub use outcome::Failure;

use crate::{
    WorkerConfig,
    load::{plan::LoadPlan, shape::RecordShape},
    metrics::Metrics,
};

/// What every job may need.
pub struct JobContext {
    /// Sessions for the ledger and the queue: short statements, whatever the targets do.
    pub pool: PgPool,
    /// Sessions that write to targets, one for each chunk that may do so at once: few that stay, for each new one has to read the catalog
    /// and map the server's memory first.
    loaders: PgPool,
    pub worker: ProcessName,
    /// The queues whose imports it loads.
    pub queues: Vec<QueueName>,
    /// Starts without a recorded outcome, and real failures, after which a chunk is given up.
    pub max_attempts: u32,
    /// How long transient errors are tried again.
    pub retry_for: Duration,
    /// How long one job may take.
    pub job_timeout: Duration,
    /// Ends the jobs that run, without trace.
    pub abandon: CancellationToken,
    /// One for each of `loaders`. More chunks are fetched and parsed ahead, so that the database need not wait.
    turns: Semaphore,
    /// Shared by chunks that are worked on beside others, held by one that may be what ended a worker.
    isolation: RwLock<()>,
    /// No chunk waits any more to run alone.
    pub closing: CancellationToken,
    plans: Mutex<HashMap<ImportId, Arc<ImportPlan>>>,
    /// What chunks before were decompressed in, of whatever import: no more of them than chunks that are read at once.
    spare_rooms: Mutex<Vec<Vec<u8>>>,
    /// What this process did.
    pub metrics: Arc<Metrics>,
    /// For what imports refer to, as far as it may be read.
    pub stores: Stores,
}

/// How the chunks of an import are parsed and loaded.
pub struct ImportPlan {
    pub max_rejects: Option<Limit>,
    /// Whether a chunk that is loaded brings the next into line.
    pub advances: bool,
    pub shape: RecordShape,
    pub load: LoadPlan,
    /// Its inputs, in their order, where the ledger has no bytes of them.
    pub objects: Vec<Object>,
}

impl ImportPlan {
    /// What a chunk that lies at `span` is read from, where the ledger has no bytes of it.
    fn object_of(&self, span: Span) -> Result<Option<&Object>, Failure> {
        if self.objects.is_empty() {
            return Ok(None);
        }
        let input = usize::try_from(span.start.input).ok();
        let object = input.and_then(|input| self.objects.get(input));
        object
            .map(Some)
            .ok_or_else(|| Failure::Permanent(format!("where its input {} is, is not known", span.start.input)))
    }
}

/// A session for a job: closed when the job does not come to its end, however that happens. It may be within a statement then, or hold
/// the lock under which ids are taken.
pub(crate) struct JobConnection<'a> {
    conn: Option<PoolConnection<Postgres>>,
    _turn: Option<SemaphorePermit<'a>>,
}

impl JobConnection<'_> {
    /// For the next job.
    pub fn give_back(mut self) {
        drop(self.conn.take());
    }
}

impl Deref for JobConnection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.conn.as_ref().expect("taken only when it is given back")
    }
}

impl DerefMut for JobConnection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("taken only when it is given back")
    }
}

impl Drop for JobConnection<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}

/// How long it may take to write what came of a job: others may have to wait for it.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Plans kept; a worker seldom works on more imports at once.
const PLANS: usize = 64;
/// **Bytes** of a room that is kept.
const MOST_KEPT_ROOM: usize = 32 << 20;

impl JobContext {
    #[must_use]
    pub fn new(
        pool: PgPool,
        loaders: PgPool,
        worker: ProcessName,
        config: &WorkerConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        let turns = usize::try_from(loaders.options().get_max_connections()).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            pool,
            loaders,
            worker,
            queues: config.queues.clone(),
            max_attempts: config.max_attempts,
            retry_for: config.retry_for,
            job_timeout: config.job_timeout,
            abandon: CancellationToken::new(),
            turns: Semaphore::new(turns),
            isolation: RwLock::default(),
            closing: CancellationToken::new(),
            plans: Mutex::default(),
            spare_rooms: Mutex::default(),
            metrics,
            stores: Stores::new(config.references.clone()),
        }
    }

    /// A session for what is said of a chunk.
    async fn ledger(&self) -> Result<JobConnection<'_>, Failure> {
        Ok(JobConnection {
            conn: Some(self.pool.acquire().await?),
            _turn: None,
        })
    }

    /// A session that may write to a target, in its turn.
    async fn loader(&self) -> Result<JobConnection<'_>, Failure> {
        // Nobody closes it. Without it the pool would have to wait, and its patience is that for a lost database.
        let turn = self.turns.acquire().await.map_err(|_| Failure::Abandoned)?;
        Ok(JobConnection {
            conn: Some(self.loaders.acquire().await?),
            _turn: Some(turn),
        })
    }

    fn cached_plan(&self, import: ImportId) -> Option<Arc<ImportPlan>> {
        self.plans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&import)
            .cloned()
    }

    fn keep_plan(&self, import: ImportId, plan: &Arc<ImportPlan>) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= PLANS {
            plans.clear();
        }
        plans.insert(import, Arc::clone(plan));
    }

    fn forget_plan(&self, import: ImportId) {
        self.plans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&import);
    }

    /// Room in which a chunk can be decompressed.
    fn spare_room(&self) -> Vec<u8> {
        let mut rooms = self.spare_rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.pop().unwrap_or_default()
    }

    /// Keeps it for other chunks, but for that of one long record.
    fn keep_room(&self, room: Vec<u8>) {
        if room.capacity() <= MOST_KEPT_ROOM {
            let mut rooms = self.spare_rooms.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.push(room);
        }
    }
}

/// Does a job as the queue delivered it, as one of `job_type`.
pub async fn run(context: &JobContext, job_type: &str, arguments: &[u8]) {
    let job = match Job::from_bytes(arguments) {
        Ok(job) => job,
        Err(error) => {
            let JobError::Newer { chunk, .. } = error else {
                tracing::error!(error = session::describe_error(&error), "a job was passed over");
                return;
            };
            tracing::info!(
                error = session::describe_error(&error),
                "a job is left to newer workers"
            );
            outcome::leave_to_newer(context, job_type, arguments, chunk).await;
            return;
        }
    };
    match job {
        // What is begun says for which queues.
        Job::LoadChunk(_) | Job::SplitSegment(_) => try_it(context, job).await,
        Job::DeleteChunk(_) | Job::CancelImport { .. } if !is_in_place(context, job, job_type).await => {}
        Job::DeleteChunk(chunk) => {
            let _beside_others = context.isolation.read().await;
            do_and_settle(context, job, delete_chunk::run(context, chunk)).await;
        }
        Job::CancelImport { import } => {
            do_and_settle(context, job, cancel_import::run(context, import)).await;
        }
    }
}

/// Whether the job of an undo is where it belongs. One that is not was added by a program of before, which knows one queue: maintenance adds it
/// again, for a worker that serves its import's queue.
async fn is_in_place(context: &JobContext, job: Job, job_type: &str) -> bool {
    let look = async { wakeups::is_in_place(&mut *context.pool.acquire().await?, job, job_type).await };
    match look.await {
        Ok(true) => return true,
        Ok(false) => tracing::info!(
            ?job,
            job_type,
            "a job in another queue than its import's was passed over"
        ),
        Err(error) => tracing::warn!(
            ?job,
            error = session::describe_error(&error),
            "whose job it is could not be seen; it comes again"
        ),
    }
    false
}

/// Attempts from which on a chunk is taken for what ends its workers. One may be chance, as when the machine died; and chunks that are
/// begun again one by one would make each takeover slow.
const SUSPECT_FROM: u32 = 2;

/// What came of a chunk or a segment that was tried with a limit of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// Nothing is left to do: this worker or another one did it, or its import does not go on any more.
    Done,
    /// It was not begun, for it has as many attempts as was allowed; there are some left.
    NotBegun,
}

/// Works on a chunk or a segment, beside others. One that may be what ends its workers has this one for itself, from its start until its
/// outcome is written, so that no other is counted starts for its sake until it is given up.
async fn try_it(context: &JobContext, job: Job) {
    // The last attempt is made alone in any case, unless it is the only one.
    let limit = SUSPECT_FROM.min(context.max_attempts.saturating_sub(1)).max(1);
    let outcome = {
        let _beside_others = context.isolation.read().await;
        do_and_settle(context, job, begin(context, job, limit)).await
    };
    if outcome != Some(Tried::NotBegun) {
        return;
    }
    // A stop leaves it as it is.
    if let Some(_alone) = context.closing.run_until_cancelled(context.isolation.write()).await {
        do_and_settle(context, job, begin(context, job, context.max_attempts)).await;
    }
}

/// Works on a chunk or a segment, unless it has `limit` attempts.
async fn begin(context: &JobContext, job: Job, limit: u32) -> Result<Tried, Failure> {
    match job {
        Job::LoadChunk(chunk) => load_chunk::run(context, chunk, limit).await,
        Job::SplitSegment(segment) => split_segment::run(context, segment, limit).await,
        Job::DeleteChunk(_) | Job::CancelImport { .. } => Ok(Tried::Done),
    }
}

/// Does the work of a job within its time, and writes what came of it if it did not succeed.
async fn do_and_settle<T>(context: &JobContext, job: Job, work: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    let _running = context.metrics.begin();
    let in_time = async {
        tokio::time::timeout(context.job_timeout, work)
            .await
            .unwrap_or(Err(Failure::TimedOut(context.job_timeout)))
    };
    let outcome = tokio::select! {
        biased;
        () = context.abandon.cancelled() => Err(Failure::Abandoned),
        outcome = AssertUnwindSafe(in_time).catch_unwind() => {
            outcome.unwrap_or_else(|panic| Err(Failure::Panicked(outcome::panic_message(panic.as_ref()))))
        }
    };
    let failure = match outcome {
        Ok(done) => return Some(done),
        Err(failure) => failure,
    };
    // Maintenance finds the chunk without a live job and adds one.
    match tokio::time::timeout(SETTLE_TIMEOUT, outcome::settle(context, job, &failure)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            ?job,
            error = session::describe_error(&error),
            "what came of a job could not be written"
        ),
        Err(_) => tracing::warn!(?job, "what came of a job could not be written in time"),
    }
    None
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        LedgerError::from(error).into()
    }
}
