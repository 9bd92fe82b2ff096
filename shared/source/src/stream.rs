//! Bytes that come from somewhere else than this machine's files: an upload.

use std::{
    fmt,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes that can be read once, and what they are called.
#[derive(Clone)]
pub struct Stream {
    name: String,
    bytes: Arc<Mutex<Option<Box<dyn Read + Send>>>>,
}

impl Stream {
    #[must_use]
    pub fn new(name: String, bytes: impl Read + Send + 'static) -> Self {
        Self {
            name,
            bytes: Arc::new(Mutex::new(Some(Box::new(bytes)))),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whoever asks first has them.
    pub(crate) fn take(&self) -> io::Result<Box<dyn Read + Send>> {
        let taken = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| io::Error::other("a stream can be read once"))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }
}

impl Eq for Stream {}
