//! The ledger: one module for each table of the schema `pgimport`, and nothing else names these tables.
//!
//! Functions take `&mut PgConnection`; the caller owns the transaction. Lock order: import, then chunk, then target.

#![warn(clippy::unwrap_used)]

pub mod cancel;
pub mod chunks;
pub mod completion;
mod error;
pub mod imports;
pub mod payloads;
pub mod read;
pub mod registry;
pub mod rejects;
pub mod sessions;
pub mod workers;

pub use error::LedgerError;
