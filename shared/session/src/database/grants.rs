//! What roles need on the control schemas to submit, to work, or to look; and no more.

use sqlx::{AssertSqlSafe, Connection as _};

use super::{DatabaseError, SEARCH_PATH, connect_in_time, place};
use crate::{hosts::Hosts, quote_identifier};

/// What a role is for. What it needs on the tables that are loaded is their owners' to grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Every command of `enqueue`, but for `migrate` and what acts from the page.
    Submitter,
    /// `worker`.
    Worker,
    /// `enqueue status`, `workers` and a page that only shows.
    Monitor,
}

impl Duty {
    /// What stands between GRANT and TO; `docs/PRIVILEGES.md` says why.
    #[must_use]
    pub fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Submitter => &[
                "USAGE ON SCHEMA pgimport, apalis",
                "SELECT ON pgimport._sqlx_migrations, pgimport.worker, pgimport.import_registry, pgimport.import_pages, pgimport.import_reject, pgimport.import_conflict",
                "SELECT (import_id, ordinal, key_hash, existed) ON pgimport.import_before",
                "SELECT, INSERT, UPDATE ON pgimport.import, pgimport.import_chunk",
                "SELECT, INSERT, DELETE ON pgimport.import_payload",
                "DELETE ON pgimport.import",
                "SELECT, INSERT ON pgimport.import_event, pgimport.import_input, pgimport.import_segment",
                "INSERT ON pgimport.import_reference",
                "INSERT ON pgimport.import_notification",
                "SELECT ON pgimport.notification_delivery",
                "INSERT ON apalis.jobs",
                "EXECUTE ON FUNCTION pgimport.current_turn(text)",
            ],
            Self::Worker => &[
                "USAGE ON SCHEMA pgimport, apalis",
                "SELECT ON pgimport._sqlx_migrations, pgimport.import_input, pgimport.import_notification, pgimport.import_reference",
                "SELECT, INSERT, DELETE ON pgimport.import_pages, pgimport.import_seen",
                "SELECT, INSERT, UPDATE, DELETE ON pgimport.import_before",
                "SELECT, INSERT, UPDATE ON pgimport.import_conflict",
                "SELECT, UPDATE ON pgimport.import, pgimport.import_chunk, pgimport.import_segment, pgimport.notification_delivery",
                "INSERT ON pgimport.import_chunk",
                "SELECT, DELETE ON pgimport.import_payload",
                "SELECT, INSERT, UPDATE, DELETE ON pgimport.import_registry, pgimport.worker, apalis.jobs, apalis.workers",
                "INSERT ON pgimport.import_reject",
                "SELECT, INSERT ON pgimport.import_event",
                "EXECUTE ON FUNCTION pgimport.current_turn(text)",
            ],
            Self::Monitor => &[
                "USAGE ON SCHEMA pgimport",
                "SELECT ON pgimport._sqlx_migrations, pgimport.import, pgimport.import_chunk, pgimport.import_input, pgimport.import_conflict",
                "SELECT ON pgimport.import_segment, pgimport.import_event, pgimport.notification_delivery, pgimport.worker, pgimport.load_history",
                // Of rejects what is needed to tell what is wrong, and not the records.
                "SELECT (import_id, input, record, start_byte, line, column_name, reason, sqlstate, constraint_name) ON pgimport.import_reject",
            ],
        }
    }
}

/// Grants roles what they need, all of it or nothing. The schemas must be of this version.
///
/// # Errors
/// [`DatabaseError`], naming the role that is missing.
pub async fn grant(hosts: &Hosts, roles: &[(Duty, String)]) -> Result<(), DatabaseError> {
    let host = hosts.choose().await?;
    let options = host
        .first()
        .clone()
        .application_name("pg_import-migrate")
        .options([SEARCH_PATH]);
    let connect = |source| DatabaseError::Connect {
        place: place(&host),
        source,
    };
    let mut conn = connect_in_time(&options).await.map_err(connect)?;
    let mut tx = conn.begin().await.map_err(connect)?;
    for (duty, role) in roles {
        // A name in quotes may be cut, or be PUBLIC all the same.
        let known =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::pg_catalog.text)");
        if !known.bind(role).fetch_one(&mut *tx).await.map_err(connect)? {
            return Err(DatabaseError::NoRole { role: role.clone() });
        }
        for privileges in duty.privileges() {
            let grant = format!("GRANT {privileges} TO {}", quote_identifier(role));
            let granted = sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut *tx).await;
            granted.map_err(|source| DatabaseError::Grant {
                role: role.clone(),
                source,
            })?;
        }
    }
    tx.commit().await.map_err(connect)?;
    drop(conn.close().await);
    Ok(())
}
