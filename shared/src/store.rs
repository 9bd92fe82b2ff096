//! The ledger: one module for each table of the schema `pgimport`, and nothing else names these tables.
//!
//! Functions take `&mut PgConnection`; the caller owns the transaction. Lock order: import, then chunk, then target.

pub mod chunks;
mod error;
pub mod imports;
pub mod payloads;
pub mod registry;
pub mod rejects;
pub mod sessions;
pub mod workers;

pub use error::{StoreError, is_transient};
