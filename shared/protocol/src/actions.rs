//! What can happen next: steps of the sessions, what maintenance and people do, and what fate does.

use model::{ChunkState, ImportState};
use stateright::{Model, Property};

use crate::{
    Begin, Protocol,
    properties::properties,
    state::{At, Chunk, Import, Job, Queue, Rows, Seen, Session, State, Who, ordinals},
};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A worker fetches a job.
    Fetch(Who, Job),
    /// A session takes its next step, which is named so that a path reads well.
    Step(Who, At),
    /// Maintenance adds a job that is missing.
    Renew(Job),
    /// Maintenance finds an import that looks finished.
    Notice,
    /// Maintenance gives a silent worker's job back, and a dead one is started anew.
    Rescue(Who),
    /// The server ends the session of a process that stands still: because maintenance says so (`sessions::terminate`), or because it idles in a
    /// transaction (`idle_in_transaction_session_timeout`).
    EndSession(Who),
    /// Maintenance finds a job that nobody is at.
    FindForgotten,
    /// Maintenance cancels a stream whose submitter is gone.
    Abandon,
    /// A submitter's lease runs out, because it stands still or is dead.
    LeaseOver,
    /// Another submitter goes on in the place of one that is silent.
    TakeOver,
    /// A load fails for good.
    Fail(Who),
    /// A submitter's source is broken.
    BreakSource(Who),
    /// A submitter's batch is committed, but it does not hear of it.
    LoseAnswer(Who),
    /// A submitter that lives is silent for too long.
    BeSilent,
    Kill(Who),
    Freeze(Who),
    Wake(Who),
    Lose(Job),
    Double(Job),
    /// A worker's last commits are lost with a restart of the server, and it goes on.
    LoseWord(Who),
    Edit(u8),
    Cancel,
    Keep,
    Retry,
}

impl Action {
    /// Whether it happens by itself, sooner or later, if nothing bad happens any more and nobody asks for anything: what an import needs to end
    /// may be nothing else.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        matches!(
            self,
            Self::Fetch(..)
                | Self::Step(..)
                | Self::Renew(_)
                | Self::Notice
                | Self::Rescue(_)
                | Self::EndSession(_)
                | Self::FindForgotten
                | Self::Abandon
                | Self::LeaseOver
                | Self::TakeOver
        )
    }
}

impl Protocol {
    /// What can happen by itself. Some of it may turn out to have to wait.
    pub(crate) fn progress_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in Who::ALL {
            let session = state.session(who);
            if !session.lives() || matches!(session.at, At::Waiting) {
                continue;
            }
            match (session.at, who) {
                (At::Idle, Who::Worker(_)) => {
                    let waiting = Queue::kinds().filter(|&job| state.queue.count(job) > 0);
                    actions.extend(waiting.map(|job| Action::Fetch(who, job)));
                }
                (At::Idle, _) => {}
                (at, _) => actions.push(Action::Step(who, at)),
            }
        }
        self.maintenance_actions(state, actions);
        self.lease_actions(state, actions);
    }

    fn fate_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in Who::MORTAL {
            let session = state.session(who);
            if session.frozen {
                actions.push(Action::Wake(who));
            }
            if session.at == At::Idle || !session.lives() {
                continue;
            }
            if state.left.crashes > 0 {
                actions.push(Action::Kill(who));
            }
            if state.left.freezes > 0 {
                actions.push(Action::Freeze(who));
            }
            let commits = matches!(
                session.at,
                At::Claimed { wrote: true, .. } | At::Erased { .. } | At::Closing { open: 0, .. }
            );
            if state.left.words_lost > 0 && commits && session.job.is_some() {
                actions.push(Action::LoseWord(who));
            }
        }
        for job in Queue::kinds().filter(|&job| state.queue.count(job) > 0) {
            if state.left.lost > 0 {
                actions.push(Action::Lose(job));
            }
            if state.left.doubled > 0 {
                actions.push(Action::Double(job));
            }
        }
        if state.left.failures > 0 {
            self.failure_actions(state, actions);
        }
        if state.left.edits > 0 {
            actions.extend(ordinals().map(Action::Edit));
        }
    }

    fn do_step(&self, state: &mut State, who: Who) -> Option<()> {
        match state.session(who).at {
            At::Idle | At::Dead | At::Waiting => None,
            At::Parsed { .. }
            | At::Claiming { .. }
            | At::Claimed { .. }
            | At::LookedTooSoon { .. }
            | At::Refused { .. } => self.load_step(state, who),
            At::Joining { .. }
            | At::Sharing { .. }
            | At::DeleteClaiming { .. }
            | At::DeleteClaimed { .. }
            | At::Erased { .. } => self.deletion_step(state, who),
            At::Holding(_) | At::Locking(_) | At::Closing { .. } => self.closing_step(state, who),
            At::Looking(_) | At::Ending { .. } => self.ending_step(state, who),
            At::TookOver | At::Reading { .. } | At::Storing { .. } => self.submitter_step(state, who),
        }
    }

    /// `None` where it has to wait, or cannot happen.
    fn happen(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Fetch(who, job) => self.fetch(state, who, job),
            Action::Step(who, _) => self.do_step(state, who)?,
            Action::Renew(job) => state.queue.push(job),
            Action::Notice => self.notice(state),
            Action::Rescue(who) => state.rescue(who),
            Action::EndSession(who) => state.end_session(who),
            Action::FindForgotten => {
                let job = state.forgotten.take()?;
                state.queue.push(job);
            }
            Action::Abandon => self.abandon(state)?,
            Action::LeaseOver => state.import.lease_over = true,
            Action::TakeOver => self.take_over(state)?,
            Action::Fail(who) => state.fail_load(who),
            Action::BreakSource(who) => state.break_source(who),
            Action::LoseAnswer(who) => {
                state.left.answers_lost -= 1;
                self.store(state, who, false);
            }
            Action::BeSilent => {
                state.left.silences -= 1;
                state.import.lease_over = true;
            }
            Action::Kill(who) => {
                state.left.crashes -= 1;
                state.kill(who);
            }
            Action::Freeze(who) => {
                state.left.freezes -= 1;
                state.session_mut(who).frozen = true;
            }
            Action::Wake(who) => state.session_mut(who).frozen = false,
            Action::Lose(job) => {
                state.left.lost -= 1;
                state.queue.take(job);
            }
            Action::Double(job) => {
                state.left.doubled -= 1;
                state.queue.push(job);
            }
            Action::LoseWord(who) => state.lose_word(who)?,
            Action::Edit(chunk) => state.edit(chunk)?,
            Action::Cancel => self.cancel(state)?,
            Action::Keep => self.keep(state),
            Action::Retry => self.retry(state)?,
        }
        Some(())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let stored = self.begin == Begin::Stored;
        let mut state = State {
            import: Import {
                state: if stored {
                    ImportState::Loading
                } else {
                    ImportState::Splitting
                },
                fenced: false,
                split: stored,
                submitter: 0,
                lease_over: false,
            },
            chunks: [None; _],
            rows: [Rows::default(); _],
            queue: Queue::default(),
            forgotten: None,
            sessions: [Session::IDLE; _],
            left: self.limits,
            seen: Seen::default(),
        };
        if stored {
            for part in 0..self.parts {
                state.chunks[usize::from(part)] = Some(Chunk::new(part));
                state.queue.push(Job::Load(part));
            }
        } else {
            state.session_mut(Who::Submitter(0)).at = At::Reading { part: 0 };
            state.session_mut(Who::Submitter(1)).at = At::Waiting;
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.progress_actions(state, actions);
        self.fate_actions(state, actions);
        self.request_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.happen(&mut state, action)?;
        state.sort_workers();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}

impl Chunk {
    /// As a batch adds it, with its payload.
    pub fn new(part: u8) -> Self {
        Self {
            state: ChunkState::Pending,
            decided: false,
            payload: true,
            part,
        }
    }
}
