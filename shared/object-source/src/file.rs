//! A file that several machines see: opened, looked at and read by one descriptor, so that nobody can change what is meant between the two.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use crate::{Address, Allowed, ObjectError, Pin};

/// Opens a file and says what it is now.
pub(crate) fn open(address: &Address, allowed: &Allowed) -> Result<(File, Pin), ObjectError> {
    let of_system = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ObjectError::Missing {
            address: address.clone(),
        },
        _ => ObjectError::File {
            address: address.clone(),
            source,
        },
    };
    // A pipe would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(address.to_string(), flags, Mode::empty()).map_err(|error| of_system(error.into()))?;
    let file = File::from(file);
    let path = real_path(&file).map_err(of_system)?;
    if !allowed.allows_file(&path) {
        return Err(ObjectError::NotAllowed {
            address: address.clone(),
        });
    }
    let about = file.metadata().map_err(of_system)?;
    if !about.is_file() {
        return Err(ObjectError::NoFile {
            address: address.clone(),
        });
    }
    // Not its inode, which network file systems give as they like.
    let modified = about.mtime().checked_mul(1_000_000_000);
    let pin = Pin {
        size: about.len(),
        etag: None,
        modified: modified.and_then(|seconds| seconds.checked_add(about.mtime_nsec())),
    };
    Ok((file, pin))
}

/// Reads a part of it. Blocks.
pub(crate) fn read(address: &Address, allowed: &Allowed, pin: &Pin, range: Range<u64>) -> Result<Vec<u8>, ObjectError> {
    let (file, now) = open(address, allowed)?;
    let changed = || ObjectError::Changed {
        address: address.clone(),
    };
    if now != *pin {
        return Err(changed());
    }
    let length = usize::try_from(range.end - range.start).map_err(|_| changed())?;
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, range.start) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(changed()),
        Err(source) => Err(ObjectError::File {
            address: address.clone(),
            source,
        }),
    }
}

/// Where an open file is, whatever links led there.
#[cfg(target_os = "linux")]
fn real_path(file: &File) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;
    std::fs::read_link(Path::new("/proc/self/fd").join(file.as_raw_fd().to_string()))
}

#[cfg(target_vendor = "apple")]
fn real_path(file: &File) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = rustix::fs::getpath(file)?;
    Ok(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_do_not_lead_out_of_a_folder_and_pipes_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let share = dir.path().canonicalize().unwrap().join("share");
        std::fs::create_dir(&share).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(share.join("a.csv"), "abcdef").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), share.join("out")).unwrap();
        std::os::unix::fs::symlink(share.join("a.csv"), share.join("in")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            share.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let allowed: Allowed = share.display().to_string().parse().unwrap();
        let at = |name: &str| Address::of_file(&share.join(name)).unwrap();
        let opened = |name: &str| open(&at(name), &allowed);
        assert!(opened("in").is_ok());
        assert!(matches!(opened("out"), Err(ObjectError::NotAllowed { .. })));
        assert!(matches!(opened("../secret"), Err(ObjectError::NotAllowed { .. })));
        assert!(matches!(opened("pipe"), Err(ObjectError::NoFile { .. })));
        assert!(matches!(opened("."), Err(ObjectError::NoFile { .. })));
        assert!(matches!(opened("none"), Err(ObjectError::Missing { .. })));
        assert!(matches!(
            open(&at("a.csv"), &Allowed::None),
            Err(ObjectError::NotAllowed { .. })
        ));

        let (_, pin) = opened("a.csv").unwrap();
        let part = |range| read(&at("a.csv"), &allowed, &pin, range);
        assert_eq!(part(1..4).unwrap(), b"bcd");
        assert!(matches!(part(4..7), Err(ObjectError::Changed { .. })));
        std::fs::write(share.join("a.csv"), "abcdefg").unwrap();
        assert!(matches!(part(1..4), Err(ObjectError::Changed { .. })));
    }
}
