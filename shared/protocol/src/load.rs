//! A worker loads a chunk: worker/src/jobs/load_chunk.rs.

use model::{ChunkState, ImportState};

use crate::{
    Mending, Protocol,
    state::{At, Closing, Ending, Job, State, Who, bit},
};

impl Protocol {
    /// A worker fetches a job, and takes its first step.
    ///
    /// Of a load, `chunks::start`: `UPDATE import_chunk … FROM import WHERE c.state = 'pending' AND i.state IN ('splitting', 'loading')`, committed by
    /// itself; then the payload is read and parsed, which may take long. What it counts is not in the model, so it only looks.
    pub(crate) fn fetch(&self, state: &mut State, who: Who, job: Job) {
        state.queue.take(job);
        let at = match job {
            Job::Load(chunk) => {
                let loads = matches!(state.import.state, ImportState::Splitting | ImportState::Loading);
                if !loads || !state.is_pending(chunk) {
                    return;
                }
                At::Parsed { chunk, wrote: false }
            }
            Job::Delete(chunk) => At::Joining { chunk },
            Job::Cancel => At::Holding(Closing::Fence),
        };
        let session = state.session_mut(who);
        (session.at, session.job) = (at, Some(job));
    }

    pub(crate) fn load_step(&self, state: &mut State, who: Who) -> Option<()> {
        let at = match state.session(who).at {
            At::Parsed { chunk, wrote: false } if !self.has(Mending::ClaimIsFirst) => {
                if !self.has(Mending::OneTransaction) {
                    state.rows[usize::from(chunk)].ours += 1;
                }
                At::Parsed { chunk, wrote: true }
            }
            // chunks::claim: SELECT FROM import_chunk WHERE … AND state = 'pending' FOR UPDATE. What it sees when it begins …
            At::Parsed { chunk, wrote } => {
                if self.has(Mending::ClaimLooks) && !state.is_pending(chunk) {
                    state.done(who);
                    return Some(());
                }
                At::Claiming { chunk, wrote }
            }
            // … and when it has the row.
            At::Claiming { chunk, wrote } => {
                if !state.chunk_free(who, chunk) {
                    return None;
                }
                if self.has(Mending::ClaimLooks) && !state.is_pending(chunk) {
                    state.done(who);
                    return Some(());
                }
                state.session_mut(who).holds.chunks |= bit(chunk);
                At::Claimed { chunk, wrote }
            }
            // LoadPlan::load: INSERT INTO target, or COPY; the registry.
            At::Claimed { chunk, wrote: false } => At::Claimed { chunk, wrote: true },
            At::Claimed { chunk, wrote: true } if !self.has(Mending::LooksAfterCommit) => {
                let others = state.chunks_in(&[ChunkState::Pending]) & !bit(chunk);
                let ended = state.import.state == ImportState::Loading && others == 0;
                At::LookedTooSoon { chunk, ended }
            }
            At::Claimed { chunk, wrote: true } => {
                if self.finish_load(state, who, chunk) {
                    At::Looking(Ending::Loading)
                } else {
                    At::Refused { chunk }
                }
            }
            At::LookedTooSoon { chunk, ended } => {
                if !self.finish_load(state, who, chunk) {
                    At::Refused { chunk }
                } else if ended {
                    At::Looking(Ending::Loading)
                } else {
                    state.done(who);
                    return Some(());
                }
            }
            // outcome::give_up: UPDATE import_chunk SET state = 'failed' WHERE … AND state = 'pending'. Committed by itself.
            At::Refused { chunk } => {
                if !state.chunk_free(who, chunk) {
                    return None;
                }
                if let Some(row) = &mut state.chunks[usize::from(chunk)]
                    && row.state == ChunkState::Pending
                {
                    row.state = ChunkState::Failed;
                }
                At::Looking(Ending::Loading)
            }
            _ => return None,
        };
        state.session_mut(who).at = at;
        Some(())
    }

    /// `payloads::delete`, `chunks::finish_load` and the commit; `false` where one of them finds another number of rows than it must, which
    /// rolls everything back.
    fn finish_load(&self, state: &mut State, who: Who, chunk: u8) -> bool {
        state.release(who);
        let fenced = state.is_fenced() || matches!(state.import.state, ImportState::Cancelled | ImportState::Kept);
        let Some(row) = &mut state.chunks[usize::from(chunk)] else {
            return false;
        };
        if self.has(Mending::PayloadCounts) && !row.payload
            || self.has(Mending::FinishLooks) && row.state != ChunkState::Pending
        {
            return false;
        }
        row.payload = false;
        row.state = ChunkState::Loaded;
        if self.has(Mending::OneTransaction) {
            state.rows[usize::from(chunk)].ours += 1;
        }
        state.seen.late_load |= fenced;
        true
    }

    /// Loads that can fail, and sources that can break.
    pub(crate) fn failure_actions(&self, state: &State, actions: &mut Vec<crate::Action>) {
        for who in Who::ALL.into_iter().filter(|&who| state.session(who).lives()) {
            match state.session(who).at {
                At::Claimed { wrote: false, .. } => actions.push(crate::Action::Fail(who)),
                At::Reading { .. } => actions.push(crate::Action::BreakSource(who)),
                _ => {}
            }
        }
    }
}

impl State {
    /// What the chunk is cannot be loaded: its transaction is rolled back, and what came of it is written by another.
    pub(crate) fn fail_load(&mut self, who: Who) {
        self.left.failures -= 1;
        self.release(who);
        if let At::Claimed { chunk, .. } = self.session(who).at {
            self.session_mut(who).at = At::Refused { chunk };
        }
    }

    /// What a worker was about to commit was committed and is lost, as is the word that its job is done. The worker is done, and the queue says
    /// that it has the job.
    pub(crate) fn lose_word(&mut self, who: Who) -> Option<()> {
        self.left.words_lost -= 1;
        self.forgotten = Some(self.session(who).job?);
        self.done(who);
        Some(())
    }

    /// Somebody edits a chunk's row, which has another `xmin` from then on. One that a deletion has locked is gone when the lock is.
    pub(crate) fn edit(&mut self, chunk: u8) -> Option<()> {
        let is_locked = self
            .sessions
            .iter()
            .any(|session| matches!(session.at, At::Erased { chunk: erased, .. } if erased == chunk));
        let rows = &mut self.rows[usize::from(chunk)];
        if is_locked || rows.ours == 0 {
            return None;
        }
        self.left.edits -= 1;
        rows.ours -= 1;
        rows.edited += 1;
        Some(())
    }
}
