//! The host that is right at this moment: the primary, of several hosts that are named.
//!
//! All are asked at once, whenever a session is opened, and nobody remembers an answer: so whoever asks goes where the others go, and
//! follows a failover with its next session.

use std::{fmt, time::Duration};

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    host,
    lease::Session,
    way::{Host, Way},
};
use crate::{
    describe_error,
    hosts::{Hosts, Setting, Wanted},
};

/// How long a host has for its answer while none is right.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it has once another one is right: one that is dead costs no more.
const GRACE: Duration = Duration::from_millis(500);

/// Why a host was not taken.
#[derive(Debug)]
enum Unfit {
    Unreachable(sqlx::Error),
    Silent,
    Standby,
    ReadOnly,
}

impl Unfit {
    /// Whether it may be right later on, although nobody mends a setting.
    fn may_pass(&self) -> bool {
        match self {
            // One that starts up, or stands still.
            Self::Unreachable(error) => crate::is_transient(error),
            Self::Silent | Self::Standby => true,
            Self::ReadOnly => false,
        }
    }
}

impl From<sqlx::Error> for Unfit {
    fn from(error: sqlx::Error) -> Self {
        Self::Unreachable(error)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => f.write_str(&describe_error(error)),
            Self::Silent => f.write_str("no answer"),
            Self::Standby => f.write_str("is a standby"),
            Self::ReadOnly => f.write_str("its sessions may not write (default_transaction_read_only)"),
        }
    }
}

/// What one of several hosts is.
pub(super) enum State {
    Primary,
    Standby,
    Unusable(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "the primary",
            Self::Standby => "a standby",
            Self::Unusable(why) => why,
        })
    }
}

/// No host is right: each of them, and why.
#[derive(Debug, thiserror::Error)]
#[error(
    "none of the hosts of the database '{database}' is a primary that can be used: {}",
    .tried.iter().map(|(host, unfit)| format!("{host}: {unfit}")).collect::<Vec<_>>().join("; ")
)]
pub struct NoHost {
    database: String,
    tried: Vec<(String, Unfit)>,
}

impl NoHost {
    /// Whether one may be right later on, although nobody mends a setting.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.tried.iter().any(|(_, unfit)| unfit.may_pass())
    }

    /// Whether a standby is there, and only its promotion is missing.
    #[must_use]
    pub fn have_a_standby(&self) -> bool {
        self.tried.iter().any(|(_, unfit)| matches!(unfit, Unfit::Standby))
    }
}

impl From<NoHost> for sqlx::Error {
    fn from(error: NoHost) -> Self {
        if error.may_pass() {
            Self::Io(std::io::Error::other(error))
        } else {
            Self::Configuration(error.into())
        }
    }
}

/// A connection with a host that is right.
pub(super) struct Opened {
    pub host: Host,
    pub conn: PgConnection,
    pub way: Way,
}

impl Opened {
    /// Ends it: the way to the host is what was to be known.
    pub async fn close(self) -> Way {
        drop(self.conn.close().await);
        self.way
    }
}

/// A host that is right.
struct Right {
    opened: Opened,
    /// The server's timeline, in digits of the same number: that of a promoted standby is later than that of the primary before it, should this one
    /// be back and take itself for one still.
    timeline: String,
}

impl Hosts {
    /// Opens a session with the host that is right now.
    ///
    /// # Errors
    /// When it cannot be reached; [`NoHost`] within, where there are several and none is right.
    pub async fn connect(&self) -> Result<Session, sqlx::Error> {
        let Opened { conn, way, .. } = self.open().await?;
        Session::own(conn, way, self.settings()).await
    }

    /// Opens a connection with the host that is right now.
    pub(super) async fn open(&self) -> Result<Opened, sqlx::Error> {
        if self.need_a_choice() {
            return Ok(self.open_right().await?);
        }
        let host = self.first_host().clone();
        let (conn, way) = host.open(self.settings()).await?;
        Ok(Opened { host, conn, way })
    }

    /// What each host is.
    pub(super) async fn examine_each(&self) -> Vec<(String, State)> {
        let mut states = Vec::new();
        for host in self.hosts() {
            let asked = ask(host.clone(), self.settings(), self.wanted());
            let state = match timeout(ANSWER_TIMEOUT, asked).await {
                Ok(Ok(_)) => State::Primary,
                Ok(Err(Unfit::Standby)) => State::Standby,
                Ok(Err(unfit)) => State::Unusable(unfit.to_string()),
                Err(_) => State::Unusable(Unfit::Silent.to_string()),
            };
            states.push((address(host.options()), state));
        }
        states
    }

    /// Which host is right, and a connection with it.
    pub(super) async fn open_right(&self) -> Result<Opened, NoHost> {
        let mut asked = JoinSet::new();
        for (index, host) in self.hosts().enumerate() {
            let (host, settings, wanted) = (host.clone(), self.settings().to_vec(), self.wanted());
            asked.spawn(async move { (index, ask(host, &settings, wanted).await) });
        }
        let mut unfit: Vec<Unfit> = self.each().map(|_| Unfit::Silent).collect();
        let mut best: Option<(usize, Right)> = None;
        let mut deadline = Instant::now() + ANSWER_TIMEOUT;
        while let Ok(Some(answer)) = timeout_at(deadline, asked.join_next()).await {
            match answer {
                Ok((index, Ok(right))) => {
                    if best.is_none() {
                        deadline = deadline.min(Instant::now() + GRACE);
                    }
                    let is_better =
                        |(other, present): &(usize, Right)| (&right.timeline, *other) > (&present.timeline, index);
                    if best.as_ref().is_none_or(is_better) {
                        best = Some((index, right));
                    }
                }
                Ok((index, Err(why))) => unfit[index] = why,
                // It panicked, and has said so.
                Err(_) => {}
            }
        }
        match best {
            Some((_, right)) => Ok(right.opened),
            None => Err(NoHost {
                database: super::database_name(self.first()).to_owned(),
                tried: std::iter::zip(self.each().map(address), unfit).collect(),
            }),
        }
    }
}

/// A host and its port, for people.
pub(super) fn address(options: &PgConnectOptions) -> String {
    format!("{}:{}", host(options), options.get_port())
}

/// Asks one host what it is.
async fn ask(host: Host, settings: &[Setting], wanted: Wanted) -> Result<Right, Unfit> {
    let (mut conn, way) = host.open(settings).await?;
    // By the simple protocol, which needs one round trip, and no statement that outlives it.
    let row =
        sqlx::raw_sql("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')")
            .fetch_one(&mut conn)
            .await?;
    let (standby, read_only): (bool, String) = (row.try_get(0)?, row.try_get(1)?);
    if standby {
        return Err(Unfit::Standby);
    }
    if wanted == Wanted::ReadWrite && read_only == "on" {
        return Err(Unfit::ReadOnly);
    }
    // What has another kind of log is no worse for it.
    let timeline = sqlx::raw_sql(
        "SELECT pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8)",
    );
    let timeline = timeline.fetch_one(&mut conn).await.and_then(|row| row.try_get(0));
    Ok(Right {
        opened: Opened { host, conn, way },
        timeline: timeline.unwrap_or_default(),
    })
}
