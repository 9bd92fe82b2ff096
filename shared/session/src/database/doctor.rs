//! Whether a server and a role are set up as they should be: what was found, and what to do about it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sqlx::PgConnection;

use super::{
    DatabaseError, Purpose,
    check::{check, connect},
    choice::State,
};
use crate::{describe_error, hosts::Hosts};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    /// It works, and could be better.
    Warning,
    /// Something does not work.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Good,
            subject,
            found: found.into(),
            remedy: None,
        }
    }

    #[must_use]
    pub fn warning(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warning,
            remedy: Some(remedy.into()),
            ..Self::good(subject, found)
        }
    }

    #[must_use]
    pub fn fault(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fault,
            ..Self::warning(subject, found, remedy)
        }
    }
}

/// The oldest server that is supported.
const OLDEST_SERVER: i32 = 140_000;
/// **Seconds** by which clocks may differ.
const CLOCKS_MAY_DIFFER: f64 = 2.0;
/// **Seconds** after which a transaction that is still open makes the queue slow.
const LONG_TRANSACTION: f64 = 600.0;
/// Sessions that a worker with two loaders opens, about.
const SESSIONS_OF_A_WORKER: i64 = 14;

/// Looks at the connection, the server, the schema and what this role may do. `hosts` are those of a session.
pub async fn examine(hosts: &Hosts) -> Vec<Finding> {
    let mut findings = each_host(hosts).await;
    let (mut conn, place) = match connect(hosts).await {
        Ok(connected) => connected,
        Err(error) => {
            findings.push(remedied("connection", &error));
            return findings;
        }
    };
    findings.push(Finding::good("connection", format!("the database {place} answers")));
    if !conn.is_whole() {
        findings.push(Finding::warning(
            "pooler",
            "one is in between, and keeps no session whole: it will do to submit, to look, to serve and to cancel",
            "for `worker`, `migrate` and `verify` name the server itself",
        ));
    }
    for looked in [
        encryption(&mut conn).await,
        version(&mut conn).await,
        durability(&mut conn).await,
        clock(&mut conn).await,
        sessions(&mut conn).await,
        transactions(&mut conn).await,
    ] {
        findings.push(looked.unwrap_or_else(|error| {
            Finding::fault(
                "server",
                format!("could not be asked: {}", describe_error(&error)),
                "try again",
            )
        }));
    }
    conn.close().await;
    findings.extend(privileges(hosts).await);
    findings
}

/// What each of several hosts is: that one is missing, nobody notices who uses another.
async fn each_host(hosts: &Hosts) -> Vec<Finding> {
    if hosts.each().len() == 1 {
        return Vec::new();
    }
    let states = hosts.examine_each().await;
    let finding = |(address, state): (String, State)| match state {
        State::Primary | State::Standby => Finding::good("host", format!("{address}: {state}")),
        State::Unusable(_) => Finding::warning(
            "host",
            format!("{address}: {state}"),
            "start it, or take it out of the list: nobody can go there",
        ),
    };
    states.into_iter().map(finding).collect()
}

async fn encryption(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (encrypted, far): (bool, bool) = sqlx::query_as(
        "SELECT coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s WHERE s.pid = pg_catalog.pg_backend_pid()), false),
             coalesce(NOT pg_catalog.inet_client_addr() <<= ANY ('{127.0.0.0/8,::1}'::inet[]), false)",
    )
    .fetch_one(conn)
    .await?;
    Ok(match (encrypted, far) {
        (true, _) => Finding::good("encryption", "TLS"),
        (false, false) => Finding::good("encryption", "none, on this machine"),
        (false, true) => Finding::warning(
            "encryption",
            "none: passwords are safe (SCRAM), rows are not",
            "let the server speak TLS, and say sslmode verify-full (credentials/README.md)",
        ),
    })
}

async fn version(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (number, text): (String, String) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('server_version')",
    )
    .fetch_one(conn)
    .await?;
    let found = format!("PostgreSQL {text}");
    Ok(if number.parse().unwrap_or(0) >= OLDEST_SERVER {
        Finding::good("version", found)
    } else {
        Finding::fault(
            "version",
            found,
            "update the server: 14 is the oldest that is supported",
        )
    })
}

async fn durability(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let off: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pg_catalog.pg_settings WHERE name IN ('fsync', 'full_page_writes', 'autovacuum') AND setting = 'off' ORDER BY name",
    )
    .fetch_all(conn)
    .await?;
    Ok(if off.is_empty() {
        Finding::good("durability", "fsync, full_page_writes and autovacuum are on")
    } else {
        Finding::warning(
            "durability",
            format!("off: {}", off.join(", ")),
            "turn them on: a crash loses what was committed, or the queue grows slow",
        )
    })
}

async fn clock(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let before = now();
    let server: f64 = sqlx::query_scalar("SELECT extract(epoch FROM pg_catalog.clock_timestamp())::float8")
        .fetch_one(conn)
        .await?;
    // Half way through the question.
    let apart = server - f64::midpoint(before, now());
    Ok(if apart.abs() <= CLOCKS_MAY_DIFFER {
        Finding::good("clock", "as the server's")
    } else {
        Finding::warning(
            "clock",
            format!(
                "{:.0} s {} the server's",
                apart.abs(),
                if apart > 0.0 { "behind" } else { "before" }
            ),
            "set it (chrony, systemd-timesyncd): receivers refuse notifications that are 5 minutes off",
        )
    })
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

async fn sessions(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (most, used): (i64, i64) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('max_connections')::bigint - pg_catalog.current_setting('superuser_reserved_connections')::bigint,
             (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_catalog.pg_stat_database)",
    )
    .fetch_one(conn)
    .await?;
    let found = format!("{used} of {most} are in use");
    Ok(if most - used >= SESSIONS_OF_A_WORKER {
        Finding::good("sessions", found)
    } else {
        Finding::warning(
            "sessions",
            found,
            format!("raise max_connections: a worker of two loaders opens about {SESSIONS_OF_A_WORKER}"),
        )
    })
}

async fn transactions(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let sees: bool = sqlx::query_scalar("SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')")
        .fetch_one(&mut *conn)
        .await?;
    if !sees {
        return Ok(Finding::good(
            "transactions",
            "those of other roles cannot be seen (it takes pg_read_all_stats)",
        ));
    }
    let oldest: Option<(i32, f64)> = sqlx::query_as(
        "SELECT pid, extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::float8 FROM pg_catalog.pg_stat_activity
         WHERE xact_start IS NOT NULL AND datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
         ORDER BY xact_start LIMIT 1",
    )
    .fetch_optional(conn)
    .await?;
    Ok(match oldest {
        Some((pid, age)) if age > LONG_TRANSACTION => Finding::warning(
            "transactions",
            format!("the process {pid} has one open for {:.0} minutes", age / 60.0),
            "end it, or wait: nothing that was deleted is cleared away meanwhile, and the queue grows slow",
        ),
        _ => Finding::good("transactions", "none is open for long"),
    })
}

/// What this role may do, and whether the schema is one that this program can live with.
async fn privileges(hosts: &Hosts) -> Vec<Finding> {
    match check(hosts, Purpose::Look).await {
        Ok(conn) => conn.close().await,
        Err(error) => return vec![remedied("schema", &error)],
    }
    let mut findings = vec![Finding::good("schema", "of this version")];
    let (mut may, mut lacks) = (vec!["look"], Vec::new());
    for (purpose, word) in [(Purpose::Submit, "submit"), (Purpose::Work, "work")] {
        match check(hosts, purpose).await {
            Ok(conn) => {
                may.push(word);
                conn.close().await;
            }
            Err(error @ DatabaseError::Privilege { .. }) => lacks.push((word, error)),
            Err(error) => return vec![remedied("server", &error)],
        }
    }
    findings.push(Finding::good(
        "privileges",
        format!("the role {} may {}", hosts.first().get_username(), may.join(", ")),
    ));
    // A role that does one of both lacks nothing.
    if may.len() == 1 {
        for (word, error) in lacks {
            findings.push(Finding::warning(
                "privileges",
                format!("it may not {word}: {}", describe_error(&error)),
                "if it should: `enqueue migrate --grant-submitter ROLE`, or --grant-worker",
            ));
        }
    }
    findings
}

fn remedied(subject: &'static str, error: &DatabaseError) -> Finding {
    let remedy = match error {
        DatabaseError::Connect { .. } => {
            "see where it is looked for (README.md, Configuration), and what the server's log says"
        }
        DatabaseError::NotMigrated { .. } => {
            "run `enqueue migrate`, as the role that owns the schemas or is to own them"
        }
        DatabaseError::Newer { .. } => "update this program",
        DatabaseError::ReadOnly { .. } => "turn default_transaction_read_only off, for the role or the database",
        DatabaseError::Standby { .. } => "name the primary, or all hosts",
        DatabaseError::NoHost(_) => "start the primary, or promote a standby",
        DatabaseError::Pooler { .. } => "name the server itself",
        _ => "docs/PRIVILEGES.md has what each role needs",
    };
    Finding::fault(subject, describe_error(error), remedy)
}
