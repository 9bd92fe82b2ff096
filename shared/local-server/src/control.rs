//! Starts and stops the cluster's server through `pg_ctl`. Every function here runs under the start lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use super::EmbeddedError;
use super::cluster::Cluster;
use super::conf;
use super::layout::Layout;
use super::lock::FileLock;
use super::postmaster::{State, state};

/// Starts that may fail before we give up. A port may be taken between our look and the server's, and the children of a
/// server that was killed keep the next one out until they have noticed, each time for a moment.
const ATTEMPTS: u32 = 6;

/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How long a server may take to start or stop, crash recovery and shutdown checkpoint included.
const SETTLE_LIMIT: Duration = Duration::from_mins(10);

/// How often a server that starts or stops is looked at.
const SETTLE_POLL: Duration = Duration::from_millis(50);

/// How many seconds `pg_ctl` itself waits. What takes longer is waited for by us.
const PG_CTL_WAIT: &str = "60";

/// A log of this many bytes is put aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;

/// How much of the log's end an error shows, in lines and at most so many bytes.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 8 << 10;

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Ends every session, writes a checkpoint and exits.
    Fast,
    /// Exits at once, like a crash: the next start recovers.
    Immediate,
}

impl ShutdownMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// The ports to try.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ports {
    /// That of the last run, so that credentials which people keep go on working; when it is taken, any free one.
    LastOrFree,
    Only(u16),
}

/// Makes sure that a server accepts connections, and tells its port.
pub(super) fn ensure_running(
    cluster: &Cluster,
    settings: &[(String, String)],
    ports: Ports,
    lock: &FileLock,
) -> Result<u16, EmbeddedError> {
    let layout = &cluster.layout;
    if let State::Ready { pid, port } = settle(layout)? {
        tracing::debug!(data_dir = %layout.root().display(), port, pid, "joined the private Postgres");
        return Ok(port);
    }
    prepare_log(cluster)?;
    let mut said = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            thread::sleep(FIRST_PAUSE * 2_u32.pow(attempt - 1));
        }
        clear_leftovers(layout)?;
        let port = match ports {
            Ports::Only(port) => port,
            Ports::LastOrFree => last_port(layout)
                .filter(|port| is_free(*port))
                .map_or_else(|| free_port(layout), Ok)?,
        };
        conf::write(layout, settings, port)?;
        let since = log_length(layout);
        let mut command = cluster.command("pg_ctl");
        command
            .args(["start", "--wait", "--silent", "--timeout", PG_CTL_WAIT])
            .arg("--pgdata")
            .arg(layout.data());
        // Gives the server a file for its output and nothing for its input: it must hold neither our pipes nor our
        // locks.
        command.arg("--log").arg(layout.log());
        let done = cluster.run_as.run(&mut command, layout, lock)?;
        if let State::Ready { pid, port } = settle(layout)? {
            tracing::info!(data_dir = %layout.root().display(), port, pid, "started the private Postgres");
            return Ok(port);
        }
        said = log_tail(layout, since);
        if said.is_empty() {
            said = done.output;
        }
        tracing::debug!(attempt, port, "the private Postgres did not start");
    }
    Err(EmbeddedError::Start {
        path: layout.root().to_owned(),
        log: layout.log(),
        tail: said,
    })
}

/// Stops the server if one runs.
pub(super) fn stop(cluster: &Cluster, mode: ShutdownMode, lock: &FileLock) -> Result<(), EmbeddedError> {
    let layout = &cluster.layout;
    let State::Ready { pid, .. } = settle(layout)? else {
        return Ok(());
    };
    let since = log_length(layout);
    let mut command = cluster.command("pg_ctl");
    command
        .args([
            "stop",
            "--wait",
            "--silent",
            "--timeout",
            PG_CTL_WAIT,
            "--mode",
            mode.as_str(),
        ])
        .arg("--pgdata")
        .arg(layout.data());
    let done = cluster.run_as.run(&mut command, layout, lock)?;
    if let State::Ready { .. } = settle(layout)? {
        let (path, tail) = (layout.root().to_owned(), log_tail(layout, since));
        return Err(EmbeddedError::Stop {
            path,
            output: done.output,
            log: layout.log(),
            tail,
        });
    }
    tracing::info!(data_dir = %layout.root().display(), pid, mode = mode.as_str(), "stopped the private Postgres");
    Ok(())
}

/// Waits until the server is ready or gone. Whoever began to start or stop it may have been killed over it.
fn settle(layout: &Layout) -> Result<State, EmbeddedError> {
    let since = Instant::now();
    loop {
        match state(layout)? {
            State::Changing { .. } if since.elapsed() < SETTLE_LIMIT => thread::sleep(SETTLE_POLL),
            State::Changing { pid } => {
                let (path, tail) = (layout.root().to_owned(), log_tail(layout, 0));
                return Err(EmbeddedError::Unsettled {
                    path,
                    pid,
                    seconds: SETTLE_LIMIT.as_secs(),
                    log: layout.log(),
                    tail,
                });
            }
            settled => return Ok(settled),
        }
    }
}

/// Removes what a server that is gone has left and that would keep Postgres from starting: its pid file when the id is
/// another process's by now, and its socket with a lock file that holds the same id. Should children of that server still
/// be there, the new one finds their shared memory by the data directory's inode and refuses.
fn clear_leftovers(layout: &Layout) -> Result<(), EmbeddedError> {
    match state(layout)? {
        State::Ready { .. } | State::Changing { .. } => return Ok(()),
        State::Down => {}
        State::Stale => {
            let path = layout.postmaster_pid();
            tracing::warn!(path = %path.display(), "removing the pid file of a server that is gone");
            fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path))?;
        }
    }
    for path in layout.sockets()? {
        fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path))?;
    }
    Ok(())
}

fn last_port(layout: &Layout) -> Option<u16> {
    fs::read_to_string(layout.last_port())
        .ok()?
        .trim()
        .parse()
        .ok()
        .filter(|port| *port != 0)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port(layout: &Layout) -> Result<u16, EmbeddedError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.port())
        .map_err(EmbeddedError::io("find a free port for the server in", layout.root()))
}

/// Makes the log, writable for the server's account, and keeps it from growing for ever.
fn prepare_log(cluster: &Cluster) -> Result<(), EmbeddedError> {
    let log = cluster.layout.log();
    if log_length(&cluster.layout) > LOG_LIMIT {
        fs::rename(&log, cluster.layout.old_log()).map_err(EmbeddedError::io("rename", &log))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log)
        .map_err(EmbeddedError::io("open", &log))?;
    cluster.run_as.own(&log)
}

fn log_length(layout: &Layout) -> u64 {
    fs::metadata(layout.log()).map_or(0, |found| found.len())
}

/// The last lines that the log got after byte `since`.
fn log_tail(layout: &Layout, since: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(layout.log())?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(since.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
