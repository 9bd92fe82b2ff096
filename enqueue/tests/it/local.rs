//! `--local`: a private server, made when it is first needed, kept between runs, left running by nobody.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, thread::sleep, time::Instant};

use crate::support::{Call, DEADLINE, Finished, LOOK, assert_json, open_directory, orders, process::enqueue_in};
use serde_json::json;
use tempfile::TempDir;

/// A machine without any database.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(open_directory())
    }

    fn call(&self, arguments: &[&str]) -> Call {
        let path = self.0.path();
        enqueue_in(path, arguments)
            .env("PG_IMPORT_DATA_DIR", path.join("data"))
            .env("PG_IMPORT_CONFIG_PATH", path.join("credentials"))
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        self.call(arguments).run()
    }

    fn pid_file(&self) -> std::path::PathBuf {
        self.0.path().join("data/cluster/data/postmaster.pid")
    }

    /// The server is stopped: its file says so, and its process, which removes that file as its last act, is gone or about to be.
    fn assert_stopped(&self) {
        assert!(!self.pid_file().exists());
        let since = Instant::now();
        while !self.processes().is_empty() {
            assert!(since.elapsed() < DEADLINE, "{:?}", self.processes());
            sleep(LOOK);
        }
    }

    /// Processes that work in the directory, or were given it.
    fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let inside = fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.0.path()));
            if inside {
                let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
                found.push(String::from_utf8_lossy(&arguments).into_owned());
            }
        }
        found
    }
}

impl Drop for Machine {
    /// A test that failed may leave a server behind.
    fn drop(&mut self) {
        let Ok(text) = fs::read_to_string(self.pid_file()) else {
            return;
        };
        if let Some(pid) = text.lines().next() {
            let _ = std::process::Command::new("kill").args(["-QUIT", pid]).status();
        }
    }
}

fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sale_orders.csv");
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_first_command_loads_the_sample_and_leaves_nothing_running() {
    let machine = Machine::new();
    let first = machine.run(&["--local", "-i", &sample()]).exits(0);
    assert_eq!(first.id(), 1);
    let first = first
        .says("import 1: loaded")
        .says("1,000 into public.sale_order")
        .says("psql --local")
        .says("cancel 1 --local");
    assert!(
        !first.stderr.contains("WARN") && !first.stderr.contains("ERROR"),
        "{first:#?}"
    );
    machine.assert_stopped();

    // The cluster and its contents are kept.
    let again = machine
        .run(&["--local", "-i", &sample(), "--json"])
        .exits(0)
        .says("as import 1 (loaded)");
    let expected = json!({"import_id": 1, "state": "loaded", "records": 1000, "loaded": 1000, "rejected": 0});
    assert_json(&again.json(), &expected);
    assert_json(
        &machine.run(&["status", "1", "--local", "--json"]).exits(0).json(),
        &expected,
    );

    let query = ["psql", "--local", "--", "-Atc", "SELECT count(*) FROM sale_order"];
    assert_eq!(machine.run(&query).exits(0).stdout, "1000\n");
    assert_eq!(
        machine
            .run(&["psql", "--local", "--", "-c", "nonsense"])
            .exits(1)
            .stdout,
        ""
    );

    // The staging that it wrote leads there too, for whoever has no --local.
    let staged = machine
        .call(&query_without_local())
        .env("PG_IMPORT_STAGING", "local")
        .run()
        .exits(0);
    assert_eq!(staged.stdout, "1000\n");

    // And is for its owner alone.
    for name in ["db", "psw", "user", "host", "port"] {
        let file = machine
            .0
            .path()
            .join("credentials/local")
            .join(format!(".postgres.{name}"));
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{name}"
        );
    }

    machine
        .run(&["cancel", "1", "--local"])
        .exits(0)
        .says("import 1: cancelled");
    assert_eq!(machine.run(&query).exits(0).stdout, "0\n");
    machine.assert_stopped();
}

fn query_without_local() -> [&'static str; 4] {
    ["psql", "--", "-Atc", "SELECT count(*) FROM sale_order"]
}

#[test]
fn a_staging_of_a_version_before_or_of_another_directory_is_written_anew_and_a_persons_is_not() {
    let machine = Machine::new();
    let path = machine.0.path();
    let file = path.join("credentials/local/.postgres.host");
    let ask = |directory: &str| {
        let call = machine.call(&["psql", "--local", "--", "-Atc", "SELECT 1"]);
        call.env("PG_IMPORT_DATA_DIR", path.join(directory)).run().exits(0)
    };
    ask("data");
    // As it was before the private server was reached by its socket.
    fs::write(&file, "127.0.0.1").unwrap();
    for directory in ["data", "other", "data"] {
        let asked = ask(directory);
        assert!(!asked.stderr.contains("this staging"), "{asked:#?}");
        let host = fs::read_to_string(&file).unwrap();
        assert!(host.trim_end().ends_with(&format!("/{directory}/cluster")), "{host}");
    }
    fs::write(&file, "db.example.org").unwrap();
    ask("data").says("this staging is not of the private Postgres");
    assert_eq!(fs::read_to_string(&file).unwrap(), "db.example.org");
    machine.assert_stopped();
}

#[test]
fn the_worker_within_serves_whichever_queue_an_import_is_in() {
    let machine = Machine::new();
    machine
        .run(&["--local", "-i", &sample(), "--queue", "nightly", "--json"])
        .exits(0)
        .says("import 1: loaded");
    let again = machine.run(&["--local", "-i", &sample(), "--queue", "other"]).exits(0);
    assert_eq!(again.id(), 1);
    let undone = machine.run(&["cancel", "1", "--local", "--json"]).exits(0).json();
    assert_json(
        &undone,
        &json!({"state": "cancelled", "deleted": 1000, "queue": "nightly"}),
    );
}

#[test]
fn local_submissions_share_the_server_and_exit_with_3_on_rejects() {
    let machine = Machine::new();
    let path = machine.0.path();
    fs::write(path.join("one.csv"), orders("A", 100)).unwrap();
    fs::write(path.join("two.csv"), format!("{}B;x;never;1\n", orders("B", 100))).unwrap();
    let one = machine.call(&["--local", "-i", "one.csv"]).start();
    let two = machine.call(&["--local", "-i", "two.csv"]).start();
    let stream = machine.call(&["--local"]).input(orders("C", 100)).start();
    one.finish().exits(0);
    two.finish().exits(3);
    stream.finish().exits(0);
    let count = machine
        .run(&["psql", "--local", "--", "-Atc", "SELECT count(*) FROM sale_order"])
        .exits(0);
    assert_eq!(count.stdout, "300\n");
    machine.assert_stopped();
}

#[test]
fn without_postgres_programs_it_says_what_to_install() {
    let machine = Machine::new();
    let none = machine
        .call(&["--local"])
        .env("PG_IMPORT_PG_BIN", machine.0.path())
        .run()
        .exits(1);
    let none = none.says("PG_IMPORT_PG_BIN");
    assert_eq!(none.stdout, "");
}
