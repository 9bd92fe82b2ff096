//! A place for a private Postgres, with the real programs: each test has a cluster of its own.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_server::{EmbeddedConfig, EmbeddedServer};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Tells the helper process which data directory to use.
pub const HELPER_DATA_DIR: &str = "PG_IMPORT_TEST_EMBEDDED_DATA_DIR";

/// A data directory; whatever server still runs from it ends with the test.
pub struct Place {
    pub top: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        // As root, the server runs as another user.
        fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
        Self { top }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.top.path().join("data")
    }

    pub fn config(&self) -> EmbeddedConfig {
        config(&self.data_dir())
    }

    pub async fn start(&self) -> EmbeddedServer {
        EmbeddedServer::start(self.config()).await.unwrap()
    }

    pub fn pid_file(&self) -> PathBuf {
        self.data_dir().join("cluster/data/postmaster.pid")
    }

    pub fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        text.lines().next()?.parse().ok()
    }

    pub fn kill_server(&self) {
        let pid = self.pid().unwrap();
        signal(pid, Signal::KILL);
        wait_until("the killed server is gone", || !is_running(pid));
    }

    /// Runs another process that uses the cluster.
    pub fn helper(&self) -> Helper {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["helper_process", "--exact", "--ignored", "--nocapture"])
            .env(HELPER_DATA_DIR, self.data_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the helper has failed");
        }
        Helper {
            child,
            output: Some(output),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(self.top.path().to_str().unwrap()) {
            signal(pid, Signal::QUIT);
            wait_until("the server of the test is gone", || !is_running(pid));
        }
    }
}

/// A process of the server's own user that has nothing to do with it. Postgres sees by itself that a process of another
/// user is no server.
pub struct Bystander(pub Child);

impl Bystander {
    pub fn new(place: &Place) -> Self {
        let mut command = Command::new("sleep");
        command
            .arg("600")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            let owner = fs::metadata(place.data_dir().join("cluster/data")).unwrap();
            command.gid(owner.gid()).uid(owner.uid());
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Helper {
    pub child: Child,
    pub output: Option<BufReader<std::process::ChildStdout>>,
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn config(data_dir: &Path) -> EmbeddedConfig {
    let settings = [("fsync", "off"), ("shared_buffers", "16MB"), ("max_connections", "10")];
    let settings = settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    EmbeddedConfig {
        data_dir: data_dir.to_owned(),
        settings,
    }
}

/// Asks the server over its protocol, with its password.
pub fn ask(server: &EmbeddedServer, sql: &str) -> String {
    let credentials = server.credentials();
    let done = Command::new(server.bin_dir().join("psql"))
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .args(["-h", &credentials.host, "-p", &credentials.port.to_string()])
        .args(["-U", &credentials.user, "-d", &credentials.database])
        .env("PGPASSWORD", &credentials.password)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A zombie has nobody to collect it in some containers, and counts as gone.
pub fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() && !stat.contains(") Z ")
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(20), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
