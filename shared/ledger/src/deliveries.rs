//! Table `notification_delivery`: messages about ends of imports, and what came of sending them. A trigger adds its rows.
//!
//! Whoever claims a message has it for a while: when nothing is heard of it by then, it is due again. So it is sent at least once, and
//! may be sent twice, under the same id.

use std::time::Duration;

use model::{ImportId, ImportState};
use serde_json::Value;
use sqlx::PgConnection;

use crate::{LedgerError, chunks::Totals, number::unsigned};

/// A message that is to be sent.
pub struct Delivery {
    event_id: i64,
    notification_id: i64,
    /// By which the receiver knows it when it comes again.
    pub message_id: String,
    claims: i32,
    /// How often something came of an attempt, this time not included.
    pub attempts: i32,
    /// Where to. It may hold a secret.
    pub url: String,
    /// Whom it is for, as far as others wait behind it.
    pub host: String,
    pub end: ImportEnd,
}

impl Delivery {
    /// How often somebody set out to send it, this time included, of whom nothing was heard since.
    #[must_use]
    pub fn unheard(&self) -> i32 {
        self.claims - self.attempts
    }
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
    /// What it had come to by then; nothing, where that cannot be read.
    pub totals: Totals,
}

/// Which messages are taken.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// At most so many.
    pub most: i64,
    /// At most so many for one host.
    pub most_of_host: i64,
    /// None for these.
    pub without: &'a [String],
    /// Only those of which nothing was tried yet.
    pub fresh: bool,
}

/// **Characters** of what others wrote freely, at most.
const TEXT: i32 = 2_000;
/// **Bytes** of totals, at most: ours have a few hundred.
const TOTALS: i32 = 4_096;

/// Takes messages that are due, for `lease`: those first of which nothing was tried yet, and then those that waited longest. Nobody waits for
/// one that another takes.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn claim(conn: &mut PgConnection, wanted: Wanted<'_>, lease: Duration) -> Result<Vec<Delivery>, LedgerError> {
    let rows = sqlx::query!(
        r#"WITH line AS (
               SELECT d.event_id, d.notification_id, d.attempts, d.due_at,
                   row_number() OVER (PARTITION BY n.host ORDER BY d.attempts > 0, d.due_at) AS of_host
               FROM pgimport.notification_delivery AS d JOIN pgimport.import_notification AS n ON n.id = d.notification_id
               WHERE d.delivered_at IS NULL AND d.due_at <= now() AND NOT (n.host = ANY ($3)) AND (d.attempts = 0 OR NOT $4)),
           due AS (
               SELECT event_id, notification_id FROM pgimport.notification_delivery
               WHERE (event_id, notification_id) IN (
                   SELECT event_id, notification_id FROM line WHERE of_host <= $2 ORDER BY attempts > 0, due_at LIMIT $1)
                 AND delivered_at IS NULL AND due_at <= now()
               FOR UPDATE SKIP LOCKED),
           claimed AS (
               UPDATE pgimport.notification_delivery AS d SET claims = d.claims + 1, due_at = now() + $5 * interval '1 second'
               FROM due WHERE d.event_id = due.event_id AND d.notification_id = due.notification_id
               RETURNING d.event_id, d.notification_id, d.message_id, d.claims, d.attempts)
           SELECT c.event_id AS "event_id!", c.notification_id AS "notification_id!", c.message_id::text AS "message_id!",
               c.claims AS "claims!", c.attempts AS "attempts!", n.url, n.host AS "host!", e.event AS "event!",
               e.to_state AS "to_state: ImportState", to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "at!",
               left(e.note, $6) AS note, CASE WHEN pg_column_size(e.totals) <= $7 THEN e.totals END AS "totals: Value", i.id,
               left(i.source, $6) AS "source!", i.target, i.submitted_by::text AS submitted_by,
               to_char(i.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "created_at!"
           FROM claimed AS c
           JOIN pgimport.import_event AS e ON e.id = c.event_id
           JOIN pgimport.import AS i ON i.id = e.import_id
           JOIN pgimport.import_notification AS n ON n.id = c.notification_id
           ORDER BY c.event_id"#,
        wanted.most,
        wanted.most_of_host,
        wanted.without,
        wanted.fresh,
        lease.as_secs_f64(),
        TEXT,
        TOTALS
    )
    .fetch_all(conn)
    .await?;
    let deliveries = rows.into_iter().map(|row| Delivery {
        event_id: row.event_id,
        notification_id: row.notification_id,
        message_id: row.message_id,
        claims: row.claims,
        attempts: row.attempts,
        url: row.url,
        host: row.host,
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
            // Whoever may write events of an import may write anything there: no other's message shall wait for it.
            totals: row
                .totals
                .and_then(|totals| serde_json::from_value(totals).ok())
                .unwrap_or_default(),
        },
    });
    Ok(deliveries.collect())
}

/// The receiver took it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn delivered(conn: &mut PgConnection, delivery: &Delivery) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE pgimport.notification_delivery
         SET delivered_at = clock_timestamp(), attempts = attempts + 1, due_at = NULL, error = NULL
         WHERE event_id = $1 AND notification_id = $2 AND delivered_at IS NULL",
        delivery.event_id,
        delivery.notification_id
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
        "UPDATE pgimport.notification_delivery
         SET attempts = attempts + 1, error = left($4, $6), due_at = clock_timestamp() + $5 * interval '1 second'
         WHERE event_id = $1 AND notification_id = $2 AND claims = $3 AND delivered_at IS NULL",
        delivery.event_id,
        delivery.notification_id,
        delivery.claims,
        error,
        pause.map(|pause| pause.as_secs_f64()),
        TEXT
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
