//! What there is at a moment: what is committed, and where each session stands in what it does.
//!
//! What a transaction wrote and did not commit is in where its session stands, and in the locks that it holds: only whoever has a row's lock
//! writes it.

use model::{ChunkState, ImportEvent, ImportState};

/// Chunks that there can be.
pub(crate) const CHUNKS: usize = 2;
/// Sessions that there are: two workers, maintenance, a person, two submitters.
const SESSIONS: usize = 6;
/// Jobs of one kind that the queue has at most: more of them bring nothing new.
const MOST_JOBS: u8 = 2;

/// What is committed, and what the sessions are at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) import: Import,
    /// By their ordinals.
    pub(crate) chunks: [Option<Chunk>; CHUNKS],
    /// Of each chunk, what is in the target.
    pub(crate) rows: [Rows; CHUNKS],
    pub(crate) queue: Queue,
    /// A job that a living worker holds, and that nobody is at.
    pub(crate) forgotten: Option<Job>,
    pub(crate) sessions: [Session; SESSIONS],
    /// What may still happen.
    pub(crate) left: crate::Limits,
    pub(crate) seen: Seen,
}

/// Table `pgimport.import`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Import {
    pub state: ImportState,
    /// `fenced_at IS NOT NULL`.
    pub fenced: bool,
    /// `split_at IS NOT NULL`.
    pub split: bool,
    /// Which of the two submitters it names.
    pub submitter: u8,
    /// `lease_until < clock_timestamp()`.
    pub lease_over: bool,
}

/// Table `pgimport.import_chunk`, with `pgimport.import_payload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Chunk {
    pub state: ChunkState,
    /// `kept_count IS NOT NULL`.
    pub decided: bool,
    /// Whether its payload is there.
    pub payload: bool,
    /// Which part of the source it is.
    pub part: u8,
}

/// A chunk's rows in the target, as one row: a statement takes all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rows {
    /// As the import left them: their `xmin` is of a transaction that is registered.
    pub ours: u8,
    /// Edited since by somebody else.
    pub edited: u8,
}

/// What a job says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Job {
    Load(u8),
    Delete(u8),
    Cancel,
}

/// Table `apalis.jobs`: how many of each kind wait. Those that are held are with their workers' sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    load: [u8; CHUNKS],
    delete: [u8; CHUNKS],
    cancel: u8,
}

impl Queue {
    pub fn kinds() -> impl Iterator<Item = Job> {
        let of_chunks = ordinals().flat_map(|chunk| [Job::Load(chunk), Job::Delete(chunk)]);
        of_chunks.chain([Job::Cancel])
    }

    fn of(&mut self, job: Job) -> &mut u8 {
        match job {
            Job::Load(chunk) => &mut self.load[usize::from(chunk)],
            Job::Delete(chunk) => &mut self.delete[usize::from(chunk)],
            Job::Cancel => &mut self.cancel,
        }
    }

    pub fn count(mut self, job: Job) -> u8 {
        *self.of(job)
    }

    pub fn push(&mut self, job: Job) {
        let count = self.of(job);
        *count = (*count + 1).min(MOST_JOBS);
    }

    /// Takes one out that is there.
    pub fn take(&mut self, job: Job) {
        *self.of(job) -= 1;
    }
}

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// 0 or 1: there is no difference between the two, so the model sorts them by where they stand after each step.
    Worker(u8),
    Maintenance,
    /// Who cancels, keeps and retries.
    Person,
    /// 0, or 1 that takes over from it.
    Submitter(u8),
}

impl Who {
    pub const ALL: [Self; SESSIONS] = [
        Self::Worker(0),
        Self::Worker(1),
        Self::Maintenance,
        Self::Person,
        Self::Submitter(0),
        Self::Submitter(1),
    ];

    /// Whose process may die or stand still. Maintenance is a worker's, and has nothing to lose; and of two submitters one has to be left.
    pub const MORTAL: [Self; 4] = [Self::Worker(0), Self::Worker(1), Self::Person, Self::Submitter(0)];

    fn index(self) -> usize {
        match self {
            Self::Worker(number) => usize::from(number),
            Self::Maintenance => 2,
            Self::Person => 3,
            Self::Submitter(number) => 4 + usize::from(number),
        }
    }
}

/// A session, and the process behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Session {
    pub at: At,
    /// The job that it holds, which the queue calls running.
    pub job: Option<Job>,
    pub frozen: bool,
    pub holds: Holds,
}

/// The locks that a session has until its transaction ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Holds {
    /// The advisory lock of the import's deletions.
    pub deletions: Lock,
    /// The import's row.
    pub import: Lock,
    /// The chunks' rows, each FOR UPDATE, as bits.
    pub chunks: u8,
}

/// How something is locked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lock {
    #[default]
    None,
    Shared,
    Alone,
}

impl Lock {
    fn conflicts(self, with: Self) -> bool {
        matches!(
            (self, with),
            (Self::Alone, Self::Shared | Self::Alone) | (Self::Shared, Self::Alone)
        )
    }
}

/// Why open chunks are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Closing {
    /// The cancel job sets the fence.
    Fence,
    /// A person keeps what is left, which sets the fence where it is not.
    Keep,
    /// The submitter's source is broken.
    SplitFailed,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    Loading,
    Undo,
}

/// What a statement saw of an import's chunks when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counted {
    /// Some are pending, or undecided.
    pub(crate) open: bool,
    /// Some failed, or keep rows.
    pub(crate) left: bool,
}

/// What a session does next. A step whose lock others have waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// Without a job; of a submitter or a person: at its end.
    Idle,
    /// Killed. A job that it held is not given back yet.
    Dead,
    /// Claims the chunk, for what was parsed: what the statement sees when it begins. `wrote`: rows were written before.
    Parsed { chunk: u8, wrote: bool },
    /// The same statement: has the lock.
    Claiming { chunk: u8, wrote: bool },
    /// Writes the rows, then what came of them, and commits.
    Claimed { chunk: u8, wrote: bool },
    /// Looked before it commits, and saw whether this is the end.
    LookedTooSoon { chunk: u8, ended: bool },
    /// Says that the chunk failed.
    Refused { chunk: u8 },
    /// Joins those who delete.
    Joining { chunk: u8 },
    /// Locks the import for share, and looks for the fence.
    Sharing { chunk: u8 },
    /// Claims the deletion: has the lock.
    DeleteClaiming { chunk: u8 },
    /// Deletes the rows.
    DeleteClaimed { chunk: u8 },
    /// Says what came of it, and commits.
    Erased { chunk: u8, gone: u8, kept: u8 },
    /// Waits for the deletions that run, and holds others back.
    Holding(Closing),
    /// Locks the import, and looks how it stands.
    Locking(Closing),
    /// Closes the chunks of `open`, which the statement saw open when it began, one by one; then the rest of the transaction.
    Closing { why: Closing, open: u8 },
    /// Looks, without a lock, whether it is the end.
    Looking(Ending),
    /// Locks the import, looks and ends it.
    Ending { what: Ending, counted: Option<Counted> },
    /// Waits for another's lease to run out.
    Waiting,
    /// Took over; looks what is stored.
    TookOver,
    /// Begins a batch with part `part`, or the end behind the last part.
    Reading { part: u8 },
    /// Stores the batch, and commits.
    Storing { part: u8 },
}

/// What was seen to happen that must not. No step looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// Rows were loaded after the fence.
    pub late_load: bool,
    /// Rows were deleted without a fence, or after the end of the undo.
    pub untimely_deletion: bool,
    /// Rows were deleted that are somebody else's.
    pub others_deleted: bool,
    /// Somebody split the import that it does not name.
    pub intruded: bool,
    /// An undo ended with chunks undecided, and nobody had asked for that.
    pub undo_cut_short: bool,
    /// Somebody asked for a change of the import's state that cannot happen.
    pub illegal: bool,
}

impl State {
    pub(crate) fn session(&self, who: Who) -> &Session {
        &self.sessions[who.index()]
    }

    pub(crate) fn session_mut(&mut self, who: Who) -> &mut Session {
        &mut self.sessions[who.index()]
    }

    /// The other of two workers that are alike stands first.
    pub(crate) fn sort_workers(&mut self) {
        self.sessions[..2].sort_unstable();
    }

    fn is_free(&self, who: Who, conflicts: impl Fn(&Holds) -> bool) -> bool {
        let others = self
            .sessions
            .iter()
            .enumerate()
            .filter(|&(index, _)| index != who.index());
        others.into_iter().all(|(_, session)| !conflicts(&session.holds))
    }

    /// Whether a session would get the advisory lock of the deletions now.
    pub(crate) fn deletions_free(&self, who: Who, lock: Lock) -> bool {
        self.is_free(who, |holds| lock.conflicts(holds.deletions))
    }

    /// Whether a session would get the import's row now.
    pub(crate) fn import_free(&self, who: Who, lock: Lock) -> bool {
        self.is_free(who, |holds| lock.conflicts(holds.import))
    }

    /// Whether a session would get a chunk's row now.
    pub(crate) fn chunk_free(&self, who: Who, chunk: u8) -> bool {
        self.is_free(who, |holds| holds.chunks & bit(chunk) != 0)
    }

    pub(crate) fn chunk_state(&self, chunk: u8) -> Option<ChunkState> {
        self.chunks[usize::from(chunk)].map(|chunk| chunk.state)
    }

    pub(crate) fn is_pending(&self, chunk: u8) -> bool {
        self.chunk_state(chunk) == Some(ChunkState::Pending)
    }

    /// `state = 'loaded' AND kept_count IS NULL`.
    pub(crate) fn is_undecided(&self, chunk: u8) -> bool {
        self.chunks[usize::from(chunk)].is_some_and(|chunk| chunk.state == ChunkState::Loaded && !chunk.decided)
    }

    pub(crate) fn any_chunk(&self, state: ChunkState) -> bool {
        self.chunks.iter().flatten().any(|chunk| chunk.state == state)
    }

    /// The chunks in one of the states, as bits.
    pub(crate) fn chunks_in(&self, states: &[ChunkState]) -> u8 {
        let found = ordinals().filter(|&chunk| self.chunk_state(chunk).is_some_and(|state| states.contains(&state)));
        found.map(bit).sum()
    }

    /// How many chunks are stored.
    pub(crate) fn stored(&self) -> u8 {
        self.chunks.iter().flatten().fold(0, |stored, _| stored + 1)
    }

    /// `ledger::transition`: the only way by which an import changes its state. Where the event cannot happen, it is an error, and everything is
    /// rolled back.
    pub(crate) fn transition(&mut self, event: ImportEvent) {
        let Ok(to) = self.import.state.after(event) else {
            self.seen.illegal = true;
            return;
        };
        self.import.state = to;
        self.import.split |= event == ImportEvent::SourceEnded;
        self.import.fenced &= event != ImportEvent::Cancel;
    }

    /// The import is being cancelled, and its fence is set.
    pub(crate) fn is_fenced(&self) -> bool {
        self.import.state == ImportState::Cancelling && self.import.fenced
    }

    /// The transaction of a session ends, one way or the other, and its locks with it.
    pub(crate) fn release(&mut self, who: Who) {
        self.session_mut(who).holds = Holds::default();
    }

    /// A session is done with what it had to do, and its job with it.
    pub(crate) fn done(&mut self, who: Who) {
        *self.session_mut(who) = Session::IDLE;
    }
}

impl Session {
    pub const IDLE: Self = Self {
        at: At::Idle,
        job: None,
        frozen: false,
        holds: Holds {
            deletions: Lock::None,
            import: Lock::None,
            chunks: 0,
        },
    };

    pub fn new(at: At) -> Self {
        Self { at, ..Self::IDLE }
    }

    /// Whether its process can do something.
    pub fn lives(&self) -> bool {
        !self.frozen && self.at != At::Dead
    }
}

pub(crate) fn bit(chunk: u8) -> u8 {
    1 << chunk
}

pub(crate) fn ordinals() -> impl Iterator<Item = u8> {
    (0..).take(CHUNKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_locks_go_together() {
        use Lock::{Alone, None, Shared};
        for (lock, with, conflicts) in [
            (Shared, Shared, false),
            (Shared, Alone, true),
            (Alone, Shared, true),
            (Alone, Alone, true),
            (Alone, None, false),
            (Shared, None, false),
        ] {
            assert_eq!(lock.conflicts(with), conflicts, "{lock:?} beside {with:?}");
        }
    }
}
