//! A copy on this machine of what can only be read forward, for what has to be read from its end.
//!
//! The copy has no name, so that it is gone with its last reader, however that ends.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::PathBuf,
};

/// **Bytes** that are held while they are copied.
const BUFFER_BYTES: usize = 256 << 10;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("it cannot be read to its end")]
    Read(#[source] io::Error),
    #[error(
        "it is copied to this machine before it is read, and {directory} does not take the copy: make room there, or name a directory that has room for all of it in TMPDIR",
        directory = .directory.display()
    )]
    Write { directory: PathBuf, source: io::Error },
}

/// Copies all of it into the directory for temporary files.
pub(crate) fn spool(from: &mut dyn Read) -> Result<File, SpoolError> {
    let file = tempfile::tempfile().map_err(of_write)?;
    copy(from, &file)?;
    Ok(file)
}

fn of_write(source: io::Error) -> SpoolError {
    SpoolError::Write {
        directory: std::env::temp_dir(),
        source,
    }
}

fn copy(from: &mut dyn Read, mut to: &File) -> Result<(), SpoolError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let bytes = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SpoolError::Read(error)),
        };
        to.write_all(bytes).map_err(of_write)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    #[test]
    fn a_copy_is_all_that_was_read() {
        let content: Vec<u8> = (0..3 * BUFFER_BYTES + 7)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let mut file = spool(&mut content.as_slice()).unwrap();
        file.rewind().unwrap();
        let mut copied = Vec::new();
        file.read_to_end(&mut copied).unwrap();
        assert!(copied == content);
    }

    #[test]
    fn what_breaks_off_is_no_copy() {
        struct Broken;

        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken off"))
            }
        }

        let error = spool(&mut b"beginning".chain(Broken)).unwrap_err();
        assert!(matches!(error, SpoolError::Read(_)), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named_with_what_to_do_about_it() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = copy(&mut b"bytes".as_slice(), &full).unwrap_err();
        let directory = std::env::temp_dir().display().to_string();
        let words = error.to_string();
        assert!(words.contains(&directory) && words.contains("TMPDIR"), "{words}");
        let SpoolError::Write { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }
}
