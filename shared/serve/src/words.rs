//! How an import stands, as people read it.

use ledger::read::ImportStatus;
use model::ImportState;

/// How an import stands, in the words of its state.
pub(crate) fn state(status: &ImportStatus) -> &'static str {
    if status.interrupted {
        return "interrupted";
    }
    match status.state {
        ImportState::Splitting => "reading",
        ImportState::Kept => "partly undone",
        state => state.as_str(),
    }
}

/// How much of an import is done, from 0 to 1; `None` while nobody knows how much there is.
pub(crate) fn share(done: u64, total: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "it is shown as a bar")]
    (total > 0).then(|| (done as f64 / total as f64).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_nothing_is_no_share() {
        assert_eq!(share(0, 0), None);
        assert_eq!(share(3, 2), Some(1.0));
    }
}
