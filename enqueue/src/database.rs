//! The database as a command uses it: a pool of sessions, and with the private server a worker in this process.

use connect::{ConnectArgs, ConnectError, Database};
use model::ProcessName;
use rand::RngExt as _;
use session::database::{self, Commit, Purpose};
use session::retry::{MaybeTransient, through_outages};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgConnectOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::{WorkerConfig, WorkerError};

/// What the names of this program's processes begin with.
const ROLE: &str = "pg_import-enqueue";

/// An open database.
pub struct Open {
    database: Database,
    pub name: ProcessName,
    pub pool: PgPool,
    session: PgConnectOptions,
    worker: Option<(CancellationToken, JoinHandle<Result<(), WorkerError>>)>,
}

impl Open {
    /// Finds the database, without looking at its schema.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn find(args: &ConnectArgs) -> Result<Self, ConnectError> {
        let database = args.find().await?;
        let name = ProcessName::new(ROLE, &session::host_name(), std::process::id(), rand::rng().random());
        let session = database::session(database.options.clone(), &name, Commit::Durable);
        Ok(Self {
            database,
            name,
            pool: database::pool(session.clone(), 2),
            session,
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
            Ok(conn) => {
                drop(conn.close().await);
                Ok(open)
            }
            Err(error) => {
                open.close().await;
                Err(error.into())
            }
        }
    }

    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        &self.database.options
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
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.pool.acquire().await
    }

    /// A session with the role's own search path, for what compares rows of the target: domains and policies may count on it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn role_connection(&self) -> Result<PgConnection, sqlx::Error> {
        let options = database::role_session(self.database.options.clone(), &self.name, Commit::Durable);
        PgConnection::connect_with(&options).await
    }

    /// Starts a worker in this process, if the server is the private one: it has no others.
    pub fn start_local_worker(&mut self) {
        if !self.is_local() {
            return;
        }
        let stop = CancellationToken::new();
        let config = WorkerConfig::new(self.options().clone());
        let stopped = stop.clone();
        self.worker = Some((stop, tokio::spawn(async move { worker::run(&config, &stopped).await })));
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

    /// How to look at a table's rows with psql.
    #[must_use]
    pub fn psql_line(&self, table: &str) -> String {
        let query = format!("SELECT * FROM {table} LIMIT 10");
        if self.is_local() {
            return crate::output::again(&format!("psql --local -- -c '{query}'"), false);
        }
        let options = self.options();
        format!(
            "psql -h {} -p {} -U {} -d {} -c '{query}'",
            options.get_host(),
            options.get_port(),
            options.get_username(),
            options.get_database().unwrap_or(options.get_username())
        )
    }
}
