//! The bytes of a file, for the `parquet` crate, which asks for them at places that the file itself names.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use parquet::{
    errors::{ParquetError as LibraryError, Result},
    file::reader::{ChunkReader, Length},
};

/// A file that is read by position: where its handle stands does not matter, and is not changed.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    file: Arc<File>,
    /// **Bytes** when it was opened.
    length: u64,
    /// What the system said when it could not read. The `parquet` crate passes on only the text of it.
    failure: Arc<Mutex<Option<Arc<io::Error>>>>,
}

impl Input {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            length: file.metadata()?.len(),
            file: Arc::new(file),
            failure: Arc::default(),
        })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The error of the system that made a read fail, if one did.
    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(error));
                    return Err(kind.into());
                }
                read => return read,
            }
        }
    }

    fn check(&self, start: u64, bytes: u64) -> Result<()> {
        if start.checked_add(bytes).is_some_and(|end| end <= self.length) {
            return Ok(());
        }
        let length = self.length;
        Err(LibraryError::EOF(format!(
            "{bytes} bytes at byte {start} are asked for, and the file has {length}"
        )))
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Input {
    type T = BufReader<InputFrom>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.check(start, 0)?;
        Ok(BufReader::new(InputFrom {
            input: self.clone(),
            offset: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes> {
        // First of all: a length that makes no sense must not be allocated.
        self.check(start, length as u64)?;
        let mut buffer = vec![0; length];
        let mut from = InputFrom {
            input: self.clone(),
            offset: start,
        };
        from.read_exact(&mut buffer)?;
        Ok(buffer.into())
    }
}

/// A file from some byte on.
#[derive(Debug)]
pub(crate) struct InputFrom {
    input: Input,
    offset: u64,
}

impl Read for InputFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
