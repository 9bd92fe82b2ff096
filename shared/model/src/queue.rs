//! The queues that imports wait in.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// Names a queue: an import waits in one, and workers serve one or several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct QueueName(String);

/// Why a text names no queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of a queue: it has 1 to {MOST_BYTES} letters, digits, '-', '_' and '.', all of them ASCII", MOST_BYTES = QueueName::MOST_BYTES)]
pub struct QueueNameError(String);

impl QueueName {
    /// The queue of who names none.
    const DEFAULT: &str = "default";
    const MOST_BYTES: usize = 63;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }

    /// How to start a worker that serves it.
    #[must_use]
    pub fn worker_command(&self) -> String {
        if self.is_default() {
            "worker".to_owned()
        } else {
            format!("worker --queue {self}")
        }
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for QueueName {
    type Err = QueueNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=Self::MOST_BYTES).contains(&text.len()) && text.bytes().all(is_known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(QueueNameError(text.escape_debug().to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["default", "a", "Nightly_2.eu-west", &"q".repeat(63)] {
            assert_eq!(good.parse::<QueueName>().unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "a,b", "a/b", "größe", "a\n", "'", &"q".repeat(64)] {
            let error = bad.parse::<QueueName>().unwrap_err().to_string();
            assert!(
                error.contains("is no name of a queue") && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn who_serves_the_default_queue_names_none() {
        assert_eq!(QueueName::default().worker_command(), "worker");
        let other: QueueName = "nightly".parse().unwrap();
        assert_eq!(
            (other.is_default(), other.worker_command().as_str()),
            (false, "worker --queue nightly")
        );
    }
}
