//! The private Postgres behind `--local`: one durable cluster in the user's data directory, shared by every process
//! that asks for it.
//!
//! Owns the cluster's life: making it, starting or joining it, stopping it with its last user, and the credentials that
//! reach it. It knows Postgres's programs and files, but no SQL, no schema and nothing of imports: callers connect with
//! [`EmbeddedServer::credentials`] as they would to any other server.
//!
//! What lies in the data directory:
//!
//! | name | meaning |
//! |---|---|
//! | `cluster/data` | Postgres's own data directory |
//! | `cluster/password` | the password of the cluster's one role; made with it and renamed into place with it |
//! | `cluster.new` | a cluster being made; a leftover of a crash is removed by the next start |
//! | `server.conf` | settings of ours that `postgresql.conf` includes, written at each start |
//! | `server.log` | what the server says |
//! | `start.lock` | held exclusively by whoever makes, starts or stops the server |
//! | `users.lock` | held in shared mode by each process that uses the server |
//! | `.postgres.*` | the credentials, in the form of a staging |
//!
//! Both locks are `flock`s, so the kernel gives them back when a process dies. A server whose users were all killed
//! goes on running, and the next start joins it.

#![warn(clippy::unwrap_used)]

mod account;
mod binaries;
mod cluster;
mod conf;
mod control;
mod error;
mod layout;
mod lock;
mod postmaster;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use binaries::find_bin_dir;
pub use control::ShutdownMode;
pub use error::EmbeddedError;

use cluster::Cluster;
use control::Ports;
use layout::Layout;
use lock::{FileLock, Mode};
use session::config::Credentials;

/// Names the data directory, whoever we are.
const DATA_DIR_VARIABLE: &str = "PG_IMPORT_DATA_DIR";

/// Root's data directory: a home directory of root's is closed to the account that runs Postgres.
const ROOT_DATA_DIR: &str = "/var/lib/pg_import";

/// How long to wait for another process that is starting or stopping the server. Longer than a start may take, recovery
/// included.
const LOCK_LIMIT: Duration = Duration::from_mins(11);

/// Where the cluster lives, and how its server is set up.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The directory that holds the cluster; made when it is missing.
    pub data_dir: PathBuf,
    /// More settings for `postgresql.conf`, such as `fsync = off` for tests. They count for the process that starts the
    /// server, not for those that join it; addresses, port and sockets are not theirs to set.
    pub settings: Vec<(String, String)>,
}

impl EmbeddedConfig {
    /// The cluster of whoever runs this process: in `$PG_IMPORT_DATA_DIR`; else, as root, in `/var/lib/pg_import`; else
    /// in the user's XDG data directory.
    ///
    /// # Errors
    /// When there is neither the variable nor a home directory.
    pub fn for_user() -> Result<Self, EmbeddedError> {
        let data_dir = match std::env::var_os(DATA_DIR_VARIABLE) {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            _ if rustix::process::geteuid().is_root() => PathBuf::from(ROOT_DATA_DIR),
            _ => {
                use etcetera::BaseStrategy as _;
                etcetera::choose_base_strategy()
                    .map_err(|_| EmbeddedError::NoHome)?
                    .data_dir()
                    .join("pg_import")
            }
        };
        Ok(Self {
            data_dir,
            settings: Vec::new(),
        })
    }
}

/// One use of the running cluster.
///
/// Dropping it without [`release`](Self::release) gives up the use at once, but leaves the server running: the next
/// process joins it, and the last one that *releases* it stops it.
#[derive(Debug)]
pub struct EmbeddedServer {
    cluster: Cluster,
    settings: Vec<(String, String)>,
    credentials: Credentials,
    users_lock: FileLock,
}

impl EmbeddedServer {
    /// Starts the cluster, or joins it when another process already runs it. Makes it first when there is none.
    ///
    /// Returns when the server accepts connections. Dropping the future is safe: what has begun is finished in the
    /// background and left for the next start.
    ///
    /// # Errors
    /// When Postgres's programs are missing or of another version than the cluster, when the data directory cannot be
    /// used, and when the server does not start; the message holds the last lines of its log.
    pub async fn start(config: EmbeddedConfig) -> Result<Self, EmbeddedError> {
        let EmbeddedConfig { data_dir, settings } = config;
        conf::check(&settings)?;
        let layout = blocking(move || Layout::prepare(&data_dir)).await?;

        let start_lock = FileLock::acquire(layout.start_lock(), Mode::Exclusive, LOCK_LIMIT).await?;
        // Taken under the start lock: a process that is leaving decides under it too, so it has either stopped the
        // server already or will see this lock.
        let users_lock = FileLock::acquire(layout.users_lock(), Mode::Shared, LOCK_LIMIT).await?;
        // The lock moves into the closure: it must last as long as the work, even when nobody waits for the work any
        // more.
        blocking(move || {
            let cluster = Cluster::open(layout, &settings, &start_lock)?;
            let port = control::ensure_running(&cluster, &settings, Ports::LastOrFree, &start_lock)?;
            let credentials = cluster.credentials(port)?;
            credentials.write(cluster.layout.root())?;
            Ok(Self {
                cluster,
                settings,
                credentials,
                users_lock,
            })
        })
        .await
    }

    /// How to connect: by the server's socket, to this machine only; over TCP where the data directory's name is too long for a socket's.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The data directory, as an absolute path without symbolic links.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.cluster.layout.root()
    }

    /// Where the programs of the cluster's Postgres version are.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.cluster.bin_dir
    }

    /// Lets go of the cluster. The last process that uses it stops it, which ends the sessions of anyone who is still
    /// connected.
    ///
    /// # Errors
    /// When the server does not stop; it is let go of all the same.
    pub async fn release(self) -> Result<(), EmbeddedError> {
        let start_lock = FileLock::acquire(self.cluster.layout.start_lock(), Mode::Exclusive, LOCK_LIMIT).await?;
        blocking(move || {
            if !self.users_lock.try_upgrade()? {
                tracing::debug!(data_dir = %self.data_dir().display(), "the private Postgres has other users");
                return Ok(());
            }
            control::stop(&self.cluster, ShutdownMode::Fast, &start_lock)
        })
        .await
    }

    /// Stops the server and starts it again on the same port, under everyone who uses it. For tests of what survives
    /// that.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub async fn restart(&self, mode: ShutdownMode) -> Result<(), EmbeddedError> {
        let start_lock = FileLock::acquire(self.cluster.layout.start_lock(), Mode::Exclusive, LOCK_LIMIT).await?;
        let cluster = self.cluster.clone();
        let settings = self.settings.clone();
        let ports = Ports::Only(self.credentials.port);
        blocking(move || {
            control::stop(&cluster, mode, &start_lock)?;
            control::ensure_running(&cluster, &settings, ports, &start_lock).map(drop)
        })
        .await
    }
}

/// Whether a private server, this user's or another, may be reached by this host.
#[must_use]
pub fn may_be_private(host: &str) -> bool {
    host == conf::HOST || Path::new(host).ends_with(layout::CLUSTER)
}

/// Runs work that waits for files and child processes away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(EmbeddedError::Interrupted)?
}
