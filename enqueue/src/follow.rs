//! Follows an import to its end, with a bar on a terminal and plain lines elsewhere.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger::imports;
use ledger::read::{self, ImportStatus};
use model::{ImportId, ImportState};
use submit::submission::Progress;

use crate::{
    database::Open,
    output::{self, group},
};

/// How often a follower looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often the counts are added up for the bar.
const SHOW: Duration = Duration::from_millis(300);
/// How often a pipe gets a line.
const LINE: Duration = Duration::from_secs(5);

/// Shows how far an import is.
pub struct Display {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Display {
    #[must_use]
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(
                ProgressStyle::with_template("{prefix:>11} {wide_bar} {percent:>3}% {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            bar,
            last_line: Instant::now(),
        }
    }

    /// Shows `status`; while the source is being read, `progress` says how much of it.
    fn show(&mut self, status: &ImportStatus, progress: Option<&Progress>) {
        let (done, total, what) = amounts(status, progress);
        let text = format!("{}/{} {what}", group(done), group(total));
        if let Some(bar) = &self.bar {
            bar.set_prefix(status.state.to_string());
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(text);
        } else if self.last_line.elapsed() >= LINE {
            self.last_line = Instant::now();
            output::say(&format!("import {}: {}, {text}", status.import_id, status.state));
        }
    }

    /// A line above the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::say(text)),
            None => output::say(text),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is done of what. The records of a source that is still being read are estimated by its bytes.
fn amounts(status: &ImportStatus, progress: Option<&Progress>) -> (u64, u64, &'static str) {
    let read::Progress { done, total } = status.progress();
    match status.state {
        ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept => (done, total, "rows undone"),
        ImportState::Splitting => {
            let read = progress.map_or(0, Progress::bytes);
            let total = status.size_bytes.filter(|_| read > 0).map_or(status.records, |size| {
                let share = u128::from(status.records) * u128::from(size) / u128::from(read);
                u64::try_from(share).unwrap_or(u64::MAX).max(status.records)
            });
            (done, total, "records")
        }
        _ => (done, total, "records"),
    }
}

/// Says once that no worker is alive, should that be so; for a person who waits. Never returns: it runs beside what is waited for.
pub async fn warn_when_alone(open: &Open) -> std::convert::Infallible {
    // A worker that is starting gets this time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let alive = async { ledger::workers::count_alive(&mut *open.connection().await?).await };
    // What keeps the question from being answered is for the follower to tell.
    if !open.is_local() && matches!(alive.await, Ok(0)) {
        output::say("NO WORKER IS ALIVE: start one (`worker`) or this waits for ever");
    }
    std::future::pending().await
}

/// Follows an import until its state is final, through restarts of the database.
///
/// # Errors
/// When the import is gone, or the database stays away.
pub async fn to_end(
    open: &Open,
    import: ImportId,
    display: &mut Display,
    progress: Option<&Progress>,
) -> anyhow::Result<ImportStatus> {
    let mut shown: Option<Instant> = None;
    loop {
        let state = open.patiently(async |conn| imports::state(conn, import).await).await?;
        let state = state.ok_or_else(|| output::no_import(import))?;
        if state.is_final() || shown.is_none_or(|shown| shown.elapsed() >= SHOW) {
            shown = Some(Instant::now());
            let status = status(open, import).await?;
            display.show(&status, progress);
            if status.state.is_final() {
                display.finish();
                return Ok(status);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads an import's status.
///
/// # Errors
/// When there is no such import, or the database stays away.
pub async fn status(open: &Open, import: ImportId) -> anyhow::Result<ImportStatus> {
    let status = open.patiently(async |conn| read::status(conn, import).await).await?;
    status.ok_or_else(|| output::no_import(import))
}
