//! Trying again while the database is away.
//!
//! Owns the pauses and the limits; what is tried must be safe to try twice, for the answer to a commit may be lost with its connection.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, timeout};

/// How long a command outlives the database.
pub const OUTAGE: Duration = Duration::from_secs(300);
/// A try that takes longer has lost its network without a word: no statement of ours may take that long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Short absences, as of a restart, are not worth a word.
const SILENT_FOR: Duration = Duration::from_secs(2);

/// An error that may pass by itself.
pub trait MaybeTransient: std::error::Error + From<sqlx::Error> + 'static {
    /// Whether it does.
    fn is_transient(&self) -> bool;
}

/// Runs `action` until it succeeds, fails for good, or the database was away for [`OUTAGE`]. `on_absence` is called once, when a person
/// should be told.
///
/// # Errors
/// What `action` returned last.
pub async fn through_outages<T, E: MaybeTransient>(
    pool: &PgPool,
    on_absence: impl Fn(),
    action: impl AsyncFn(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let error = match try_once(pool, &action).await {
            Err(error) if error.is_transient() && begin.elapsed() < OUTAGE => error,
            outcome => return outcome,
        };
        tracing::debug!(error = crate::describe_error(&error), "trying again");
        if !told && begin.elapsed() > SILENT_FOR {
            told = true;
            on_absence();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn try_once<T, E: MaybeTransient>(
    pool: &PgPool,
    action: &impl AsyncFn(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let mut conn = pool.acquire().await?;
    match timeout(ANSWER_TIMEOUT, action(&mut conn)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            drop(conn.detach());
            let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer");
            Err(sqlx::Error::Io(silence).into())
        }
    }
}
