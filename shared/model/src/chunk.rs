//! The states of a chunk.

use serde::Serialize;

/// Where a chunk stands.
///
/// `pending → loaded | failed`; `failed → pending` (retry); `pending | failed → cancelled`; `loaded → deleted`. Each arrow is one
/// `UPDATE … WHERE state = …` in `store::chunks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ChunkState {
    Pending,
    Loaded,
    Failed,
    Cancelled,
    Deleted,
}
