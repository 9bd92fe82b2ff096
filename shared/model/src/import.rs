//! The states of an import and the events that move it.

use std::fmt;

use serde::Serialize;

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, sqlx::Encode, sqlx::Decode, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum ImportState {
    /// Its source is being read; workers load the chunks that are there already.
    Splitting,
    /// Every chunk is stored; workers load them.
    Loading,
    /// Every chunk is loaded; records that do not fit are rejects.
    Loaded,
    /// It could not be split, or a chunk could not be loaded.
    Failed,
    /// Its rows are being deleted.
    Cancelling,
    /// None of its rows is left.
    Cancelled,
    /// Partially undone: a cancel that left rows in the target.
    Kept,
}

/// What can happen to an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, sqlx::Encode, sqlx::Decode)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum ImportEvent {
    /// The last chunk is stored.
    SourceEnded,
    /// The source could not be read or split to its end.
    SplitFailed,
    /// No chunk is open, none failed.
    AllLoaded,
    /// No chunk is open, some failed.
    SomeFailed,
    /// Failed chunks are opened again.
    Retry,
    /// Its rows shall go.
    Cancel,
    /// The last of its rows is gone.
    AllDeleted,
    /// Deleting stopped with rows left.
    Keep,
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an import that is {state} cannot take the event {event}")]
pub struct IllegalTransition {
    pub state: ImportState,
    pub event: ImportEvent,
}

impl fmt::Display for ImportEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceEnded => "source ended",
            Self::SplitFailed => "split failed",
            Self::AllLoaded => "all loaded",
            Self::SomeFailed => "some failed",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::AllDeleted => "all deleted",
            Self::Keep => "keep",
        })
    }
}

impl std::str::FromStr for ImportState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let all: Vec<&str> = Self::ALL.iter().map(|state| state.as_str()).collect();
                format!("expected one of {}", all.join(", "))
            })
    }
}

impl ImportState {
    pub const ALL: [Self; 7] = [
        Self::Splitting,
        Self::Loading,
        Self::Loaded,
        Self::Failed,
        Self::Cancelling,
        Self::Cancelled,
        Self::Kept,
    ];

    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot happen in this state.
    pub fn after(self, event: ImportEvent) -> Result<Self, IllegalTransition> {
        use ImportEvent as E;
        match (self, event) {
            (Self::Splitting, E::SourceEnded) | (Self::Failed, E::Retry) => Ok(Self::Loading),
            (Self::Splitting, E::SplitFailed) | (Self::Loading, E::SomeFailed) => Ok(Self::Failed),
            (Self::Loading, E::AllLoaded) => Ok(Self::Loaded),
            (Self::Splitting | Self::Loading | Self::Loaded | Self::Failed | Self::Kept, E::Cancel) => {
                Ok(Self::Cancelling)
            }
            (Self::Cancelling, E::AllDeleted) => Ok(Self::Cancelled),
            (Self::Cancelling, E::Keep) => Ok(Self::Kept),
            (state, event) => Err(IllegalTransition { state, event }),
        }
    }

    /// Whether `event` can happen in this state.
    #[must_use]
    pub fn allows(self, event: ImportEvent) -> bool {
        self.after(event).is_ok()
    }

    /// Whether workers have nothing left to do for it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Loaded | Self::Failed | Self::Cancelled | Self::Kept)
    }

    /// As the ledger and JSON have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Splitting => "splitting",
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Kept => "kept",
        }
    }
}

/// For people.
impl fmt::Display for ImportState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kept => "partially undone",
            _ => self.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ImportEvent as E;
    use ImportState as S;

    const EVENTS: [E; 8] = [
        E::SourceEnded,
        E::SplitFailed,
        E::AllLoaded,
        E::SomeFailed,
        E::Retry,
        E::Cancel,
        E::AllDeleted,
        E::Keep,
    ];

    #[test]
    fn only_the_documented_transitions_are_legal() {
        let legal: Vec<(S, E, S)> = S::ALL
            .into_iter()
            .flat_map(|s| {
                EVENTS
                    .into_iter()
                    .filter_map(move |e| s.after(e).ok().map(|to| (s, e, to)))
            })
            .collect();
        assert_eq!(
            legal,
            [
                (S::Splitting, E::SourceEnded, S::Loading),
                (S::Splitting, E::SplitFailed, S::Failed),
                (S::Splitting, E::Cancel, S::Cancelling),
                (S::Loading, E::AllLoaded, S::Loaded),
                (S::Loading, E::SomeFailed, S::Failed),
                (S::Loading, E::Cancel, S::Cancelling),
                (S::Loaded, E::Cancel, S::Cancelling),
                (S::Failed, E::Retry, S::Loading),
                (S::Failed, E::Cancel, S::Cancelling),
                (S::Cancelling, E::AllDeleted, S::Cancelled),
                (S::Cancelling, E::Keep, S::Kept),
                (S::Kept, E::Cancel, S::Cancelling),
            ]
        );
    }

    #[test]
    fn an_illegal_event_names_state_and_event() {
        let error = S::Cancelled.after(E::Cancel).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an import that is cancelled cannot take the event cancel"
        );
    }
}
