//! Whether a server runs from a data directory, as its `postmaster.pid` and the process table tell. Only looks.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::EmbeddedError;
use super::layout::Layout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No server, and nothing that keeps one from starting. A pid file of a process that is gone is Postgres's own
    /// business.
    Down,
    /// No server, but its pid file names a process that lives and is something else: Postgres would refuse to start.
    Stale,
    /// Not yet, or no longer, accepting connections.
    Changing {
        pid: i32,
    },
    Ready {
        pid: i32,
        port: u16,
    },
}

pub(super) fn state(layout: &Layout) -> Result<State, EmbeddedError> {
    let path = layout.postmaster_pid();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Down),
        Err(error) => return Err(EmbeddedError::io("read", &path)(error)),
    };
    let Some(file) = PidFile::parse(&text) else {
        // Postgres refuses an empty or garbled pid file too. Under the start lock nobody is in the middle of writing
        // one, except a server that somebody else started by hand, and that one notices that its file is gone.
        return Ok(State::Stale);
    };
    let Some(pid) = Pid::from_raw(file.pid) else {
        return Ok(State::Stale);
    };
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return Ok(State::Down);
    }
    if !is_postmaster(file.pid, &layout.data()) {
        return Ok(State::Stale);
    }
    Ok(match (file.ready, file.port) {
        (true, Some(port)) => State::Ready { pid: file.pid, port },
        _ => State::Changing { pid: file.pid },
    })
}

/// Lines of `postmaster.pid`: process, data directory, start time, port, socket directory, address, shared memory,
/// status.
struct PidFile {
    pid: i32,
    port: Option<u16>,
    ready: bool,
}

impl PidFile {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A server in single-user mode writes its id with a minus sign.
        let pid: i32 = lines.next()?.trim().parse().ok()?;
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        let ready = lines.nth(3).is_some_and(|line| line.trim() == "ready");
        Some(Self {
            pid: pid.checked_abs()?,
            port,
            ready,
        })
    }
}

/// Tells the server of this data directory from a process that was given the same id after a crash or a reboot.
fn is_postmaster(pid: i32, data: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    match fs::read(proc.join("cmdline")) {
        Ok(line) => {
            let mut words = line.split(|byte| *byte == 0);
            let name = words.next().unwrap_or_default();
            // The server makes the data directory its working directory; we may not be allowed to see that.
            is_postgres(Path::new(OsStr::from_bytes(name)))
                && (fs::read_link(proc.join("cwd")).is_ok_and(|dir| dir == data)
                    || words.any(|word| word == data.as_os_str().as_bytes()))
        }
        // Not Linux, or the process has just ended.
        Err(_) => asks_ps(pid, data),
    }
}

fn asks_ps(pid: i32, data: &Path) -> bool {
    let mut command = Command::new("ps");
    command
        .args(["-ww", "-o", "args=", "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let Ok(done) = command.output() else { return false };
    let line = String::from_utf8_lossy(&done.stdout);
    line.split_once(" -D ").is_some_and(|(program, rest)| {
        is_postgres(Path::new(program.trim())) && rest.contains(&data.display().to_string())
    })
}

fn is_postgres(program: &Path) -> bool {
    matches!(
        program.file_name().and_then(OsStr::to_str),
        Some("postgres" | "postmaster")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_grows_while_its_server_starts() {
        let whole = "4711\n/data\n1700000000\n5433\n/sockets\n127.0.0.1\n  1  2\nready   \n";
        let file = PidFile::parse(whole).unwrap();
        assert_eq!((file.pid, file.port, file.ready), (4711, Some(5433), true));
        let file = PidFile::parse(&whole.replace("ready   ", "stopping")).unwrap();
        assert!(!file.ready);
        let file = PidFile::parse("4711\n/data\n1700000000\n5433\n/sockets\n").unwrap();
        assert_eq!((file.pid, file.ready), (4711, false));
        assert!(PidFile::parse("").is_none());
    }

    #[test]
    fn another_process_is_not_the_postmaster() {
        let us = i32::try_from(std::process::id()).unwrap();
        assert!(!is_postmaster(us, Path::new("/")));
        assert!(!asks_ps(us, Path::new("/")));
    }
}
