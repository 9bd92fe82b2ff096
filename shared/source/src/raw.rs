//! The bytes of a source as they are, hashed as they are read. What decodes them holds them together with whoever wants to know their
//! fingerprint.

use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::Fingerprint;

/// Reads a source and hashes what it read. Clones read on where the others are.
#[derive(Clone)]
pub(crate) struct RawReader {
    /// One of them reads at a time, so that nobody waits.
    bytes: Arc<Mutex<Bytes>>,
    count: Arc<AtomicU64>,
}

struct Bytes {
    inner: Box<dyn Read + Send>,
    hasher: blake3::Hasher,
    /// Looked at, and not read yet.
    peeked: Vec<u8>,
}

impl RawReader {
    pub(crate) fn new(inner: Box<dyn Read + Send>) -> Self {
        let bytes = Bytes {
            inner,
            hasher: blake3::Hasher::new(),
            peeked: Vec::new(),
        };
        Self {
            bytes: Arc::new(Mutex::new(bytes)),
            count: Arc::default(),
        }
    }

    /// Looks at the next bytes without reading them: `count`, or what there is before the end.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.lock();
        let missing = count.saturating_sub(bytes.peeked.len());
        let Bytes { inner, peeked, .. } = &mut *bytes;
        inner.by_ref().take(missing as u64).read_to_end(peeked)?;
        Ok(peeked.get(..count).unwrap_or(peeked).to_vec())
    }

    /// **Bytes** that were read so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The fingerprint of what was read so far.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let bytes = self.lock();
        Fingerprint {
            hash: bytes.hasher.finalize().to_hex().to_string(),
            size: bytes.hasher.count(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads on after an interruption, so that no reader above this one has to be asked again in the middle of what it does.
fn read_uninterrupted(inner: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match inner.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

impl Read for RawReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.lock();
        let read = if bytes.peeked.is_empty() {
            read_uninterrupted(&mut bytes.inner, buffer)?
        } else {
            let read = buffer.len().min(bytes.peeked.len());
            for (to, from) in buffer.iter_mut().zip(bytes.peeked.drain(..read)) {
                *to = from;
            }
            read
        };
        if let Some(read) = buffer.get(..read) {
            bytes.hasher.update(read);
        }
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
