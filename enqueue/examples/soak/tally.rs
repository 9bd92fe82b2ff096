//! What was done, what was broken, and what was found wrong.

use std::{collections::BTreeMap, process::ExitCode};

use crate::fleet::Fleet;

#[derive(Default)]
pub struct Tally {
    faults: BTreeMap<&'static str, u32>,
    /// Chunks by what was done with them, and by whose worker.
    done: BTreeMap<(String, &'static str), u64>,
    imports: u32,
    rows: u64,
    lost: u64,
    doubled: u64,
    /// Anything else that must not be.
    complaints: Vec<String>,
}

impl Tally {
    pub fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    pub fn note_import(&mut self, rows: u64) {
        self.imports += 1;
        self.rows += rows;
    }

    pub fn note_difference(&mut self, lost: u64, doubled: u64) {
        self.lost += lost;
        self.doubled += doubled;
    }

    pub fn note_chunk(&mut self, state: &str, whose: &'static str) {
        *self.done.entry((state.to_owned(), whose)).or_default() += 1;
    }

    pub fn report(mut self, fleet: &Fleet<'_>) -> ExitCode {
        if let Some(old) = fleet.old() {
            let done = |state: &str, whose| self.done.get(&(state.to_owned(), whose)).copied().unwrap_or_default();
            for state in ["loaded", "deleted"] {
                println!(
                    "chunks {state}: {} by old workers, {} by new ones",
                    done(state, "old"),
                    done(state, "new")
                );
            }
            if done("loaded", "old") == 0 || done("loaded", "new") == 0 {
                self.complain("workers of one version alone loaded everything".to_owned());
            }
            println!("{old} of {} workers are old at the end", fleet.len());
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
