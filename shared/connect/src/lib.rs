//! From a command line to a database: a URL, a staging, or the private server of `--local`.

#![warn(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

use local_server::{EmbeddedConfig, EmbeddedError, EmbeddedServer, may_be_private};
use session::Hosts;
use session::config::{ConfigError, Credentials, Environment, LOCAL_STAGING};
use session::database::{self, DatabaseError};

/// Where the database is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct ConnectArgs {
    /// Connect here, in place of the staging's files
    ///
    /// For example postgres://admin@db.example.org:5432/orders, or with several hosts, of which the primary is taken,
    /// postgres://admin@db1,db2/orders. A URL on the command line is visible to other users of the machine: keep
    /// a password in DATABASE_URL or in a staging.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Use a private Postgres, started for this purpose and kept between runs
    #[arg(long)]
    pub local: bool,
}

/// Why there is no database to use.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot start the private Postgres")]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A database to use; when it is the private one, it runs at least until it is released.
pub struct Database {
    pub hosts: Hosts,
    server: Option<EmbeddedServer>,
}

impl ConnectArgs {
    /// Finds the database; with `--local`, or a staging that the private server wrote, starts or joins that, and migrates it.
    ///
    /// # Errors
    /// [`ConnectError`], naming the setting at fault.
    pub async fn find(&self) -> Result<Database, ConnectError> {
        let environment = Environment::from_process()?;
        if self.local {
            return start_local(&environment).await;
        }
        if self.database_url.is_none() && is_private_server(&environment)? {
            return start_local(&environment).await;
        }
        Ok(Database {
            hosts: environment.hosts(self.database_url.as_deref())?,
            server: None,
        })
    }
}

impl ConnectArgs {
    /// A file of the staging that says where the database is, with its path; `None` where there is none, or no staging is read.
    ///
    /// # Errors
    /// [`ConnectError`], naming the file.
    pub fn staging_file(&self, name: &str) -> Result<Option<(PathBuf, String)>, ConnectError> {
        let environment = Environment::from_process()?;
        Ok(match (self.local, &self.database_url) {
            (true, _) => environment.local_staging_file(name)?,
            (false, None) => environment.staging_file(name)?,
            (false, Some(_)) => None,
        })
    }
}

/// Whether the staging is one that a private server wrote: it must run to be reached, and keeps running while it is used.
fn is_private_server(environment: &Environment) -> Result<bool, ConfigError> {
    if !environment.names_local_staging()? {
        return Ok(false);
    }
    let [staged] = &environment.credentials()?[..] else {
        return Ok(false);
    };
    let Ok(config) = EmbeddedConfig::for_user() else {
        return Ok(false);
    };
    let Ok(private) = Credentials::read(&config.data_dir) else {
        return Ok(false);
    };
    Ok(staged.password == private.password && staged.user == private.user)
}

async fn start_local(environment: &Environment) -> Result<Database, ConnectError> {
    let server = EmbeddedServer::start(EmbeddedConfig::for_user()?).await?;
    // PGSSLMODE is about other servers.
    let options = server.credentials().connect_options().ssl_mode(PgSslMode::Prefer);
    let staging = environment.config_dir().join(LOCAL_STAGING);
    if is_somebodys(&staging, server.credentials()) {
        tracing::warn!(
            staging = %staging.display(),
            "this staging is not of the private Postgres, and is left as it is: other processes cannot find that by it; call yours something else than `local`"
        );
    } else if let Err(error) = server.credentials().write(&staging) {
        tracing::warn!(
            error = session::describe_error(&error),
            "other processes cannot find the private Postgres by its staging"
        );
    }
    let database = Database {
        hosts: options.into(),
        server: Some(server),
    };
    if database::is_migrated(&database.hosts).await {
        return Ok(database);
    }
    match database::migrate(&database.hosts).await {
        Ok(()) => Ok(database),
        Err(error) => {
            database.release().await;
            Err(error.into())
        }
    }
}

/// Whether a staging is there that names another server than a private one: somebody wrote it by hand.
fn is_somebodys(staging: &Path, private: &Credentials) -> bool {
    let is_there = [".postgres.host", ".postgres.db", ".postgres.user", ".postgres.psw"]
        .iter()
        .any(|file| staging.join(file).exists());
    let Ok(staged) = Credentials::read(staging) else {
        return is_there;
    };
    // One of before, or of another data directory, has another host, port and password.
    let is_private =
        may_be_private(&staged.host) && staged.user == private.user && staged.password.len() == private.password.len();
    is_there && !is_private
}

impl Database {
    /// The directory of the private server's programs, if this is one.
    #[must_use]
    pub fn bin_dir(&self) -> Option<PathBuf> {
        self.server.as_ref().map(|server| server.bin_dir().to_owned())
    }

    /// The password, for a program that connects by itself; never to be shown. `None` where each host has another: they are in the file that `psql`
    /// reads, too.
    #[must_use]
    pub fn password(&self) -> Option<String> {
        // The only way to it; of a user or a host that would have to be encoded, sqlx makes a URL that it cannot read.
        let of = |options: &PgConnectOptions| {
            let url = options.clone().username("user").host("host").to_url_lossy();
            let password = percent_encoding::percent_decode_str(url.password()?).decode_utf8_lossy();
            Some(password.into_owned())
        };
        let password = of(self.hosts.first())?;
        self.hosts
            .each()
            .all(|host| of(host).as_ref() == Some(&password))
            .then_some(password)
    }

    /// Whether this is the private server.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.server.is_some()
    }

    /// Lets go of the private server; its last user stops it.
    pub async fn release(self) {
        if let Some(server) = self.server
            && let Err(error) = server.release().await
        {
            tracing::warn!(
                error = session::describe_error(&error),
                "the private Postgres could not be stopped"
            );
        }
    }
}
