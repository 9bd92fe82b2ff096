//! Breaks everything at random for some minutes, import after import, and checks after each that no row was lost or doubled.
//!
//! `just soak MINUTES`; the seed is printed, and taken from PG_IMPORT_TEST_SEED. SOAK_CANCEL_PERCENT of the imports are cancelled at work.
//!
//! With SOAK_OLD_WORKER, the path of an earlier version's worker with that version's enqueue beside it, every second worker is that program
//! (`just soak-mixed MINUTES`): as during an update, the old ones work when the database is migrated, and go on beside the new ones.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use local_server::ShutdownMode;
use rand::{RngExt as _, rngs::StdRng};
use support::{CsvFile, Proc, World, seeded};
use testkit::TestServer;

const WORKERS: usize = 3;
/// Beside those of another version: two of each.
const WORKERS_MIXED: usize = 4;
const WORKER_ARGUMENTS: [&str; 4] = [
    "--concurrency",
    "2",
    // Most starts without an outcome are this program's own doing.
    "--max-attempts",
    "1000",
];
/// What a worker says that is older than the database.
const TOO_OLD: &str = "was migrated by a newer version";
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
    let mut soak = Soak::start(&server, seeded(), old_worker).await;
    if let Ok(percent) = std::env::var("SOAK_CANCEL_PERCENT") {
        soak.cancel_percent = percent.parse().expect("SOAK_CANCEL_PERCENT: a number");
    }
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while Instant::now() < end {
        soak.round().await;
    }
    soak.report()
}

struct Worker {
    process: Proc,
    frozen_until: Option<Instant>,
    /// Of the earlier version.
    old: bool,
}

struct Soak<'a> {
    server: &'a TestServer,
    world: World,
    random: StdRng,
    /// How many imports of a hundred are cancelled while they are at work.
    cancel_percent: u32,
    workers: Vec<Worker>,
    /// The worker of an earlier version, and whether the database has become too new for it to start.
    old_worker: Option<PathBuf>,
    old_refuses: bool,
    /// The processes that were of the earlier version.
    old_pids: BTreeSet<i32>,
    /// Chunks by what was done with them, and by whose worker.
    done: BTreeMap<(String, &'static str), u64>,
    /// What should be in the table.
    loaded: Vec<(i64, CsvFile)>,
    faults: BTreeMap<&'static str, u32>,
    imports: u32,
    rows: u64,
    lost: u64,
    doubled: u64,
    /// Anything else that must not be.
    complaints: Vec<String>,
}

impl<'a> Soak<'a> {
    async fn start(server: &'a TestServer, random: StdRng, old_worker: Option<PathBuf>) -> Self {
        let mut soak = Self {
            server,
            world: World::on(server).await,
            random,
            cancel_percent: 25,
            workers: Vec::new(),
            old_worker,
            old_refuses: false,
            old_pids: BTreeSet::new(),
            done: BTreeMap::new(),
            loaded: Vec::new(),
            faults: BTreeMap::new(),
            imports: 0,
            rows: 0,
            lost: 0,
            doubled: 0,
            complaints: Vec::new(),
        };
        match soak.old_worker.clone() {
            Some(worker) => soak.start_mixed(&worker.with_file_name("enqueue")).await,
            None => soak.workers = (0..WORKERS).map(|_| soak.new_worker()).collect(),
        }
        soak
    }

    /// As an update goes: the earlier version made the database, its workers work, and while they do the database is migrated. Only
    /// then can new workers start, and no old one any more.
    async fn start_mixed(&mut self, old_enqueue: &Path) {
        self.world.make_anew("template1").await;
        let migrated = self.world.program(old_enqueue, &["migrate"]).start().finished().await;
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        let mut old = Vec::new();
        for _ in 0..WORKERS_MIXED / 2 {
            let worker = self.start_worker(1);
            self.world.until_working(&worker.process).await;
            old.push(worker);
        }
        let migrated = self.world.run(&["migrate"]).await;
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        for worker in old {
            self.workers.push(self.new_worker());
            self.workers.push(worker);
        }
        let version = "SELECT max(version) FROM pgimport._sqlx_migrations";
        println!(
            "migrated to version {}",
            self.world.ask(version).await.unwrap_or_default()
        );
    }

    fn new_worker(&self) -> Worker {
        Worker {
            process: self.world.worker(&WORKER_ARGUMENTS).start(),
            frozen_until: None,
            old: false,
        }
    }

    /// A worker for a place among the others: for every second one an old one, as long as such a one starts.
    fn start_worker(&mut self, place: usize) -> Worker {
        match &self.old_worker {
            Some(program) if place % 2 == 1 && !self.old_refuses => {
                let process = self.world.program(program, &WORKER_ARGUMENTS).start();
                self.old_pids.insert(process.pid());
                Worker {
                    process,
                    frozen_until: None,
                    old: true,
                }
            }
            _ => self.new_worker(),
        }
    }

    /// Puts new workers in the place of old ones that found the database too new.
    fn replace_refused(&mut self) {
        for place in 0..self.workers.len() {
            let worker = &mut self.workers[place];
            if worker.old && worker.process.ended().is_some() && worker.process.words().contains(TOO_OLD) {
                self.old_refuses = true;
                self.workers[place] = self.new_worker();
                self.count("old worker refused to start");
            }
        }
    }

    /// Whether a worker may be killed: where that is for good, most old ones shall stay, and the last in any case.
    fn may_be_killed(&mut self, place: usize) -> bool {
        if !self.workers[place].old {
            return true;
        }
        let old = self.workers.iter().filter(|worker| worker.old).count();
        old > 1 && self.chance(20)
    }

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
        let file = self.world.csv_file(rows).await;
        let chunk_rows = self.random.random_range(50..400).to_string();
        let method = if self.chance(50) { "insert" } else { "copy" };
        let command = [
            "-i",
            file.path(),
            "--chunk-rows",
            &chunk_rows,
            "--load-method",
            method,
            "--max-pending",
            "64K",
        ];
        let cancels = self.chance(self.cancel_percent);
        let (import, undone) = self.load(&command, cancels).await;
        // A submission that comes after the cancel, or waited for it, loads the file anew, as another import.
        let cancelled = undone == Some(import);
        if undone.is_some() && !cancelled {
            self.count("file submitted anew after its cancel");
        }
        self.end_faults();
        self.imports += 1;
        self.rows += rows;
        self.expect_state(import, if cancelled { "cancelled" } else { "loaded" })
            .await;
        if !cancelled {
            self.loaded.push((import, file));
        }
        self.check(import).await;
        if self.loaded.len() > KEPT {
            let (import, _) = self.loaded.remove(0);
            self.undo(import).await;
        }
    }

    /// Submits until it succeeds, with faults; returns the newest import of the file, and which one was cancelled.
    async fn load(&mut self, command: &[&str], cancels: bool) -> (i64, Option<i64>) {
        let cancel_at = self.random.random_range(1..FAULTS_PER_IMPORT);
        let mut submitter = Some(self.world.enqueue(command).start());
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
                    self.count("submitter killed");
                    submitter = Some(self.world.enqueue(command).start());
                } else {
                    self.inject().await;
                }
            } else {
                self.end_faults();
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
                        submitter = Some(self.world.enqueue(command).start());
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
                self.complaints.push(what);
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
        self.count("import cancelled");
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
        self.end_faults();
        self.expect_state(import, "cancelled").await;
        self.check(import).await;
    }

    fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Breaks something.
    async fn inject(&mut self) {
        self.thaw(|frozen, until| frozen >= until);
        self.replace_refused();
        let victim = self.random.random_range(0..self.workers.len());
        match self.random.random_range(0..100) {
            0..35 if self.may_be_killed(victim) => {
                self.count(if self.workers[victim].old {
                    "old worker killed"
                } else {
                    "worker killed"
                });
                self.workers[victim].process.kill();
                self.workers[victim] = self.start_worker(victim);
            }
            0..65 => {
                if self.workers[victim].frozen_until.is_none() {
                    let millis = self.random.random_range(100..12_000);
                    self.workers[victim].process.freeze();
                    self.workers[victim].frozen_until = Some(Instant::now() + Duration::from_millis(millis));
                    self.count(if self.workers[victim].old {
                        "old worker frozen"
                    } else {
                        "worker frozen"
                    });
                }
            }
            65..92 => {
                let some = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'pg_import%' ORDER BY random() LIMIT 2) AS s";
                if self.world.ask(some).await.is_some() {
                    self.count("sessions ended");
                }
            }
            92..96 => {
                self.server.restart(ShutdownMode::Fast).await;
                self.count("server restarted");
            }
            _ => {
                self.server.restart(ShutdownMode::Immediate).await;
                self.count("server crashed");
            }
        }
    }

    fn thaw(&mut self, due: impl Fn(Instant, Instant) -> bool) {
        for worker in &mut self.workers {
            if worker.frozen_until.is_some_and(|until| due(Instant::now(), until)) {
                worker.process.thaw();
                worker.frozen_until = None;
            }
        }
    }

    fn end_faults(&mut self) {
        self.thaw(|_, _| true);
        self.replace_refused();
        for place in 0..self.workers.len() {
            let process = &mut self.workers[place].process;
            if let Some(status) = process.ended() {
                self.complaints
                    .push(format!("a worker ended by itself: {status}: {}", process.words()));
                self.workers[place] = self.start_worker(place);
            }
        }
    }

    async fn expect_state(&mut self, import: i64, wanted: &str) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(90) {
            if self.world.state(import).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let found = self.world.describe(import).await;
        self.complaints
            .push(format!("import {import} is not {wanted}: {found}"));
    }

    /// What must hold when nothing is at work.
    async fn check(&mut self, import: i64) {
        let files: Vec<&CsvFile> = self.loaded.iter().map(|(_, file)| file).collect();
        let (lost, doubled) = self.world.difference(&files).await;
        self.lost += lost;
        self.doubled += doubled;
        let mut found = vec![format!(
            "import {import}: {lost} rows lost, {doubled} doubled or strange"
        )];
        if lost + doubled > 0 {
            let ledger = "SELECT string_agg(id || ' ' || state || ' ' || (SELECT coalesce(sum(loaded_count), 0) FROM pgimport.import_chunk
                 WHERE import_id = i.id), ', ' ORDER BY id) FROM pgimport.import AS i";
            let ledger = self.world.ask(ledger).await.unwrap_or_default();
            self.complaints.push(format!("{}; imports: {ledger}", found[0]));
        }
        for (count, what) in self.world.leftovers().await {
            if count > 0 {
                self.complaints.push(format!("import {import}: {count} {what}"));
                found.push(format!("{count} {what}"));
            }
        }
        self.world.assert_no_job_stranded().await;
        println!("{}", found.join(", "));
        self.note_workers(import).await;
    }

    /// Counts whose workers loaded an import's chunks, or deleted their rows.
    async fn note_workers(&mut self, import: i64) {
        let chunks = format!(
            "SELECT coalesce(string_agg(state || ' ' || worker, E'\\n'), '') FROM pgimport.import_chunk
             WHERE import_id = {import} AND state IN ('loaded', 'deleted')"
        );
        for chunk in self.world.ask(&chunks).await.unwrap_or_default().lines() {
            // The name of a worker: role, host, process id and a random part.
            let Some((state, name)) = chunk.split_once(' ') else {
                continue;
            };
            let pid = name.rsplit(':').nth(1).and_then(|pid| pid.parse().ok());
            let whose = if pid.is_some_and(|pid| self.old_pids.contains(&pid)) {
                "old"
            } else {
                "new"
            };
            *self.done.entry((state.to_owned(), whose)).or_default() += 1;
        }
    }

    fn report(mut self) -> ExitCode {
        if self.old_worker.is_some() {
            let done = |state: &str, whose| self.done.get(&(state.to_owned(), whose)).copied().unwrap_or_default();
            for state in ["loaded", "deleted"] {
                println!(
                    "chunks {state}: {} by old workers, {} by new ones",
                    done(state, "old"),
                    done(state, "new")
                );
            }
            if done("loaded", "old") == 0 || done("loaded", "new") == 0 {
                self.complaints
                    .push("workers of one version alone loaded everything".to_owned());
            }
            let old = self.workers.iter().filter(|worker| worker.old).count();
            println!("{old} of {} workers are old at the end", self.workers.len());
        }
        let total: u32 = self.faults.values().sum();
        println!(
            "{} imports, {} records, {total} faults: {:?}",
            self.imports, self.rows, self.faults
        );
        println!("{} rows lost, {} rows doubled", self.lost, self.doubled);
        for complaint in &self.complaints {
            println!("WRONG: {complaint}");
        }
        if self.complaints.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
