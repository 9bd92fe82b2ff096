//! Sessions of the database: where it is, the settings of every session, migrations, trying again, and where the log goes.
//!
//! Knows no import, no ledger and no table of a user.

#![warn(clippy::unwrap_used)]

pub mod config;
pub mod database;
mod error;
mod hosts;
pub mod logging;
pub mod retry;

pub use error::{describe_error, is_transient, sqlstate};
pub use hosts::{Hosts, Setting, Wanted};

/// This machine's name, for people and for the names of processes.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Quotes an identifier for SQL.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
