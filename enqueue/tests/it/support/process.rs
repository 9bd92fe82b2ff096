//! The real programs: how they are called, as children that can be frozen and killed, and how they ended.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{DEADLINE, LOOK, objects, until, until_true};

/// What a person's own settings are in; tests set theirs.
const SETTINGS: [&str; 19] = [
    "DATABASE_URL",
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGPASSWORD",
    "PGSSLMODE",
    "PGTARGETSESSIONATTRS",
    "PGOPTIONS",
    "PG_IMPORT_CONFIG_PATH",
    "PG_IMPORT_STAGING",
    "PG_IMPORT_DATA_DIR",
    "PG_IMPORT_HTTP_TOKEN",
    "PG_IMPORT_LOG_FORMAT",
    "PG_IMPORT_NOTIFY",
    "PG_IMPORT_NOTIFY_ALLOW",
    "PG_IMPORT_NOTIFY_SECRET",
    "PG_IMPORT_QUEUES",
    "RUST_LOG",
];

/// `enqueue`, or the program beside it. Cargo says where only to tests; an example is one directory below.
fn program(name: &str) -> PathBuf {
    let path = match option_env!("CARGO_BIN_EXE_enqueue") {
        Some(enqueue) => Path::new(enqueue).with_file_name(name),
        None => {
            let this = std::env::current_exe().expect("this program's path");
            this.parent()
                .and_then(Path::parent)
                .expect("the directory of the programs")
                .join(name)
        }
    };
    assert!(
        path.exists(),
        "{} is missing: build or test the whole workspace",
        path.display()
    );
    path
}

/// `enqueue` in the given directory, with no settings.
pub fn enqueue_in(dir: &Path, arguments: &[&str]) -> Call {
    Call::new(&program("enqueue"), dir, arguments)
}

/// `worker` in the given directory, with no settings.
pub fn worker_in(dir: &Path, arguments: &[&str]) -> Call {
    Call::new(&program("worker"), dir, arguments)
}

/// A program that is about to be run.
pub struct Call {
    command: Command,
    dir: PathBuf,
}

impl Call {
    pub fn new(program: &Path, dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        for setting in SETTINGS.iter().chain(&objects::SETTINGS) {
            command.env_remove(setting);
        }
        Self {
            command,
            dir: dir.to_owned(),
        }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn envs<'a>(mut self, environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.command.envs(environment);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Has another program begin it in its own place, so that the process is the same: `ip netns exec`, `setpriv`.
    pub fn through(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(self.command.get_program())
            .args(self.command.get_args())
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    /// Gives it these bytes as standard input.
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        file.rewind().unwrap();
        self.command.stdin(file);
        self
    }

    /// Gives it a pipe as standard input: [`Proc::stdin`].
    pub fn pipe(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Proc {
        // Files, not pipes: nobody has to read them for the program to go on.
        let outputs = tempfile::Builder::new()
            .prefix(".run-")
            .tempdir_in(&self.dir)
            .unwrap()
            .keep();
        let (out, err) = (outputs.join("stdout"), outputs.join("stderr"));
        self.command.stdout(File::create(&out).unwrap());
        self.command.stderr(File::create(&err).unwrap());
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        Proc { child, out, err }
    }

    /// Runs it to its end, in which time the caller's thread does nothing else.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.start().finish()
    }
}

/// A program that runs; killed when dropped.
pub struct Proc {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Proc {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).expect("a process id"), signal).expect("to send a signal");
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("to kill");
        self.child.wait().expect("to wait");
    }

    /// Where a worker answers.
    pub async fn address(&self) -> String {
        let address = until("the worker listens", async || {
            let words = self.words();
            let (_, rest) = words.split_once("address=")?;
            Some(rest.split_whitespace().next()?.to_owned())
        })
        .await;
        format!("http://{address}")
    }

    /// Its standard input, to be written to or closed; there must be a [`Call::pipe`].
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("its standard input")
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("to look after a child")
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            self.assert_in_time(begin);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for its end; it gets no more input.
    pub async fn finished(mut self) -> Finished {
        drop(self.child.stdin.take());
        let status = self.exit().await;
        self.outcome(status)
    }

    /// The same, in which time the caller's thread does nothing else.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        drop(self.child.stdin.take());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return self.outcome(status);
            }
            self.assert_in_time(begin);
            thread::sleep(LOOK);
        }
    }

    #[track_caller]
    fn assert_in_time(&self, begin: Instant) {
        assert!(
            begin.elapsed() < DEADLINE,
            "it hangs: {} {}",
            self.stdout(),
            self.words()
        );
    }

    fn outcome(&self, status: ExitStatus) -> Finished {
        Finished {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.words(),
        }
    }

    /// What it said on standard error so far.
    pub fn words(&self) -> String {
        read(&self.err)
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.out)
    }

    pub async fn until_says(&self, text: &str) {
        until_true(&format!("it says '{text}'"), async || self.words().contains(text)).await;
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

impl Drop for Proc {
    fn drop(&mut self) {
        // Frozen ones too. An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- process {}:\n{}", self.pid(), self.words());
        }
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The import's id, which must be all of standard output.
    #[track_caller]
    pub fn id(&self) -> i64 {
        let id = self.stdout.strip_suffix('\n').and_then(|line| line.parse().ok());
        id.unwrap_or_else(|| panic!("not an id alone: {self:#?}"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Nothing was done: it ends with an error, which says all of this, and names nothing that it would have made.
    #[track_caller]
    pub fn refuses(self, words: &[&str]) {
        assert!(matches!(self.code, Some(1 | 2)), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no '{word}' in {self:#?}");
        }
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no '{text}' in {self:#?}");
        self
    }
}
