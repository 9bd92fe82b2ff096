//! Taking an import out again: the fence, the deletions, and what they would do.

mod edited;
pub mod erase;
pub mod fence;
pub mod places;
pub mod preview;
pub(crate) mod put_back;
mod restore;
