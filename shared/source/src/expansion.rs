//! Ends a stream that grows out of all proportion when it is decompressed.

use std::io::{self, Read};

/// How much may come out of how little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpansionLimit {
    /// **Bytes** of text for each byte of the source.
    pub ratio: u64,
    /// **Bytes** of text that are never suspected.
    pub after: u64,
}

impl Default for ExpansionLimit {
    /// Ten times what text with few different lines becomes.
    fn default() -> Self {
        Self {
            ratio: 1000,
            after: 64 << 20,
        }
    }
}

/// Text that is out of all proportion.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text} bytes came out of {source_bytes} compressed ones, more than {ratio} times as many: this looks like a file made to fill memory; \
     decompress it yourself if it is none"
)]
pub struct ExpansionError {
    text: u64,
    source_bytes: u64,
    ratio: u64,
}

/// Counts what is read, and holds it against what was read below.
pub(crate) struct Limited<R, F> {
    inner: R,
    limit: ExpansionLimit,
    text: u64,
    /// **Bytes** of the source that were read.
    source_bytes: F,
}

impl<R: Read, F: Fn() -> u64> Limited<R, F> {
    pub(crate) fn new(inner: R, limit: ExpansionLimit, source_bytes: F) -> Self {
        Self {
            inner,
            limit,
            text: 0,
            source_bytes,
        }
    }
}

impl<R: Read, F: Fn() -> u64> Read for Limited<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.text += read as u64;
        if self.text > self.limit.after {
            let (source_bytes, ratio) = ((self.source_bytes)(), self.limit.ratio);
            if self.text / ratio > source_bytes {
                let error = ExpansionError {
                    text: self.text,
                    source_bytes,
                    ratio,
                };
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Ok(read)
    }
}
