//! Breaks everything at random for some minutes, import after import, and checks after each that no row was lost or doubled.
//!
//! `just soak MINUTES`; the seed is printed, and taken from PG_IMPORT_TEST_SEED. SOAK_CANCEL_PERCENT of the imports are cancelled at work.
//!
//! With SOAK_OLD_WORKER, the path of an earlier version's worker with that version's enqueue beside it, every second worker is that program
//! (`just soak-mixed MINUTES`): as during an update, the old ones work when the database is migrated, and go on beside the new ones. Half
//! of the imports are then submitted by that enqueue, for what the new one submits may be more than old workers can read.

mod checks;
mod fleet;
#[path = "../../tests/it/support/mod.rs"]
mod support;
mod tally;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use fleet::Fleet;
use local_server::ShutdownMode;
use rand::{RngExt as _, rngs::StdRng};
use support::{CsvFile, World, seeded};
use tally::Tally;
use testkit::TestServer;

/// Faults of one import, after which it is left in peace to end.
const FAULTS_PER_IMPORT: u32 = 25;
/// Loaded imports that stay beside the next.
const KEPT: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let minutes: f64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(5.0);
    let server = TestServer::start().await;
    let old_worker = std::env::var_os("SOAK_OLD_WORKER").map(PathBuf::from);
    let world = World::on(&server).await;
    let mut soak = Soak {
        server: &server,
        world: &world,
        random: seeded(),
        cancel_percent: 25,
        fleet: Fleet::start(&world, old_worker).await,
        loaded: Vec::new(),
        tally: Tally::default(),
    };
    if let Ok(percent) = std::env::var("SOAK_CANCEL_PERCENT") {
        soak.cancel_percent = percent.parse().expect("SOAK_CANCEL_PERCENT: a number");
    }
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while Instant::now() < end {
        soak.round().await;
    }
    soak.tally.report(&soak.fleet)
}

struct Soak<'a> {
    server: &'a TestServer,
    world: &'a World,
    random: StdRng,
    /// How many imports of a hundred are cancelled while they are at work.
    cancel_percent: u32,
    fleet: Fleet<'a>,
    /// What should be in the table.
    loaded: Vec<(i64, Vec<CsvFile>)>,
    tally: Tally,
}

impl Soak<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    async fn pause(&mut self, most: u64) {
        let wait = self.random.random_range(20..most);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    /// One import from its submission to its end, and now and then an undo.
    async fn round(&mut self) {
        let rows = self.random.random_range(2_000..40_000);
        let several = self.chance(40);
        let mut files = Vec::new();
        for rows in if several {
            vec![rows / 3, rows / 2, rows / 6]
        } else {
            vec![rows]
        } {
            files.push(self.world.csv_file(rows).await);
        }
        let chunk_rows = self.random.random_range(50..400).to_string();
        let method = if self.chance(50) { "insert" } else { "copy" };
        let options = [
            "--chunk-rows",
            &chunk_rows,
            "--load-method",
            method,
            "--max-pending",
            "64K",
        ];
        let inputs = files.iter().flat_map(|file| ["-i", file.path()]);
        let command: Vec<&str> = inputs.chain(options).collect();
        let cancels = self.chance(self.cancel_percent);
        // An earlier version knows no import of several files.
        let by_old = self.chance(50) && !several;
        let (import, undone) = self.load(&command, by_old, cancels).await;
        // A submission that comes after the cancel, or waited for it, loads the file anew, as another import.
        let cancelled = undone == Some(import);
        if undone.is_some() && !cancelled {
            self.tally.count("file submitted anew after its cancel");
        }
        self.fleet.end_faults(&mut self.tally);
        self.tally.note_import(files.iter().map(|file| file.rows).sum());
        self.expect_state(import, if cancelled { "cancelled" } else { "loaded" })
            .await;
        if !cancelled {
            self.loaded.push((import, files));
        }
        self.check(import).await;
        if self.loaded.len() > KEPT {
            let (import, _) = self.loaded.remove(0);
            self.undo(import).await;
        }
    }

    /// Submits until it succeeds, with faults; returns the newest import of the file, and which one was cancelled.
    async fn load(&mut self, command: &[&str], by_old: bool, cancels: bool) -> (i64, Option<i64>) {
        let cancel_at = self.random.random_range(1..FAULTS_PER_IMPORT);
        let mut submitter = Some(self.fleet.submitter(by_old, command));
        let mut cancelled = None;
        let mut injected = 0;
        let begin = Instant::now();
        loop {
            self.pause(900).await;
            if injected < FAULTS_PER_IMPORT {
                injected += 1;
                if self.chance(15)
                    && let Some(mut killed) = submitter.take()
                {
                    killed.kill();
                    self.tally.count("submitter killed");
                    submitter = Some(self.fleet.submitter(by_old, command));
                } else {
                    self.inject().await;
                }
            } else {
                self.fleet.end_faults(&mut self.tally);
            }
            if cancels && cancelled.is_none() && injected >= cancel_at {
                cancelled = self.cancel_newest().await;
            }
            if submitter.as_mut().is_some_and(|submitter| submitter.ended().is_some())
                && let Some(ended) = submitter.take()
            {
                let finished = ended.finished().await;
                match finished.code {
                    Some(0 | 4) => {}
                    // As cron would. An import that was cancelled is not to be loaded after all.
                    _ if cancelled.is_some() => {}
                    _ => {
                        println!("submitted again after: {}", finished.stderr.trim());
                        submitter = Some(self.fleet.submitter(by_old, command));
                    }
                }
            }
            if submitter.is_none()
                && let Some((import, state)) = self.newest().await
                && matches!(state.as_str(), "loaded" | "failed" | "cancelled" | "kept")
            {
                return (import, cancelled);
            }
            if begin.elapsed() > Duration::from_secs(180) {
                let newest = self.newest().await;
                let what = format!("not done after 180 s: {newest:?}");
                println!("{what}");
                self.tally.complain(what);
                return (newest.map_or(0, |(import, _)| import), cancelled);
            }
        }
    }

    async fn newest(&self) -> Option<(i64, String)> {
        let newest = "SELECT id || ' ' || state FROM pgimport.import ORDER BY id DESC LIMIT 1";
        let answer = self.world.ask(newest).await?;
        let (id, state) = answer.split_once(' ')?;
        Some((id.parse().ok()?, state.to_owned()))
    }

    /// Cancels the import that is at work, if there is one.
    async fn cancel_newest(&mut self) -> Option<i64> {
        let (import, state) = self.newest().await?;
        let ours = !self.loaded.iter().any(|(loaded, _)| *loaded == import);
        if !ours || !matches!(state.as_str(), "splitting" | "loading" | "loaded") {
            return None;
        }
        let finished = self.world.run(&["cancel", &import.to_string()]).await;
        if finished.code != Some(0) {
            return None;
        }
        self.tally.count("import cancelled");
        Some(import)
    }

    async fn undo(&mut self, import: i64) {
        loop {
            if self.world.run(&["cancel", &import.to_string()]).await.code == Some(0) {
                break;
            }
        }
        for _ in 0..4 {
            self.pause(600).await;
            self.inject().await;
        }
        self.fleet.end_faults(&mut self.tally);
        self.expect_state(import, "cancelled").await;
        self.check(import).await;
    }

    /// Breaks something.
    async fn inject(&mut self) {
        self.fleet.tend(&mut self.tally);
        let victim = self.random.random_range(0..self.fleet.len());
        match self.random.random_range(0..100) {
            0..35 if self.fleet.may_be_killed(victim, &mut self.random) => self.fleet.kill(victim, &mut self.tally),
            0..65 => self.fleet.freeze(victim, &mut self.random, &mut self.tally),
            65..92 => {
                let some = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'pg_import%' ORDER BY random() LIMIT 2) AS s";
                if self.world.ask(some).await.is_some() {
                    self.tally.count("sessions ended");
                }
            }
            92..96 => {
                self.server.restart(ShutdownMode::Fast).await;
                self.tally.count("server restarted");
            }
            _ => {
                self.server.restart(ShutdownMode::Immediate).await;
                self.tally.count("server crashed");
            }
        }
    }
}
