//! What must hold when nothing is at work.

use std::time::{Duration, Instant};

use crate::{Soak, support::CsvFile};

impl Soak<'_> {
    /// Waits until an import is in a state, and complains where it does not come to it.
    pub async fn expect_state(&mut self, import: i64, wanted: &str) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(90) {
            if self.world.state(import).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let found = self.world.describe(import).await;
        self.tally.complain(format!("import {import} is not {wanted}: {found}"));
    }

    /// Every row is there once, nothing is left over, and no job waits.
    pub async fn check(&mut self, import: i64) {
        let files: Vec<&CsvFile> = self.loaded.iter().flat_map(|(_, files)| files).collect();
        let (lost, doubled) = self.world.difference(&files).await;
        self.tally.note_difference(lost, doubled);
        let mut found = vec![format!(
            "import {import}: {lost} rows lost, {doubled} doubled or strange"
        )];
        if lost + doubled > 0 {
            let ledger = "SELECT string_agg(id || ' ' || state || ' ' || (SELECT coalesce(sum(loaded_count), 0) FROM pgimport.import_chunk
                 WHERE import_id = i.id), ', ' ORDER BY id) FROM pgimport.import AS i";
            let ledger = self.world.ask(ledger).await.unwrap_or_default();
            self.tally.complain(format!("{}; imports: {ledger}", found[0]));
        }
        for (count, what) in self.world.leftovers().await {
            if count > 0 {
                self.tally.complain(format!("import {import}: {count} {what}"));
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
            let whose = if pid.is_some_and(|pid| self.fleet.was_old(pid)) {
                "old"
            } else {
                "new"
            };
            self.tally.note_chunk(state, whose);
        }
    }
}
