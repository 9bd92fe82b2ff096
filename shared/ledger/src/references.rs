//! Table `import_reference`: where workers read the inputs of an import of which no bytes are stored.

use model::ImportId;
use sqlx::PgConnection;

use crate::{
    LedgerError,
    error::expect_rows,
    number::{signed, unsigned},
};

/// Where an input is, and what it was when it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub address: String,
    /// **Bytes**.
    pub size: u64,
    /// What its store called its content.
    pub etag: Option<String>,
    /// **Nanoseconds** since 1970 at which it had been written last, where there is no etag.
    pub modified: Option<i64>,
}

/// Stores the references of an import, in the order of its inputs.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, import: ImportId, references: &[Reference]) -> Result<(), LedgerError> {
    let addresses: Vec<&str> = references.iter().map(|reference| reference.address.as_str()).collect();
    let etags: Vec<Option<&str>> = references.iter().map(|reference| reference.etag.as_deref()).collect();
    let modified: Vec<Option<i64>> = references.iter().map(|reference| reference.modified).collect();
    let sizes = references
        .iter()
        .map(|reference| signed::<u64, i64>("an input's size", reference.size))
        .collect::<Result<Vec<i64>, LedgerError>>()?;
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_reference (import_id, input, address, size_bytes, etag, modified_ns)
         SELECT $1, r.number - 1, r.address, r.size_bytes, r.etag, r.modified_ns
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[]) WITH ORDINALITY
             AS r (address, size_bytes, etag, modified_ns, number)",
        import.0,
        addresses as Vec<&str>,
        &sizes,
        etags as Vec<Option<&str>>,
        modified as Vec<Option<i64>>
    )
    .execute(conn)
    .await?;
    expect_rows("storing references", references.len() as u64, done.rows_affected())
}

/// The references of an import, in the order of its inputs; none where the bytes are stored.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn list(conn: &mut PgConnection, import: ImportId) -> Result<Vec<Reference>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT address, size_bytes, etag, modified_ns FROM pgimport.import_reference WHERE import_id = $1 ORDER BY input",
        import.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Reference {
                address: row.address,
                size: unsigned("an input's size", row.size_bytes)?,
                etag: row.etag,
                modified: row.modified_ns,
            })
        })
        .collect()
}
