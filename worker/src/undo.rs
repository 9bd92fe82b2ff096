//! Taking an import out again.

pub mod fence;
