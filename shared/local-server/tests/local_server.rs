//! The private Postgres, with the real programs: each test has a cluster of its own.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_server::{EmbeddedConfig, EmbeddedError, EmbeddedServer, ShutdownMode, find_bin_dir};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Tells the helper process which data directory to use.
const HELPER_DATA_DIR: &str = "PG_IMPORT_TEST_EMBEDDED_DATA_DIR";

/// A data directory; whatever server still runs from it ends with the test.
struct Place {
    top: TempDir,
}

impl Place {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        // As root, the server runs as another user.
        fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
        Self { top }
    }

    fn data_dir(&self) -> PathBuf {
        self.top.path().join("data")
    }

    fn config(&self) -> EmbeddedConfig {
        config(&self.data_dir())
    }

    async fn start(&self) -> EmbeddedServer {
        EmbeddedServer::start(self.config()).await.unwrap()
    }

    fn pid_file(&self) -> PathBuf {
        self.data_dir().join("cluster/data/postmaster.pid")
    }

    fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        text.lines().next()?.parse().ok()
    }

    fn kill_server(&self) {
        let pid = self.pid().unwrap();
        signal(pid, Signal::KILL);
        wait_until("the killed server is gone", || !is_running(pid));
    }

    /// Runs another process that uses the cluster.
    fn helper(&self) -> Helper {
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
struct Bystander(Child);

impl Bystander {
    fn new(place: &Place) -> Self {
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

struct Helper {
    child: Child,
    output: Option<BufReader<std::process::ChildStdout>>,
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(data_dir: &Path) -> EmbeddedConfig {
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
fn ask(server: &EmbeddedServer, sql: &str) -> String {
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

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A zombie has nobody to collect it in some containers, and counts as gone.
fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() && !stat.contains(") Z ")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(20), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that other tests run: uses the cluster until a line comes, and drops its use.
#[test]
#[ignore = "other tests run it as a process of its own"]
fn helper_process() {
    let Some(data_dir) = std::env::var_os(HELPER_DATA_DIR) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime
        .block_on(EmbeddedServer::start(config(Path::new(&data_dir))))
        .unwrap();
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(server);
}

#[tokio::test]
async fn two_that_start_at_once_share_one_server_and_the_last_one_stops_it() {
    let place = Place::new();
    let (one, two) = tokio::join!(
        EmbeddedServer::start(place.config()),
        EmbeddedServer::start(place.config())
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    let pid = place.pid().unwrap();
    assert_eq!(one.credentials().port, two.credentials().port);
    assert_eq!(one.credentials().password, two.credentials().password);

    one.release().await.unwrap();
    assert_eq!(ask(&two, "select 1"), "1");
    assert_eq!(place.pid(), Some(pid));

    two.release().await.unwrap();
    assert_eq!(place.pid(), None);
    wait_until("the server is gone", || !is_running(pid));
}

#[tokio::test]
async fn two_processes_that_start_at_once_share_one_server() {
    let place = Place::new();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| place.helper());
        let two = scope.spawn(|| place.helper());
        (one.join().unwrap(), two.join().unwrap())
    });
    let pid = place.pid().unwrap();
    let server = place.start().await;
    for mut helper in [one, two] {
        helper.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(helper.child.wait().unwrap().success());
    }
    assert_eq!(place.pid(), Some(pid));
    server.release().await.unwrap();
    assert_eq!(place.pid(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_who_starts_gets_a_server_that_another_is_stopping() {
    let place = Place::new();
    let mut users = tokio::task::JoinSet::new();
    for user in 0..3 {
        let config = place.config();
        users.spawn(async move {
            for round in 0..6 {
                let server = EmbeddedServer::start(config.clone()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(7 * user * round)).await;
                let server = tokio::task::spawn_blocking(move || {
                    assert_eq!(ask(&server, "select pg_sleep(0.02)::text || 'here'"), "here");
                    server
                });
                server.await.unwrap().release().await.unwrap();
            }
        });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
    assert_eq!(place.pid(), None);
}

#[tokio::test]
async fn what_was_written_is_there_in_the_next_run() {
    let place = Place::new();
    let first = place.start().await;
    ask(&first, "create table kept as select 'grüße' as word");
    assert_eq!(ask(&first, "show server_encoding"), "UTF8");
    assert_eq!(ask(&first, "show data_checksums"), "on");
    assert_eq!(ask(&first, "show listen_addresses"), "127.0.0.1");
    let (password, port) = (first.credentials().password.clone(), first.credentials().port);
    first.release().await.unwrap();

    let second = place.start().await;
    assert_eq!(ask(&second, "select word from kept"), "grüße");
    assert_eq!(second.credentials().password, password);
    assert_eq!(
        second.credentials().port,
        port,
        "the port of the last run is free, so it is taken again"
    );
    second.release().await.unwrap();
}

#[tokio::test]
async fn a_durable_cluster_is_the_default() {
    let place = Place::new();
    let config = EmbeddedConfig {
        settings: Vec::new(),
        ..place.config()
    };
    let server = EmbeddedServer::start(config).await.unwrap();
    assert_eq!(
        ask(
            &server,
            "select current_setting('fsync') || current_setting('synchronous_commit')"
        ),
        "onon"
    );
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_is_in_no_log() {
    let place = Place::new();
    let server = place.start().await;
    let credentials = server.credentials();
    for host in [&credentials.host, place.data_dir().join("cluster").to_str().unwrap()] {
        let done = Command::new(server.bin_dir().join("psql"))
            .args([
                "-XAt",
                "-c",
                "select 1",
                "-h",
                host,
                "-p",
                &credentials.port.to_string(),
            ])
            .args(["-U", &credentials.user, "-d", &credentials.database])
            .env("PGPASSWORD", "psw")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("password authentication failed"), "{said}");
    }
    let log = fs::read_to_string(place.data_dir().join("server.log")).unwrap();
    assert!(!log.contains(&credentials.password));
    assert!(!format!("{server:?}").contains(&credentials.password));
    for secret in ["cluster/password", ".postgres.psw"] {
        let mode = fs::metadata(place.data_dir().join(secret)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_by_now_is_replaced() {
    let place = Place::new();
    let first = place.start().await;
    let port = first.credentials().port;
    first.release().await.unwrap();

    let rival = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let second = place.start().await;
    assert_ne!(second.credentials().port, port);
    assert_eq!(ask(&second, "select 1"), "1");
    second.release().await.unwrap();
    drop(rival);
}

#[tokio::test]
async fn a_killed_server_starts_again_though_another_process_has_its_pid() {
    let place = Place::new();
    let first = place.start().await;
    ask(&first, "create table kept as select 42 as answer");
    place.kill_server();

    let mut bystander = Bystander::new(&place);
    let socket = format!("cluster/.s.PGSQL.{}.lock", first.credentials().port);
    for path in [place.pid_file(), place.data_dir().join(socket)] {
        let text = fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        fs::write(&path, format!("{}\n{rest}", bystander.0.id())).unwrap();
    }
    drop(first);

    let second = place.start().await;
    assert_eq!(ask(&second, "select answer from kept"), "42");
    assert!(
        bystander.0.try_wait().unwrap().is_none(),
        "the other process was left alone"
    );
    second.release().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_starts_again_at_once_while_its_children_are_still_leaving() {
    let place = Place::new();
    let server = place.start().await;
    for _ in 0..3 {
        ask(&server, "select 1");
        signal(place.pid().unwrap(), Signal::KILL);
        let next = place.start().await;
        assert_eq!(ask(&next, "select 1"), "1");
        drop(next);
    }
    drop(server);
    place.start().await.release().await.unwrap();
    assert_eq!(place.pid(), None);
}

#[tokio::test]
async fn an_empty_pid_file_is_no_obstacle() {
    let place = Place::new();
    place.start().await.release().await.unwrap();
    fs::write(place.pid_file(), "").unwrap();
    place.start().await.release().await.unwrap();
}

#[tokio::test]
async fn a_half_made_cluster_is_made_anew() {
    let place = Place::new();
    let half = place.data_dir().join("cluster.new");
    fs::create_dir_all(half.join("data/base")).unwrap();
    fs::write(half.join("data/PG_VERSION"), "15\n").unwrap();
    fs::write(half.join("password"), "half\n").unwrap();
    fs::set_permissions(place.data_dir(), Permissions::from_mode(0o755)).unwrap();

    let server = place.start().await;
    assert_eq!(ask(&server, "select 1"), "1");
    assert!(!half.exists());
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_by_name() {
    let place = Place::new();
    place.start().await.release().await.unwrap();
    fs::write(place.data_dir().join("cluster/data/PG_VERSION"), "8\n").unwrap();
    let error = EmbeddedServer::start(place.config()).await.unwrap_err();
    assert!(
        matches!(&error, EmbeddedError::OtherVersion { cluster, .. } if cluster == "8"),
        "{error:?}"
    );
    let text = error.to_string();
    let bin_dir = find_bin_dir().unwrap();
    assert!(
        text.contains("was made by Postgres 8") && text.contains(bin_dir.to_str().unwrap()),
        "{text}"
    );
}

#[tokio::test]
async fn a_cluster_without_its_password_is_reported_and_not_replaced() {
    let place = Place::new();
    place.start().await.release().await.unwrap();
    let password = place.data_dir().join("cluster/password");
    fs::remove_file(&password).unwrap();
    let error = EmbeddedServer::start(place.config()).await.unwrap_err();
    assert!(
        matches!(
            error,
            EmbeddedError::Damaged {
                missing: "password",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(place.data_dir().join("cluster/data/base").exists());
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let place = Place::new();
    let mut config = place.config();
    config.settings.push(("work_mem".to_owned(), "banana".to_owned()));
    let error = EmbeddedServer::start(config).await.unwrap_err().to_string();
    assert!(error.contains("server.log ends with"), "{error}");
    assert!(
        error.contains(r#"invalid value for parameter "work_mem": "banana""#),
        "{error}"
    );
    place.start().await.release().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_users_were_all_killed_is_joined() {
    let place = Place::new();
    let mut helper = place.helper();
    let pid = place.pid().unwrap();
    helper.child.kill().unwrap();
    helper.child.wait().unwrap();
    assert!(is_running(pid));

    let server = place.start().await;
    assert_eq!(place.pid(), Some(pid));
    assert_eq!(ask(&server, "select 1"), "1");
    server.release().await.unwrap();
    wait_until("the last user stopped it", || !is_running(pid));
}

#[tokio::test]
async fn the_server_holds_neither_our_output_nor_our_locks_nor_our_terminal() {
    let place = Place::new();
    let mut helper = place.helper();
    let pid = place.pid().unwrap();
    helper.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    helper.child.wait().unwrap();
    // Whoever reads our output sees its end, though the server goes on.
    let mut output = helper.output.take().unwrap();
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while output.read_line(&mut String::new()).unwrap() > 0 {}
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(10)).expect("the pipe is closed");
    assert!(is_running(pid));

    if cfg!(target_os = "linux") {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let target = fs::read_link(entry.unwrap().path()).unwrap();
            assert!(
                target.extension().is_none_or(|extension| extension != "lock"),
                "{}",
                target.display()
            );
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let (group, session, terminal) = (fields[2], fields[3], fields[4]);
        assert_eq!((group, session, terminal), (&*pid.to_string(), &*pid.to_string(), "0"));
    }
    place.start().await.release().await.unwrap();
    wait_until("the server is gone", || !is_running(pid));
}

#[tokio::test]
async fn a_restart_keeps_the_port_and_the_data() {
    let place = Place::new();
    let server = place.start().await;
    ask(&server, "create table kept as select 42 as answer");
    for mode in [ShutdownMode::Fast, ShutdownMode::Immediate] {
        let pid = place.pid();
        server.restart(mode).await.unwrap();
        assert_ne!(place.pid(), pid);
        assert_eq!(ask(&server, "select answer from kept"), "42");
    }
    server.release().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_stopped_by_hand_can_be_released() {
    let place = Place::new();
    let server = place.start().await;
    place.kill_server();
    server.release().await.unwrap();
}
