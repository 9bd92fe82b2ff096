//! The names of everything in the data directory, and the directory itself. Knows nothing of what is in the files.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::EmbeddedError;

/// The name of [`Layout::cluster`].
pub(super) const CLUSTER: &str = "cluster";

/// The data directory: absolute and without symbolic links, so that every process spells it the same way.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the directory when it is missing.
    pub(super) fn prepare(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let failed = |source| EmbeddedError::DataDir {
            path: data_dir.to_owned(),
            source,
        };
        if !data_dir.is_dir() {
            // As root, another account has to pass through to the cluster, whatever the umask says; the cluster itself
            // is closed.
            let mode = if rustix::process::geteuid().is_root() {
                0o755
            } else {
                0o700
            };
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(data_dir)
                .map_err(failed)?;
            fs::set_permissions(data_dir, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        let root = data_dir.canonicalize().map_err(failed)?;
        // pg_ctl puts our paths between double quotes in a shell command and escapes nothing.
        let takes = |c: char| !c.is_control() && !matches!(c, '"' | '$' | '`' | '\\');
        if !root.to_str().is_some_and(|path| path.chars().all(takes)) {
            return Err(EmbeddedError::UnusablePath { path: root });
        }
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Holds the data and the password; it appears whole, by a rename.
    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join(CLUSTER)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.cluster().join("data")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.cluster().join("password")
    }

    /// Where a cluster is made. One name is enough: only the holder of the start lock makes one.
    pub(super) fn new_cluster(&self) -> PathBuf {
        self.root.join("cluster.new")
    }

    pub(super) fn conf(&self) -> PathBuf {
        self.root.join("server.conf")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(super) fn old_log(&self) -> PathBuf {
        self.root.join("server.log.1")
    }

    pub(super) fn start_lock(&self) -> PathBuf {
        self.root.join("start.lock")
    }

    pub(super) fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }

    /// The server's sockets and their lock files, whatever their ports.
    pub(super) fn sockets(&self) -> Result<Vec<PathBuf>, EmbeddedError> {
        let dir = self.cluster();
        let entries = fs::read_dir(&dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<_> = entries
            .map_err(EmbeddedError::io("read", &dir))?
            .into_iter()
            .map(|entry| entry.path())
            .collect();
        paths.retain(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(".s.PGSQL."))
        });
        Ok(paths)
    }

    pub(super) fn postmaster_pid(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    /// The port of the last run, as the credentials have it.
    pub(super) fn last_port(&self) -> PathBuf {
        self.root.join(".postgres.port")
    }
}
