//! The fence, and the deletions behind it: worker/src/undo/fence.rs, worker/src/jobs/delete_chunk.rs; `keep` in shared/submit/src/requests.rs; and
//! a source that broke, in shared/submit/src/intake.rs, which closes chunks alike.

use model::{ChunkState, ImportEvent, ImportState};

use crate::{
    Mending, Protocol,
    state::{At, Closing, Ending, Job, Lock, State, Who, bit, ordinals},
};

impl Protocol {
    pub(crate) fn deletion_step(&self, state: &mut State, who: Who) -> Option<()> {
        let at = match state.session(who).at {
            // sessions::join_deletions: pg_advisory_xact_lock_shared.
            At::Joining { chunk } => {
                if self.has(Mending::DeletionHoldsImport) {
                    if !state.deletions_free(who, Lock::Shared) {
                        return None;
                    }
                    state.session_mut(who).holds.deletions = Lock::Shared;
                }
                At::Sharing { chunk }
            }
            // imports::lock_for_deletion: SELECT FROM import WHERE id = $1 FOR SHARE; then SELECT state, fenced_at IS NOT NULL; and what
            // chunks::claim_deletion sees when it begins.
            At::Sharing { chunk } => {
                if self.has(Mending::DeletionHoldsImport) {
                    if !state.import_free(who, Lock::Shared) {
                        return None;
                    }
                    state.session_mut(who).holds.import = Lock::Shared;
                }
                if state.import.state == ImportState::Cancelling
                    && !state.import.fenced
                    && self.has(Mending::DeletionNeedsFence)
                {
                    // Deletion::Unfenced: rolled back, and the fence is set first.
                    state.release(who);
                    At::Holding(Closing::Fence)
                } else if state.import.state == ImportState::Cancelling && state.is_undecided(chunk) {
                    At::DeleteClaiming { chunk }
                } else {
                    state.done(who);
                    return Some(());
                }
            }
            // … and when it has the row: SELECT … WHERE … AND state = 'loaded' AND kept_count IS NULL FOR UPDATE.
            At::DeleteClaiming { chunk } => {
                if !state.chunk_free(who, chunk) {
                    return None;
                }
                if self.has(Mending::DeletionLooks) && !state.is_undecided(chunk) {
                    state.done(who);
                    return Some(());
                }
                state.session_mut(who).holds.chunks |= bit(chunk);
                At::DeleteClaimed { chunk }
            }
            // Rows::erase: DELETE FROM target WHERE … AND xmin = ANY (…), which judges each row as it is when it has it; then counts what stays.
            At::DeleteClaimed { chunk } => {
                let rows = state.rows[usize::from(chunk)];
                if self.has(Mending::DeletesOwnRows) {
                    At::Erased {
                        chunk,
                        gone: rows.ours,
                        kept: rows.edited,
                    }
                } else {
                    state.seen.others_deleted |= rows.edited > 0;
                    At::Erased {
                        chunk,
                        gone: rows.ours + rows.edited,
                        kept: 0,
                    }
                }
            }
            // chunks::finish_deletion, Registered::forget, commit.
            At::Erased { chunk, gone, kept } => {
                let timely = state.is_fenced();
                state.release(who);
                if self.has(Mending::DeletionLooks) && !state.is_undecided(chunk) {
                    // Not the one row that must be changed: rolled back, and outcome::keep_rows finds nothing to decide.
                    state.done(who);
                    return Some(());
                }
                if let Some(row) = &mut state.chunks[usize::from(chunk)] {
                    row.decided = kept > 0;
                    row.state = if kept > 0 {
                        ChunkState::Loaded
                    } else {
                        ChunkState::Deleted
                    };
                }
                let rows = &mut state.rows[usize::from(chunk)];
                let of_others = gone.saturating_sub(rows.ours);
                rows.ours -= gone - of_others;
                rows.edited -= of_others;
                state.seen.untimely_deletion |= !timely;
                At::Looking(Ending::Undo)
            }
            _ => return None,
        };
        state.session_mut(who).at = at;
        Some(())
    }

    pub(crate) fn closing_step(&self, state: &mut State, who: Who) -> Option<()> {
        let at = match state.session(who).at {
            At::Holding(why) => {
                if self.has(Mending::LocksInOrder) {
                    state.hold_deletions(who)?;
                } else {
                    state.lock_import(who)?;
                }
                At::Locking(why)
            }
            // imports::lock; then how it stands, by a statement of its own; and what the UPDATE of the chunks sees when it begins.
            At::Locking(why) => {
                if self.has(Mending::LocksInOrder) || why == Closing::SplitFailed {
                    state.lock_import(who)?;
                } else {
                    state.hold_deletions(who)?;
                }
                let Some(open) = self.to_close(state, who, why) else {
                    state.done(who);
                    return Some(());
                };
                At::Closing { why, open }
            }
            At::Closing { why, open: 0 } => {
                self.closed(state, who, why);
                state.release(who);
                if why == Closing::Fence {
                    At::Looking(Ending::Undo)
                } else {
                    state.done(who);
                    return Some(());
                }
            }
            // chunks::close_open: UPDATE import_chunk SET state = 'cancelled' WHERE … AND state IN ('pending', 'failed'), row by row: waits for
            // whoever has it, and judges it as it is then. Or chunks::fail_pending, alike.
            At::Closing { why, open } => {
                let chunk = ordinals().find(|&chunk| open & bit(chunk) != 0)?;
                if state.chunk_free(who, chunk) {
                    if open_states(why)
                        .iter()
                        .any(|&open| state.chunk_state(chunk) == Some(open))
                    {
                        state.session_mut(who).holds.chunks |= bit(chunk);
                    }
                } else if self.has(Mending::FenceWaits) {
                    return None;
                }
                At::Closing {
                    why,
                    open: open & !bit(chunk),
                }
            }
            _ => return None,
        };
        state.session_mut(who).at = at;
        Some(())
    }

    /// The chunks that are to be closed of an import that was locked; `None` when there is nothing to do.
    fn to_close(&self, state: &State, who: Who, why: Closing) -> Option<u8> {
        let open = state.chunks_in(open_states(why));
        let cancelling = state.import.state == ImportState::Cancelling;
        match why {
            Closing::Fence => (cancelling && !state.import.fenced).then_some(open),
            // completion::end_undo follows.
            Closing::Keep => cancelling.then_some(if state.import.fenced { 0 } else { open }),
            Closing::SplitFailed => self.may_split(state, who).then_some(open),
        }
    }

    /// The rest of the transaction, when all open chunks are locked, and its commit.
    fn closed(&self, state: &mut State, who: Who, why: Closing) {
        let locked = state.session(who).holds.chunks;
        for (chunk, row) in ordinals().zip(&mut state.chunks) {
            let Some(row) = row else { continue };
            match why {
                Closing::SplitFailed if locked & bit(chunk) != 0 => row.state = ChunkState::Failed,
                // payloads::delete_all: what is not closed has none.
                Closing::Fence | Closing::Keep if locked & bit(chunk) != 0 => {
                    (row.state, row.payload) = (ChunkState::Cancelled, false);
                }
                // chunks::reopen_kept: UPDATE import_chunk SET kept_count = NULL WHERE … AND state = 'loaded'.
                Closing::Fence => row.decided = false,
                _ => {}
            }
        }
        match why {
            // imports::set_fenced; chunks::list_undecided and wakeups::push_deletions.
            Closing::Fence => {
                state.import.fenced = true;
                for chunk in ordinals()
                    .filter(|&chunk| state.is_undecided(chunk))
                    .collect::<Vec<_>>()
                {
                    state.queue.push(Job::Delete(chunk));
                }
            }
            // imports::set_fenced where it is not; completion::end_undo with `stop`.
            Closing::Keep => {
                state.import.fenced = true;
                let left = state.any_chunk(ChunkState::Loaded);
                state.transition(if left {
                    ImportEvent::Keep
                } else {
                    ImportEvent::AllDeleted
                });
            }
            // transition.
            Closing::SplitFailed => {
                state.seen.intruded |= who != Who::Submitter(state.import.submitter);
                state.transition(ImportEvent::SplitFailed);
            }
        }
    }
}

impl State {
    /// `sessions::hold_deletions`: `pg_advisory_xact_lock`.
    fn hold_deletions(&mut self, who: Who) -> Option<()> {
        self.deletions_free(who, Lock::Alone).then_some(())?;
        self.session_mut(who).holds.deletions = Lock::Alone;
        Some(())
    }

    /// `imports::lock`: `SELECT state FROM import WHERE id = $1 FOR UPDATE`.
    fn lock_import(&mut self, who: Who) -> Option<()> {
        self.import_free(who, Lock::Alone).then_some(())?;
        self.session_mut(who).holds.import = Lock::Alone;
        Some(())
    }
}

fn open_states(why: Closing) -> &'static [ChunkState] {
    match why {
        Closing::Fence | Closing::Keep => &[ChunkState::Pending, ChunkState::Failed],
        Closing::SplitFailed => &[ChunkState::Pending],
    }
}
