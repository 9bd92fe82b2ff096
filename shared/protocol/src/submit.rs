//! A submitter stores its source, and another one goes on in its place: shared/submit/src/intake.rs, shared/ledger/src/imports/splitting.rs.

use model::{ImportEvent, ImportState};

use crate::{
    Action, Begin, Mending, Protocol,
    state::{At, Chunk, Closing, Ending, Job, Lock, State, Who},
};

impl Protocol {
    pub(crate) fn submitter_step(&self, state: &mut State, who: Who) -> Option<()> {
        match state.session(who).at {
            // chunks::split_progress.
            At::TookOver => {
                let part = state.stored();
                state.session_mut(who).at = At::Reading { part };
            }
            // imports::renew_lease: UPDATE import SET lease_until … WHERE id = $1 AND submitter = $2 AND state = 'splitting'. All that it asks for is
            // in the row that it locks.
            At::Reading { part } if part < self.parts => {
                let locks = self.has(Mending::BatchLocksImport);
                if locks && !state.import_free(who, Lock::Alone) {
                    return None;
                }
                if !self.may_split(state, who) {
                    state.done(who);
                    return Some(());
                }
                let session = state.session_mut(who);
                session.at = At::Storing { part };
                if locks {
                    session.holds.import = Lock::Alone;
                }
            }
            // Intake::finish: imports::lock_for_submitter, transition, commit.
            At::Reading { .. } => {
                if !state.import_free(who, Lock::Alone) {
                    return None;
                }
                if self.may_split(state, who) {
                    state.seen.intruded |= who != Who::Submitter(state.import.submitter);
                    state.transition(ImportEvent::SourceEnded);
                    state.session_mut(who).at = At::Looking(Ending::Loading);
                } else {
                    state.done(who);
                }
            }
            At::Storing { .. } => self.store(state, who, true),
            _ => return None,
        }
        Some(())
    }

    /// Whether an import is this submitter's to split.
    pub(crate) fn may_split(&self, state: &State, who: Who) -> bool {
        let is_named = who == Who::Submitter(state.import.submitter);
        state.import.state == ImportState::Splitting && (is_named || !self.has(Mending::BatchNamesSubmitter))
    }

    /// `Intake::try_store_batch`, when it has its lease: looks what is stored, adds the chunk, its payload and its job, and commits. A submitter that
    /// is not `told` does the same again.
    pub(crate) fn store(&self, state: &mut State, who: Who, told: bool) {
        let At::Storing { part } = state.session(who).at else {
            return;
        };
        let stored = state.stored();
        state.release(who);
        if stored == part || !self.has(Mending::BatchLooksWhatIsStored) {
            state.seen.intruded |= who != Who::Submitter(state.import.submitter);
            if let Some(row) = state.chunks.get_mut(usize::from(stored)) {
                *row = Some(Chunk::new(part));
                state.queue.push(Job::Load(stored));
            }
        }
        state.import.lease_over = false;
        let part = if told { part + 1 } else { part };
        state.session_mut(who).at = At::Reading { part };
    }

    pub(crate) fn lease_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.import.state != ImportState::Splitting {
            return;
        }
        let named = state.session(Who::Submitter(state.import.submitter));
        if !state.import.lease_over && !named.lives() {
            actions.push(Action::LeaseOver);
        }
        if state.import.lease_over {
            match self.begin {
                Begin::Submitted { resumable: true } => {
                    if state.session(Who::Submitter(1)).at == At::Waiting {
                        actions.push(Action::TakeOver);
                    }
                }
                Begin::Submitted { resumable: false } => {
                    if self.has(Mending::CancelsStreams) {
                        actions.push(Action::Abandon);
                    }
                }
                Begin::Stored => {}
            }
        }
    }

    /// `imports::take_over`: one statement, all of whose conditions are in the row that it locks; committed by itself.
    pub(crate) fn take_over(&self, state: &mut State) -> Option<()> {
        let who = Who::Submitter(1);
        if !state.import_free(who, Lock::Alone) {
            return None;
        }
        (state.import.submitter, state.import.lease_over) = (1, false);
        state.session_mut(who).at = At::TookOver;
        Some(())
    }
}

impl State {
    /// `Intake::fail`: closes what is pending.
    pub(crate) fn break_source(&mut self, who: Who) {
        self.left.failures -= 1;
        self.session_mut(who).at = At::Locking(Closing::SplitFailed);
    }
}
