//! Trying again while the database is away.
//!
//! Owns the pauses and the limits; what is tried must be safe to try twice, for the answer to a commit may be lost with its connection.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout};

use crate::database::{NoHost, Pool};

/// How long a command outlives the database.
pub const OUTAGE: Duration = Duration::from_secs(300);
/// How long a person's command waits for one lock: longer than a process that froze keeps its transactions, before the server ends them.
/// What it was for is tried again.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(14);
/// A try that takes longer has lost its network without a word: no statement of ours may take that long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A try waits for one lock, or for two: in turn with those who delete an import's rows, and for its row. The server gives up on both
/// before the answer counts as lost.
const _: () = assert!(2 * LOCK_PATIENCE.as_secs() < ANSWER_TIMEOUT.as_secs());
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Short absences, as of a restart, are not worth a word.
const SILENT_FOR: Duration = Duration::from_secs(2);

/// An error that may pass by itself.
pub trait MaybeTransient: std::error::Error + From<sqlx::Error> + 'static {
    /// Whether it does.
    fn is_transient(&self) -> bool;
}

/// Why something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The database cannot be reached, or is in some other trouble that passes.
    Trouble,
    /// Another session holds a lock.
    Lock,
    /// The server takes no changes until it is promoted, as after a failover.
    Standby,
}

impl Absence {
    /// For a person who waits.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Trouble => "the database cannot be reached: trying again",
            Self::Lock => {
                "another session holds a lock that this needs (a chunk that is being loaded, a process that froze, somebody's open transaction): trying again; docs/RELIABILITY.md says how to find it"
            }
            Self::Standby => "the server is a standby, which takes no changes until it is promoted: trying again",
        }
    }

    /// `None` when nothing passes here: the server is no standby, and refuses changes all the same.
    async fn find(pool: &Pool, error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = no_host(error) {
            return Some(if error.have_a_standby() {
                Self::Standby
            } else {
                Self::Trouble
            });
        }
        match crate::sqlstate(error).as_deref() {
            Some("55P03") => Some(Self::Lock),
            Some("25006") => match is_standby(pool).await {
                Ok(true) => Some(Self::Standby),
                Ok(false) => None,
                Err(_) => Some(Self::Trouble),
            },
            _ => Some(Self::Trouble),
        }
    }
}

async fn is_standby(pool: &Pool) -> Result<bool, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(&mut *conn)
        .await
}

/// That of several hosts none was right, if an error comes of it.
fn no_host<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a NoHost> {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an I/O error is made of is not its source.
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match within.map_or_else(|| error.downcast_ref(), |within| within.downcast_ref()) {
            Some(error) => return Some(error),
            None => next = error.source(),
        }
    }
    None
}

/// Runs `action` until it succeeds, fails for good, or the database was away for [`OUTAGE`]. `on_absence` is called when a person
/// should be told, once for each reason.
///
/// # Errors
/// What `action` returned last.
pub async fn through_outages<T, E: MaybeTransient>(
    pool: &Pool,
    on_absence: impl Fn(Absence),
    action: impl AsyncFn(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        let error = match try_once(pool, &action).await {
            Err(error) if error.is_transient() && begin.elapsed() < OUTAGE => error,
            outcome => return outcome,
        };
        let Some(absence) = Absence::find(pool, &error).await else {
            return Err(error);
        };
        tracing::debug!(error = crate::describe_error(&error), "trying again");
        if told != Some(absence) && begin.elapsed() > SILENT_FOR {
            told = Some(absence);
            on_absence(absence);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn try_once<T, E: MaybeTransient>(
    pool: &Pool,
    action: &impl AsyncFn(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let mut session = pool.acquire().await?;
    let acted = timeout(ANSWER_TIMEOUT, async {
        let done = action(&mut session).await?;
        session.commit().await?;
        Ok(done)
    });
    match acted.await {
        Ok(outcome) => outcome,
        Err(_) => {
            session.discard();
            let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer");
            Err(sqlx::Error::Io(silence).into())
        }
    }
}
