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

/// Where the jobs of an import wait in its queue: its loads, where it is one by reference, in a lane that only workers ask which may read what
/// imports refer to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    pub queue: QueueName,
    pub by_reference: bool,
}

impl Lane {
    #[must_use]
    pub fn new(queue: QueueName, by_reference: bool) -> Self {
        Self { queue, by_reference }
    }

    /// The lane that every worker of a queue serves.
    #[must_use]
    pub fn of_all(queue: QueueName) -> Self {
        Self::new(queue, false)
    }

    /// How to start a worker that serves it.
    #[must_use]
    pub fn worker_command(&self) -> String {
        let mut command = "worker".to_owned();
        if !self.queue.is_default() {
            command.push_str(&format!(" --queue {}", self.queue));
        }
        if self.by_reference {
            command.push_str(" --allow-reference PREFIX");
        }
        command
    }
}

/// As it follows "the queue".
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.queue)?;
        if self.by_reference {
            f.write_str(" by reference")?;
        }
        Ok(())
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
        let lane = |queue: &str, by_reference| Lane::new(queue.parse().unwrap(), by_reference);
        for (lane, command, text) in [
            (lane("default", false), "worker", "'default'"),
            (lane("nightly", false), "worker --queue nightly", "'nightly'"),
            (
                lane("nightly", true),
                "worker --queue nightly --allow-reference PREFIX",
                "'nightly' by reference",
            ),
        ] {
            assert_eq!(
                (lane.worker_command().as_str(), lane.to_string().as_str()),
                (command, text)
            );
        }
    }
}
