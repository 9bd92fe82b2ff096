//! What all requests share.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use model::ProcessName;
use session::database::{self, Commit, Pool, Session};
use session::{Hosts, Setting};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::Tokens,
    answers::Answers,
    failure::Failure,
    pages::verifications::Verifications,
    uploads::{Submitter, Uploads},
};

/// Sessions for what is shown and asked for. Answers are shared, so that few are enough for many who look.
const SESSIONS: u32 = 4;
/// Sessions for what is asked for.
const ACTING_SESSIONS: u32 = 2;
/// How long the database may take for what is asked for: longer than a request waits for a lock.
const ACTING: Setting = ("statement_timeout", "50s");
/// Sessions that look at rows of targets at once: those that somebody waits for, and the others.
const PREVIEWS: usize = 3;
const VERIFICATIONS: usize = 2;
/// Uploads at once: each has a thread and up to three sessions.
const UPLOADS: usize = 16;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the database may think about one thing that is shown.
const READING: Setting = ("statement_timeout", "10s");
/// How long it may count what an undo would do.
const PREVIEW: Setting = ("statement_timeout", "20s");

/// How a page is served.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What the paths begin with, as a reverse proxy has it: empty, or `/imports` and the like.
    pub prefix: String,
    /// Who may act.
    pub tokens: Tokens,
    /// Whether reading takes a token too.
    pub private: bool,
    /// Whether a reverse proxy stands before it, whose word on who asks is taken.
    pub behind_proxy: bool,
    /// Where the database is; the sessions' settings are added here.
    pub connect: Hosts,
    pub name: ProcessName,
    /// Who submits what is uploaded; without, nothing can be.
    pub submitter: Option<Arc<dyn Submitter>>,
}

/// What all requests share.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub config: ServeConfig,
    pub pool: Pool,
    /// For what is asked for: whoever only looks keeps nobody from acting.
    acting: Pool,
    /// What goes on although nobody may wait for its answer any more.
    pub tasks: TaskTracker,
    /// The page ends: uploads break off.
    pub stopping: CancellationToken,
    /// Uploads at once.
    pub uploading: Arc<Semaphore>,
    pub answers: Answers,
    pub verifications: Verifications,
    pub uploads: Uploads,
    /// For sessions that look at rows of targets.
    previewing: Arc<Semaphore>,
    verifying: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub fn new(config: ServeConfig) -> Self {
        let session = database::session(config.connect.clone(), &config.name, Commit::Durable);
        Self(Arc::new(Shared {
            pool: database::pool(session.clone().with([READING]), SESSIONS),
            answers: Answers::new(),
            verifications: Verifications::default(),
            uploads: Uploads::default(),
            acting: database::pool(session.with([ACTING]), ACTING_SESSIONS),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            uploading: Arc::new(Semaphore::new(UPLOADS)),
            previewing: Arc::new(Semaphore::new(PREVIEWS)),
            verifying: Arc::new(Semaphore::new(VERIFICATIONS)),
            config,
        }))
    }

    /// A session for the ledger.
    pub async fn connection(&self) -> Result<Session, Failure> {
        Self::alive(&self.pool).await
    }

    /// A session for what is asked for.
    pub async fn acting(&self) -> Result<Session, Failure> {
        Self::alive(&self.acting).await
    }

    async fn alive(pool: &Pool) -> Result<Session, Failure> {
        // Those that were open when the server was restarted are found here, and nobody's request has to fail for it.
        for _ in 0..SESSIONS {
            let mut session = pool.acquire().await?;
            if session.ping().await.is_ok() {
                return Ok(session);
            }
            session.discard();
        }
        Ok(pool.acquire().await?)
    }

    /// Does something to its end, whether or not whoever asked is still there.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        act: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.tasks
            .spawn(act)
            .await
            .unwrap_or_else(|error| Err(Failure::internal(&error.to_string())))
    }

    /// A session with the role's own search path, for what looks at rows of targets: domains and policies may count on it. It ends with
    /// its use, and its statements after `limit`.
    pub async fn role_connection(&self, limit: RoleLimit) -> Result<RoleSession, Failure> {
        let turn = match limit {
            RoleLimit::None => Arc::clone(&self.verifying).acquire_owned().await.ok(),
            RoleLimit::Preview => tokio::time::timeout(PATIENCE, Arc::clone(&self.previewing).acquire_owned())
                .await
                .ok()
                .and_then(Result::ok),
        };
        let Some(turn) = turn else {
            return Err(Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "others look at rows at this moment: try again",
            ));
        };
        let mut session = database::role_session(self.config.connect.clone(), &self.config.name, Commit::Durable);
        match limit {
            RoleLimit::Preview => session = session.with([PREVIEW]),
            RoleLimit::None => session = database::whole(&session, "a verification").await.map_err(in_between)?,
        }
        Ok(RoleSession {
            session: session.connect().await?,
            _turn: turn,
        })
    }

    /// Ends what goes on, or leaves it after a while.
    pub async fn close(&self) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "what was asked for and is not done is left");
        }
        self.pool.close().await;
        self.acting.close().await;
    }

    /// Who submits what is uploaded.
    pub fn submitter(&self) -> Result<Arc<dyn Submitter>, Failure> {
        let none = || Failure::new(StatusCode::NOT_FOUND, "nothing can be uploaded here");
        self.config.submitter.clone().ok_or_else(none)
    }

    /// A path of this page, as a browser must ask for it.
    pub fn path(&self, path: impl AsRef<str>) -> String {
        format!("{}{}", self.config.prefix, path.as_ref())
    }
}

/// Why there is no session that lasts.
fn in_between(error: database::DatabaseError) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, session::describe_error(&error))
}

/// A session that looks at rows of targets. There are few at once.
pub(crate) struct RoleSession {
    session: Session,
    _turn: OwnedSemaphorePermit,
}

impl std::ops::Deref for RoleSession {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.session
    }
}

impl std::ops::DerefMut for RoleSession {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.session
    }
}

/// How long a session may look at rows of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleLimit {
    /// Somebody waits for it.
    Preview,
    /// Nobody does.
    None,
}

/// How long answers to what is asked again and again are good for, at least.
pub(crate) const FRESH: Duration = Duration::from_secs(1);
