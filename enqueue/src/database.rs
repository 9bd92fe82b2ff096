//! The database as a command uses it: a pool of sessions, and with the private server a worker in this process.

use connect::{ConnectArgs, Database};
use ledger::{imports, read::ImportStatus};
use model::{ProcessName, QueueName};
use object_source::Allowed;
use rand::RngExt as _;
use session::Hosts;
use session::database::{self, Commit, Pool, Purpose, Session};
use session::retry::{MaybeTransient, through_outages};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::{WorkerConfig, WorkerError, notify::NotifyConfig};

use crate::output::{self, shell_words};

/// Sessions of a process at once: two of a submission, and one to look how far it is.
const SESSIONS: u32 = 3;
/// What the names of this program's processes begin with.
const ROLE: &str = "pg_import-enqueue";

/// An open database.
pub struct Open {
    database: Database,
    pub name: ProcessName,
    pub pool: Pool,
    session: Hosts,
    /// How a worker in this process tells the world.
    notify: Option<NotifyConfig>,
    worker: Option<(CancellationToken, JoinHandle<Result<(), WorkerError>>)>,
}

impl Open {
    /// Finds the database, without looking at its schema.
    ///
    /// # Errors
    /// [`ConnectError`](connect::ConnectError); with the private server, also when it could not tell the world as it is asked to.
    pub async fn find(args: &ConnectArgs) -> anyhow::Result<Self> {
        let database = args.find().await?;
        let notify = match database
            .is_local()
            .then(|| NotifyConfig::from_environment(args))
            .transpose()
        {
            Ok(notify) => notify.flatten(),
            Err(error) => {
                database.release().await;
                return Err(error.into());
            }
        };
        let name = ProcessName::new(ROLE, &session::host_name(), std::process::id(), rand::rng().random());
        let session = database::session(database.hosts.clone(), &name, Commit::Durable);
        Ok(Self {
            database,
            name,
            pool: database::pool(session.clone(), SESSIONS),
            session,
            notify,
            worker: None,
        })
    }

    /// Finds the database and checks that its schema is of this version, and that `purpose` can be served.
    ///
    /// # Errors
    /// When it cannot be reached, must be migrated first, or takes no changes.
    pub async fn checked(args: &ConnectArgs, purpose: Purpose) -> anyhow::Result<Self> {
        let open = Self::find(args).await?;
        let checked = database::check(&open.session, purpose).await;
        match checked {
            Ok(session) => {
                open.pool.adopt(session).await;
                Ok(open)
            }
            Err(error) => {
                open.close().await;
                Err(error.into())
            }
        }
    }

    #[must_use]
    pub fn hosts(&self) -> &Hosts {
        &self.database.hosts
    }

    /// How a session is opened.
    #[must_use]
    pub fn session(&self) -> &Hosts {
        &self.session
    }

    #[must_use]
    pub fn is_local(&self) -> bool {
        self.database.is_local()
    }

    #[must_use]
    pub fn bin_dir(&self) -> Option<std::path::PathBuf> {
        self.database.bin_dir()
    }

    #[must_use]
    pub fn password(&self) -> Option<String> {
        self.database.password()
    }

    /// Does something that is safe to do twice, again while the database is away.
    ///
    /// # Errors
    /// What `action` returned last.
    pub async fn patiently<T, E: MaybeTransient>(
        &self,
        action: impl AsyncFn(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        through_outages(&self.pool, |absence| crate::output::say(absence.describe()), action).await
    }

    /// A session.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connection(&self) -> Result<Session, sqlx::Error> {
        self.pool.acquire().await
    }

    /// A session with the role's own search path, for what compares rows of the target: domains and policies may count on it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn role_connection(&self) -> Result<Session, sqlx::Error> {
        // It would idle meanwhile, and a role may be allowed few.
        self.pool.disown().await;
        self.role_session().connect().await
    }

    /// The same for what takes its time, and is no transaction.
    ///
    /// # Errors
    /// When the database cannot be reached, or a pooler is in between.
    pub async fn whole_role_connection(&self, what: &'static str) -> anyhow::Result<Session> {
        self.pool.disown().await;
        let host = database::whole(&self.role_session(), what).await?;
        Ok(host.connect().await?)
    }

    fn role_session(&self) -> Hosts {
        database::role_session(self.database.hosts.clone(), &self.name, Commit::Durable)
    }

    /// Starts a worker in this process, if the server is the private one: it has no others, so that this one serves every queue that an
    /// import is in, and `queue`.
    pub async fn start_local_worker(&mut self, queue: Option<&QueueName>) {
        if !self.is_local() {
            return;
        }
        let known = async { imports::known_queues(&mut *self.connection().await?).await };
        // What keeps the question from being answered is for the worker to tell.
        let mut queues = known.await.unwrap_or_default();
        queues.push(QueueName::default());
        queues.extend(queue.cloned());
        queues.sort_unstable();
        queues.dedup();
        let stop = CancellationToken::new();
        let config = WorkerConfig {
            queues,
            notify: self.notify.clone(),
            // It may read what this user may, who has started it.
            references: Allowed::All,
            ..WorkerConfig::new(self.hosts().clone())
        };
        let stopped = stop.clone();
        self.worker = Some((stop, tokio::spawn(async move { worker::run(&config, &stopped).await })));
    }

    /// Whether nobody would send notifications: the private server has no other worker than the one in this process, and that has no secret.
    #[must_use]
    pub fn cannot_notify(&self) -> bool {
        self.is_local() && self.notify.is_none()
    }

    /// Stops the worker, if there is one, and lets go of the database.
    pub async fn close(self) {
        if let Some((stop, worker)) = self.worker {
            stop.cancel();
            if let Ok(Err(error)) = worker.await {
                tracing::error!(
                    error = session::describe_error(&error),
                    "the worker in this process failed"
                );
            }
        }
        self.pool.close().await;
        self.database.release().await;
    }

    /// What came of an import, what to look at, and how to undo it.
    #[must_use]
    pub fn summary(&self, status: &ImportStatus) -> String {
        output::summary(status, &self.psql_line(&status.target), self.is_local())
    }

    /// How to look at a table's rows with psql.
    fn psql_line(&self, table: &str) -> String {
        if self.is_local() {
            let look = shell_words(["-c", &look_query(table)]);
            return output::again(&format!("psql --local -- {look}"), false);
        }
        psql_line(self.hosts(), table)
    }
}

fn look_query(table: &str) -> String {
    format!("SELECT * FROM {table} LIMIT 10")
}

fn psql_line(hosts: &Hosts, table: &str) -> String {
    let (names, ports) = database::lists(hosts);
    shell_words([
        "psql",
        "-h",
        &names,
        "-p",
        &ports,
        "-U",
        hosts.first().get_username(),
        "-d",
        database::database_name(hosts.first()),
        "-c",
        &look_query(table),
    ])
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn a_shell_runs_nothing_that_the_name_of_a_table_holds() {
        let table = r#"public."it's; touch $(pwned) `pwned` \""#;
        let options = PgConnectOptions::new()
            .host("db.example.org")
            .port(5433)
            .username("o'hara")
            .database("the shop");
        let words = shlex::split(&psql_line(&options.into(), table)).unwrap();
        assert_eq!(
            words,
            [
                "psql",
                "-h",
                "db.example.org",
                "-p",
                "5433",
                "-U",
                "o'hara",
                "-d",
                "the shop",
                "-c",
                &format!("SELECT * FROM {table} LIMIT 10"),
            ]
        );
    }

    #[test]
    fn a_socket_is_named_by_its_directory() {
        let options = PgConnectOptions::new().host("localhost").socket("/run/pg");
        let line = psql_line(&options.into(), "public.t");
        assert!(line.starts_with("psql -h /run/pg -p "), "{line}");
        assert!(line.ends_with("-c 'SELECT * FROM public.t LIMIT 10'"), "{line}");
    }

    #[test]
    fn nothing_in_a_name_steers_the_terminal() {
        let line = psql_line(&PgConnectOptions::new().into(), "public.\"\u{1b}[2J\u{202e}\"");
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line}");
    }
}
