//! When two submissions are the same: keys.

use ledger::imports::Import;
use model::{ImportSpec, ImportState, Version1};
use source::Fingerprint;
use sqlx::postgres::types::Oid;
use target::Target;

use super::{KeyChoice, Prepared, Request, SubmitError};
use crate::chunks::SourceChunks;

/// A key given twice must mean the same rows; one of a content names the target too, and whoever holds it for another made it up.
pub(super) fn check_same(import: &Import, request: &Request, prepared: &Prepared) -> Result<(), SubmitError> {
    let KeyChoice::Given(key) = &request.key else {
        return match (&prepared.aim.keys, import.target_oid == prepared.aim.target.oid) {
            (Some(keys), false) => Err(SubmitError::KeyTaken {
                key: keys.new.clone(),
                import: import.id,
                what: "target",
            }),
            _ => check_limit(import, prepared),
        };
    };
    check_limit(import, prepared)?;
    let what = if prepared
        .looked
        .fingerprint
        .as_ref()
        .is_some_and(|now| differs(import, now))
    {
        "content"
    } else if import.target_oid != prepared.aim.target.oid {
        "target"
    } else if !same_rows(import.spec()?, &prepared.aim.spec)? {
        "format or column mapping"
    } else {
        return Ok(());
    };
    Err(SubmitError::KeyTaken {
        key: key.clone(),
        import: import.id,
        what,
    })
}

/// Refuses to go on with, or to follow, an import that may delete more than this submission allows, or less.
fn check_limit(import: &Import, prepared: &Prepared) -> Result<(), SubmitError> {
    let limit = |spec: &ImportSpec| spec.conflict.missing().map(|missing| missing.max);
    let loads = matches!(import.state, ImportState::Splitting | ImportState::Loading);
    match (limit(import.spec()?), limit(&prepared.aim.spec)) {
        (Some(before), Some(now)) if before != now && loads => Err(SubmitError::OtherLimit {
            import: import.id,
            before,
        }),
        _ => Ok(()),
    }
}

/// Whether the same rows come of a content, as far as a program of the time when the import was submitted could say it.
fn same_rows(import: &ImportSpec, now: &ImportSpec) -> Result<bool, SubmitError> {
    let before = now.before().map(|before| before.row_changing()).transpose()?;
    let import = import.row_changing()?;
    Ok(import == now.row_changing()? || Some(import) == before)
}

fn differs(import: &Import, now: &Fingerprint) -> bool {
    import.fingerprint.as_ref().is_some_and(|before| *before != now.hash)
}

/// Reads a stream to its end, to see whether the import that holds its key has the same content.
pub(super) async fn check_stream(import: &Import, key: &str, chunks: SourceChunks) -> Result<(), SubmitError> {
    let now = tokio::task::spawn_blocking(move || chunks.drain()).await??;
    if differs(import, &now) {
        return Err(SubmitError::KeyTaken {
            key: key.to_owned(),
            import: import.id,
            what: "content",
        });
    }
    Ok(())
}

/// By what a submission, or one of its inputs, is known again.
pub(super) struct Keys {
    /// The key that a new import gets.
    pub new: String,
    /// Others by which an import of before may hold the same rows.
    pub before: Vec<String>,
}

impl Keys {
    pub(super) fn given(key: &str) -> Self {
        Self {
            new: format!("key:{key}"),
            before: Vec::new(),
        }
    }

    /// Those of a file: its content, the target, and everything that decides which rows come of it.
    pub(super) fn of_content(content: &Fingerprint, target: &Target, spec: &ImportSpec) -> Result<Self, SubmitError> {
        let version2 = spec
            .before()
            .map(|spec| content_key(content, target.oid, &spec))
            .transpose()?;
        Ok(Self {
            new: content_key(content, target.oid, spec)?,
            before: version2
                .into_iter()
                .chain(version1_key(content, target, spec))
                .collect(),
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.new).chain(&self.before).map(String::as_str)
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
fn version1_key(content: &Fingerprint, target: &Target, spec: &ImportSpec) -> Option<String> {
    let before = Version1::of(spec)?;
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
    Some(format!("blake3:{}", hasher.finalize().to_hex()))
}
