//! Table `notification_delivery`: messages about ends of imports, and what came of sending them. A trigger adds its rows.
//!
//! Whoever claims a message has it for a while: when nothing is heard of it by then, it is due again. So it is sent at least once, and
//! may be sent twice, under the same id.

use std::time::Duration;

use model::{ImportId, ImportState};
use sqlx::{PgConnection, types::Json};

use crate::{LedgerError, chunks::Totals, number::unsigned};

/// A message that is to be sent.
pub struct Delivery {
    /// Names it in this table.
    pub event_id: i64,
    /// By which the receiver knows it when it comes again.
    pub message_id: String,
    /// How often somebody set out to send it, this time included.
    pub attempts: i32,
    /// Where to. It may hold a secret.
    pub url: String,
    pub end: ImportEnd,
}

/// What a message tells of.
pub struct ImportEnd {
    pub import: ImportId,
    pub state: ImportState,
    /// What happened, in the ledger's words.
    pub event: String,
    /// ISO 8601, UTC.
    pub at: String,
    /// Why, for people.
    pub note: Option<String>,
    pub source: String,
    /// The table as it was called when the import was submitted.
    pub target: String,
    /// The role that submitted it; `None` of imports of before.
    pub submitted_by: Option<String>,
    /// ISO 8601, UTC.
    pub submitted_at: String,
    /// What it had come to by then.
    pub totals: Totals,
}

/// Takes messages that are due, for `lease`: those first that waited longest. Nobody waits for one that another takes.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn claim(conn: &mut PgConnection, most: i64, lease: Duration) -> Result<Vec<Delivery>, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH due AS (
               SELECT event_id FROM pgimport.notification_delivery WHERE delivered_at IS NULL AND due_at <= now()
               ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED),
           claimed AS (
               UPDATE pgimport.notification_delivery AS d SET attempts = d.attempts + 1, due_at = now() + $2 * interval '1 second'
               FROM due WHERE d.event_id = due.event_id
               RETURNING d.event_id, d.message_id, d.attempts)
           SELECT c.event_id AS "event_id!", c.message_id::text AS "message_id!", c.attempts AS "attempts!", n.url, e.event,
               e.to_state AS "to_state: ImportState", to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "at!", e.note,
               e.totals AS "totals: Json<Totals>", i.id, i.source, i.target, i.submitted_by::text AS submitted_by,
               to_char(i.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "created_at!"
           FROM claimed AS c
           JOIN pgimport.import_event AS e ON e.id = c.event_id
           JOIN pgimport.import AS i ON i.id = e.import_id
           JOIN pgimport.import_notification AS n ON n.import_id = i.id
           ORDER BY c.event_id"#,
        most,
        lease.as_secs_f64()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Delivery {
            event_id: row.event_id,
            message_id: row.message_id,
            attempts: row.attempts,
            url: row.url,
            end: ImportEnd {
                import: ImportId(row.id),
                state: row.to_state,
                event: row.event,
                at: row.at,
                note: row.note,
                source: row.source,
                target: row.target,
                submitted_by: row.submitted_by,
                submitted_at: row.created_at,
                totals: row.totals.map(|Json(totals)| totals).unwrap_or_default(),
            },
        })
        .collect())
}

/// The receiver took it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delivered(conn: &mut PgConnection, delivery: &Delivery) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.notification_delivery SET delivered_at = clock_timestamp(), due_at = NULL, error = NULL
         WHERE event_id = $1 AND delivered_at IS NULL",
        delivery.event_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It could not be sent, or was not taken: it is sent again after `pause`, or never. Of somebody who lost the message to others meanwhile,
/// nothing is heard.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn failed(
    conn: &mut PgConnection,
    delivery: &Delivery,
    error: &str,
    pause: Option<Duration>,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.notification_delivery SET error = $3, due_at = clock_timestamp() + $4 * interval '1 second'
         WHERE event_id = $1 AND attempts = $2 AND delivered_at IS NULL",
        delivery.event_id,
        delivery.attempts,
        error,
        pause.map(|pause| pause.as_secs_f64())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many messages are not delivered yet, and for how many **seconds** the oldest of them has waited; how many were given up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Undelivered {
    pub waiting: u64,
    pub oldest_s: f64,
    pub given_up: u64,
}

/// # Errors
/// [`LedgerError`] from the database.
pub async fn undelivered(conn: &mut PgConnection) -> Result<Undelivered, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT count(d.due_at) AS "waiting!", count(*) - count(d.due_at) AS "given_up!",
               coalesce(extract(epoch FROM clock_timestamp() - min(e.at) FILTER (WHERE d.due_at IS NOT NULL)), 0)::float8 AS "oldest_s!"
           FROM pgimport.notification_delivery AS d JOIN pgimport.import_event AS e ON e.id = d.event_id
           WHERE d.delivered_at IS NULL"#
    )
    .fetch_one(conn)
    .await?;
    Ok(Undelivered {
        waiting: unsigned("a number of messages", row.waiting)?,
        oldest_s: row.oldest_s.max(0.0),
        given_up: unsigned("a number of messages", row.given_up)?,
    })
}
