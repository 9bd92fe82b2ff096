//! What people and scripts read: data on stdout, words on stderr, and the exit codes.

use std::{
    borrow::Cow,
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use ledger::{read::ImportStatus, workers::WorkerStatus};
use model::{Delimiter, ImportId, ImportState, Lane, words};

pub use model::words::{escape, group};

/// How a command ended; the numbers are part of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// Loaded, but some records were rejected.
    Rejects,
    Cancelled,
    /// Nobody reads the output any more: as a shell has it of a program that SIGPIPE ended.
    BrokenPipe,
}

impl Exit {
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Rejects => 3,
            Self::Cancelled => 4,
            Self::BrokenPipe => 141,
        }
    }

    /// Of two, the one that more must be done about.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let weight = |exit| match exit {
            Self::Done => 0,
            Self::Rejects => 1,
            Self::Cancelled => 2,
            Self::Failed => 3,
            Self::BrokenPipe => 4,
        };
        if weight(other) > weight(self) { other } else { self }
    }

    /// The exit code of an import as it stands. One that still loads is well so far.
    #[must_use]
    pub fn of(status: &ImportStatus) -> Self {
        match status.state {
            ImportState::Loaded if status.rejected > 0 => Self::Rejects,
            ImportState::Splitting | ImportState::Loading | ImportState::Loaded => Self::Done,
            ImportState::Failed => Self::Failed,
            ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept => Self::Cancelled,
        }
    }
}

/// Whether only what went wrong is said.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From here on only what went wrong is said on stderr.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

#[must_use]
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line for a person.
pub fn say(text: &str) {
    if !is_quiet() {
        insist(text);
    }
}

/// A line for a person, who asked for quiet or not.
pub fn insist(text: &str) {
    // A closed stderr is no reason to stop.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// What went wrong, for a person.
pub fn complain(text: &str) {
    insist(&format!("enqueue: {}", indented(text)));
}

/// Text of several lines, as it may be shown. Those behind the first are indented: what a name holds looks like no line of ours.
fn indented(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n  ")
}

/// Whether an error says that nobody reads standard output any more, as when `head` has seen enough.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Data: a line on stdout.
///
/// # Errors
/// When stdout is closed, so that a script never takes a lost answer for one.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// An import's status as one JSON object.
///
/// # Errors
/// When stdout is closed.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(print(&serde_json::to_string(value)?)?)
}

/// How to call this program again, for the hints.
#[must_use]
pub fn again(arguments: &str, local: bool) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "enqueue".to_owned());
    format!(
        "{} {arguments}{}",
        shell_words([program.as_str()]),
        if local { " --local" } else { "" }
    )
}

/// Words as a person can give them to a shell: whatever is in them, it stays one word each, and nothing steers the terminal.
#[must_use]
pub fn shell_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words
        .into_iter()
        // A NUL, the one thing that cannot be quoted, is written as an escape.
        .filter_map(|word| shlex::try_quote(&escape(word)).ok().map(Cow::into_owned))
        .collect();
    quoted.join(" ")
}

/// A delimiter as a person can give it to -d in a shell.
#[must_use]
pub fn delimiter(delimiter: Delimiter) -> String {
    match delimiter.as_bytes() {
        b"\t" => "'\\t'".to_owned(),
        other => shell_words([&*String::from_utf8_lossy(other)]),
    }
}

/// Files of an import that are shown.
const SHOWN_FILES: usize = 20;

/// What came of an import, what to look at, and how to undo it.
#[must_use]
pub fn summary(status: &ImportStatus, look: &str, local: bool) -> String {
    let id = status.import_id;
    let mut lines = vec![format!("import {id}: {}", status.state)];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    line("source", escape(&status.source));
    for file in status.files.iter().take(SHOWN_FILES) {
        line("", escape(file));
    }
    if let Some(more @ 1..) = status.files.len().checked_sub(SHOWN_FILES) {
        line("", format!("… and {more} more: --json has all of them"));
    }
    line("records", group(status.records));
    let renamed = status
        .renamed_from
        .as_ref()
        .map(|name| format!(" (which was {})", escape(name)))
        .unwrap_or_default();
    line(
        "rows",
        format!("{} into {}{renamed}", group(status.loaded), escape(&status.target)),
    );
    if !status.queue.is_default() {
        line("queue", status.queue.to_string());
    }
    let (updated, unchanged, skipped) = (status.updated, status.unchanged, status.skipped);
    if updated + unchanged + skipped > 0 {
        line("inserted", group(status.inserted));
        line("updated", group(updated));
        line(
            "unchanged",
            format!("{} (the table had the same values)", group(unchanged)),
        );
        line(
            "skipped",
            format!("{} (another row or record has their key)", group(skipped)),
        );
    }
    if status.removed > 0 {
        line(
            "removed",
            format!("{} (the source does not have them)", group(status.removed)),
        );
    }
    let undone = status.deleted + status.restored;
    let is_undone = matches!(status.state, ImportState::Cancelled | ImportState::Kept);
    if status.removed > 0 && (status.returned > 0 || is_undone) {
        line("returned", format!("{} of those removed", group(status.returned)));
    }
    if undone + status.kept + status.missing > 0 || status.state == ImportState::Cancelled {
        line("deleted", group(status.deleted));
        if updated > 0 {
            line("restored", group(status.restored));
        }
        line("remain", group(status.remaining()));
        line("gone", format!("{} (deleted by others before)", group(status.missing)));
    }
    line("rejected", group(status.rejected));
    let undone = matches!(
        status.state,
        ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept
    );
    // Of an undone import, the time since its submission says nothing.
    if !undone && status.elapsed_s > 0.0 {
        let rate = status.loaded as f64 / status.elapsed_s;
        line(
            "time",
            format!("{:.1} s ({} rows/s)", status.elapsed_s, group(rate as u64)),
        );
    }
    if let Some(reason) = &status.unreadable {
        line("waits", escape(reason));
    }
    if let Some(error) = &status.error {
        line("error", escape(error));
    }
    for error in &status.chunk_errors {
        let file = error.input.as_ref().map(|name| format!(", {}", escape(name)));
        let place = error.first_line.map(|first| format!(", from line {first}"));
        let place = file.into_iter().chain(place).collect::<String>();
        line("chunk", format!("{}{place}: {}", error.ordinal, escape(&error.error)));
    }
    match status.state {
        ImportState::Loaded | ImportState::Loading | ImportState::Kept => line("look", look.to_owned()),
        ImportState::Failed => line("retry", again(&format!("retry {id}"), local)),
        _ => {}
    }
    if status.rejected > 0 {
        line("rejects", again(&format!("rejects {id}"), local));
    }
    match status.state {
        ImportState::Cancelled | ImportState::Cancelling => {}
        ImportState::Kept => line("the rest", again(&format!("cancel {id} --dry-run"), local)),
        _ => line("undo", again(&format!("cancel {id}"), local)),
    }
    lines.join("\n")
}

/// Says that nobody loads what waits in a queue.
#[must_use]
pub fn no_worker(lane: &Lane) -> String {
    format!(
        "NO WORKER SERVES THE QUEUE {lane}: start one (`{}`) or this waits for ever",
        lane.worker_command()
    )
}

/// Which queues a worker serves, unless that is the default one alone.
#[must_use]
pub fn serves(worker: &WorkerStatus) -> String {
    match worker.queues.as_slice() {
        [queue] if queue.is_default() => String::new(),
        queues => format!("  serves {}", words::list(queues)),
    }
}

/// Says that there is no such import.
#[must_use]
pub fn no_import(id: ImportId) -> anyhow::Error {
    anyhow::anyhow!("there is no import {id}: see `enqueue status`")
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn an_error_of_several_lines_has_them_behind_its_own() {
        assert_eq!(indented("one line"), "one line");
        assert_eq!(
            indented("not found. Looked in:\n  - here\n"),
            "not found. Looked in:\n    - here"
        );
        assert_eq!(
            indented("a\r\u{1b}[2J\nenqueue: all is well"),
            "a\\r\\u{1b}[2J\n  enqueue: all is well"
        );
    }
}
