//! A session for as long as somebody has it.
//!
//! Straight to a server that is all there is to it. Through a pooler the server's session is ours for one transaction: so there whatever is
//! done with a session is one transaction, which begins with our settings, as `SET LOCAL` would have them. Transactions within it are
//! savepoints, so code need not know. It is committed when all is done, and rolled back when it is not.
//!
//! Statements that the driver prepared under a name are given up before the transaction ends, for the server's session is then
//! somebody else's. Where that cannot be seen to, the connection is ended within the transaction, and the pooler ends the server's.

use std::{
    fmt::Write as _,
    ops::{Deref, DerefMut},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _, pool::PoolConnection};
use tokio::time::timeout;

use super::{ACQUIRE_TIMEOUT, spare::Spare, way::Way};
use crate::hosts::Setting;

const THERE: &str = "a session has its connection until it is dropped";

/// The connection of a session.
pub(super) enum Link {
    Own(Box<PgConnection>),
    Pooled(PoolConnection<Postgres>),
}

impl Deref for Link {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Own(conn) => conn,
            Self::Pooled(conn) => conn,
        }
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(conn) => conn,
            Self::Pooled(conn) => conn,
        }
    }
}

impl From<PoolConnection<Postgres>> for Link {
    fn from(conn: PoolConnection<Postgres>) -> Self {
        Self::Pooled(conn)
    }
}

/// A session. What is done in it counts once it was [committed](Session::commit).
pub struct Session {
    /// There until it is dropped.
    link: Option<Link>,
    way: Way,
    /// Whether it is within the transaction that it is.
    begun: bool,
    /// Where it is kept when it is given back, if it is in order.
    spare: Option<Spare>,
    /// Whether the last thing that was done in it was to say that it counts.
    is_settled: bool,
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.link.as_ref().expect(THERE)
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.is_settled = false;
        self.link.as_mut().expect(THERE)
    }
}

impl Session {
    /// Begins with a connection of one's own.
    pub(super) async fn own(mut conn: PgConnection, way: Way, settings: &[Setting]) -> Result<Self, sqlx::Error> {
        if way == Way::Transactions {
            prepare(&mut conn).await?;
        }
        Self::with(Link::Own(Box::new(conn)), way).begin(settings).await
    }

    /// A connection straight to a server; kept as `spare`, where it may be, when it is given back.
    pub(super) fn whole(link: impl Into<Link>, spare: &Spare) -> Self {
        let mut session = Self::with(link.into(), Way::Whole);
        session.spare = Some(spare.clone());
        session
    }

    /// Makes one that was opened by itself, straight to a server, what those of a pool with these settings are; kept as `spare`, where there is none.
    /// Any other ends.
    pub(super) async fn adopt(mut self, settings: &[Setting], spare: &Spare) {
        if !self.is_whole() || spare.is_kept() {
            return self.close().await;
        }
        let set = sqlx::raw_sql(AssertSqlSafe(setting(settings, false)));
        if set.execute(&mut *self).await.is_err() {
            return self.discard();
        }
        self.is_settled = true;
        self.spare = Some(spare.clone());
    }

    /// Begins with a connection of a pool that was [prepared](prepare) for transactions.
    pub(super) async fn lent(conn: PoolConnection<Postgres>, settings: &[Setting]) -> Result<Self, sqlx::Error> {
        Self::with(Link::Pooled(conn), Way::Transactions).begin(settings).await
    }

    fn with(link: Link, way: Way) -> Self {
        Self {
            link: Some(link),
            way,
            begun: false,
            spare: None,
            is_settled: false,
        }
    }

    async fn begin(mut self, settings: &[Setting]) -> Result<Self, sqlx::Error> {
        if self.is_whole() {
            return Ok(self);
        }
        // A pooler has this wait until a server's session is free. Whoever gives up meanwhile has begun all the same, and would keep that
        // session from everybody.
        self.begun = true;
        let begin = sqlx::raw_sql(AssertSqlSafe(beginning(settings)));
        let error = match timeout(ACQUIRE_TIMEOUT, begin.execute(&mut *self)).await {
            Ok(Ok(_)) => return Ok(self),
            Ok(Err(error)) => error,
            Err(_) => {
                let silence = "the connection pooler had no session with the server to spare";
                sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, silence))
            }
        };
        self.discard();
        Err(error)
    }

    /// Whether it lasts longer than a transaction.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.way == Way::Whole
    }

    /// Has what was done count. It is to be done no more with it then.
    ///
    /// # Errors
    /// When it does not count, or the answer was lost.
    pub async fn commit(&mut self) -> Result<(), sqlx::Error> {
        if self.is_whole() {
            self.is_settled = true;
            return Ok(());
        }
        self.clear_cached_statements().await?;
        // A COMMIT rolls back without a word where an error was passed over; the question before it does not.
        sqlx::raw_sql("SELECT 1; COMMIT").execute(&mut **self).await?;
        self.begun = false;
        Ok(())
    }

    /// Ends it; without [`Session::commit`] nothing of a transaction counts.
    pub async fn close(mut self) {
        let in_order = !self.begun || leave(&mut self).await;
        match self.link.take() {
            Some(Link::Own(conn)) if in_order => drop(conn.close().await),
            Some(Link::Pooled(conn)) if in_order => drop(conn),
            link => end(link),
        }
    }

    /// Ends it without a word to a server that may not hear it.
    pub fn discard(mut self) {
        end(self.link.take());
    }
}

/// Ends a connection, and the transaction with it.
fn end(link: Option<Link>) {
    if let Some(Link::Pooled(conn)) = link {
        drop(conn.detach());
    }
}

/// The connection goes back to its pool once it is in order.
impl Drop for Session {
    fn drop(&mut self) {
        match (self.link.take(), tokio::runtime::Handle::try_current()) {
            (Some(Link::Pooled(mut conn)), Ok(runtime)) if self.begun => {
                runtime.spawn(async move {
                    if !leave(&mut conn).await {
                        end(Some(Link::Pooled(conn)));
                    }
                });
            }
            (Some(link), _) if !self.begun => {
                // A transaction that was dropped within it is rolled back by the next thing that is sent, which the pool does.
                let in_order = self.is_settled && !link.should_flush() && !link.is_in_transaction();
                match self.spare.take().filter(|_| in_order) {
                    Some(spare) => spare.keep(link),
                    None => drop(link),
                }
            }
            (link, _) => end(link),
        }
    }
}

/// What a transaction begins with: one message.
fn beginning(settings: &[Setting]) -> String {
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", setting(settings, true))
}

/// Sets all of them: for the transaction, or for the session.
fn setting(settings: &[Setting], is_local: bool) -> String {
    let mut sql = "SELECT 1".to_owned();
    for (name, value) in settings {
        // Writing to a string does not fail.
        let _ = write!(sql, ", pg_catalog.set_config('{name}', '{value}', {is_local})");
    }
    sql
}

/// Has the driver take every transaction for one within another, as they are here: this module begins and ends the outer one, which the driver
/// does not see.
pub(super) async fn prepare(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    std::mem::forget(conn.begin().await?);
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    Ok(())
}

/// Gives the server's session back as it was; `false` where only the connection's end does that.
async fn leave(conn: &mut PgConnection) -> bool {
    matches!(timeout(ACQUIRE_TIMEOUT, try_leave(conn)).await, Ok(Ok(true)))
}

async fn try_leave(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    conn.clear_cached_statements().await?;
    // What was prepared when its caller was gone is not known to the driver. By the simple protocol, which prepares nothing itself.
    let row = sqlx::raw_sql(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements AS p WHERE pg_catalog.starts_with(p.name, 'sqlx_'))",
    );
    let has_statements: bool = row.fetch_one(&mut *conn).await?.try_get(0)?;
    if !has_statements {
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    }
    Ok(!has_statements)
}
