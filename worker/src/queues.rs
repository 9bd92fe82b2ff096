//! The queues that a worker serves, as they are named to it.

use std::str::FromStr;

use model::{QueueName, QueueNameError};

/// The variable that names the queues of a worker.
pub const QUEUES_VARIABLE: &str = "PG_IMPORT_QUEUES";

/// Names of queues with commas between them; none where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueNames(Vec<QueueName>);

impl FromStr for QueueNames {
    type Err = QueueNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A variable that is set to nothing says nothing.
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|name| name.trim().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The queues that are named, each once and in this order; where none is, the default one.
#[must_use]
pub fn named(names: Vec<QueueNames>) -> Vec<QueueName> {
    let mut queues = Vec::new();
    for queue in names.into_iter().flat_map(|names| names.0) {
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    }
    if queues.is_empty() {
        queues.push(QueueName::default());
    }
    queues
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        let names = texts.iter().map(|text| text.parse().unwrap()).collect();
        named(names).into_iter().map(|queue| queue.to_string()).collect()
    }

    #[test]
    fn queues_are_named_with_commas_or_one_by_one_and_each_counts_once() {
        assert_eq!(of(&["b,a", "a, c"]), ["b", "a", "c"]);
        assert_eq!(of(&[]), ["default"]);
        assert_eq!(of(&["", " "]), ["default"]);
        assert!("a,,b".parse::<QueueNames>().is_err());
    }
}
