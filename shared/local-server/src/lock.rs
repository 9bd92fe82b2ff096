//! Advisory file locks that die with their holder. Knows nothing of what they protect.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::EmbeddedError;

/// How often a lock that is taken is tried again. A blocking `flock` could not be given up, and would keep the process
/// from exiting.
const POLL: Duration = Duration::from_millis(25);

#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Shared,
    Exclusive,
}

/// A held `flock`. Its descriptor is close-on-exec, so no child keeps it unless it was given it with
/// [`FileLock::as_stdin`].
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Waits for the lock, at most `limit`.
    pub(super) async fn acquire(path: PathBuf, mode: Mode, limit: Duration) -> Result<Self, EmbeddedError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| EmbeddedError::DataDir {
                path: path.clone(),
                source,
            })?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let since = Instant::now();
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self { file, path }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if since.elapsed() < limit => tokio::time::sleep(POLL).await,
                Err(Errno::WOULDBLOCK) => {
                    return Err(EmbeddedError::Locked {
                        path,
                        seconds: limit.as_secs(),
                    });
                }
                Err(error) => return Err(EmbeddedError::io("lock", &path)(error.into())),
            }
        }
    }

    /// Turns a shared lock into an exclusive one if nobody else holds it. When this answers `false` the shared lock may
    /// be lost: the kernel converts in two steps.
    pub(super) fn try_upgrade(&self) -> Result<bool, EmbeddedError> {
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(true),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(EmbeddedError::io("lock", &self.path)(error.into())),
            }
        }
    }

    /// Lets a child hold the lock too, as its standard input, so that the lock outlives us if we are killed while the
    /// child still works.
    pub(super) fn as_stdin(&self) -> Result<Stdio, EmbeddedError> {
        self.file
            .try_clone()
            .map(Stdio::from)
            .map_err(EmbeddedError::io("share the lock on", &self.path))
    }
}

impl Drop for FileLock {
    /// Unlocks explicitly: closing would leave the lock to a child of another thread that has forked but not yet
    /// executed.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::debug!(path = %self.path.display(), %error, "unlocking failed; closing the file will do it");
        }
    }
}
