//! How many rejects an import may have, and what becomes of it when it fails.

use serde::{Deserialize, Serialize};

use super::{Limit, is_default};

/// How many rejects an import may have, and what becomes of it when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectsSpec {
    /// With more it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    /// Whether what was loaded is undone when it fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub all_or_nothing: bool,
}
