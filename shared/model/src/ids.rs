//! Ids that must not be mistaken for one another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names one import in every command, log line and table.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct ImportId(pub i64);

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ImportId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err("an import's id is a positive whole number, as printed by `enqueue`".to_owned()),
        }
    }
}

/// Names one chunk: its import and its number within it, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkKey {
    pub import: ImportId,
    pub ordinal: i32,
}

impl fmt::Display for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.import, self.ordinal)
    }
}

/// Names one segment of a source that workers cut into chunks: its import and its number within it, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentKey {
    pub import: ImportId,
    // Not `ordinal`: programs of before would take it for a chunk's.
    pub segment: i32,
}

/// Names one start of a process, among all machines and for all time; it is the `application_name` of its sessions.
///
/// The queue's rescue of orphans is by name, so a name that a dead process had must never come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ProcessName(String);

impl ProcessName {
    /// Postgres cuts an `application_name` at 63 bytes; the host gives way first.
    const HOST_BYTES: usize = 24;

    /// A new name: role, host, process id and a random part.
    #[must_use]
    pub fn new(role: &str, host: &str, pid: u32, random: u32) -> Self {
        let host: String = host
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
            .take(Self::HOST_BYTES)
            .collect();
        Self(format!("{role}:{host}:{pid}:{random:08x}"))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_host_name_leaves_room_for_what_makes_the_name_unique() {
        let name = ProcessName::new("pg_import-worker", &"h".repeat(200), u32::MAX, 0xdead_beef);
        assert!(name.as_str().len() <= 63);
        assert!(name.as_str().ends_with(":4294967295:deadbeef"));
    }

    #[test]
    fn an_import_id_is_positive() {
        assert_eq!("7".parse(), Ok(ImportId(7)));
        assert!("0".parse::<ImportId>().is_err());
        assert!("x".parse::<ImportId>().is_err());
    }
}
