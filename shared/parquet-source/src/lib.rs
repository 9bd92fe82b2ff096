//! A Parquet file, read as the CSV text of its rows.
//!
//! Parquet is a codec here: what comes out is split, mapped, loaded, refused and verified as any other CSV. So this crate owns what a
//! Parquet value is as text that PostgreSQL reads exactly, and what the columns of a file hold. It must not know tables, chunks or the
//! database.
//!
//! # What is in memory
//!
//! The footer, once; then, of each column, what the `parquet` crate keeps of the row group that is read: one page as it is stored and
//! decompressed, and the dictionary, if there is one. Text and bytes are not copied out of these. Beside that one batch of at most
//! [`BATCH_ROWS`] rows, of fewer where rows are long, and one block of text of about [`BLOCK_BYTES`], or one record if that is longer.
//! A page has 1 MiB in most files, but nothing keeps a writer from pages of up to 2 GiB. A row group is never in memory as a whole.
//!
//! # What is not noticed
//!
//! A value that was changed in a page without a checksum, if it can still be decoded: most writers leave checksums out. That a file with a
//! plain footer has encrypted columns: they are read as damaged ones. Groups within groups on thousands of levels, which no writer makes,
//! overflow the stack of the `parquet` crate.

#![warn(clippy::unwrap_used, clippy::expect_used)]

mod batches;
mod cells;
mod csv;
mod error;
mod file;
mod input;
mod json;
mod kind;
mod plan;
mod shape;
mod stream;
mod text;

pub use batches::BATCH_ROWS;
pub use csv::dialect;
pub use error::{Damage, ParquetError, Place};
pub use file::{MARK_BYTES, ParquetFile, is_parquet};
pub use kind::{Column, Kind};
pub use stream::{BLOCK_BYTES, CsvStream};
