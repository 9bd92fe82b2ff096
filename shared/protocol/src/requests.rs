//! What a person asks for: shared/submit/src/requests.rs.

use model::{ChunkState, ImportEvent, ImportState};

use crate::{
    Action, Protocol,
    state::{At, Closing, Job, Lock, State, Who, ordinals},
};

impl Protocol {
    pub(crate) fn request_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (left, import) = (state.left, state.import);
        if left.cancels > 0 && import.state.allows(ImportEvent::Cancel) {
            actions.push(Action::Cancel);
        }
        if left.keeps > 0 && import.state == ImportState::Cancelling && state.session(Who::Person).at == At::Idle {
            actions.push(Action::Keep);
        }
        if left.retries > 0 && import.state == ImportState::Failed && import.split {
            actions.push(Action::Retry);
        }
        if left.answers_lost > 0 {
            let storing = [Who::Submitter(0), Who::Submitter(1)]
                .into_iter()
                .filter(|&who| state.session(who).lives() && matches!(state.session(who).at, At::Storing { .. }));
            actions.extend(storing.map(Action::LoseAnswer));
        }
        if left.silences > 0 && import.state == ImportState::Splitting && !import.lease_over {
            actions.push(Action::BeSilent);
        }
    }

    /// `requests::cancel`: locks the import, and waits for nothing else until its commit.
    pub(crate) fn cancel(&self, state: &mut State) -> Option<()> {
        if !state.import_free(Who::Person, Lock::Alone) {
            return None;
        }
        state.left.cancels -= 1;
        state.begin_cancel();
        Some(())
    }

    /// `requests::keep`: holds the deletions, locks the import, closes what is open.
    pub(crate) fn keep(&self, state: &mut State) {
        state.left.keeps -= 1;
        state.session_mut(Who::Person).at = At::Holding(Closing::Keep);
    }

    /// `requests::retry`: locks the import, opens its failed chunks again (`chunks::reopen_failed`) and adds their jobs. Nobody else has a failed
    /// chunk's row.
    pub(crate) fn retry(&self, state: &mut State) -> Option<()> {
        if !state.import_free(Who::Person, Lock::Alone) {
            return None;
        }
        state.left.retries -= 1;
        state.transition(ImportEvent::Retry);
        for (chunk, row) in ordinals().zip(&mut state.chunks) {
            if let Some(row) = row
                && row.state == ChunkState::Failed
            {
                row.state = ChunkState::Pending;
                state.queue.push(Job::Load(chunk));
            }
        }
        Some(())
    }
}

impl State {
    /// `cancel::begin`: transition, and the cancel job.
    pub(crate) fn begin_cancel(&mut self) {
        self.transition(ImportEvent::Cancel);
        self.queue.push(Job::Cancel);
    }
}
