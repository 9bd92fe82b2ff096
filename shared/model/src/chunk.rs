//! The states of a chunk, and where it sits in its source.

use std::ops::Range;

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

/// Where one chunk sits in its source.
///
/// **Bytes** from the start of the decompressed stream, header included, end-exclusive. Made only by the splitter, which cuts at
/// record ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteSpan(pub Range<u64>);
