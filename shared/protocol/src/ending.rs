//! How loading and an undo end: shared/ledger/src/completion.rs.

use model::{ChunkState, ImportEvent, ImportState};

use crate::{
    Mending, Protocol,
    state::{At, Counted, Ending, Lock, State, Who, ordinals},
};

impl Protocol {
    pub(crate) fn ending_step(&self, state: &mut State, who: Who) -> Option<()> {
        match state.session(who).at {
            // imports::looks_loaded, looks_undone: without a lock.
            At::Looking(what) => {
                if state.looks_ended(what) {
                    state.session_mut(who).at = At::Ending { what, counted: None };
                } else {
                    state.done(who);
                }
            }
            // One statement: what it sees when it begins.
            At::Ending { what, counted: None } if !self.has(Mending::EndLooksAfterLock) => {
                if state.is_at(what) {
                    let counted = Some(state.count(what));
                    state.session_mut(who).at = At::Ending { what, counted };
                } else {
                    state.done(who);
                }
            }
            // imports::lock: SELECT state FROM import WHERE id = $1 FOR UPDATE; then imports::loading_ended or undo_decided by a snapshot of
            // their own, unless they were `counted` before; then transition, and the commit, for none of which it waits.
            At::Ending { what, counted } => {
                if !state.import_free(who, Lock::Alone) {
                    return None;
                }
                let counted = counted.unwrap_or_else(|| state.count(what));
                if state.is_at(what) && !counted.open {
                    let event = match (what, counted.left) {
                        (Ending::Loading, false) => ImportEvent::AllLoaded,
                        (Ending::Loading, true) => ImportEvent::SomeFailed,
                        (Ending::Undo, false) => ImportEvent::AllDeleted,
                        (Ending::Undo, true) => ImportEvent::Keep,
                    };
                    state.seen.undo_cut_short |= what == Ending::Undo && state.count(what).open;
                    state.transition(event);
                }
                state.done(who);
            }
            _ => return None,
        }
        Some(())
    }
}

impl State {
    /// Whether the import's own row says that this can end.
    fn is_at(&self, what: Ending) -> bool {
        match what {
            Ending::Loading => self.import.state == ImportState::Loading,
            Ending::Undo => self.is_fenced(),
        }
    }

    fn count(&self, what: Ending) -> Counted {
        match what {
            Ending::Loading => Counted {
                open: self.any_chunk(ChunkState::Pending),
                left: self.any_chunk(ChunkState::Failed),
            },
            Ending::Undo => Counted {
                open: ordinals().any(|chunk| self.is_undecided(chunk)),
                left: self.any_chunk(ChunkState::Loaded),
            },
        }
    }

    pub(crate) fn looks_ended(&self, what: Ending) -> bool {
        self.is_at(what) && !self.count(what).open
    }
}
