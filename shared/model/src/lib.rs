//! The vocabulary as types: ids, states, spans and options. No I/O, and nothing else of this project.

#![warn(clippy::unwrap_used)]

mod chunk;
mod codec;
mod ids;
mod import;
mod options;

pub use chunk::{ByteSpan, ChunkState};
pub use codec::Codec;
pub use ids::{ChunkKey, ImportId, ProcessName};
pub use import::{IllegalTransition, ImportEvent, ImportState};
pub use options::{ImportOptions, LoadMethod, UndoOptions};
