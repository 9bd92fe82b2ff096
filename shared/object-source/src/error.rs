//! Why an object cannot be read.

use std::{error::Error, io};

use crate::{Address, AddressError};

/// Why an object cannot be read, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{address} cannot be reached with the settings of the environment (AWS_…, GOOGLE_…, AZURE_…)")]
    Settings {
        address: Address,
        source: Box<object_store::Error>,
    },
    #[error(
        "{address}: there are no credentials in the environment (AWS_ACCESS_KEY_ID and so on), and this machine has no role of its own; public objects take AWS_SKIP_SIGNATURE=true, GOOGLE_SKIP_SIGNATURE=true or AZURE_SKIP_SIGNATURE=true"
    )]
    NoCredentials { address: Address },
    #[error(
        "{address} would be read from an http:// endpoint, which is not encrypted: AWS_ALLOW_HTTP=true allows it (GOOGLE_ALLOW_HTTP, AZURE_ALLOW_HTTP)"
    )]
    NotEncrypted { address: Address },
    #[error("there is no object {address}")]
    Missing { address: Address },
    #[error("{address} may not be read with the credentials of the environment (AWS_…, GOOGLE_…, AZURE_…)")]
    Denied {
        address: Address,
        source: Box<object_store::Error>,
    },
    #[error("{address} may not be read by this process")]
    NotAllowed { address: Address },
    #[error("{address} is no regular file")]
    NoFile { address: Address },
    #[error("cannot read {address}")]
    File { address: Address, source: io::Error },
    #[error(
        "{address} is no name that an object can have: no part of it may be empty, '.' or '..', or hold a backslash"
    )]
    Key { address: Address },
    #[error("{address} changed since it was looked at first: submit it again")]
    Changed { address: Address },
    #[error(
        "{address} is on a server that gives no parts of it (HTTP range requests): pipe it instead, as in `curl -fsS URL | enqueue`"
    )]
    NoRanges { address: Address },
    #[error(
        "{address} is on a server that does not say what it is now (neither ETag nor Last-Modified), so that nobody could tell when it changes: pipe it instead, as in `curl -fsS URL | enqueue`"
    )]
    NoPin { address: Address },
    #[error("{address}: objects cannot be listed there; name each of them")]
    NoList { address: Address },
    #[error("cannot read {address}")]
    Read {
        address: Address,
        source: Box<object_store::Error>,
    },
}

/// Whether an error, or what is behind it, has these words.
fn says(error: &(dyn Error + 'static), words: &str) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.to_string().contains(words) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Where clouds tell a machine who it is.
const METADATA: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];

impl ObjectError {
    /// Whether it may pass by itself, or where somebody mends the set-up: nothing is wrong with the object.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Settings { .. }
                | Self::NoCredentials { .. }
                | Self::NotEncrypted { .. }
                | Self::Denied { .. }
                | Self::File { .. }
                | Self::Read { .. }
        )
    }

    pub(crate) fn of(address: &Address, source: object_store::Error) -> Self {
        use object_store::Error as E;
        let address = address.clone();
        match source {
            E::NotFound { .. } => Self::Missing { address },
            E::Precondition { .. } => Self::Changed { address },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied {
                address,
                source: Box::new(source),
            },
            // The crate keeps to itself which error it is.
            E::Generic { .. } if says(&source, "non-partial response") => Self::NoRanges { address },
            E::NotSupported { .. } => Self::NoRanges { address },
            E::Generic { .. } if says(&source, "URL scheme is not allowed") => Self::NotEncrypted { address },
            // The machine's own role is what is asked for last.
            ref source if METADATA.iter().any(|host| says(source, host)) => Self::NoCredentials { address },
            source => Self::Read {
                address,
                source: Box::new(source),
            },
        }
    }
}
