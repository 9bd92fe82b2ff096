//! Connections with this project's session settings; what must be true of a database before it is used ([`check`]); and the migrations
//! ([`migrate`]).

use std::time::Duration;

use model::ProcessName;
use sqlx::{ConnectOptions as _, migrate::MigrateError, postgres::PgConnectOptions};

use crate::hosts::{Hosts, Setting};

mod check;
mod choice;
pub mod doctor;
mod grants;
mod lease;
mod migrate;
mod pool;
mod spare;
mod way;

pub use check::{Purpose, check, check_again, whole};
pub use choice::NoHost;
pub use grants::{Duty, grant};
pub use lease::Session;
pub use migrate::{is_migrated, migrate, refuse_older_workers};
pub use pool::{Pool, pool};
pub(crate) use way::Host;

/// How long a statement waits for a lock. A claim that times out frees its slot and is tried later.
const LOCK_TIMEOUT: &str = "2s";
/// A process that froze between two statements gives up its locks after this time, whoever watches.
const IDLE_IN_TRANSACTION: Setting = ("idle_in_transaction_session_timeout", "10s");
/// Where names without a schema are looked for. Those of our own statements are the server's, or have their schema; whatever others put
/// elsewhere under names like these, a better fit to the arguments perhaps, is neither found nor run with our rights. Temporary tables
/// would come first if they were not named.
const SEARCH_PATH: Setting = ("search_path", "pg_catalog,pg_temp");
/// How long a pool waits for a connection before it says that the database cannot be reached.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a commit waits until its WAL is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It waits.
    Durable,
    /// It does not; a server crash within the next moments undoes it whole. For chunk transactions and the queue: ledger and data
    /// vanish together, and the order of the WAL keeps every later, durable commit behind them.
    Deferred,
}

/// Adds the settings of a session for the ledger, the queue and the catalog: those of [`role_session`], and a search path that no other
/// role has a say in.
#[must_use]
pub fn session(hosts: impl Into<Hosts>, name: &ProcessName, commit: Commit) -> Hosts {
    role_session(hosts, name, commit).with([SEARCH_PATH])
}

/// Adds the settings that every session of ours has, and leaves the search path to the role.
///
/// For what runs code of the table's owner, which may count on that path (triggers, defaults, CHECK constraints, domains, policies), and
/// for names as a person says them. In what is sent to such a session every table, type and function has its schema, and operators have
/// operands of exactly the types that the server has them for, since a closer match is taken from anywhere on the path.
///
/// READ COMMITTED is stated, for the protocols are argued in it; the time zone is fixed, for a timestamp without one shall mean the
/// same on every machine; keepalives of seconds free the locks of a machine that lost its network.
#[must_use]
pub fn role_session(hosts: impl Into<Hosts>, name: &ProcessName, commit: Commit) -> Hosts {
    let settings = [
        ("default_transaction_isolation", "read committed"),
        ("timezone", "UTC"),
        ("lock_timeout", LOCK_TIMEOUT),
        IDLE_IN_TRANSACTION,
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "11000"),
        // A statement whose client is gone shall end, and free its locks, before it has an answer to send.
        ("client_connection_check_interval", "2s"),
        (
            "synchronous_commit",
            match commit {
                Commit::Durable => "on",
                Commit::Deferred => "off",
            },
        ),
    ];
    // Statements are not logged: their slowness is the server's to tell, and their text may hold what a user named.
    let name = |options: PgConnectOptions| options.disable_statement_logging().application_name(name.as_str());
    hosts.into().map(name).with(settings)
}

/// What keeps a database from being used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("cannot reach the database {place}")]
    Connect { place: String, source: sqlx::Error },
    #[error(
        "the database {place} has no pg_import schema of this version: run `enqueue migrate` with the same settings"
    )]
    NotMigrated { place: String },
    #[error("the database {place} was migrated by a newer version of pg_import: update this program")]
    Newer { place: String },
    #[error(
        "workers that cannot live with this migration are alive: {workers}; stop them, migrate, and start the new ones"
    )]
    OlderWorkers { workers: String },
    #[error("cannot migrate the schema pgimport")]
    Migrate(#[source] MigrateError),
    #[error(
        "cannot migrate the queue's schema apalis (it needs the contrib extensions hstore and pgcrypto, and CREATE on the database and on its schema public)"
    )]
    MigrateQueue(#[source] apalis_postgres::Error),
    #[error("cannot read the schema's version")]
    Version(#[source] sqlx::Error),
    #[error(
        "the role '{role}' may not do its work in the database {place}: {remedy} (docs/PRIVILEGES.md has all of them)"
    )]
    Privilege {
        place: String,
        role: String,
        remedy: String,
    },
    #[error("there is no role '{role}' to grant anything to: CREATE ROLE")]
    NoRole { role: String },
    #[error(
        "cannot grant the role '{role}' what it needs: the role that migrates must own the schemas pgimport and apalis"
    )]
    Grant { role: String, source: sqlx::Error },
    #[error(
        "the database {place} takes no changes from this role: default_transaction_read_only is on, for the role, the database or the server"
    )]
    ReadOnly { place: String },
    #[error(
        "a connection pooler (such as PgBouncer) is in between and keeps no session whole: {what} needs the server of the database {place} itself; name that"
    )]
    Pooler { place: String, what: &'static str },
    #[error("the server of the database {place} is a standby: it takes no changes until it is promoted")]
    Standby { place: String },
    #[error(transparent)]
    NoHost(#[from] NoHost),
}

/// Where the server listens, as libpq takes it: a host, or the directory of its socket.
#[must_use]
pub fn host(options: &PgConnectOptions) -> String {
    options
        .get_socket()
        .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string())
}

/// Whether the server is reached by its Unix socket.
#[must_use]
pub fn is_by_socket(options: &PgConnectOptions) -> bool {
    host(options).starts_with('/')
}

/// The names of all hosts, and their ports, as lists that libpq takes.
#[must_use]
pub fn lists(hosts: &Hosts) -> (String, String) {
    let names: Vec<String> = hosts.each().map(host).collect();
    let ports: Vec<String> = hosts.each().map(|options| options.get_port().to_string()).collect();
    (names.join(","), ports.join(","))
}

/// Names a database for people, with all its hosts and without its password.
#[must_use]
pub fn place(hosts: &Hosts) -> String {
    let addresses: Vec<String> = hosts.each().map(choice::address).collect();
    let user = hosts.first().get_username();
    let database = database_name(hosts.first());
    format!("'{database}' at {} as user '{user}'", addresses.join(", "))
}

/// The database's name, which is the user's where nothing else is said.
#[must_use]
pub fn database_name(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or(options.get_username())
}
