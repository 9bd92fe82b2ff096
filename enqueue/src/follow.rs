//! Follows an import to its end, with a bar on a terminal and plain lines elsewhere.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::{
    model::{ImportId, ImportState},
    status::ImportStatus,
    store::{StoreError, imports, is_transient, workers},
    submission::Progress,
};

use crate::{
    database::Open,
    output::{self, group},
};

/// How often a follower looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often a pipe gets a line.
const LINE: Duration = Duration::from_secs(5);
/// How long a worker may take to come before a person is told that there is none.
const LONELY: Duration = Duration::from_secs(2);

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
    match status.state {
        ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept => (
            status.deleted + status.kept + status.missing,
            status.loaded,
            "rows deleted",
        ),
        ImportState::Splitting => {
            let read = progress.map_or(0, Progress::bytes);
            let total = status.size_bytes.filter(|_| read > 0).map_or(status.records, |size| {
                let share = u128::from(status.records) * u128::from(size) / u128::from(read);
                u64::try_from(share).unwrap_or(u64::MAX).max(status.records)
            });
            (status.loaded + status.rejected, total, "records")
        }
        _ => (status.loaded + status.rejected, status.records, "records"),
    }
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
    const PATIENCE: Duration = Duration::from_secs(300);
    let begin = Instant::now();
    let mut told = open.is_local();
    let mut last_answer = begin;
    let mut last_shown: Option<Instant> = None;
    loop {
        let due = last_shown.is_none_or(|shown| shown.elapsed() >= LOOK * 3);
        match look(open, import, due, !told && begin.elapsed() > LONELY).await {
            Ok(found) => {
                last_answer = Instant::now();
                if let Some(Look { status, lonely }) = found {
                    last_shown = Some(last_answer);
                    display.show(&status, progress);
                    if status.state.is_final() {
                        display.finish();
                        return Ok(status);
                    }
                    if lonely {
                        told = true;
                        display.say("NO WORKER IS ALIVE: start one (`worker`) or this waits for ever");
                    }
                }
            }
            Err(error) if last_answer.elapsed() < PATIENCE && passes(&error) => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a look found.
struct Look {
    status: ImportStatus,
    /// Whether there is no worker, if that was asked.
    lonely: bool,
}

/// Looks at an import: at all of it when that is due or it ended, else at its state alone.
async fn look(open: &Open, import: ImportId, due: bool, ask_for_workers: bool) -> anyhow::Result<Option<Look>> {
    let mut conn = open.connection().await?;
    let state = imports::state(&mut conn, import).await?;
    let state = state.ok_or_else(|| output::no_import(import))?;
    if !(due || state.is_final()) {
        return Ok(None);
    }
    let lonely = ask_for_workers && workers::count_alive(&mut conn).await? == 0;
    drop(conn);
    let status = status(open, import).await?;
    Ok(Some(Look { status, lonely }))
}

/// Whether the database may answer again later.
fn passes(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(is_transient) || error.downcast_ref().is_some_and(StoreError::is_transient)
}

/// Reads an import's status.
///
/// # Errors
/// When there is no such import, or the database cannot be asked.
pub async fn status(open: &Open, import: ImportId) -> anyhow::Result<ImportStatus> {
    let mut conn = open.connection().await?;
    ImportStatus::read(&mut conn, import)
        .await?
        .ok_or_else(|| output::no_import(import))
}
