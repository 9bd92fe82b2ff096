//! What can go wrong with the private Postgres, in words for the person who has to put it right.

use std::io;
use std::path::{Path, PathBuf};

use session::config::ConfigError;

/// Why the private Postgres could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("there is no home directory to keep the private Postgres in; set PG_IMPORT_DATA_DIR to a directory for it")]
    NoHome,

    #[error(
        "cannot use {} for the private Postgres; set PG_IMPORT_DATA_DIR to a directory that you can write to",
        path.display()
    )]
    DataDir { path: PathBuf, source: io::Error },

    #[error(
        "the path {} holds a character that Postgres's start script cannot take (one of \" $ ` \\ or a control \
         character, or no UTF-8); set PG_IMPORT_DATA_DIR to another directory",
        path.display()
    )]
    UnusablePath { path: PathBuf },

    #[error(
        "Postgres does not run as root, and its user {account} cannot enter {}, on the way to {}; open that \
         directory (chmod a+x) or set PG_IMPORT_DATA_DIR to one that {account} can reach",
        dir.display(), data_dir.display()
    )]
    Unreachable {
        account: String,
        dir: PathBuf,
        data_dir: PathBuf,
    },

    #[error(
        "Postgres does not run as root, and there is no user `postgres` or `nobody` in /etc/passwd to run it; add \
         one, or run as another user than root"
    )]
    NoAccount,

    #[error(
        "the private Postgres in {} belongs to the user with id {owner}, not to you; run as that user, or set \
         PG_IMPORT_DATA_DIR to a directory of your own",
        path.display()
    )]
    NotYours { path: PathBuf, owner: u32 },

    #[error(
        "no Postgres server programs (initdb, postgres, pg_ctl) found. Looked in:\n{}\nInstall Postgres (apt \
         install postgresql, dnf install postgresql-server, brew install postgresql@17), or set PG_IMPORT_PG_BIN to \
         the directory that holds the programs",
        list(looked_in)
    )]
    NoBinaries { looked_in: Vec<String> },

    #[error(
        "PG_IMPORT_PG_BIN is {}, which lacks {missing}; set it to the directory that holds initdb, postgres and \
         pg_ctl, or unset it",
        dir.display()
    )]
    ChosenBinaries { dir: PathBuf, missing: String },

    #[error(
        "the private Postgres in {} was made by Postgres {cluster}, and no programs of that version were found. \
         Found:\n{}\nInstall Postgres {cluster}, set PG_IMPORT_PG_BIN to its programs, or set PG_IMPORT_DATA_DIR to \
         another directory",
        data_dir.display(), list(found)
    )]
    OtherVersion {
        data_dir: PathBuf,
        cluster: String,
        found: Vec<String>,
    },

    #[error(
        "{} is not a whole cluster: {missing} is missing or unreadable; restore it, or move the directory away to \
         begin with an empty database",
        path.display()
    )]
    Damaged { path: PathBuf, missing: &'static str },

    #[error("`{name}` is not the name of a Postgres setting, or its value holds a control character")]
    Setting { name: String },

    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("cannot run {}{}", program.display(), as_account(account.as_deref()))]
    Spawn {
        program: PathBuf,
        account: Option<String>,
        source: io::Error,
    },

    #[error("initdb could not make a cluster in {}:\n{output}", path.display())]
    Init { path: PathBuf, output: String },

    #[error("Postgres did not start from {}; {} ends with:\n{tail}", path.display(), log.display())]
    Start { path: PathBuf, log: PathBuf, tail: String },

    #[error(
        "Postgres (process {pid}) in {} is neither ready nor gone after {seconds} s; it may be recovering from a \
         crash: try again later, or see {}, which ends with:\n{tail}",
        path.display(), log.display()
    )]
    Unsettled {
        path: PathBuf,
        pid: i32,
        seconds: u64,
        log: PathBuf,
        tail: String,
    },

    #[error("Postgres in {} did not stop: {output}\n{} ends with:\n{tail}", path.display(), log.display())]
    Stop {
        path: PathBuf,
        output: String,
        log: PathBuf,
        tail: String,
    },

    #[error(
        "{} has been locked by another process for {seconds} s; see who holds it (fuser, lsof) and end that process",
        path.display()
    )]
    Locked { path: PathBuf, seconds: u64 },

    #[error("cannot write the credentials of the private Postgres")]
    Credentials(#[from] ConfigError),

    #[error("the work on the private Postgres was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl EmbeddedError {
    /// Makes an [`EmbeddedError::Io`], for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "  - nothing".to_owned();
    }
    items
        .iter()
        .map(|item| format!("  - {item}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn as_account(account: Option<&str>) -> String {
    account.map(|name| format!(" as the user {name}")).unwrap_or_default()
}
