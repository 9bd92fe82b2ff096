//! Fetches jobs from several queues in turn, so that none of them waits for another.
//!
//! Everything else is the queue's own storage: how a worker registers, and under which name, how it says that it lives, and that a job is
//! done. It registers as a worker of the default queue whichever it serves, so that programs of every version know whose jobs are left
//! when it dies.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use apalis::prelude::{Backend, WorkerContext};
use apalis_core::backend::{BackendConfig, WireFormatBackend, future::BoxSyncFuture};
use apalis_postgres::{Config, Error, PgTask, PostgresStorage, queries::fetch_next};
use futures::FutureExt as _;
use sqlx::PgPool;

/// A job, and which of the queues it came from.
type Fetched = Option<(usize, PgTask)>;

/// What a worker of the queue takes its jobs from.
pub(super) struct Queues {
    storage: PostgresStorage<Vec<u8>>,
    /// How jobs are fetched from each queue; at least one.
    each: Arc<[Config]>,
    /// The queue that is asked first: the one behind that which gave the last job.
    next: usize,
    fetching: Option<BoxSyncFuture<Result<Fetched, Error>>>,
    has_failed: bool,
}

impl Queues {
    /// Jobs of these types, by `config` in all other respects; those of the type number `first`, in their order, are asked for first.
    pub(super) fn new(pool: &PgPool, config: Config, job_types: &[String], first: usize) -> Self {
        let each: Arc<[Config]> = job_types
            .iter()
            .map(|job_type| config.clone().queue(job_type))
            .collect();
        Self {
            storage: PostgresStorage::new(pool).with_config(config),
            next: first % each.len().max(1),
            each,
            fetching: None,
            has_failed: false,
        }
    }

    fn fetch(&self, worker: &WorkerContext) -> BoxSyncFuture<Result<Fetched, Error>> {
        let (pool, each, worker, first) = (
            self.storage.pool().clone(),
            Arc::clone(&self.each),
            worker.clone(),
            self.next,
        );
        let fetch = async move {
            let mut conn = pool.acquire().await?;
            for n in (0..each.len()).map(|n| (first + n) % each.len()) {
                let mut tasks = fetch_next(&mut *conn, &each[n], &worker).await?;
                if let Some(task) = tasks.pop() {
                    return Ok(Some((n, task)));
                }
            }
            Ok(None)
        };
        fetch.boxed().into()
    }
}

impl Backend for Queues {
    type Task = PgTask;
    type Error = Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Error>> {
        self.storage.poll_ready(cx, worker)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Option<Result<PgTask, Error>>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        let mut fetching = self.fetching.take().unwrap_or_else(|| self.fetch(worker));
        match fetching.poll_unpin(cx) {
            Poll::Pending => {
                self.fetching = Some(fetching);
                Poll::Pending
            }
            // The announcements and the interval wake it.
            Poll::Ready(Ok(None)) => Poll::Pending,
            Poll::Ready(Ok(Some((queue, task)))) => {
                self.next = (queue + 1) % self.each.len();
                Poll::Ready(Some(Ok(task)))
            }
            Poll::Ready(Err(error)) => {
                self.has_failed = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Error>> {
        // What it may have taken in this moment is given back with the worker's name.
        self.fetching = None;
        self.storage.poll_close(cx, worker)
    }
}

impl BackendConfig for Queues {
    type Args = <PostgresStorage<Vec<u8>> as BackendConfig>::Args;
    type Id = <PostgresStorage<Vec<u8>> as BackendConfig>::Id;
    type Kind = <PostgresStorage<Vec<u8>> as BackendConfig>::Kind;
    type Config = Config;
    type Layer = <PostgresStorage<Vec<u8>> as BackendConfig>::Layer;

    fn config(&self) -> &Config {
        self.storage.config()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> Self::Layer {
        self.storage.middleware(worker)
    }
}

impl WireFormatBackend for Queues {
    type Codec = <PostgresStorage<Vec<u8>> as WireFormatBackend>::Codec;
    type Compact = <PostgresStorage<Vec<u8>> as WireFormatBackend>::Compact;

    fn codec(&self) -> &Self::Codec {
        self.storage.codec()
    }
}
