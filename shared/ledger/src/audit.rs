//! Table `audit`: what was asked for through the page or its API, by whom.

use model::ImportId;
use serde::Serialize;
use sqlx::{PgConnection, types::JsonValue};

use crate::LedgerError;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Submit,
    Cancel,
    Keep,
    Retry,
    Verify,
    Forget,
}

impl Action {
    /// As the ledger has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Keep => "keep",
            Self::Retry => "retry",
            Self::Verify => "verify",
            Self::Forget => "forget",
        }
    }
}

/// A request. The role and the time are the server's own.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Whose token it was.
    pub who: &'a str,
    /// Where it came from.
    pub address: Option<&'a str>,
    pub action: Action,
    pub import: Option<ImportId>,
    /// How it was asked for.
    pub details: Option<JsonValue>,
}

/// Writes what was asked for: in the transaction that does it, or, of one that was refused, after it, with the reason.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, request: &Request<'_>, refused: Option<&str>) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO pgimport.audit (who, address, action, import_id, details, refused) VALUES ($1, $2, $3, $4, $5, $6)",
        request.who,
        request.address,
        request.action.as_str(),
        request.import.map(|import| import.0),
        request.details,
        refused
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A request as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditStatus {
    /// ISO 8601, UTC.
    pub at: String,
    pub who: String,
    pub address: Option<String>,
    pub action: String,
    /// Why it was not done; `None` where it was.
    pub refused: Option<String>,
}

/// What was asked of an import, in its order, the last `limit` of it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn of_import(conn: &mut PgConnection, import: ImportId, limit: i64) -> Result<Vec<AuditStatus>, LedgerError> {
    let mut last = sqlx::query_as!(
        AuditStatus,
        r#"SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "at!", who, address, action, refused
           FROM pgimport.audit WHERE import_id = $1 ORDER BY id DESC LIMIT $2"#,
        import.0,
        limit
    )
    .fetch_all(conn)
    .await?;
    last.reverse();
    Ok(last)
}
