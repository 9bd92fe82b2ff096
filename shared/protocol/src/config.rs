//! What a run of the model begins with, how often fate may strike in it, and which precautions are taken out.

/// A precaution of the code that can be taken out of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// The claim is the first statement that writes (`load_chunk::claim`). Without it: rows are written, then the chunk is claimed.
    ClaimIsFirst,
    /// The claim asks for `state = 'pending'` (`chunks::claim`). Without it: it locks the chunk, whatever became of it.
    ClaimLooks,
    /// What ends a load asks for `state = 'pending'`, and that one row was changed (`chunks::finish_load`).
    FinishLooks,
    /// A load deletes exactly one payload (`payloads::delete`).
    PayloadCounts,
    /// Claim and rows are of one transaction. Without it: rows are committed by themselves, before the claim.
    OneTransaction,
    /// The fence waits for chunks that are being loaded (`chunks::close_open`). Without it: it leaves out what is locked, as SKIP LOCKED does,
    /// payloads too.
    FenceWaits,
    /// Everybody takes locks in the order deletions, import, chunk (`undo::fence`, `requests::keep`, `delete_chunk`). Without it: who closes chunks locks
    /// the import first, and then waits for the deletions that run.
    LocksInOrder,
    /// Whoever ends an import locks it by one statement and looks at its chunks by another (`completion`). Without it: one statement does both.
    EndLooksAfterLock,
    /// Whoever ends a load or a deletion looks after its commit (`load_chunk::run`, `delete_chunk::run`). Without it: before, in the transaction.
    LooksAfterCommit,
    /// What waits without a live job gets one (`maintenance::renew_wakeups`).
    RenewsWakeups,
    /// A job is found that a living worker holds although nobody is at it any more (`wakeups::end_forgotten` where its chunk is done, else
    /// `wakeups::missing`, after longer than any job may take).
    FindsForgotten,
    /// What ended unnoticed is ended (`completion::finish_unnoticed`).
    EndsUnnoticed,
    /// Sessions of those that are silent are ended (`sessions::terminate`).
    EndsSessions,
    /// Streams of submitters that are gone are cancelled (`maintenance::reap_submitters`).
    CancelsStreams,
    /// A row is deleted only if `xmin` is of its import's transactions (`undo::erase::ours`). Without it: by its id alone.
    DeletesOwnRows,
    /// A deletion joins those of its import and locks the import for share (`sessions::join_deletions`, `imports::lock_for_deletion`).
    DeletionHoldsImport,
    /// A deletion asks for the fence (`imports::lock_for_deletion`). Without it: that the import is being cancelled is enough.
    DeletionNeedsFence,
    /// A deletion asks for `state = 'loaded' AND kept_count IS NULL` when it claims the chunk, and when it says what came of it
    /// (`chunks::claim_deletion`, `finish_deletion`).
    DeletionLooks,
    /// A new batch locks its import (`imports::renew_lease`). Without it: it only looks whether the import is still being split.
    BatchLocksImport,
    /// Whoever adds chunks, or ends the splitting, must be the import's submitter (`imports::renew_lease`, `lock_for_submitter`).
    BatchNamesSubmitter,
    /// A batch is stored only if it is not there already (`Intake::try_store_batch`).
    BatchLooksWhatIsStored,
}

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// An import that loads, with its chunks stored and their jobs in the queue.
    Stored,
    /// An import that a submitter has just added; `resumable` if another one can go on in its place.
    Submitted { resumable: bool },
}

/// How often each of the things may happen that nobody wants, or that nobody has to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// A process is killed: its sessions close, its transaction is rolled back.
    pub crashes: u8,
    /// A process stands still for as long as it likes, with its session and its locks.
    pub freezes: u8,
    /// A job is lost.
    pub lost: u8,
    /// A job is delivered twice.
    pub doubled: u8,
    /// The server restarts and has lost both what a job did, a load, a deletion or a fence, and the word that the job is done, for neither waits for
    /// the disk; and the worker's session outlives that.
    pub words_lost: u8,
    /// A chunk's load, or the source, fails for good.
    pub failures: u8,
    /// Somebody edits a row of the import.
    pub edits: u8,
    pub cancels: u8,
    pub keeps: u8,
    pub retries: u8,
    /// A submitter that lives is silent for longer than its lease.
    pub silences: u8,
    /// The answer to a submitter's commit is lost.
    pub answers_lost: u8,
}

impl Limits {
    /// Nothing of all that.
    pub const NONE: Self = Self {
        crashes: 0,
        freezes: 0,
        lost: 0,
        doubled: 0,
        words_lost: 0,
        failures: 0,
        edits: 0,
        cancels: 0,
        keeps: 0,
        retries: 0,
        silences: 0,
        answers_lost: 0,
    };
}

/// The model: what is checked.
#[derive(Debug, Clone)]
pub struct Protocol {
    pub begin: Begin,
    /// Parts of the source, each of which makes a chunk.
    pub parts: u8,
    pub limits: Limits,
    /// The precautions that are taken out.
    pub without: &'static [Mending],
}

impl Protocol {
    /// Whether the precaution is in.
    pub(crate) fn has(&self, mending: Mending) -> bool {
        !self.without.contains(&mending)
    }
}
