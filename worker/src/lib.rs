//! The worker: takes jobs from the queue and loads or deletes chunks.
//!
//! A library, so that `enqueue --local` can run one within its own process; the binary only reads arguments and signals.

#![warn(clippy::unwrap_used)]

mod jobs;
mod lifecycle;
mod listen;
pub mod load;
mod maintenance;
mod metrics;
pub mod notify;
pub mod queues;
mod undo;
mod verify;

pub use lifecycle::{WorkerConfig, WorkerError, default_concurrency, run, runtime};
pub use undo::preview::{PreviewError, UndoPreview, preview};
pub use verify::{Difference, DifferenceKind, NotCompared, Verification, VerifyError, WhyNot, verify};
