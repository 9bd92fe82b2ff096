//! Where the bytes come from: a file or standard input, hashed as they are read.

#![warn(clippy::unwrap_used)]

pub mod codec;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A source as it was named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    StandardInput,
}

/// Why a source cannot be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot open {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} is a directory: name a CSV file")]
    Directory { path: PathBuf },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
}

impl Source {
    /// The source for people, and for telling that it is the same again: an absolute path, or 'standard input'.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path
                .canonicalize()
                .unwrap_or_else(|_| path.clone())
                .display()
                .to_string(),
            Self::StandardInput => "standard input".to_owned(),
        }
    }

    /// The path of a regular file: one that can be read again. A pipe or a device that was named like a file cannot.
    #[must_use]
    pub fn regular_file(&self) -> Option<&Path> {
        match self {
            Self::File(path) if path.is_file() => Some(path),
            _ => None,
        }
    }

    /// Opens the source at its beginning.
    ///
    /// # Errors
    /// [`SourceError`], naming the path.
    pub fn open(&self) -> Result<SourceReader, SourceError> {
        match self {
            Self::StandardInput => Ok(SourceReader::new(Box::new(io::stdin()))),
            Self::File(path) if path.is_dir() => Err(SourceError::Directory { path: path.clone() }),
            Self::File(path) => match File::open(path) {
                Ok(file) => Ok(SourceReader::new(Box::new(file))),
                Err(source) => Err(SourceError::Open {
                    path: path.clone(),
                    source,
                }),
            },
        }
    }
}

/// What the bytes of a source add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// BLAKE3, hexadecimal.
    pub hash: String,
    /// **Bytes**.
    pub size: u64,
}

/// Reads a whole file for its fingerprint.
///
/// # Errors
/// [`SourceError`], naming the path.
pub fn fingerprint(path: &Path) -> Result<Fingerprint, SourceError> {
    let file = File::open(path).map_err(|source| SourceError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut hasher = blake3::Hasher::new();
    let read = hasher.update_reader(file);
    read.map_err(|source| SourceError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Fingerprint {
        hash: hasher.finalize().to_hex().to_string(),
        size: hasher.count(),
    })
}

/// Reads a source and hashes what it read.
pub struct SourceReader {
    inner: Box<dyn Read + Send>,
    hasher: blake3::Hasher,
    /// Looked at, and not read yet.
    peeked: Vec<u8>,
}

impl SourceReader {
    #[must_use]
    pub fn new(inner: Box<dyn Read + Send>) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
            peeked: Vec::new(),
        }
    }

    /// Looks at the next bytes without reading them: `count`, or what there is before the end.
    ///
    /// # Errors
    /// From the source.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let missing = count.saturating_sub(self.peeked.len());
        self.inner.by_ref().take(missing as u64).read_to_end(&mut self.peeked)?;
        Ok(self.peeked.get(..count).unwrap_or(&self.peeked))
    }

    /// The fingerprint of what was read so far.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            hash: self.hasher.finalize().to_hex().to_string(),
            size: self.hasher.count(),
        }
    }

    /// Reads what is left, for the fingerprint alone.
    ///
    /// # Errors
    /// From the source.
    pub fn drain(&mut self) -> io::Result<Fingerprint> {
        io::copy(self, &mut io::sink())?;
        Ok(self.fingerprint())
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.peeked.is_empty() {
            self.inner.read(buffer)?
        } else {
            let read = buffer.len().min(self.peeked.len());
            for (to, from) in buffer.iter_mut().zip(self.peeked.drain(..read)) {
                *to = from;
            }
            read
        };
        if let Some(bytes) = buffer.get(..read) {
            self.hasher.update(bytes);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_and_the_file_have_the_same_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"a;b\n1;2\n").unwrap();
        let mut reader = Source::File(path.clone()).open().unwrap();
        assert_eq!(reader.peek(2).unwrap(), b"a;");
        assert_eq!(reader.peek(100).unwrap(), b"a;b\n1;2\n");
        assert_eq!(reader.drain().unwrap(), fingerprint(&path).unwrap());
        assert_eq!(reader.fingerprint().size, 8);
    }

    #[test]
    fn a_directory_and_a_missing_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Source::File(dir.path().to_owned()).open(),
            Err(SourceError::Directory { .. })
        ));
        let missing = Source::File(dir.path().join("none.csv")).open().err().unwrap();
        assert!(missing.to_string().contains("none.csv"));
    }
}
