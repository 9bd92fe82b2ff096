//! The workers, of this version and of an earlier one, and the faults that they suffer.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::StdRng};

use crate::{
    support::{Proc, World},
    tally::Tally,
};

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

struct Worker {
    process: Proc,
    frozen_until: Option<Instant>,
    /// Of the earlier version.
    old: bool,
}

impl Worker {
    fn new(process: Proc, old: bool) -> Self {
        Self {
            process,
            frozen_until: None,
            old,
        }
    }
}

pub struct Fleet<'a> {
    world: &'a World,
    workers: Vec<Worker>,
    /// The worker of an earlier version, and whether the database has become too new for it to start.
    old_worker: Option<PathBuf>,
    old_refuses: bool,
    /// The processes that were of the earlier version.
    old_pids: BTreeSet<i32>,
}

impl<'a> Fleet<'a> {
    pub async fn start(world: &'a World, old_worker: Option<PathBuf>) -> Self {
        let mut fleet = Self {
            world,
            workers: Vec::new(),
            old_worker,
            old_refuses: false,
            old_pids: BTreeSet::new(),
        };
        match fleet.old_worker.clone() {
            Some(worker) => fleet.start_mixed(&worker.with_file_name("enqueue")).await,
            None => fleet.workers = (0..WORKERS).map(|_| fleet.new_worker()).collect(),
        }
        fleet
    }

    /// As an update goes: the earlier version made the database, its workers work, and while they do the database is migrated. Only
    /// then can new workers start, and no old one any more.
    async fn start_mixed(&mut self, old_enqueue: &Path) {
        self.world.make_anew("template1").await;
        let migrate = self.world.program(old_enqueue, &["migrate"]).start();
        migrate.finished().await.exits(0);
        let mut old = Vec::new();
        for _ in 0..WORKERS_MIXED / 2 {
            let worker = self.start_worker(1);
            self.world.until_working(&worker.process).await;
            old.push(worker);
        }
        self.world.run(&["migrate"]).await.exits(0);
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
        Worker::new(self.world.worker(&WORKER_ARGUMENTS).start(), false)
    }

    /// A worker for a place among the others: for every second one an old one, as long as such a one starts.
    fn start_worker(&mut self, place: usize) -> Worker {
        match &self.old_worker {
            Some(program) if place % 2 == 1 && !self.old_refuses => {
                let process = self.world.program(program, &WORKER_ARGUMENTS).start();
                self.old_pids.insert(process.pid());
                Worker::new(process, true)
            }
            _ => self.new_worker(),
        }
    }

    /// Starts `enqueue`, the earlier version's where it is asked for and there is one.
    pub fn submitter(&self, by_old: bool, command: &[&str]) -> Proc {
        match &self.old_worker {
            Some(worker) if by_old => self.world.program(&worker.with_file_name("enqueue"), command),
            _ => self.world.enqueue(command),
        }
        .start()
    }

    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// How many are of the earlier version; `None` where there never was one.
    pub fn old(&self) -> Option<usize> {
        let old = self.workers.iter().filter(|worker| worker.old).count();
        self.old_worker.is_some().then_some(old)
    }

    /// Whether a process was one of the earlier version.
    pub fn was_old(&self, pid: i32) -> bool {
        self.old_pids.contains(&pid)
    }

    /// Whether a worker may be killed: where that is for good, most old ones shall stay, and the last in any case.
    pub fn may_be_killed(&self, place: usize, random: &mut StdRng) -> bool {
        !self.workers[place].old || self.old().is_some_and(|old| old > 1) && random.random_range(0..100) < 20
    }

    pub fn kill(&mut self, place: usize, tally: &mut Tally) {
        tally.count(if self.workers[place].old {
            "old worker killed"
        } else {
            "worker killed"
        });
        self.workers[place].process.kill();
        self.workers[place] = self.start_worker(place);
    }

    /// Freezes a worker for a while, unless it is frozen already.
    pub fn freeze(&mut self, place: usize, random: &mut StdRng, tally: &mut Tally) {
        let worker = &mut self.workers[place];
        if worker.frozen_until.is_none() {
            let millis = random.random_range(100..12_000);
            worker.process.freeze();
            worker.frozen_until = Some(Instant::now() + Duration::from_millis(millis));
            tally.count(if worker.old {
                "old worker frozen"
            } else {
                "worker frozen"
            });
        }
    }

    fn thaw(&mut self, due: impl Fn(Instant) -> bool) {
        for worker in &mut self.workers {
            if worker.frozen_until.is_some_and(&due) {
                worker.process.thaw();
                worker.frozen_until = None;
            }
        }
    }

    /// Thaws those whose time has come, and replaces those that cannot work any more.
    pub fn tend(&mut self, tally: &mut Tally) {
        let now = Instant::now();
        self.thaw(|until| now >= until);
        self.replace_refused(tally);
    }

    /// Puts new workers in the place of old ones that found the database too new.
    fn replace_refused(&mut self, tally: &mut Tally) {
        for place in 0..self.workers.len() {
            let worker = &mut self.workers[place];
            if worker.old && worker.process.ended().is_some() && worker.process.words().contains(TOO_OLD) {
                self.old_refuses = true;
                self.workers[place] = self.new_worker();
                tally.count("old worker refused to start");
            }
        }
    }

    /// From here on all of them work. None may have ended by itself.
    pub fn end_faults(&mut self, tally: &mut Tally) {
        self.thaw(|_| true);
        self.replace_refused(tally);
        for place in 0..self.workers.len() {
            let process = &mut self.workers[place].process;
            if let Some(status) = process.ended() {
                tally.complain(format!("a worker ended by itself: {status}: {}", process.words()));
                self.workers[place] = self.start_worker(place);
            }
        }
    }
}
