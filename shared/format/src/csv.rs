//! CSV.

pub mod split;
