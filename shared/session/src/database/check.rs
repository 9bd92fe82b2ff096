//! What must be true of a database before it is used: its version, that it takes changes, and the role's privileges.

use std::{fmt::Write as _, time::Duration};

use model::PROTOCOL;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::time::{Instant, timeout};

use super::{
    DatabaseError,
    choice::Opened,
    database_name,
    lease::Session,
    migrate::{MIGRATOR, newest},
    place,
    way::{PROTOCOL_VIOLATION, Way},
};
use crate::{hosts::Hosts, quote_identifier};

/// How long a check may take, the connection included.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// What a process is about to do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Change nothing.
    Look,
    /// Change the ledger: what that takes depends on the command.
    Change,
    Submit,
    Work,
    /// Let others look and change through a page.
    Serve,
}

impl Purpose {
    /// Schema, table or function, and privileges; `docs/PRIVILEGES.md` has them too.
    fn needs(self) -> &'static [(&'static str, &'static str, &'static [&'static str])] {
        const VERSION: (&str, &str, &[&str]) = ("pgimport", "_sqlx_migrations", &["SELECT"]);
        const LINE: (&str, &str, &[&str]) = ("pgimport", "current_turn(text)", &["EXECUTE"]);
        match self {
            Self::Look | Self::Change => &[VERSION],
            Self::Serve => &[VERSION, ("pgimport", "audit", &["SELECT", "INSERT"])],
            Self::Submit => &[
                VERSION,
                ("pgimport", "import", &["SELECT", "INSERT", "UPDATE"]),
                ("pgimport", "import_chunk", &["SELECT", "INSERT", "UPDATE"]),
                ("pgimport", "import_payload", &["INSERT"]),
                ("pgimport", "import_event", &["INSERT"]),
                ("pgimport", "import_input", &["SELECT", "INSERT"]),
                ("pgimport", "import_conflict", &["SELECT"]),
                ("pgimport", "worker", &["SELECT"]),
                ("apalis", "jobs", &["INSERT"]),
                LINE,
            ],
            Self::Work => &[
                VERSION,
                ("pgimport", "import", &["SELECT", "UPDATE"]),
                ("pgimport", "import_chunk", &["SELECT", "INSERT", "UPDATE"]),
                ("pgimport", "import_segment", &["SELECT", "UPDATE"]),
                ("pgimport", "import_reference", &["SELECT"]),
                ("pgimport", "import_payload", &["SELECT", "DELETE"]),
                ("pgimport", "import_registry", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                ("pgimport", "import_pages", &["SELECT", "INSERT", "DELETE"]),
                ("pgimport", "import_conflict", &["SELECT", "INSERT", "UPDATE"]),
                ("pgimport", "import_before", &["SELECT", "INSERT", "DELETE"]),
                ("pgimport", "import_input", &["SELECT"]),
                ("pgimport", "import_reject", &["INSERT"]),
                ("pgimport", "import_event", &["SELECT", "INSERT"]),
                ("pgimport", "import_notification", &["SELECT"]),
                ("pgimport", "notification_delivery", &["SELECT", "UPDATE"]),
                ("pgimport", "worker", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                ("apalis", "jobs", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                ("apalis", "workers", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
                LINE,
            ],
        }
    }
}

/// Connects once and checks what a process must know before it begins: the schema's version, whether the server takes changes, and
/// whether the role has the privileges for the control schemas. Returns the session.
///
/// # Errors
/// [`DatabaseError`], saying what to do.
pub async fn check(hosts: &Hosts, purpose: Purpose) -> Result<Session, DatabaseError> {
    in_time(check_all(hosts, purpose)).await
}

async fn check_all(hosts: &Hosts, purpose: Purpose) -> Result<Session, DatabaseError> {
    let (mut conn, place) = connect(hosts).await?;
    if is_in_order(&mut conn, purpose).await? {
        return Ok(conn);
    }
    // What is not. Whether the version can be read or not, more is asked.
    let mut tx = conn.begin().await.map_err(DatabaseError::Version)?;
    let version = check_version(&mut tx, &place).await;
    tx.rollback().await.map_err(DatabaseError::Version)?;
    // Without USAGE on the schema not even the version can be read.
    if !matches!(&version, Err(error) if crate::sqlstate(error).as_deref() != Some(INSUFFICIENT_PRIVILEGE)) {
        check_privileges(&mut conn, &place, purpose).await?;
    }
    version?;
    if purpose != Purpose::Look {
        check_writable(&mut conn, &place).await?;
    }
    Ok(conn)
}

/// Whether there is nothing to say, by one question: a new session plans each for the first time. What is missing makes it an error.
async fn is_in_order(conn: &mut PgConnection, purpose: Purpose) -> Result<bool, DatabaseError> {
    let mut all = format!(
        "(SELECT pg_catalog.max(version) FROM pgimport._sqlx_migrations WHERE success) = {}::pg_catalog.int8",
        newest(&MIGRATOR)
    );
    for (schema, name, privileges) in purpose.needs() {
        let kind = if name.ends_with(')') { "function" } else { "table" };
        for privilege in *privileges {
            // Writing to a string does not fail.
            let _ = write!(
                all,
                " AND pg_catalog.has_{kind}_privilege('{schema}.{name}'::pg_catalog.text, '{privilege}'::pg_catalog.text)"
            );
        }
    }
    if purpose != Purpose::Look {
        all.push_str(" AND NOT pg_catalog.pg_is_in_recovery() AND NOT pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool");
    }
    let mut tx = conn.begin().await.map_err(DatabaseError::Version)?;
    let asked = sqlx::raw_sql(AssertSqlSafe(format!("SELECT {all}")))
        .fetch_one(&mut *tx)
        .await;
    tx.rollback().await.map_err(DatabaseError::Version)?;
    let yes = asked.and_then(|row| row.try_get::<Option<bool>, _>(0));
    Ok(matches!(yes, Ok(Some(true))))
}

/// Checks that the database is there and takes changes, as one that was so before may not after a failover.
///
/// # Errors
/// [`DatabaseError`], saying what to do.
pub async fn check_again(hosts: &Hosts) -> Result<(), DatabaseError> {
    in_time(async {
        let (mut conn, place) = connect(hosts).await?;
        check_writable(&mut conn, &place).await?;
        conn.close().await;
        Ok(())
    })
    .await
}

/// A server whose machine was lost after it had the question never answers, and nothing else says so.
async fn in_time<T>(check: impl Future<Output = Result<T, DatabaseError>>) -> Result<T, DatabaseError> {
    timeout(CHECK_TIMEOUT, check).await.unwrap_or_else(|_| {
        let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "the database did not answer");
        Err(DatabaseError::Version(sqlx::Error::Io(silence)))
    })
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// Of the server, the database or the role.
const TOO_MANY_CONNECTIONS: &str = "53300";
/// How long to wait for a session to spare: less than the check may take.
const FULL_PATIENCE: Duration = Duration::from_secs(15);
const FULL_PAUSE: Duration = Duration::from_millis(200);
/// The one host that is right now, for what needs sessions that last.
///
/// # Errors
/// [`DatabaseError::Pooler`], where they last for a transaction only; others when it cannot be reached.
pub async fn whole(hosts: &Hosts, what: &'static str) -> Result<Hosts, DatabaseError> {
    let first = hosts.first_host();
    let (host, way) = match first.way() {
        Some(way) if !hosts.need_a_choice() => (first.clone(), way),
        _ => {
            let opened = open(hosts).await?;
            (opened.host.clone(), opened.close().await)
        }
    };
    let host = hosts.only(host);
    match way {
        Way::Whole => Ok(host),
        Way::Transactions => Err(DatabaseError::Pooler {
            place: place(&host),
            what,
        }),
    }
}

/// Opens a session with the host that is right now, and says which one that is.
pub(super) async fn connect(hosts: &Hosts) -> Result<(Session, String), DatabaseError> {
    let Opened { host, conn, way } = open(hosts).await?;
    let place = place(&hosts.only(host));
    let session = Session::own(conn, way, hosts.settings()).await;
    session
        .map(|session| (session, place.clone()))
        .map_err(|source| DatabaseError::Connect { place, source })
}

async fn open(hosts: &Hosts) -> Result<Opened, DatabaseError> {
    if hosts.need_a_choice() {
        return Ok(hosts.open_right().await?);
    }
    open_patiently(hosts).await.map_err(|source| {
        let (options, place) = (hosts.first(), place(hosts));
        match crate::sqlstate(&source).as_deref() {
            Some(PROTOCOL_VIOLATION) => DatabaseError::Pooler {
                place,
                what: "what is set for sessions in PGOPTIONS, or as options in the URL,",
            },
            Some(INSUFFICIENT_PRIVILEGE) => {
                let role = options.get_username();
                DatabaseError::Privilege {
                    place,
                    role: role.to_owned(),
                    remedy: format!(
                        "GRANT CONNECT ON DATABASE {} TO {}",
                        quote_identifier(database_name(options)),
                        quote_identifier(role)
                    ),
                }
            }
            _ => DatabaseError::Connect { place, source },
        }
    })
}

/// Opens a session, again and again while the server has none to spare, as when many are submitting at once.
async fn open_patiently(hosts: &Hosts) -> Result<Opened, sqlx::Error> {
    let begin = Instant::now();
    let mut told = false;
    loop {
        let error = match hosts.open().await {
            Err(error) if crate::sqlstate(&error).as_deref() == Some(TOO_MANY_CONNECTIONS) => error,
            outcome => return outcome,
        };
        if begin.elapsed() > FULL_PATIENCE {
            return Err(error);
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(
                error = crate::describe_error(&error),
                "the server has no session to spare: trying again"
            );
        }
        tokio::time::sleep(FULL_PAUSE).await;
    }
}

/// Checks the privileges for the control schemas. Only the catalog is asked, which everybody may read.
async fn check_privileges(conn: &mut PgConnection, place: &str, purpose: Purpose) -> Result<(), DatabaseError> {
    let (mut schemas, mut tables, mut privileges) = (Vec::new(), Vec::new(), Vec::new());
    for (schema, table, needed) in purpose.needs() {
        for privilege in *needed {
            schemas.push(*schema);
            tables.push(*table);
            privileges.push(*privilege);
        }
    }
    // What is not there at all is a matter of the version.
    let missing: Vec<(String, String, String, String, bool, bool)> = sqlx::query_as(
        "SELECT current_user::pg_catalog.text, p.schema, p.name, p.privilege, s.usage, t.privilege
         FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[])
             WITH ORDINALITY AS p (schema, name, privilege, position)
         JOIN pg_catalog.pg_namespace AS n ON n.nspname = p.schema,
             LATERAL (SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage) AS s,
             LATERAL (SELECT pg_catalog.has_table_privilege(c.oid, p.privilege) AS privilege FROM pg_catalog.pg_class AS c
                      WHERE c.relnamespace = n.oid AND c.relname = p.name
                      UNION ALL
                      SELECT pg_catalog.has_function_privilege(f.oid, p.privilege) FROM pg_catalog.pg_proc AS f
                      WHERE f.pronamespace = n.oid AND f.proname = pg_catalog.split_part(p.name, '(', 1)
                        AND pg_catalog.concat(f.proname, '(', pg_catalog.oidvectortypes(f.proargtypes), ')') = p.name) AS t
         WHERE NOT (s.usage AND t.privilege) ORDER BY p.position",
    )
    .bind(schemas)
    .bind(tables)
    .bind(privileges)
    .fetch_all(conn)
    .await
    .map_err(DatabaseError::Version)?;
    let (mut role, mut schemas) = (String::new(), Vec::new());
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for (current, schema, table, privilege, has_usage, has_privilege) in missing {
        role = current;
        let kind = if privilege == "EXECUTE" { "FUNCTION " } else { "" };
        let table = format!("{kind}{schema}.{table}");
        if !has_privilege {
            match tables.last_mut() {
                Some((last, privileges)) if *last == table => privileges.push(privilege),
                _ => tables.push((table, vec![privilege])),
            }
        }
        if !has_usage && !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    let mut grants: Vec<String> = tables
        .into_iter()
        .map(|(table, privileges)| format!("{} ON {table}", privileges.join(", ")))
        .collect();
    if !schemas.is_empty() {
        grants.insert(0, format!("USAGE ON SCHEMA {}", schemas.join(", ")));
    }
    if grants.is_empty() {
        return Ok(());
    }
    let to = quote_identifier(&role);
    let grants: Vec<String> = grants.iter().map(|grant| format!("GRANT {grant} TO {to}")).collect();
    Err(DatabaseError::Privilege {
        place: place.to_owned(),
        role,
        remedy: grants.join("; "),
    })
}

async fn check_writable(conn: &mut PgConnection, place: &str) -> Result<(), DatabaseError> {
    let place = place.to_owned();
    let (standby, read_only): (bool, String) =
        sqlx::query_as("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')")
            .fetch_one(conn)
            .await
            .map_err(DatabaseError::Version)?;
    match (standby, read_only.as_str()) {
        (true, _) => Err(DatabaseError::Standby { place }),
        (false, "on") => Err(DatabaseError::ReadOnly { place }),
        (false, _) => Ok(()),
    }
}

/// Checks that the schema is one that this program can live with: the one it was built for, or a later one that says so.
///
/// # Errors
/// [`DatabaseError::NotMigrated`] or [`DatabaseError::Newer`], saying what to do; [`DatabaseError::Version`] when it cannot be read.
async fn check_version(conn: &mut PgConnection, place: &str) -> Result<(), DatabaseError> {
    let wanted = newest(&MIGRATOR);
    let found: Option<i64> =
        match sqlx::query("SELECT pg_catalog.max(version) AS version FROM pgimport._sqlx_migrations WHERE success")
            .fetch_one(&mut *conn)
            .await
        {
            Ok(row) => row.try_get("version").map_err(DatabaseError::Version)?,
            Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P01" | "3F000")) => None,
            Err(error) => return Err(DatabaseError::Version(error)),
        };
    match found {
        Some(found) if found > wanted => {
            let oldest: i32 = sqlx::query_scalar("SELECT pgimport.oldest_protocol()")
                .fetch_one(conn)
                .await
                .map_err(DatabaseError::Version)?;
            if PROTOCOL >= oldest {
                return Ok(());
            }
            Err(DatabaseError::Newer {
                place: place.to_owned(),
            })
        }
        Some(found) if found == wanted => Ok(()),
        _ => Err(DatabaseError::NotMigrated {
            place: place.to_owned(),
        }),
    }
}
