//! Objects: what a store keeps under an address (S3, Google Cloud Storage, Azure, any HTTP server that gives parts), and files that several
//! machines see under one path. Found, pinned to what they are at that moment, and read by ranges of bytes.
//!
//! How a store is reached (credentials, region, endpoint) is in the environment's variables, as [`object_store`] reads them. Must not know
//! records, chunks, the database.

#![warn(clippy::unwrap_used)]

mod address;
mod allowed;
mod connector;
mod error;
mod file;
mod object;
mod read;
mod stores;

pub use address::{Address, AddressError};
pub use allowed::Allowed;
pub use error::ObjectError;
pub use object::{Object, Pin};
pub use stores::Stores;
