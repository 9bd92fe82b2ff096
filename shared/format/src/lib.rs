//! From bytes to records: one module for each format. Knows no SQL, no column and no file.

#![warn(clippy::unwrap_used)]

pub mod csv;
pub mod footer;
pub mod jsonl;
pub mod lines;
pub mod record;
pub mod sample;
