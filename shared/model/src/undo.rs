//! How a cancel undoes an import.

use serde::{Deserialize, Serialize};

/// The version of the undo's options that this program writes. It leaves later ones to newer programs.
pub const UNDO_VERSION: i32 = 1;

/// How a cancel undoes an import. Stored on the import as JSON, in the form of [`Stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct UndoSpec {
    /// Delete also rows with the import's ids that are not as it left them: they were edited since, or are somebody else's.
    pub include_edited: bool,
    /// Delete also what references the rows by `ON DELETE CASCADE` or `SET NULL`.
    pub cascade: bool,
}

/// What the first version wrote, so that it reads what is written now. What deletes more must be said twice.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    keep_edited: bool,
    #[serde(default)]
    cascade: bool,
    #[serde(default)]
    trust_ids: bool,
    /// Of the first version alone.
    #[serde(default, skip_serializing)]
    #[allow(dead_code)]
    ids_reused: bool,
}

impl From<Stored> for UndoSpec {
    fn from(stored: Stored) -> Self {
        Self {
            include_edited: stored.trust_ids && !stored.keep_edited,
            cascade: stored.cascade,
        }
    }
}

impl From<UndoSpec> for Stored {
    fn from(undo: UndoSpec) -> Self {
        Self {
            keep_edited: !undo.include_edited,
            cascade: undo.cascade,
            trust_ids: undo.include_edited,
            ids_reused: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn the_first_version_reads_what_is_written_and_its_own_is_read() {
        let all = UndoSpec {
            include_edited: true,
            cascade: true,
        };
        for undo in [UndoSpec::default(), all] {
            assert_eq!(from_value::<UndoSpec>(to_value(undo).unwrap()).unwrap(), undo);
        }
        assert_eq!(
            to_value(UndoSpec::default()).unwrap(),
            json!({"keep_edited": true, "cascade": false, "trust_ids": false})
        );
        let before = json!({"keep_edited": false, "cascade": true, "trust_ids": false, "ids_reused": true});
        let undo: UndoSpec = from_value(before).unwrap();
        assert!(undo.cascade && !undo.include_edited);
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(from_value::<UndoSpec>(json!({"only_if": "safe"})).is_err());
    }
}
