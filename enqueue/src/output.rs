//! What people and scripts read: data on stdout, words on stderr, and the exit codes.

use std::io::Write as _;

use shared::{
    model::{ImportId, ImportState},
    status::ImportStatus,
};

/// How a command ended; the numbers are part of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// Loaded, but some records were rejected.
    Rejects,
    Cancelled,
}

impl Exit {
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Rejects => 3,
            Self::Cancelled => 4,
        }
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

/// A line for a person.
pub fn say(text: &str) {
    // A closed stderr is no reason to stop.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// What went wrong, for a person.
pub fn complain(text: &str) {
    say(&format!("enqueue: {text}"));
}

/// What to do about an error of the server whose own words do not say it.
#[must_use]
pub fn advice(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    match shared::sqlstate(error)?.as_str() {
        "42501" => Some("docs/PRIVILEGES.md has the GRANTs that each role needs"),
        "55P03" => Some(
            "another session holds a lock that this needs: a chunk that is being loaded, a process that froze, or somebody's open transaction; docs/RELIABILITY.md says how to find it",
        ),
        "25006" => Some("the server takes no changes: it is a standby, or default_transaction_read_only is on"),
        _ => None,
    }
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
    format!("{program} {arguments}{}", if local { " --local" } else { "" })
}

/// What came of an import, what to look at, and how to undo it.
#[must_use]
pub fn summary(status: &ImportStatus, look: &str, local: bool) -> String {
    let id = status.import_id;
    let mut lines = vec![format!("import {id}: {}", status.state)];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    line("source", status.source.clone());
    line("records", group(status.records));
    line("rows", format!("{} into {}", group(status.loaded), status.target));
    if status.deleted + status.kept + status.missing > 0 || status.state == ImportState::Cancelled {
        line("deleted", group(status.deleted));
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
    if let Some(error) = &status.error {
        line("error", error.clone());
    }
    for error in &status.chunk_errors {
        line(
            "chunk",
            format!("{}, from line {}: {}", error.ordinal, error.first_line, error.error),
        );
    }
    match status.state {
        ImportState::Loaded | ImportState::Loading | ImportState::Kept => line("look", look.to_owned()),
        ImportState::Failed => line("retry", again(&format!("retry {id}"), local)),
        _ => {}
    }
    if status.rejected > 0 {
        line("rejects", again(&format!("rejects {id}"), local));
    }
    if !matches!(status.state, ImportState::Cancelled | ImportState::Cancelling) {
        line("undo", again(&format!("cancel {id}"), local));
    }
    lines.join("\n")
}

/// A number with its digits in groups of three.
#[must_use]
pub fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Says that there is no such import.
#[must_use]
pub fn no_import(id: ImportId) -> anyhow::Error {
    anyhow::anyhow!("there is no import {id}: see `enqueue status`")
}

#[cfg(test)]
mod tests {
    use super::group;

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!([0, 999, 1000, 1_469_307].map(group), ["0", "999", "1,000", "1,469,307"]);
    }
}
