//! Pools of sessions.

use std::{pin::pin, sync::Arc, time::Duration};

use sqlx::{PgConnection, PgPool, Row as _, postgres::PgPoolOptions};

use super::{
    ACQUIRE_TIMEOUT,
    lease::{Session, prepare},
    spare::Spare,
    way::{Host, Way},
};
use crate::hosts::Hosts;

/// How often somebody who waits for a session looks which host is right.
const CHOICE_INTERVAL: Duration = Duration::from_secs(1);

/// Sessions whose connections are used again, each with the host that was right when it was opened.
#[derive(Clone)]
pub struct Pool {
    /// Straight to a server.
    whole: PgPool,
    /// One of these.
    spare: Spare,
    /// Through a pooler.
    lent: PgPool,
    hosts: Arc<Hosts>,
}

/// A pool of at most `size` sessions, and one that was [adopted](Pool::adopt); connects when first used.
#[must_use]
pub fn pool(hosts: Hosts, size: u32) -> Pool {
    let options = || {
        PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Every use handles a lost connection anyway, so a ping before each would only cost a round trip.
            .test_before_acquire(false)
    };
    let at = |way| hosts.first_host().on(way, hosts.settings());
    Pool {
        whole: options()
            // Nobody waits for this one, unless every session is in use.
            .after_release(|conn, _| Box::pin(is_outside_transactions(conn)))
            .connect_lazy_with(at(Way::Whole)),
        spare: Spare::default(),
        lent: options()
            .after_connect(|conn, _| Box::pin(prepare(conn)))
            .connect_lazy_with(at(Way::Transactions)),
        hosts: Arc::new(hosts),
    }
}

impl Pool {
    /// A session: one that is idle, else a new one with the host that is right now.
    ///
    /// # Errors
    /// When the database cannot be reached; [`NoHost`](super::NoHost) within, where there are several hosts and none is right.
    pub async fn acquire(&self) -> Result<Session, sqlx::Error> {
        let settings = self.hosts.settings();
        let _waiting = match self.spare.take() {
            Ok(kept) => return Ok(Session::whole(kept, &self.spare)),
            Err(waiting) => waiting,
        };
        if let Some(idle) = self.whole.try_acquire() {
            return Ok(Session::whole(idle, &self.spare));
        }
        while let Some(idle) = self.lent.try_acquire() {
            // The pooler may have ended it.
            if let Ok(session) = Session::lent(idle, settings).await {
                return Ok(session);
            }
        }
        loop {
            let way = self.choose().await?;
            let mut acquired = pin!(self.on(way).acquire());
            loop {
                tokio::select! {
                    session = &mut acquired => return match way {
                        Way::Whole => Ok(Session::whole(session?, &self.spare)),
                        Way::Transactions => Session::lent(session?, settings).await,
                    },
                    () = tokio::time::sleep(CHOICE_INTERVAL) => {}
                }
                // Whoever opens a session tries again and again while it is refused, and takes what is chosen meanwhile.
                if self.choose().await? != way {
                    break;
                }
            }
        }
    }

    /// Keeps a session with the same hosts that was opened by itself, for who asks next, with the settings that this pool's have; if one is kept
    /// already, it is that one.
    pub async fn adopt(&self, session: Session) {
        session.adopt(self.hosts.settings(), &self.spare).await;
    }

    /// Ends a session that was [adopted](Pool::adopt) and that nobody asked for since.
    pub async fn disown(&self) {
        self.spare.end().await;
    }

    /// Does something that needs one session, and has it count.
    ///
    /// # Errors
    /// Those of `action`, and of the database.
    pub async fn within<T, E: From<sqlx::Error>>(
        &self,
        action: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut session = self.acquire().await?;
        let done = action(&mut session).await?;
        session.commit().await?;
        Ok(done)
    }

    fn on(&self, way: Way) -> &PgPool {
        match way {
            Way::Whole => &self.whole,
            Way::Transactions => &self.lent,
        }
    }

    /// Has new sessions be with the host that is right now, and says which way that is.
    async fn choose(&self) -> Result<Way, sqlx::Error> {
        let (host, way) = self.right_host().await?;
        self.on(way).set_connect_options(host.on(way, self.hosts.settings()));
        Ok(way)
    }

    async fn right_host(&self) -> Result<(Host, Way), sqlx::Error> {
        if !self.hosts.need_a_choice()
            && let Some(way) = self.hosts.first_host().way()
        {
            return Ok((self.hosts.first_host().clone(), way));
        }
        let opened = self.hosts.open().await?;
        Ok((opened.host.clone(), opened.close().await))
    }

    /// The pool as libraries take it: one that stays with the host that it has, so that host must be chosen, and the way to it be whole.
    #[must_use]
    pub fn of_one_host(self) -> PgPool {
        self.whole
    }

    /// Closes all sessions, and waits for those of its own that are in use.
    pub async fn close(&self) {
        self.spare.close().await;
        tokio::join!(self.whole.close(), self.lent.close());
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
