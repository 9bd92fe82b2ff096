//! The steps of a submission, and what a person asks of an import afterwards: cancel, keep, retry.

#![warn(clippy::unwrap_used)]

pub mod cancel;
pub mod intake;
pub mod retry;
pub mod submission;
