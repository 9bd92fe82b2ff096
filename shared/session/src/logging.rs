//! Where the log goes, and what is in it: stderr, one line an event, each failure once.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// The crates of this project that log.
const OWN: [&str; 8] = [
    "connect",
    "enqueue",
    "ledger",
    "local_server",
    "queue",
    "session",
    "submit",
    "worker",
];

/// Starts logging to stderr. `RUST_LOG` has the last word; `level` is for this project's own events where it says nothing.
///
/// The queue's own messages are left out: each of its errors is handled, and logged once, by the worker.
pub fn start(level: &str) {
    let own: String = OWN.iter().map(|name| format!("{name}={level},")).collect();
    let default = format!("warn,{own}sqlx=error,apalis_core=off,apalis_postgres=off");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
