//! Fetches jobs from several queues in turn, so that none of them waits for another, and from the lanes of a queue as from one line.
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
use sqlx::{PgConnection, PgPool};

use super::pace::Pace;

/// A job, and which of the queues it came from.
type Fetched = Option<(usize, PgTask)>;

/// Jobs of one type, and how they are fetched.
struct Lane {
    job_type: String,
    fetching: Config,
}

/// What a worker of the queue takes its jobs from.
pub(super) struct Queues {
    storage: PostgresStorage<Vec<u8>>,
    /// The lanes of each queue; at least one of either.
    each: Arc<[Vec<Lane>]>,
    /// The queue that is asked first: the one behind that which gave the last job.
    next: usize,
    pace: Pace,
    fetching: Option<BoxSyncFuture<Result<Fetched, Error>>>,
    has_failed: bool,
}

impl Queues {
    /// Jobs of these types, for each queue those of its lanes, by `config` in all other respects; the queue number `first` is asked first, when
    /// `pace` says.
    pub(super) fn new(pool: &PgPool, config: Config, queues: &[Vec<String>], first: usize, pace: Pace) -> Self {
        let lane = |job_type: &String| Lane {
            job_type: job_type.clone(),
            fetching: config.clone().queue(job_type),
        };
        let each: Arc<[Vec<Lane>]> = queues.iter().map(|lanes| lanes.iter().map(lane).collect()).collect();
        Self {
            storage: PostgresStorage::new(pool).with_config(config),
            next: first % each.len().max(1),
            each,
            pace,
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
                if let Some(task) = fetch_from(&mut conn, &each[n], &worker).await? {
                    return Ok(Some((n, task)));
                }
            }
            Ok(None)
        };
        fetch.boxed().into()
    }
}

/// The job that is first in line of a queue, in whichever of its lanes.
async fn fetch_from(conn: &mut PgConnection, lanes: &[Lane], worker: &WorkerContext) -> Result<Option<PgTask>, Error> {
    let first = match lanes {
        [_] => 0,
        _ => {
            let job_types: Vec<&str> = lanes.iter().map(|lane| lane.job_type.as_str()).collect();
            match queue::first_in_line(conn, &job_types).await? {
                Some(first) => first,
                None => return Ok(None),
            }
        }
    };
    // Others may have it by now.
    for lane in lanes[first..].iter().chain(&lanes[..first]) {
        if let Some(task) = fetch_next(&mut *conn, &lane.fetching, worker).await?.pop() {
            return Ok(Some(task));
        }
    }
    Ok(None)
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
        loop {
            let mut fetching = match self.fetching.take() {
                Some(fetching) => fetching,
                None if self.pace.is_due(cx) => self.fetch(worker),
                None => return Poll::Pending,
            };
            match fetching.poll_unpin(cx) {
                Poll::Pending => {
                    self.fetching = Some(fetching);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(None)) => self.pace.found_none(),
                Poll::Ready(Ok(Some((queue, task)))) => {
                    self.pace.found();
                    self.next = (queue + 1) % self.each.len();
                    return Poll::Ready(Some(Ok(task)));
                }
                Poll::Ready(Err(error)) => {
                    self.has_failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
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
