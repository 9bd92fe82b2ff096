//! Pools of sessions.

use std::{pin::pin, sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Row as _, pool::PoolConnection, postgres::PgPoolOptions};

use super::ACQUIRE_TIMEOUT;
use crate::hosts::Hosts;

/// How often somebody who waits for a session looks which host is right.
const CHOICE_INTERVAL: Duration = Duration::from_secs(1);

/// Sessions that are used again, each with the host that was right when it was opened.
#[derive(Debug, Clone)]
pub struct Pool {
    sessions: PgPool,
    hosts: Arc<Hosts>,
}

/// A pool of at most `size` sessions; connects when first used.
#[must_use]
pub fn pool(hosts: Hosts, size: u32) -> Pool {
    let sessions = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Every use handles a lost connection anyway, so a ping before each would only cost a round trip.
        .test_before_acquire(false)
        // Nobody waits for this one, unless every session is in use.
        .after_release(|conn, _| Box::pin(is_outside_transactions(conn)))
        .connect_lazy_with(hosts.first().clone());
    Pool {
        sessions,
        hosts: Arc::new(hosts),
    }
}

impl Pool {
    /// A session: one that is idle, else a new one with the host that is right now.
    ///
    /// # Errors
    /// When the database cannot be reached; [`NoHost`](super::NoHost) within, where there are several hosts and none is right.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if !self.hosts.need_a_choice() {
            return self.sessions.acquire().await;
        }
        if let Some(session) = self.sessions.try_acquire() {
            return Ok(session);
        }
        // Whoever is opening a session tries again and again while it is refused, and takes what is chosen meanwhile.
        let mut acquired = pin!(self.sessions.acquire());
        loop {
            let (options, asked) = self.hosts.open_right().await?;
            drop(asked.close().await);
            self.sessions.set_connect_options(options);
            tokio::select! {
                session = &mut acquired => return session,
                () = tokio::time::sleep(CHOICE_INTERVAL) => {}
            }
        }
    }

    /// The pool as libraries take it: one that stays with the host that it has, so that host must be chosen.
    #[must_use]
    pub fn of_one_host(self) -> PgPool {
        self.sessions
    }

    /// Closes all sessions, and waits for those that are in use.
    pub async fn close(&self) {
        self.sessions.close().await;
    }
}

/// Whether a session is as it was when it was new. One whose `BEGIN` was given up while the server was at it is within a transaction of
/// which sqlx 0.9.0 knows nothing (its issue 4393): whoever had it next would lose what they wrote.
async fn is_outside_transactions(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // By the simple protocol, for in the extended one the two differ in any case: a statement then is several messages.
    sqlx::raw_sql("SELECT pg_catalog.now() = pg_catalog.statement_timestamp()")
        .fetch_one(conn)
        .await?
        .try_get(0)
}
