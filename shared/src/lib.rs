//! What `enqueue` and `worker` share: the model, the ledger, the queue, and the way from a source to chunks.
//!
//! Data flows one way: [`source`] → [`splitter`] → [`intake`] (chunk rows, payloads and jobs in one transaction) → [`queue`] →
//! the worker's parser and loader → target and registry. `docs/ARCHITECTURE.md` has the map.

#![warn(clippy::unwrap_used)]

pub mod cancel;
pub mod config;
pub mod connect;
pub mod database;
pub mod embedded;
pub mod endings;
pub mod intake;
pub mod logging;
pub mod model;
pub mod patience;
pub mod queue;
pub mod retry;
pub mod source;
pub mod splitter;
pub mod status;
pub mod store;
pub mod submission;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;

/// An error with its sources, in one line.
#[must_use]
pub fn describe_error(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}

/// This machine's name, for people and for the names of processes.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
