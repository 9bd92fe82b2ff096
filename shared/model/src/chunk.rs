//! The states and kinds of a chunk.

use serde::Serialize;

/// What a chunk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkKind {
    /// Loads a run of records.
    Records,
    /// Deletes the rows of the target that the source does not have, when all others are loaded.
    Sweep,
}

impl ChunkKind {
    /// Of the column that says it.
    #[must_use]
    pub fn new(is_sweep: bool) -> Self {
        if is_sweep { Self::Sweep } else { Self::Records }
    }
}

/// Where a chunk stands.
///
/// `pending → loaded | failed`; `failed → pending` (retry); `pending | failed → cancelled`; `loaded → deleted`. Each arrow is one
/// `UPDATE … WHERE state = …` in `store::chunks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, sqlx::Encode, sqlx::Decode)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum ChunkState {
    Pending,
    Loaded,
    Failed,
    Cancelled,
    Deleted,
}
