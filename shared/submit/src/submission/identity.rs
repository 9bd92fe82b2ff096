//! When two submissions are the same: keys.

use std::path::PathBuf;

use format::csv::split::Splitter;
use ledger::imports::Import;
use model::{ImportSpec, Version1};
use source::{Fingerprint, SourceError, SourceReader};
use sqlx::postgres::types::Oid;
use target::Target;

use super::{KeyChoice, Prepared, Request, SubmitError};

/// A key given twice must mean the same rows; one of a content names the target too, and whoever holds it for another made it up.
pub(super) fn check_same(import: &Import, request: &Request, prepared: &Prepared) -> Result<(), SubmitError> {
    let KeyChoice::Given(key) = &request.key else {
        return match (&prepared.keys, import.target_oid == prepared.target.oid) {
            (Some(keys), false) => Err(SubmitError::KeyTaken {
                key: keys.new.clone(),
                import: import.id,
                what: "target",
            }),
            _ => Ok(()),
        };
    };
    let what = if prepared.fingerprint.as_ref().is_some_and(|now| differs(import, now)) {
        "content"
    } else if import.target_oid != prepared.target.oid {
        "target"
    } else if import.spec()?.row_changing()? != prepared.spec.row_changing()? {
        "delimiter, header, null text or column mapping"
    } else {
        return Ok(());
    };
    Err(SubmitError::KeyTaken {
        key: key.clone(),
        import: import.id,
        what,
    })
}

fn differs(import: &Import, now: &Fingerprint) -> bool {
    import.fingerprint.as_ref().is_some_and(|before| *before != now.hash)
}

/// Reads a stream to its end, to see whether the import that holds its key has the same content.
pub(super) async fn check_stream(
    import: &Import,
    key: &str,
    splitter: Splitter<SourceReader>,
    origin: &str,
) -> Result<(), SubmitError> {
    let mut reader = splitter.into_reader();
    let now = tokio::task::spawn_blocking(move || reader.drain()).await?;
    let now = now.map_err(|source| SourceError::Read {
        path: PathBuf::from(origin),
        source,
    })?;
    if differs(import, &now) {
        return Err(SubmitError::KeyTaken {
            key: key.to_owned(),
            import: import.id,
            what: "content",
        });
    }
    Ok(())
}

/// By what a submission is known again.
pub(super) struct Keys {
    /// The key that a new import gets.
    pub new: String,
    /// Another by which an import of before may hold the same rows.
    pub before: Option<String>,
}

impl Keys {
    pub(super) fn given(key: &str) -> Self {
        Self {
            new: format!("key:{key}"),
            before: None,
        }
    }

    /// Those of a file: its content, the target, and everything that decides which rows come of it.
    pub(super) fn of_content(content: &Fingerprint, target: &Target, spec: &ImportSpec) -> Result<Self, SubmitError> {
        Ok(Self {
            new: content_key(content, target.oid, spec)?,
            before: Some(version1_key(content, target, spec)),
        })
    }

    pub(super) fn all(&self) -> Vec<&str> {
        std::iter::once(self.new.as_str())
            .chain(self.before.as_deref())
            .collect()
    }
}

/// The parts are told apart by their lengths: no two lists of parts read the same.
fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

fn content_key(content: &Fingerprint, target: Oid, spec: &ImportSpec) -> Result<String, SubmitError> {
    let target = target.0.to_le_bytes();
    Ok(format!(
        "blake3-2:{}",
        hash(&[content.hash.as_bytes(), &target, &spec.row_changing()?])
    ))
}

/// The key of the first version, which imports of before hold.
fn version1_key(content: &Fingerprint, target: &Target, spec: &ImportSpec) -> String {
    let before = Version1::from(spec);
    let mut hasher = blake3::Hasher::new();
    hasher.update(content.hash.as_bytes());
    for part in [
        target.oid.0.to_string(),
        target.name.clone(),
        format!("{:?}", before.columns),
        before.options.row_changing(),
    ] {
        hasher.update(&part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}
