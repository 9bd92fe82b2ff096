//! The real programs, as children that can be killed and frozen.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// A program that runs; killed when dropped.
pub struct Proc {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The id that a submission printed.
    pub fn import(&self) -> i64 {
        self.stdout
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("no import's id: {self:?}"))
    }
}

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
    assert!(path.exists(), "{} is missing: test the whole workspace", path.display());
    path
}

impl Proc {
    pub fn start(name: &str, arguments: &[&str], environment: &[(&str, &str)], url: &str, log: &Path) -> Self {
        Self::start_program(&program(name), arguments, environment, url, log)
    }

    /// Starts a program from anywhere.
    pub fn start_program(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        url: &str,
        log: &Path,
    ) -> Self {
        let (out, err) = (log.with_extension("out"), log.with_extension("err"));
        let child = Command::new(program)
            .args(arguments)
            .env("DATABASE_URL", url)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(File::create(&out).expect("a file for its output"))
            .stderr(File::create(&err).expect("a file for its words"))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { child, out, err }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    fn signal(&self, signal: Signal) {
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

    /// Its standard input, to be written to or closed.
    pub fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().expect("its standard input")
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("to look after a child")
    }

    pub async fn exit(&mut self) -> ExitStatus {
        let words = self.err.clone();
        let what = move || format!("the process ends: {}", read(&words));
        until_or(what, async || self.ended()).await
    }

    pub async fn finished(mut self) -> Finished {
        drop(self.child.stdin.take());
        let code = self.exit().await.code();
        Finished {
            code,
            stdout: read(&self.out),
            stderr: self.words(),
        }
    }

    /// What it said on standard error so far.
    pub fn words(&self) -> String {
        read(&self.err)
    }

    pub async fn until_says(&self, text: &str) {
        until(&format!("it says '{text}'"), async || {
            self.words().contains(text).then_some(())
        })
        .await;
    }
}

async fn until_or<T>(what: impl Fn() -> String, condition: impl AsyncFnMut() -> Option<T>) -> T {
    match tokio::time::timeout(super::DEADLINE, until("it happens", condition)).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long until {}", what()),
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

impl Drop for Proc {
    fn drop(&mut self) {
        // Frozen ones too.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- process {}:\n{}", self.pid(), self.words());
        }
    }
}
