//! The cluster on disk: making it whole or not at all, and what is needed to use it. Starting and stopping it is
//! `control`'s.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::distr::{Alphanumeric, SampleString as _};
use rustix::fs::OFlags;

use super::EmbeddedError;
use super::account::RunAs;
use super::binaries::Search;
use super::conf;
use super::layout::Layout;
use super::lock::FileLock;
use session::config::Credentials;

/// The cluster's one role and the database that every cluster has: the names that a staging defaults to.
const USER: &str = "admin";
const DATABASE: &str = "postgres";

/// About 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// Byte order that does not depend on the system's version, with UTF-8 character classes where the system has them.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Refuses a symbolic link. As root we touch files that the server's account could have put one in the place of.
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// A whole cluster and how to run it.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) layout: Layout,
    pub(super) bin_dir: PathBuf,
    pub(super) run_as: RunAs,
}

impl Cluster {
    /// Finds the programs that can run the cluster, and makes it if there is none.
    pub(super) fn open(layout: Layout, settings: &[(String, String)], lock: &FileLock) -> Result<Self, EmbeddedError> {
        let run_as = RunAs::choose(&layout)?;
        remove_dir(&layout.new_cluster())?;
        let search = Search::of_this_machine();
        if layout.cluster().exists() {
            let path = layout.data().join("PG_VERSION");
            let version = fs::read_to_string(path).map_err(|_| damaged(&layout, "data/PG_VERSION"))?;
            let bin_dir = search.of_version(version.trim(), layout.root())?;
            return Ok(Self {
                layout,
                bin_dir,
                run_as,
            });
        }
        let cluster = Self {
            layout,
            bin_dir: search.any()?,
            run_as,
        };
        cluster.make(settings, lock)?;
        Ok(cluster)
    }

    /// How to reach the server on this port.
    pub(super) fn credentials(&self, port: u16) -> Result<Credentials, EmbeddedError> {
        let mut password = String::new();
        OpenOptions::new()
            .read(true)
            .custom_flags(NO_LINK)
            .open(self.layout.password())
            .and_then(|mut file| file.read_to_string(&mut password))
            .map_err(|_| damaged(&self.layout, "password"))?;
        Ok(Credentials {
            database: DATABASE.to_owned(),
            password: password.trim_end().to_owned(),
            user: USER.to_owned(),
            host: conf::socket_directory(&self.layout).unwrap_or_else(|| conf::HOST.to_owned()),
            port,
        })
    }

    pub(super) fn command(&self, program: &str) -> Command {
        Command::new(self.bin_dir.join(program))
    }

    /// Makes the cluster beside its place and renames it when it is whole and on disk: a crash leaves no half of one.
    fn make(&self, settings: &[(String, String)], lock: &FileLock) -> Result<(), EmbeddedError> {
        let made = self.layout.new_cluster();
        let (data, password) = (made.join("data"), made.join("password"));
        let (data_dir, bin_dir) = (self.layout.root().display(), self.bin_dir.display());
        tracing::info!(%data_dir, %bin_dir, "making a private Postgres cluster");

        DirBuilder::new()
            .mode(0o700)
            .create(&made)
            .map_err(EmbeddedError::io("make", &made))?;
        write_password(&password).map_err(EmbeddedError::io("write", &password))?;
        self.run_as.own(&password)?;
        self.run_as.own(&made)?;

        // Whoever gives up durability does not want to wait for it here either.
        let sync = !settings.iter().any(|(name, value)| name == "fsync" && value == "off");
        self.init(&data, &password, sync, lock)?;

        let settings_file = data.join("postgresql.conf");
        OpenOptions::new()
            .append(true)
            .custom_flags(NO_LINK)
            .open(&settings_file)
            .and_then(|mut file| file.write_all(conf::INCLUDE.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(EmbeddedError::io("write", &settings_file))?;

        let whole = self.layout.cluster();
        sync_dir(&made)?;
        fs::rename(&made, &whole).map_err(EmbeddedError::io("rename to its place", &made))?;
        sync_dir(self.layout.root())
    }

    fn init(&self, data: &Path, password: &Path, sync: bool, lock: &FileLock) -> Result<(), EmbeddedError> {
        let mut output = String::new();
        for locale in LOCALES {
            let mut command = self.command("initdb");
            command.arg("--pgdata").arg(data).arg("--pwfile").arg(password).args([
                "--username",
                USER,
                "--locale",
                locale,
            ]);
            command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]);
            if !sync {
                command.arg("--no-sync");
            }
            let done = self.run_as.run(&mut command, &self.layout, lock)?;
            if done.success {
                return Ok(());
            }
            tracing::debug!(locale, output = done.output, "initdb failed");
            output = done.output;
            remove_dir(data)?;
        }
        Err(EmbeddedError::Init {
            path: self.layout.root().to_owned(),
            output,
        })
    }
}

/// `initdb` reads it as the server's account and it stays, so that every process that joins knows it.
fn write_password(path: &Path) -> io::Result<()> {
    let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{password}")?;
    file.sync_all()
}

fn damaged(layout: &Layout, missing: &'static str) -> EmbeddedError {
    EmbeddedError::Damaged {
        path: layout.cluster(),
        missing,
    }
}

fn remove_dir(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EmbeddedError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), EmbeddedError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(EmbeddedError::io("sync", path))
}
