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

use super::way::Way;
use crate::hosts::Setting;

enum Link {
    Own(Box<PgConnection>),
    Pooled(PoolConnection<Postgres>),
}

/// A session. What is done in it counts once it was [committed](Session::commit).
pub struct Session {
    link: Link,
    way: Way,
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.link {
            Link::Own(conn) => conn,
            Link::Pooled(conn) => conn,
        }
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.link {
            Link::Own(conn) => conn,
            Link::Pooled(conn) => conn,
        }
    }
}

impl Session {
    /// Begins with a connection of one's own.
    pub(super) async fn own(mut conn: PgConnection, way: Way, settings: &[Setting]) -> Result<Self, sqlx::Error> {
        if way == Way::Transactions {
            prepare(&mut conn).await?;
        }
        let link = Link::Own(Box::new(conn));
        Self { link, way }.begun(settings).await
    }

    /// Begins with a connection of a pool; one for transactions was [prepared](prepare).
    pub(super) async fn pooled(
        conn: PoolConnection<Postgres>,
        way: Way,
        settings: &[Setting],
    ) -> Result<Self, sqlx::Error> {
        let link = Link::Pooled(conn);
        Self { link, way }.begun(settings).await
    }

    async fn begun(mut self, settings: &[Setting]) -> Result<Self, sqlx::Error> {
        if self.way == Way::Transactions {
            sqlx::raw_sql(AssertSqlSafe(begin(settings)))
                .execute(&mut *self)
                .await?;
        }
        Ok(self)
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
            return Ok(());
        }
        self.clear_cached_statements().await?;
        // A COMMIT rolls back without a word where an error was passed over; the question before it does not.
        sqlx::raw_sql("SELECT 1; COMMIT").execute(&mut **self).await?;
        Ok(())
    }

    /// Ends it; without [`Session::commit`] nothing of a transaction counts.
    pub async fn close(mut self) {
        let in_order = self.is_whole() || leave(&mut self).await;
        match self.link {
            Link::Own(conn) if in_order => drop(conn.close().await),
            // Its end is all that is left to say.
            Link::Own(_) => {}
            Link::Pooled(conn) => drop(conn),
        }
    }

    /// Ends it without a word to a server that may not hear it.
    pub fn discard(self) {
        if let Link::Pooled(conn) = self.link {
            drop(conn.detach());
        }
    }
}

/// What a transaction begins with: one message.
fn begin(settings: &[Setting]) -> String {
    let mut sql = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT 1".to_owned();
    for (name, value) in settings {
        let _ = write!(sql, ", pg_catalog.set_config('{name}', '{value}', true)");
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
pub(super) async fn leave(conn: &mut PgConnection) -> bool {
    match try_leave(conn).await {
        Ok(in_order) => in_order,
        Err(error) => {
            tracing::debug!(
                error = crate::describe_error(&error),
                "a session is not given back but ended"
            );
            false
        }
    }
}

async fn try_leave(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    conn.clear_cached_statements().await?;
    // What was prepared when its caller was gone is not known to the driver. By the simple protocol, which prepares nothing itself.
    let row = sqlx::raw_sql(
        "SELECT pg_catalog.now() OPERATOR(pg_catalog.=) pg_catalog.statement_timestamp(),
             EXISTS (SELECT FROM pg_catalog.pg_prepared_statements AS p WHERE pg_catalog.starts_with(p.name, 'sqlx_'))",
    )
    .fetch_one(&mut *conn)
    .await?;
    let (is_outside, has_statements): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if is_outside {
        return Ok(true);
    }
    if !has_statements {
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    }
    Ok(!has_statements)
}
