//! Which keys of an object are wanted, in which order, and what becomes of others. Made once for an import, and used for each of its records.
//!
//! Must not know columns: a key is a field, and what a field fills is the mapping's.

use std::collections::HashMap;

use model::UnknownKeys;

use super::{array::Elements, fault::ShownKey};

/// A key that is wanted twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {0} is wanted twice")]
pub struct RepeatedName(ShownKey);

/// The keys that objects should have.
#[derive(Debug, Clone)]
pub struct ObjectShape {
    keys: Vec<Key>,
    by_name: HashMap<String, usize>,
    unknown_keys: UnknownKeys,
}

#[derive(Debug, Clone)]
struct Key {
    name: String,
    takes: Takes,
}

/// What the column of a key can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Takes {
    /// No arrays and no objects.
    Scalars,
    /// Arrays, as Postgres writes them; no objects.
    Array(Elements),
    /// Them too, as the text of their JSON.
    #[default]
    Text,
    /// Any JSON as it stands: a string keeps its quotes and escapes.
    Json,
    /// The same, but for what `jsonb` has no room for.
    Jsonb,
}

impl ObjectShape {
    /// Of objects with these keys.
    ///
    /// # Errors
    /// [`RepeatedName`], when two of them are the same: which field would a value be?
    pub fn new(keys: &[String], unknown_keys: UnknownKeys) -> Result<Self, RepeatedName> {
        let mut by_name = HashMap::with_capacity(keys.len());
        for (index, name) in keys.iter().enumerate() {
            if by_name.insert(name.clone(), index).is_some() {
                return Err(RepeatedName(ShownKey::new(name)));
            }
        }
        let key = |name: &String| Key {
            name: name.clone(),
            takes: Takes::default(),
        };
        Ok(Self {
            keys: keys.iter().map(key).collect(),
            by_name,
            unknown_keys,
        })
    }

    /// What the columns hold, in the order of the keys.
    #[must_use]
    pub fn taking(mut self, columns: impl IntoIterator<Item = Takes>) -> Self {
        for (key, takes) in self.keys.iter_mut().zip(columns) {
            key.takes = takes;
        }
        self
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Which key has this name; `likely` is looked at first.
    #[inline]
    pub(super) fn find(&self, name: &str, likely: usize) -> Option<usize> {
        match self.keys.get(likely) {
            Some(key) if key.name == name => Some(likely),
            _ => self.by_name.get(name).copied(),
        }
    }

    pub(super) fn takes(&self, key: usize) -> Takes {
        self.keys.get(key).map_or_else(Takes::default, |key| key.takes)
    }

    pub(super) fn ignores_unknown(&self) -> bool {
        self.unknown_keys == UnknownKeys::Ignore
    }
}
