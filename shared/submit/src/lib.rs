//! The steps of a submission, and what a person asks of an import afterwards.

#![warn(clippy::unwrap_used)]

pub mod chunks;
pub mod intake;
mod producer;
pub mod requests;
pub mod sniff;
pub mod submission;
