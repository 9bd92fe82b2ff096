//! Which keys of an object are wanted, in which order, and what becomes of others. Made once for an import, and used for each of its records.
//!
//! Must not know columns: a key is a field, and what a field fills is the mapping's.

use std::collections::HashMap;

use model::UnknownKeys;

use super::fault::ShownKey;

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
    as_json: bool,
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
            as_json: false,
        };
        Ok(Self {
            keys: keys.iter().map(key).collect(),
            by_name,
            unknown_keys,
        })
    }

    /// The values of these keys, from 0, are wanted as JSON text, for a column that holds JSON: a string keeps its quotes and escapes.
    #[must_use]
    pub fn with_json(mut self, keys: impl IntoIterator<Item = usize>) -> Self {
        for index in keys {
            if let Some(key) = self.keys.get_mut(index) {
                key.as_json = true;
            }
        }
        self
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Which key has this name; `likely` is looked at first.
    #[inline]
    pub(super) fn find(&self, name: &str, likely: usize) -> Option<usize> {
        match self.keys.get(likely) {
            Some(key) if key.name == name => Some(likely),
            _ => self.by_name.get(name).copied(),
        }
    }

    pub(super) fn is_json(&self, key: usize) -> bool {
        self.keys.get(key).is_some_and(|key| key.as_json)
    }

    pub(super) fn ignores_unknown(&self) -> bool {
        self.unknown_keys == UnknownKeys::Ignore
    }
}
