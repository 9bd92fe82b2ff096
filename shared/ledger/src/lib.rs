//! The ledger: one module for each table of the schema `pgimport`, the transitions and the ends of imports, and what is read of them. No
//! one else names these tables; no user's table is named here, and nothing of a file's format.
//!
//! Functions take `&mut PgConnection`; the caller owns the transaction. Lock order: import, then chunk, then target.

#![warn(clippy::unwrap_used)]

pub mod audit;
pub mod before;
pub mod cancel;
pub mod chunks;
pub mod completion;
pub mod conflicts;
pub mod deliveries;
mod error;
mod events;
pub mod imports;
pub mod inputs;
pub mod notifications;
mod number;
pub mod pages;
pub mod payloads;
pub mod read;
pub mod references;
pub mod registry;
pub mod rejects;
pub mod seen;
pub mod segments;
pub mod sessions;
mod transition;
pub mod wakeups;
pub mod workers;

pub use error::{LedgerError, Unreadable};
pub use transition::transition;
