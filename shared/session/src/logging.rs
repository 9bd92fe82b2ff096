//! Where the log goes, and what is in it: stderr, one line an event, each failure once.

use std::{
    io::{self, IsTerminal as _},
    str::FromStr,
};

use tracing_subscriber::EnvFilter;

/// The crates of this project that log.
const OWN: [&str; 9] = [
    "connect",
    "enqueue",
    "ledger",
    "local_server",
    "queue",
    "serve",
    "session",
    "submit",
    "worker",
];

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs: `timestamp`, `level`, `target`, `message`, and each field of the event by its own name.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json"),
        }
    }
}

/// Starts logging to stderr. `RUST_LOG` has the last word; `level` is for this project's own events where it says nothing.
///
/// The queue's own messages are left out: each of its errors is handled, and logged once, by the worker.
pub fn start(level: &str, format: LogFormat) {
    let own: String = OWN.iter().map(|name| format!("{name}={level},")).collect();
    let default = format!("warn,{own}sqlx=error,apalis_core=off,apalis_postgres=off");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(is_coloured()).init(),
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
    }
}

/// A terminal, unless `NO_COLOR` says otherwise.
fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
