//! What keeps things going: worker/src/maintenance.rs. And what becomes of processes that die or stand still.

use model::ImportState;

use crate::{
    Action, Mending, Protocol,
    state::{At, Closing, Ending, Holds, Job, Lock, Queue, Session, State, Who},
};

impl Protocol {
    pub(crate) fn maintenance_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.has(Mending::RenewsWakeups) {
            actions.extend(Queue::kinds().filter(|&job| state.is_missing(job)).map(Action::Renew));
        }
        if self.has(Mending::FindsForgotten) && state.forgotten.is_some() {
            actions.push(Action::FindForgotten);
        }
        let ended = state.looks_ended(Ending::Loading) || state.looks_ended(Ending::Undo);
        if self.has(Mending::EndsUnnoticed) && ended && state.session(Who::Maintenance).at == At::Idle {
            actions.push(Action::Notice);
        }
        for who in Who::MORTAL {
            let session = state.session(who);
            let is_worker = matches!(who, Who::Worker(_));
            if is_worker && (session.at == At::Dead || session.frozen && session.job.is_some()) {
                actions.push(Action::Rescue(who));
            }
            if session.frozen && self.has(Mending::EndsSessions) && (is_worker || session.holds != Holds::default()) {
                actions.push(Action::EndSession(who));
            }
        }
    }

    /// `completion::finish_unnoticed`: from here on as everybody ends an import.
    pub(crate) fn notice(&self, state: &mut State) {
        let what = match state.import.state {
            ImportState::Cancelling => Ending::Undo,
            _ => Ending::Loading,
        };
        state.session_mut(Who::Maintenance).at = At::Looking(what);
    }

    /// `maintenance::reap_submitters`: `imports::abandoned`, which passes over an import that is locked (SKIP LOCKED), and `cancel::begin`, in one
    /// transaction that waits for nobody.
    pub(crate) fn abandon(&self, state: &mut State) -> Option<()> {
        if !state.import_free(Who::Maintenance, Lock::Alone) {
            return None;
        }
        state.begin_cancel();
        Some(())
    }
}

impl State {
    /// `wakeups::missing`: what waits without a live job, unless somebody holds it (SKIP LOCKED).
    fn is_missing(&self, job: Job) -> bool {
        let waits = match job {
            Job::Cancel => self.import.state == ImportState::Cancelling && !self.import.fenced,
            Job::Load(chunk) => {
                matches!(self.import.state, ImportState::Splitting | ImportState::Loading)
                    && self.is_pending(chunk)
                    && self.chunk_free(Who::Maintenance, chunk)
            }
            Job::Delete(chunk) => {
                self.is_fenced() && self.is_undecided(chunk) && self.chunk_free(Who::Maintenance, chunk)
            }
        };
        waits
            && self.queue.count(job) == 0
            && self.forgotten != Some(job)
            && !self
                .sessions
                .iter()
                .any(|session| session.job == Some(job) && session.lives())
    }

    /// A process is killed: the server rolls its transaction back.
    pub(crate) fn kill(&mut self, who: Who) {
        let job = self.session(who).job;
        *self.session_mut(who) = Session {
            job,
            ..Session::new(At::Dead)
        };
    }

    /// `queue::rescue_orphans`: a silent worker's job waits again, while its session may go on. A dead worker is started anew.
    pub(crate) fn rescue(&mut self, who: Who) {
        if let Some(job) = self.session_mut(who).job.take() {
            self.queue.push(job);
        }
        if self.session(who).at == At::Dead {
            self.done(who);
        }
    }

    /// `sessions::terminate`, or the server by itself: the transaction is rolled back. A worker that wakes goes on under another name, with
    /// nothing; a submitter tries the same again; a person has to ask again.
    pub(crate) fn end_session(&mut self, who: Who) {
        match who {
            Who::Worker(_) => {
                self.rescue(who);
                self.done(who);
            }
            Who::Submitter(_) => {
                self.release(who);
                let session = self.session_mut(who);
                session.at = match session.at {
                    At::Storing { part } => At::Reading { part },
                    At::Closing { .. } => At::Locking(Closing::SplitFailed),
                    at => at,
                };
            }
            Who::Person | Who::Maintenance => self.done(who),
        }
    }
}
