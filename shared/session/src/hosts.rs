//! Where the database is: one host, or several of which one is right at a time.
//!
//! Owns what a program asks of a host; how one is chosen is in [`crate::database`].

use std::fmt;

use sqlx::postgres::PgConnectOptions;

use crate::database::place;

/// What a host must be to be chosen: libpq's `target_session_attrs`, but for what makes no sense here. Every program changes the queue, which
/// a standby does not let it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// Of one host, whatever it is; of several, the primary.
    #[default]
    Any,
    Primary,
    /// A primary whose sessions may write.
    ReadWrite,
}

impl Wanted {
    /// What may be said for `target_session_attrs`.
    pub(crate) const VALUES: &str = "any, primary or read-write: a standby, or a session that may not write, is of no use to what changes the queue";

    /// `None` for what libpq knows and is of no use here, and for what nobody knows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "primary" => Some(Self::Primary),
            "read-write" => Some(Self::ReadWrite),
            _ => None,
        }
    }
}

/// How to reach a database: by one host, or by several, of which the right one is chosen whenever a session is opened.
#[derive(Clone)]
pub struct Hosts {
    first: PgConnectOptions,
    others: Vec<PgConnectOptions>,
    wanted: Wanted,
}

impl Hosts {
    pub(crate) fn new(first: PgConnectOptions, others: Vec<PgConnectOptions>) -> Self {
        Self {
            first,
            others,
            wanted: Wanted::default(),
        }
    }

    #[must_use]
    pub(crate) fn wanting(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }

    /// Changes how each host is connected to.
    #[must_use]
    pub fn map(self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self {
            first: change(self.first),
            others: self.others.into_iter().map(&change).collect(),
            wanted: self.wanted,
        }
    }

    /// The first one, which stands for all of them in what they have in common: role, database and TLS.
    #[must_use]
    pub fn first(&self) -> &PgConnectOptions {
        &self.first
    }

    /// All of them, in the order in which they were named.
    pub fn each(&self) -> impl ExactSizeIterator<Item = &PgConnectOptions> {
        let count = 1 + self.others.len();
        (0..count).map(|index| index.checked_sub(1).map_or(&self.first, |index| &self.others[index]))
    }

    /// Whether a host has to be asked before it is used: there are others, or something is asked of it.
    #[must_use]
    pub fn need_a_choice(&self) -> bool {
        !self.others.is_empty() || self.wanted != Wanted::Any
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted
    }
}

impl From<PgConnectOptions> for Hosts {
    fn from(options: PgConnectOptions) -> Self {
        Self::new(options, Vec::new())
    }
}

/// Options hold the password.
impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&place(self))
    }
}
