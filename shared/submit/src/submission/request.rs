//! What is asked of a submission, and what is heard of it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use model::{
    CompletionSpec, Delimiter, FormatSpec, IdentityChoice, ImportId, ImportState, LoadSpec, NotifyUrl, QueueName,
    RejectsSpec, Share, SplitSpec, TextSpec, ValuesSpec,
};
use source::Source;
use target::{ConflictRequest, MappingRequest};

use crate::intake::Notice;

/// What tells two submissions of the same rows from two imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChoice {
    /// The content of a regular file with its options; nothing for a stream.
    Content,
    /// A key that the user chose.
    Given(String),
    /// None: the source is loaded again.
    Force,
}

/// What to submit.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is read, one after the other; at least one.
    pub sources: Vec<Source>,
    /// Whether no bytes are stored, for workers read the sources where they are: all must be objects.
    pub by_reference: bool,
    /// The table as SQL would read its name.
    pub table: String,
    /// The target's column for each field, in place of the header's names; `-` for none.
    pub columns: Option<Vec<String>>,
    pub mapping: MappingRequest,
    /// How the source is encoded; without an encoding, by its byte-order mark.
    pub text: TextSpec,
    pub format: FormatSpec,
    /// Whether the delimiter is to be found in the source, in place of the one that the format has.
    pub find_delimiter: bool,
    pub values: ValuesSpec,
    pub split: SplitSpec,
    pub load: LoadSpec,
    pub identity: IdentityChoice,
    pub conflict: ConflictRequest,
    pub rejects: RejectsSpec,
    pub completion: CompletionSpec,
    pub key: KeyChoice,
    pub share: Share,
    /// Where a new import waits for workers.
    pub queue: QueueName,
    /// **Bytes** of payload that may wait for workers.
    pub max_pending: u64,
    /// Whom to tell of the import's end.
    pub notify: Option<NotifyUrl>,
}

/// What came of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    pub import: ImportId,
    /// Whether this process stored chunks of it; else it answers with somebody's import.
    pub own: bool,
}

/// Something a person wants to know about a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Intake(Notice),
    /// The same rows were submitted before.
    Existing {
        import: ImportId,
        state: ImportState,
    },
    /// That import was not asked to take the place of others, as this submission is.
    ReplacesNothing {
        import: ImportId,
    },
    /// How the import of the same rows came to be as it is, is not told as this submission asks.
    NotNotified {
        import: ImportId,
        reason: &'static str,
    },
    /// Another process splits the same source; this one waits for it.
    Following {
        import: ImportId,
    },
    /// The process that split this source is gone; this one goes on.
    TakenOver {
        import: ImportId,
    },
    /// An import of the same rows is being cancelled; this one waits for it.
    WaitsForCancel {
        import: ImportId,
    },
    /// The table that was to be made is there.
    TableExists {
        table: String,
    },
    /// The table was made.
    TableMade {
        table: String,
    },
    /// The delimiter that was asked for was found.
    FoundDelimiter(Delimiter),
    /// Keys that were named, and that no object at the beginning has.
    AbsentKeys(Vec<String>),
    /// The source has no records.
    Empty,
    /// Workers find the chunks of a source by reference.
    SplitByWorkers,
    /// They cannot, for this; so it is read here, as a whole.
    SplitHere {
        why: &'static str,
    },
    /// The file changed since an interrupted import of it.
    Superseded {
        import: ImportId,
    },
}

/// What others may know of a submission while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// The import that this process fills, once there is one.
    pub own_import: OnceLock<ImportId>,
    pub(super) read: OnceLock<Arc<AtomicU64>>,
}

impl Progress {
    /// **Bytes** split so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.read.get().map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }
}
