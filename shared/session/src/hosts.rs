//! Where the database is: one host, or several of which one is right at a time; and how sessions with it are set.
//!
//! Owns what a program asks of a host; how one is chosen, and how it is reached, is in [`crate::database`].

use std::fmt;

use sqlx::postgres::PgConnectOptions;

use crate::database::{Host, place};

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

/// A setting of a session and its value; neither holds a quote.
pub type Setting = (&'static str, &'static str);

/// How to reach a database: by one host, or by several, of which the right one is chosen whenever a session is opened.
#[derive(Clone)]
pub struct Hosts {
    first: Host,
    others: Vec<Host>,
    wanted: Wanted,
    settings: Vec<Setting>,
}

impl Hosts {
    pub(crate) fn new(first: PgConnectOptions, others: Vec<PgConnectOptions>) -> Self {
        Self {
            first: first.into(),
            others: others.into_iter().map(Host::from).collect(),
            wanted: Wanted::default(),
            settings: Vec::new(),
        }
    }

    /// One of these hosts alone.
    pub(crate) fn only(&self, host: Host) -> Self {
        Self {
            first: host,
            others: Vec::new(),
            wanted: Wanted::default(),
            settings: self.settings.clone(),
        }
    }

    #[must_use]
    pub(crate) fn wanting(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }

    /// Changes how each host is connected to.
    #[must_use]
    pub(crate) fn map(self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self {
            first: self.first.map(&change),
            others: self.others.into_iter().map(|host| host.map(&change)).collect(),
            ..self
        }
    }

    /// Adds settings of each session.
    #[must_use]
    pub fn with(mut self, settings: impl IntoIterator<Item = Setting>) -> Self {
        self.settings.extend(settings);
        self
    }

    /// The first one, which stands for all of them in what they have in common: role, database and TLS.
    #[must_use]
    pub fn first(&self) -> &PgConnectOptions {
        self.first.options()
    }

    /// All of them, in the order in which they were named.
    pub fn each(&self) -> impl ExactSizeIterator<Item = &PgConnectOptions> {
        self.hosts().map(Host::options)
    }

    pub(crate) fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> {
        let count = 1 + self.others.len();
        (0..count).map(|index| index.checked_sub(1).map_or(&self.first, |index| &self.others[index]))
    }

    pub(crate) fn first_host(&self) -> &Host {
        &self.first
    }

    /// Whether a host has to be asked before it is used: there are others, or something is asked of it.
    #[must_use]
    pub fn need_a_choice(&self) -> bool {
        !self.others.is_empty() || self.wanted != Wanted::Any
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted
    }

    pub(crate) fn settings(&self) -> &[Setting] {
        &self.settings
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
