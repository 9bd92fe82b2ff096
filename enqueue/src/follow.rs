//! Follows an import to its end, with a bar on a terminal and plain lines elsewhere.

use std::{
    collections::VecDeque,
    io::IsTerminal as _,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger::imports;
use ledger::read::{self, ImportStatus};
use model::{ImportId, ImportState, words};
use submit::submission::Progress;

use crate::{
    database::Open,
    output::{self, group},
};

/// After which time a follower looks for the first time; doubled with each look, up to [`LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// How often a follower looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often the counts are added up for the bar.
const SHOW: Duration = Duration::from_millis(300);
/// Over which time its speed is measured.
const OVER: Duration = Duration::from_secs(5);
/// How often a pipe gets a line.
const LINE: Duration = Duration::from_secs(5);

/// Shows how far an import is.
pub struct Display {
    bar: Option<ProgressBar>,
    last_line: Instant,
    speed: Speed,
}

impl Display {
    #[must_use]
    pub fn new() -> Self {
        let bar = (std::io::stderr().is_terminal() && !output::is_quiet()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(
                ProgressStyle::with_template("{prefix:>10} {wide_bar} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            bar,
            last_line: Instant::now(),
            speed: Speed::default(),
        }
    }

    /// Shows `status`; while the source is being read, `progress` says how much of it.
    fn show(&mut self, status: &ImportStatus, progress: Option<&Progress>) {
        let (done, total, what) = amounts(status, progress);
        self.speed.add(status.state, done, Instant::now());
        let mut text = format!("{}/{} {what}", group(done), group(total));
        if status.state == ImportState::Splitting {
            text.push_str(&format!(", {} read", read_so_far(status, progress)));
        }
        if let Some(per_s) = self.speed.per_s() {
            text.push_str(&format!(", {}/s", words::rate(per_s)));
            // Of a source that is still read a guess at its records is too rough for it.
            #[expect(clippy::cast_precision_loss, reason = "a guess")]
            let left = total.saturating_sub(done) as f64 / per_s;
            if status.state != ImportState::Splitting && left >= 1.0 {
                text.push_str(&format!(", {} left", words::duration(left)));
            }
        }
        if status.rejected > 0 {
            text.push_str(&format!(", {} rejected", group(status.rejected)));
        }
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

/// How fast it goes: over the last seconds, so that a stand is seen soon, and a chunk that ends makes no jump.
#[derive(Debug, Default)]
struct Speed {
    state: Option<ImportState>,
    samples: VecDeque<(Instant, u64)>,
}

impl Speed {
    fn add(&mut self, state: ImportState, done: u64, now: Instant) {
        // Reading and loading are one; an undo counts something else.
        let is_undo = |state| {
            matches!(
                state,
                ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept
            )
        };
        if self.state.is_some_and(|before| is_undo(before) != is_undo(state)) {
            self.samples.clear();
        }
        self.state = Some(state);
        self.samples.push_back((now, done));
        // One that is older than that is kept, to have all of that time.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= OVER)
        {
            self.samples.pop_front();
        }
    }

    /// **A second**; `None` where nothing moved, or it is too early to say.
    fn per_s(&self) -> Option<f64> {
        let ((first, before), (last, done)) = (self.samples.front()?, self.samples.back()?);
        let seconds = last.duration_since(*first).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let moved = done.saturating_sub(*before) as f64;
        (seconds >= 0.5 && moved > 0.0).then(|| moved / seconds)
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

/// How much of a source is read: a part of it, where its size is known, so that the line fits 80 columns.
fn read_so_far(status: &ImportStatus, progress: Option<&Progress>) -> String {
    match (status.size_bytes, progress.map(Progress::bytes)) {
        (Some(size), Some(read)) if size > 0 => {
            let percent = u128::from(read.min(size)) * 100 / u128::from(size);
            format!("{percent} %")
        }
        _ => group(status.records),
    }
}

/// Says once that no worker serves an import's queue, should that be so; for a person who waits. Never returns: it runs beside what is
/// waited for.
pub async fn warn_when_alone(open: &Open, import: ImportId) -> std::convert::Infallible {
    // A worker that is starting gets this time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let unserved = open
        .pool
        .within(async |conn| ledger::workers::unserved_lane(conn, import).await);
    // What keeps the question from being answered is for the follower to tell.
    if !open.is_local()
        && let Ok(Some(lane)) = unserved.await
    {
        output::insist(&output::no_worker(&lane));
    }
    std::future::pending().await
}

/// Shows how far an import is while this process reads its source. Never returns: it runs beside that.
pub async fn while_reading(open: &Open, progress: &Progress, display: &Mutex<Display>) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(SHOW).await;
        let Some(&import) = progress.own_import.get() else {
            continue;
        };
        // What keeps the question from being answered is for whoever reads to tell.
        let status = open.pool.within(async |conn| read::status(conn, import).await);
        if let (Ok(Some(status)), Ok(mut display)) = (status.await, display.lock()) {
            display.show(&status, Some(progress));
        }
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
    // What ends at once needs no bar.
    let mut shown = Instant::now();
    let mut pause = FIRST_LOOK;
    // Of a private server's few followers each may look as often as the first time.
    let longest = if open.is_local() { FIRST_LOOK } else { LOOK };
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
        let state = open.patiently(async |conn| imports::state(conn, import).await).await?;
        let state = state.ok_or_else(|| output::no_import(import))?;
        if state.is_final() || shown.elapsed() >= SHOW {
            shown = Instant::now();
            let status = status(open, import).await?;
            display.show(&status, progress);
            if status.state.is_final() {
                display.finish();
                return Ok(status);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_that_of_the_last_seconds_and_of_one_direction() {
        let (begin, mut speed) = (Instant::now(), Speed::default());
        let at = |tenths: u64| begin + Duration::from_millis(100 * tenths);
        assert_eq!(speed.per_s(), None);
        for tenths in 0..=100 {
            speed.add(ImportState::Loading, tenths * 10, at(tenths));
        }
        assert!((speed.per_s().unwrap() - 100.0).abs() < 1e-6);
        for tenths in 101..=151 {
            speed.add(ImportState::Loading, 1_000, at(tenths));
        }
        assert_eq!(speed.per_s(), None, "it stands");
        speed.add(ImportState::Cancelling, 0, at(152));
        speed.add(ImportState::Cancelling, 50, at(162));
        assert!((speed.per_s().unwrap() - 50.0).abs() < 1e-6);
    }
}
