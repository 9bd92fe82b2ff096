//! A reject as scripts see it.

use std::borrow::Cow;

use serde::Serialize;

use crate::rejects::Reject;

/// A rejected record with all that is known of it. The names of its fields are part of the contract of the command line and of the API.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RejectReport<'r> {
    pub file: Option<&'r str>,
    /// From 1, a header not counted; `None` of imports of before.
    pub record: Option<u64>,
    /// From 1, where the format has lines.
    pub line: Option<u64>,
    /// From 0, of the text that the record was read from.
    pub byte: Option<u64>,
    /// The table's column at fault; `None` when the record as a whole does not fit.
    pub column: Option<&'r str>,
    pub reason: &'r str,
    /// The server's code, and the constraint that the record breaks, where the server refused it.
    pub code: Option<&'r str>,
    pub constraint: Option<&'r str>,
    /// The record as it stood there; bytes that are no text are replaced.
    pub raw: Cow<'r, str>,
    /// All its bytes, where some are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_hex: Option<String>,
}

impl<'r> RejectReport<'r> {
    /// Of a reject, with what the import's inputs are called.
    #[must_use]
    pub fn new(reject: &'r Reject, inputs: &'r [String]) -> Self {
        let refusal = reject.refusal.as_ref();
        let raw = String::from_utf8_lossy(&reject.raw);
        let hex = || reject.raw.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            file: reject.input_name(inputs),
            record: reject.position.record,
            line: reject.position.line,
            byte: reject.position.byte,
            column: reject.column.as_deref(),
            reason: &reject.reason,
            code: refusal.map(|refusal| refusal.sqlstate.as_str()),
            constraint: refusal.and_then(|refusal| refusal.constraint.as_deref()),
            raw_hex: matches!(raw, Cow::Owned(_)).then(hex),
            raw,
        }
    }
}
