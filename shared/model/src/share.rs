//! How much of the workers an import has, beside others.

use std::{fmt, num::NonZeroU16, str::FromStr};

/// How often an import's chunks have their turn while others wait too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// A quarter of a normal share.
    Low,
    #[default]
    Normal,
    /// Four normal shares.
    High,
}

/// The part of the workers that an import may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    pub priority: Priority,
    /// Chunks that are loaded at once, at most.
    pub max_parallel: Option<NonZeroU16>,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// How many turns a chunk takes.
    #[must_use]
    pub fn stride(self) -> i32 {
        match self {
            Self::Low => 16,
            Self::Normal => 4,
            Self::High => 1,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.ok_or("expected low, normal or high")
    }
}
