//! The worker: takes jobs from the queue and loads or deletes chunks.
//!
//! A library, so that `enqueue --local` can run one within its own process; the binary only reads arguments and signals.

#![warn(clippy::unwrap_used)]

pub mod encode;
mod eraser;
pub mod ids;
mod jobs;
mod lifecycle;
mod loader;
mod maintenance;
pub mod parser;
mod undo;
mod verifier;

pub use eraser::{ErasePreview, preview};
pub use lifecycle::{WorkerConfig, WorkerError, default_concurrency, run, runtime};
pub use verifier::{Difference, DifferenceKind, Verification, VerifyError, verify};
