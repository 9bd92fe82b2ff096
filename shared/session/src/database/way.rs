//! The way to a server: straight to it, or through a pooler that lends one for a transaction.
//!
//! Which one it is, is found out with the first connection to a host, and known from then on.

use std::sync::{Arc, OnceLock};

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};

use super::{ACQUIRE_TIMEOUT, IDLE_IN_TRANSACTION};
use crate::hosts::Setting;

/// What a pooler answers that passes no settings on.
pub(super) const PROTOCOL_VIOLATION: &str = "08P01";
/// Statements that are kept for a transaction, each under a name.
const STATEMENTS: usize = 100;

/// What becomes of a session on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is one with the server, with its settings, from its beginning to its end.
    Whole,
    /// A pooler (such as PgBouncer) gives it a server's session for a transaction at a time, and none of the settings that it began with.
    Transactions,
}

/// A host, and the way to it.
#[derive(Clone)]
pub(crate) struct Host {
    options: PgConnectOptions,
    way: Arc<OnceLock<Way>>,
}

impl From<PgConnectOptions> for Host {
    fn from(options: PgConnectOptions) -> Self {
        Self {
            options,
            way: Arc::default(),
        }
    }
}

impl Host {
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub fn map(self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self {
            options: change(self.options),
            ..self
        }
    }

    /// The way to it, where that is known.
    pub fn way(&self) -> Option<Way> {
        self.way.get().copied()
    }

    /// How to connect on this way.
    pub fn on(&self, way: Way, settings: &[Setting]) -> PgConnectOptions {
        let options = self.options.clone();
        match way {
            Way::Whole => options.options(settings.iter().copied()),
            // What a pooler has no use for, it may refuse; and what is kept under a name must be known, to be given up in time.
            Way::Transactions => options.extra_float_digits(None).statement_cache_capacity(STATEMENTS),
        }
    }

    /// Opens a connection, without a pool, which would hide why it cannot.
    pub async fn open(&self, settings: &[Setting]) -> Result<(PgConnection, Way), sqlx::Error> {
        let silence = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"));
        tokio::time::timeout(ACQUIRE_TIMEOUT, self.open_on_its_way(settings))
            .await
            .unwrap_or_else(|_| Err(silence()))
    }

    async fn open_on_its_way(&self, settings: &[Setting]) -> Result<(PgConnection, Way), sqlx::Error> {
        if let Some(way) = self.way() {
            let conn = PgConnection::connect_with(&self.on(way, settings)).await?;
            return Ok((conn, way));
        }
        let whole = self.on(Way::Whole, settings).options([IDLE_IN_TRANSACTION]);
        match PgConnection::connect_with(&whole).await {
            Ok(mut conn) => {
                if has_its_settings(&mut conn).await? {
                    let way = *self.way.get_or_init(|| Way::Whole);
                    return Ok((conn, way));
                }
                drop(conn.close().await);
            }
            Err(error) if crate::sqlstate(&error).as_deref() == Some(PROTOCOL_VIOLATION) => {}
            Err(error) => return Err(error),
        }
        let conn = PgConnection::connect_with(&self.on(Way::Transactions, settings)).await?;
        let way = *self.way.get_or_init(|| Way::Transactions);
        Ok((conn, way))
    }
}

/// Whether the settings that a session began with are those of the server's.
async fn has_its_settings(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let (name, value) = IDLE_IN_TRANSACTION;
    // By the simple protocol: statements that another prepared would be in the way behind a pooler.
    let sql = format!("SELECT pg_catalog.current_setting('{name}')");
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(row.try_get::<String, _>(0)? == value)
}
