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

use std::time::Duration;

pub use address::{Address, AddressError};
pub use allowed::Allowed;
pub use error::ObjectError;
pub use object::{Object, Pin};
pub use stores::Stores;

/// How often something is asked for whose answers break off, beyond what the store's client tries by itself.
const TRIES: u32 = 5;
/// The wait before the second try; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Asks again where an answer broke off.
async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, ObjectError>
where
    F: Future<Output = Result<T, ObjectError>>,
{
    let (mut tried, mut pause) = (1, FIRST_PAUSE);
    loop {
        match ask().await {
            Err(ObjectError::Read { .. }) if tried < TRIES => {}
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        (tried, pause) = (tried + 1, pause * 2);
    }
}
