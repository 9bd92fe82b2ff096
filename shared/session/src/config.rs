//! Where the database is: `--database-url` or `DATABASE_URL`, else the files of a staging; and for what these leave out, the variables that
//! every program of Postgres reads.
//!
//! Owns the precedence, the defaults and the errors that name the file or variable at fault. Knows nothing of connections.

use std::{
    env, fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use sqlx::postgres::PgConnectOptions;

mod pairs;
mod tls;
mod url;

pub use pairs::PairFault;
use tls::Tls;
pub use url::UrlFault;

use crate::hosts::{Hosts, Wanted};

/// The folder of the stagings.
pub const CONFIG_PATH_VARIABLE: &str = "PG_IMPORT_CONFIG_PATH";
/// The staging to use.
pub const STAGING_VARIABLE: &str = "PG_IMPORT_STAGING";
/// The folder of the stagings, where the variable says nothing.
const DEFAULT_CONFIG_PATH: &str = "credentials";
/// The file in the working directory that may name the staging.
const STAGING_FILE: &str = ".staging";
const DEFAULT_STAGING: &str = "dev";
const PASSWORD_FILE: &str = ".postgres.psw";
const HOST_FILE: &str = ".postgres.host";
const PORT_FILE: &str = ".postgres.port";
const WANTED_FILE: &str = ".postgres.target_session_attrs";
const PORT: &str = "a number from 1 to 65535";
/// Of the database that `docker-compose.yml` starts: no secret.
const DEFAULT_PASSWORD: &str = "psw";
/// The staging that `--local` writes.
pub const LOCAL_STAGING: &str = "local";

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no directory {path}, which {CONFIG_PATH_VARIABLE} names")]
    NoConfigPath { path: PathBuf },
    #[error("{origin} {fault}")]
    Url { origin: &'static str, fault: UrlFault },
    #[error(
        "the staging '{name}' (from {origin}) has no directory {path}: create it with the files .postgres.{{db,psw,user,port,host}}, or correct the name"
    )]
    NoStaging {
        name: String,
        origin: String,
        path: PathBuf,
    },
    #[error("'{name}' (from {origin}) cannot be a staging's name: it is one directory's name, without '/'")]
    StagingName { name: String, origin: String },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} holds no port: expected a number from 1 to 65535")]
    Port { path: PathBuf },
    #[error("{path} cannot be used: expected {expected}")]
    Value { path: PathBuf, expected: &'static str },
    #[error("the hosts of {origin} {fault}")]
    Hosts { origin: String, fault: PairFault },
    #[error("{variable} cannot be used: expected {expected}")]
    Variable {
        variable: &'static str,
        expected: &'static str,
    },
    #[error("{variable} is not valid UTF-8")]
    NotUnicode { variable: &'static str },
}

/// A named set of credentials: one directory with one small file for each value.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub database: String,
    pub password: String,
    pub user: String,
    pub host: String,
    pub port: u16,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

impl Credentials {
    /// Reads `dir/.postgres.{db,psw,user,host,port}` of one server; a file that is missing has its default.
    ///
    /// # Errors
    /// When a file is there but cannot be read, the port is no port, or there are several hosts.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let mut each = Self::read_or(dir, &PgVariables::default())?;
        match (each.pop(), each.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(ConfigError::Value {
                path: dir.join(HOST_FILE),
                expected: "one host",
            }),
        }
    }

    /// As [`Self::read`], but a file that is missing has the value of its variable, if that is set; and for each of several hosts.
    fn read_or(dir: &Path, variables: &PgVariables) -> Result<Vec<Self>, ConfigError> {
        let value = |name: &str, variable: &Option<String>, default: &str| -> Result<String, ConfigError> {
            let said = read_trimmed(&dir.join(name))?.or_else(|| variable.clone());
            Ok(said.unwrap_or_else(|| default.to_owned()))
        };
        let of_file = read_trimmed(&dir.join(PORT_FILE))?;
        let path = of_file.is_some().then(|| dir.join(PORT_FILE));
        let ports = of_file.or_else(|| variables.port.clone());
        let hosts = value(HOST_FILE, &variables.host, "localhost")?;
        let pairs = pairs::pair(&hosts, ports.as_deref()).map_err(|fault| match (fault, path) {
            (PairFault::Port, Some(path)) => ConfigError::Port { path },
            (PairFault::Port, None) => NO_PORT,
            (fault, path) => ConfigError::Hosts {
                origin: path.unwrap_or_else(|| dir.join(HOST_FILE)).display().to_string(),
                fault,
            },
        })?;
        let (database, password) = (
            value(".postgres.db", &variables.database, "postgres")?,
            value(PASSWORD_FILE, &variables.password, DEFAULT_PASSWORD)?,
        );
        let user = value(".postgres.user", &variables.user, "admin")?;
        let each = pairs.into_iter().map(|(host, port)| Self {
            database: database.clone(),
            password: password.clone(),
            user: user.clone(),
            host,
            port,
        });
        Ok(each.collect())
    }

    /// Writes the five files into `dir`, readable by their owner alone, each at once or not at all.
    ///
    /// # Errors
    /// When the directory or a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), ConfigError> {
        fs::create_dir_all(dir).map_err(|source| ConfigError::Write {
            path: dir.to_owned(),
            source,
        })?;
        let port = self.port.to_string();
        for (name, value) in [
            (".postgres.db", &self.database),
            (PASSWORD_FILE, &self.password),
            (".postgres.user", &self.user),
            (HOST_FILE, &self.host),
            (PORT_FILE, &port),
        ] {
            let path = dir.join(name);
            write_private(&path, value).map_err(|source| ConfigError::Write { path, source })?;
        }
        Ok(())
    }

    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(&self.password)
            .database(&self.database)
    }
}

const NO_PORT: ConfigError = ConfigError::Variable {
    variable: "PGPORT",
    expected: PORT,
};

/// What the variables say that libpq reads, where they are set.
#[derive(Clone, Default)]
pub struct PgVariables {
    pub host: Option<String>,
    /// In place of `host`, where there is a URL without one.
    pub host_address: Option<String>,
    pub port: Option<String>,
    pub user: Option<String>,
    pub database: Option<String>,
    pub password: Option<String>,
    /// Read by sqlx too, which takes what it does not understand for no wish.
    pub ssl_mode: Option<String>,
    pub target_session_attrs: Option<String>,
}

impl fmt::Debug for PgVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgVariables").finish_non_exhaustive()
    }
}

/// The environment that the configuration is taken from; a value of its own, so that tests need not change the process's.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub config_path: Option<String>,
    pub staging: Option<String>,
    pub working_directory: PathBuf,
    pub postgres: PgVariables,
}

impl Environment {
    /// The process's.
    ///
    /// # Errors
    /// When a variable is not valid UTF-8.
    pub fn from_process() -> Result<Self, ConfigError> {
        let get = |variable: &'static str| match env::var(variable) {
            Ok(value) if value.trim().is_empty() => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(ConfigError::NotUnicode { variable }),
        };
        Ok(Self {
            config_path: get(CONFIG_PATH_VARIABLE)?,
            staging: get(STAGING_VARIABLE)?,
            working_directory: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            postgres: PgVariables {
                host: get("PGHOST")?,
                host_address: get("PGHOSTADDR")?,
                port: get("PGPORT")?,
                user: get("PGUSER")?,
                database: get("PGDATABASE")?,
                password: get("PGPASSWORD")?,
                ssl_mode: get("PGSSLMODE")?,
                target_session_attrs: get("PGTARGETSESSIONATTRS")?,
            },
        })
    }

    /// The folder of the stagings.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.working_directory
            .join(self.config_path.as_deref().unwrap_or(DEFAULT_CONFIG_PATH))
    }

    /// The staging's name and what named it.
    fn staging(&self) -> Result<(String, Option<String>), ConfigError> {
        if let Some(name) = &self.staging {
            return Ok((name.trim().to_owned(), Some(STAGING_VARIABLE.to_owned())));
        }
        let file = self.working_directory.join(STAGING_FILE);
        match read_trimmed(&file)? {
            Some(name) if !name.is_empty() => Ok((name, Some(file.display().to_string()))),
            _ => Ok((DEFAULT_STAGING.to_owned(), None)),
        }
    }

    /// Whether the configuration names the staging of the private server, which must be running to be reached.
    ///
    /// # Errors
    /// When `.staging` cannot be read.
    pub fn names_local_staging(&self) -> Result<bool, ConfigError> {
        Ok(self.staging()?.0 == LOCAL_STAGING)
    }

    /// The credentials of the staging, for each of its hosts. One that was named must have a directory (a typo must not load into localhost), and so must
    /// all of them, if that was named; the default ones need not.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file or variable at fault.
    pub fn credentials(&self) -> Result<Vec<Credentials>, ConfigError> {
        Credentials::read_or(&self.staging_dir()?, &self.postgres)
    }

    /// The directory of the staging. Only the default one need not be there.
    fn staging_dir(&self) -> Result<PathBuf, ConfigError> {
        let (name, origin) = self.staging()?;
        if name.contains('/') || name == "." || name == ".." {
            return Err(ConfigError::StagingName {
                name,
                origin: origin.unwrap_or_default(),
            });
        }
        let dir = self.config_dir().join(&name);
        if self.config_path.is_some() && !self.config_dir().is_dir() {
            return Err(ConfigError::NoConfigPath {
                path: self.config_dir(),
            });
        }
        match origin {
            Some(origin) if !dir.is_dir() => Err(ConfigError::NoStaging {
                name,
                origin,
                path: dir,
            }),
            _ => Ok(dir),
        }
    }

    /// How to connect as the staging has it. Where nothing says the password, it is looked for in the file that `psql` looks into.
    fn of_staging(&self) -> Result<Hosts, ConfigError> {
        let dir = self.staging_dir()?;
        let each = Credentials::read_or(&dir, &self.postgres)?;
        let password_file = dir.join(PASSWORD_FILE);
        let is_said = password_file.symlink_metadata().is_ok() || self.postgres.password.is_some();
        if is_said && each.iter().any(|credentials| credentials.password != DEFAULT_PASSWORD) {
            warn_if_others_read(&password_file);
        }
        let tls = Tls::read(&dir)?;
        let connect = |credentials: &Credentials| {
            tls.apply(if is_said {
                credentials.connect_options()
            } else {
                url::with_password_file(credentials)
            })
        };
        let wanted_file = dir.join(WANTED_FILE);
        let wanted = match read_trimmed(&wanted_file)? {
            Some(text) => Wanted::parse(&text).ok_or(ConfigError::Value {
                path: wanted_file,
                expected: Wanted::VALUES,
            })?,
            None => self.wanted()?,
        };
        Ok(of_each(each.iter().map(connect))?.wanting(wanted))
    }

    /// What the variable asks of a host.
    fn wanted(&self) -> Result<Wanted, ConfigError> {
        let said = self.postgres.target_session_attrs.as_deref();
        said.map_or(Some(Wanted::default()), Wanted::parse)
            .ok_or(ConfigError::Variable {
                variable: "PGTARGETSESSIONATTRS",
                expected: Wanted::VALUES,
            })
    }

    /// A file of the staging beside those that say where the database is, with its path; `None` where there is none.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn staging_file(&self, name: &str) -> Result<Option<(PathBuf, String)>, ConfigError> {
        self.file_in(&self.staging()?.0, name)
    }

    /// The same of the staging that the private server writes.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn local_staging_file(&self, name: &str) -> Result<Option<(PathBuf, String)>, ConfigError> {
        self.file_in(LOCAL_STAGING, name)
    }

    fn file_in(&self, staging: &str, name: &str) -> Result<Option<(PathBuf, String)>, ConfigError> {
        let path = self.config_dir().join(staging).join(name);
        let text = read_trimmed(&path)?;
        if text.is_some() {
            warn_if_others_read(&path);
        }
        Ok(text.map(|text| (path, text)))
    }

    /// Where to connect: the URL if one is given, else the staging; what either leaves out, as the environment has it.
    ///
    /// # Errors
    /// [`ConfigError`]; the URL is never part of it, for it may hold a password.
    pub fn hosts(&self, database_url: Option<&str>) -> Result<Hosts, ConfigError> {
        let Some(url) = database_url else {
            self.check_ssl_mode()?;
            return self.of_staging();
        };
        let at_fault = |fault| ConfigError::Url {
            origin: "--database-url (or DATABASE_URL)",
            fault,
        };
        let url = url::Parts::read(url).map_err(at_fault)?;
        if !url.say("sslmode") {
            self.check_ssl_mode()?;
        }
        let wanted = match url.wanted() {
            Some(wanted) => wanted,
            None => self.wanted()?,
        };
        let variables = &self.postgres;
        let hosts = url
            .hosts()
            .or(variables.host_address.as_deref())
            .or(variables.host.as_deref());
        let ports = url.ports().or(variables.port.as_deref());
        let pairs = pairs::pair(hosts.unwrap_or_default(), ports).map_err(|fault| match fault {
            PairFault::Port if url.ports().is_none() => NO_PORT,
            fault => ConfigError::Hosts {
                origin: "--database-url (or DATABASE_URL), and of PGHOST and PGPORT".to_owned(),
                fault,
            },
        })?;
        let connect = |(host, port): (String, u16)| url.at(&host, port).connect_options();
        let each: Result<Vec<_>, _> = match pairs.len() {
            // What is not said of it is as sqlx has it.
            1 => url.connect_options().map(|options| vec![options]),
            _ => pairs.into_iter().map(connect).collect(),
        };
        Ok(of_each(each.map_err(at_fault)?)?.wanting(wanted))
    }

    /// sqlx passes over a value that is none, and connects without what was asked for.
    fn check_ssl_mode(&self) -> Result<(), ConfigError> {
        match &self.postgres.ssl_mode {
            Some(mode) if !url::is_ssl_mode(mode) => Err(ConfigError::Variable {
                variable: "PGSSLMODE",
                expected: url::SSL_MODES,
            }),
            _ => Ok(()),
        }
    }
}

/// At least one there is: a list of hosts is never empty.
fn of_each(each: impl IntoIterator<Item = PgConnectOptions>) -> Result<Hosts, ConfigError> {
    let mut each = each.into_iter();
    let first = each.next().ok_or_else(|| ConfigError::Hosts {
        origin: "the list".to_owned(),
        fault: PairFault::Empty,
    })?;
    Ok(Hosts::new(first, each.collect()))
}

/// The file's content without trailing line ends (`echo` writes one); `None` when there is no file.
fn read_trimmed(path: &Path) -> Result<Option<String>, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Says it where a file with a secret is open to every user of the machine.
fn warn_if_others_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0) {
        tracing::warn!(file = %path.display(), "every user of this machine can read this secret: chmod 600");
    }
}

/// Writes beside and renames, so that a reader finds the old value or the new one.
fn write_private(path: &Path, value: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(value.as_bytes())?;
    file.write_all(b"\n")?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests;
