//! What this process did, in figures for Prometheus, and whether it can work.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// What came of a try at a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Loaded,
    /// Its rows are deleted, or as many of them as may be.
    Undone,
    /// It is tried again later, for what kept it from being done passes by itself.
    Retried,
    /// Only a person can mend it.
    Failed,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Loaded => "loaded",
            Self::Undone => "undone",
            Self::Retried => "retried",
            Self::Failed => "failed",
        };
        word.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

/// What came of an attempt to send a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SendOutcome {
    Delivered,
    /// It is sent again later.
    Failed,
    GivenUp,
}

impl EncodeLabelValue for SendOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        };
        word.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SendLabels {
    outcome: SendOutcome,
}

/// What one process did since it was started.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rows: Counter,
    rejects: Counter,
    bytes: Counter,
    undone: Counter,
    chunks: Family<Labels, Counter>,
    notifications: Family<SendLabels, Counter>,
    running: Gauge,
    load: Histogram,
    commit: Histogram,
    heartbeat: Mutex<Option<Instant>>,
    heartbeat_age: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From 10 ms to the 10 minutes that a job may take, and from 0.5 ms to 8 s.
        let load = Histogram::new(exponential_buckets(0.01, 2.0, 17));
        let commit = Histogram::new(exponential_buckets(0.000_5, 2.0, 15));
        let mut metrics = Self {
            registry: Registry::with_prefix("pg_import"),
            rows: Counter::default(),
            rejects: Counter::default(),
            bytes: Counter::default(),
            undone: Counter::default(),
            chunks: Family::default(),
            notifications: Family::default(),
            running: Gauge::default(),
            load,
            commit,
            heartbeat: Mutex::default(),
            heartbeat_age: Gauge::default(),
        };
        let Self {
            registry,
            rows,
            rejects,
            bytes,
            undone,
            chunks,
            notifications,
            running,
            load,
            commit,
            heartbeat_age,
            ..
        } = &mut metrics;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", version);
        registry.register("loaded_rows", "Rows put into tables, committed", rows.clone());
        registry.register(
            "rejected_records",
            "Records that could not be loaded, committed",
            rejects.clone(),
        );
        registry.register_with_unit(
            "read",
            "Bytes of records that were loaded or rejected",
            Unit::Bytes,
            bytes.clone(),
        );
        registry.register(
            "undone_rows",
            "Rows deleted, restored or put back by undos, committed",
            undone.clone(),
        );
        registry.register("chunks", "Tries at chunks, by what came of them", chunks.clone());
        registry.register(
            "notifications",
            "Attempts to send notifications, by what came of them",
            notifications.clone(),
        );
        registry.register(
            "running_chunks",
            "Chunks that are worked on at this moment",
            running.clone(),
        );
        registry.register_with_unit(
            "load_duration",
            "From the start of a chunk to its commit",
            Unit::Seconds,
            load.clone(),
        );
        registry.register_with_unit("commit_duration", "Commits of loads", Unit::Seconds, commit.clone());
        registry.register_with_unit(
            "heartbeat_age",
            "Since the database last heard that this worker lives; NaN before the first time",
            Unit::Seconds,
            heartbeat_age.clone(),
        );
        // What did not happen yet has happened no time, which is not the same as not to be there.
        for outcome in [Outcome::Loaded, Outcome::Undone, Outcome::Retried, Outcome::Failed] {
            drop(chunks.get_or_create(&Labels { outcome }));
        }
        for outcome in [SendOutcome::Delivered, SendOutcome::Failed, SendOutcome::GivenUp] {
            drop(notifications.get_or_create(&SendLabels { outcome }));
        }
        metrics
    }
}

/// What a chunk's load came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadedChunk {
    pub rows: u64,
    pub rejects: u64,
    /// **Bytes** of its records.
    pub bytes: u64,
    pub took: Duration,
}

impl Metrics {
    pub(crate) fn loaded(&self, chunk: LoadedChunk) {
        self.rows.inc_by(chunk.rows);
        self.rejects.inc_by(chunk.rejects);
        self.bytes.inc_by(chunk.bytes);
        self.load.observe(chunk.took.as_secs_f64());
        self.count(Outcome::Loaded);
    }

    pub(crate) fn undone(&self, rows: u64) {
        self.undone.inc_by(rows);
        self.count(Outcome::Undone);
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.chunks.get_or_create(&Labels { outcome }).inc();
    }

    pub(crate) fn sent(&self, outcome: SendOutcome) {
        self.notifications.get_or_create(&SendLabels { outcome }).inc();
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// One more chunk is worked on, until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.running.inc();
        Running(Arc::clone(self))
    }

    /// The database heard that this worker lives.
    pub(crate) fn heard(&self) {
        *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// It is not registered any more.
    pub(crate) fn unheard(&self) {
        *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long ago the database last heard that this worker lives; `None` when it is not registered.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        let heartbeat = *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeat.map(|at| at.elapsed())
    }

    /// All of it, as Prometheus reads it.
    ///
    /// # Errors
    /// Of formatting, which there are none of.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let age = self.heartbeat_age();
        self.heartbeat_age.set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A chunk that is worked on.
pub(crate) struct Running(Arc<Metrics>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_and_what_was_not_is_zero() {
        let metrics = Arc::new(Metrics::default());
        metrics.loaded(LoadedChunk {
            rows: 40,
            rejects: 2,
            bytes: 1000,
            took: Duration::from_millis(30),
        });
        metrics.undone(7);
        let running = metrics.begin();
        let text = metrics.text().unwrap();
        for line in [
            "pg_import_loaded_rows_total 40",
            "pg_import_rejected_records_total 2",
            "pg_import_read_bytes_total 1000",
            "pg_import_undone_rows_total 7",
            "pg_import_chunks_total{outcome=\"loaded\"} 1",
            "pg_import_chunks_total{outcome=\"failed\"} 0",
            concat!("pg_import_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "pg_import_running_chunks 1",
            "pg_import_load_duration_seconds_count 1",
            "pg_import_load_duration_seconds_bucket{le=\"0.04\"} 1",
            "pg_import_heartbeat_age_seconds NaN",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        drop(running);
        assert!(metrics.heartbeat_age().is_none());
        metrics.heard();
        let text = metrics.text().unwrap();
        assert!(
            text.contains("pg_import_running_chunks 0") && !text.contains("seconds NaN"),
            "{text}"
        );
    }
}
