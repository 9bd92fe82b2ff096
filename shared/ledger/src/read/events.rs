//! What happened to an import, and who did it.

use std::{collections::HashMap, fmt};

use model::{ImportId, ImportState};
use serde::Serialize;
use sqlx::PgConnection;

use crate::{LedgerError, number::unsigned};

/// A change of an import's state.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EventStatus {
    /// What happened: submitted, `source_ended`, `split_failed`, `all_loaded`, `some_failed`, retry, cancel, `all_deleted`, keep.
    pub event: String,
    /// The state before; `None` for the submission.
    pub from: Option<ImportState>,
    pub to: ImportState,
    /// ISO 8601, UTC.
    pub at: String,
    /// **Seconds** since the submission.
    pub after_s: f64,
    /// Whose session it was, as the server knows it.
    pub role: String,
    /// Which process: a worker, a submitter, a page.
    pub process: String,
    /// Why, where the event does not say it.
    pub note: Option<String>,
    /// What came of telling of it.
    pub notifications: Vec<NotificationStatus>,
}

/// A message about an event: delivered, to be sent (again), or, where it is neither, given up.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NotificationStatus {
    /// How often a worker set out to send it.
    pub attempts: u64,
    /// ISO 8601, UTC.
    pub delivered_at: Option<String>,
    /// ISO 8601, UTC.
    pub next_attempt_at: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// In words.
impl fmt::Display for NotificationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.delivered_at.is_some() {
            return f.write_str("notification delivered");
        }
        match (&self.next_attempt_at, self.attempts) {
            (Some(_), 0) => return f.write_str("notification not sent yet"),
            (Some(at), n) => write!(f, "notification failed {n} times, next attempt at {at}")?,
            (None, n) => write!(f, "notification given up after {n} attempts")?,
        }
        self.error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

/// The changes of an import's state, in their order.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn events(conn: &mut PgConnection, import: ImportId) -> Result<Vec<EventStatus>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT e.id, e.event, e.from_state AS "from: ImportState", e.to_state AS "to: ImportState",
               to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "at!",
               greatest(extract(epoch FROM e.at - min(e.at) OVER ())::float8, 0) AS "after_s!", e.role::text AS "role!", e.process, e.note
           FROM pgimport.import_event AS e WHERE e.import_id = $1 ORDER BY e.id"#,
        import.0
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut told = notifications(conn, import).await?;
    Ok(rows
        .into_iter()
        .map(|row| EventStatus {
            event: row.event,
            from: row.from,
            to: row.to,
            at: row.at,
            after_s: row.after_s,
            role: row.role,
            process: row.process,
            note: row.note,
            notifications: told.remove(&row.id).unwrap_or_default(),
        })
        .collect())
}

/// What came of telling of an import's events.
async fn notifications(
    conn: &mut PgConnection,
    import: ImportId,
) -> Result<HashMap<i64, Vec<NotificationStatus>>, LedgerError> {
    let rows = sqlx::query!(
        r#"SELECT d.event_id, d.attempts, d.error,
               to_char(d.delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS delivered_at,
               to_char(d.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS due_at
           FROM pgimport.import_event AS e JOIN pgimport.notification_delivery AS d ON d.event_id = e.id
           WHERE e.import_id = $1 ORDER BY d.event_id, d.notification_id"#,
        import.0
    )
    .fetch_all(conn)
    .await?;
    let mut told: HashMap<i64, Vec<NotificationStatus>> = HashMap::new();
    for row in rows {
        told.entry(row.event_id).or_default().push(NotificationStatus {
            attempts: unsigned("the attempts at a notification", row.attempts.into())?,
            delivered_at: row.delivered_at,
            next_attempt_at: row.due_at,
            error: row.error,
        });
    }
    Ok(told)
}
