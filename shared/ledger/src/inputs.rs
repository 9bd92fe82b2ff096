//! Table `import_input`: the inputs of imports that have several.

use model::{ImportId, ImportState};
use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    LedgerError,
    error::expect_rows,
    imports::Import,
    number::{signed, unsigned},
};

/// An input of an import that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub name: String,
    /// The key that an import of this input alone would have, if it shall be found by it.
    pub key: Option<String>,
    pub fingerprint: String,
    /// **Bytes**.
    pub size: u64,
}

/// An import that has the rows of a key, alone or among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub import: ImportId,
    pub state: ImportState,
    /// Whether its submitter was silent for too long; says something only while it is splitting.
    pub lease_expired: bool,
    pub key: String,
    /// How many more of the keys this and other imports have.
    pub more: u64,
}

/// Who looks whether keys are taken before it takes them, in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// One key, which is an import's own: a unique index has the last word among these.
    One,
    /// Those of several inputs.
    Several,
}

/// Keeps others from taking keys of a target until the caller's transaction ends: whoever takes several, all others; who takes one, those
/// who take several. What a process that froze holds, the server takes from it within seconds.
///
/// # Errors
/// [`LedgerError`] from the database, a lock timeout among them.
pub async fn lock_keys(conn: &mut PgConnection, target: Oid, taking: Taking) -> Result<(), LedgerError> {
    // The upper byte sets these keys apart from other advisory locks; `pgimport.guard_key()` takes the same for programs of before.
    let key = 0x6b << 56 | i64::from(target.0);
    let statement = match taking {
        Taking::One => {
            "SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', '4s', true),
                 pg_catalog.set_config('pgimport.keys_locked', 'on', true), pg_catalog.pg_advisory_xact_lock_shared($1)"
        }
        Taking::Several => {
            "SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', '4s', true),
                 pg_catalog.set_config('pgimport.keys_locked', 'on', true), pg_catalog.pg_advisory_xact_lock($1)"
        }
    };
    sqlx::query(statement).bind(key).execute(conn).await?;
    Ok(())
}

/// The newest import that holds one of these keys, as its own or for one of its inputs. One whose own key was taken away holds none. With
/// `but_loaded`, one that is loaded does not count: its place shall be taken.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn find_holder(
    conn: &mut PgConnection,
    keys: &[&str],
    but_loaded: bool,
) -> Result<Option<Holder>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT i.id AS "id!", i.state AS "state!: ImportState", i.lease_until < clock_timestamp() AS "lease_expired!", held.key AS "key!",
               count(*) OVER () AS "count!"
           FROM (SELECT id, key FROM pgimport.import WHERE key = ANY ($1) AND state <> 'cancelled'
                 UNION ALL
                 SELECT import_id, key FROM pgimport.import_input WHERE key = ANY ($1)) AS held
           JOIN pgimport.import AS i ON i.id = held.id
           WHERE i.state <> 'cancelled' AND i.key IS NOT NULL AND NOT ($2 AND i.state = 'loaded') ORDER BY i.id DESC LIMIT 1"#,
        keys as &[&str],
        but_loaded
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Holder {
            import: ImportId(row.id),
            state: row.state,
            lease_expired: row.lease_expired,
            key: row.key,
            more: unsigned("the keys that are held", row.count - 1)?,
        })
    })
    .transpose()
}

/// Stores the inputs of an import that has several.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, import: ImportId, inputs: &[Input]) -> Result<(), LedgerError> {
    if inputs.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let keys: Vec<Option<&str>> = inputs.iter().map(|input| input.key.as_deref()).collect();
    let fingerprints: Vec<&str> = inputs.iter().map(|input| input.fingerprint.as_str()).collect();
    let sizes = inputs
        .iter()
        .map(|input| signed::<u64, i64>("an input's size", input.size))
        .collect::<Result<Vec<i64>, LedgerError>>()?;
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_input (import_id, input, name, key, fingerprint, size_bytes)
         SELECT $1, i.number - 1, i.name, i.key, i.fingerprint, i.size_bytes
         FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
             AS i (name, key, fingerprint, size_bytes, number)",
        import.0,
        names as Vec<&str>,
        keys as Vec<Option<&str>>,
        fingerprints as Vec<&str>,
        &sizes
    )
    .execute(conn)
    .await?;
    expect_rows("storing inputs", inputs.len() as u64, done.rows_affected())
}

/// The inputs of an import in their order; none of an import that has one.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list(conn: &mut PgConnection, import: ImportId) -> Result<Vec<Input>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT name, key, fingerprint, size_bytes FROM pgimport.import_input WHERE import_id = $1 ORDER BY input",
        import.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Input {
                name: row.name,
                key: row.key,
                fingerprint: row.fingerprint,
                size: unsigned("an input's size", row.size_bytes)?,
            })
        })
        .collect()
}

/// What the inputs of an import are called, by their numbers.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn names(conn: &mut PgConnection, import: &Import) -> Result<Vec<String>, LedgerError> {
    let several = list(conn, import.id).await?;
    Ok(if several.is_empty() {
        vec![import.source.clone()]
    } else {
        several.into_iter().map(|input| input.name).collect()
    })
}
