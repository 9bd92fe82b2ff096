//! When two submissions are the same.

use std::path::PathBuf;

use super::{KeyChoice, Prepared, Request, SubmitError};
use format::csv::split::Splitter;
use ledger::imports::Import;
use model::ImportOptions;
use source::{Fingerprint, SourceError, SourceReader};
use target::Target;

/// A key given twice must mean the same rows.
pub(super) fn check_same(import: &Import, request: &Request, prepared: &Prepared) -> Result<(), SubmitError> {
    let KeyChoice::Given(key) = &request.key else {
        return Ok(());
    };
    let what = if prepared.fingerprint.as_ref().is_some_and(|now| differs(import, now)) {
        "content"
    } else if import.target_oid != prepared.target.oid {
        "target"
    } else if import.columns != prepared.columns || import.options.row_changing() != request.options.row_changing() {
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

/// The key of a file: its content and everything that decides which rows come of it.
pub(super) fn content_key(
    content: &Fingerprint,
    target: &Target,
    columns: &[String],
    options: &ImportOptions,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(content.hash.as_bytes());
    for part in [
        target.oid.0.to_string(),
        target.name.clone(),
        format!("{columns:?}"),
        options.row_changing(),
    ] {
        // The length keeps two lists of parts from reading the same.
        hasher.update(&part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}
