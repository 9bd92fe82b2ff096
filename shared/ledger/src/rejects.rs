//! Table `import_reject`: records that could not be loaded.

use model::{ChunkKey, ImportId, Position};
use sqlx::PgConnection;

use crate::{
    LedgerError,
    error::expect_rows,
    number::{signed, unsigned, unsigned_option},
};

/// A record that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub position: Position,
    /// The target's column at fault; `None` when the record as a whole does not fit.
    pub column: Option<String>,
    pub reason: String,
    /// The record as it stood in the source, without the line end.
    pub raw: Vec<u8>,
    /// Of a record that the server refused; `None` of one that was never sent to it.
    pub refusal: Option<Refusal>,
}

impl Reject {
    /// What the input is called that it stood in, by the names of the import's inputs.
    #[must_use]
    pub fn input_name<'i>(&self, names: &'i [String]) -> Option<&'i str> {
        let number = usize::try_from(self.position.input).ok()?;
        names.get(number).map(String::as_str)
    }
}

/// By what the server refused a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The server's code for it.
    pub sqlstate: String,
    /// The constraint that the record breaks, where it is one.
    pub constraint: Option<String>,
}

/// Stores the rejects of a chunk that is being loaded.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn insert(conn: &mut PgConnection, chunk: ChunkKey, rejects: &[Reject]) -> Result<(), LedgerError> {
    if rejects.is_empty() {
        return Ok(());
    }
    let places = |value: fn(&Position) -> Option<u64>| {
        rejects
            .iter()
            .map(|r| {
                value(&r.position)
                    .map(|n| signed::<u64, i64>("a record's place", n))
                    .transpose()
            })
            .collect::<Result<Vec<Option<i64>>, LedgerError>>()
    };
    let inputs = rejects
        .iter()
        .map(|r| signed::<u32, i32>("an input's number", r.position.input))
        .collect::<Result<Vec<i32>, LedgerError>>()?;
    let (records, starts, lines) = (places(|p| p.record)?, places(|p| p.byte)?, places(|p| p.line)?);
    let columns: Vec<Option<&str>> = rejects.iter().map(|r| r.column.as_deref()).collect();
    let reasons: Vec<&str> = rejects.iter().map(|r| r.reason.as_str()).collect();
    let raws: Vec<&[u8]> = rejects.iter().map(|r| r.raw.as_slice()).collect();
    let refusals = || rejects.iter().map(|r| r.refusal.as_ref());
    let sqlstates: Vec<Option<&str>> = refusals().map(|r| Some(r?.sqlstate.as_str())).collect();
    let constraints: Vec<Option<&str>> = refusals().map(|r| r?.constraint.as_deref()).collect();
    let done = sqlx::query!(
        "INSERT INTO pgimport.import_reject
             (import_id, ordinal, input, record, start_byte, line, column_name, reason, raw, sqlstate, constraint_name)
         SELECT $1, $2, r.*
         FROM unnest($3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[])
             AS r (input, record, start_byte, line, column_name, reason, raw, sqlstate, constraint_name)",
        chunk.import.0,
        chunk.ordinal,
        &inputs,
        records as Vec<Option<i64>>,
        starts as Vec<Option<i64>>,
        lines as Vec<Option<i64>>,
        columns as Vec<Option<&str>>,
        reasons as Vec<&str>,
        raws as Vec<&[u8]>,
        sqlstates as Vec<Option<&str>>,
        constraints as Vec<Option<&str>>,
    )
    .execute(conn)
    .await?;
    expect_rows("storing rejects", rejects.len() as u64, done.rows_affected())
}

/// **Bytes** of records that are read at once; one that is larger comes alone.
const PAGE_BYTES: i64 = 4 << 20;

/// Up to `limit` rejects of an import that lie behind `after`, in the order of the source; fewer where they are large, but none only where there are none.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn page(
    conn: &mut PgConnection,
    import: ImportId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Reject>, LedgerError> {
    let (input, record, byte) = match after {
        None => (-1, 0, 0),
        Some(after) => parts(after)?,
    };
    let rows = sqlx::query_as!(
        Row,
        "WITH next AS (
             SELECT import_id, input, record, start_byte, line, column_name, reason, raw, sqlstate, constraint_name FROM pgimport.import_reject
             WHERE import_id = $1 AND (input, coalesce(record, 0), coalesce(start_byte, 0)) > ($2, $3, $4)
             ORDER BY import_id, input, coalesce(record, 0), coalesce(start_byte, 0) LIMIT $5),
         sized AS (
             SELECT *, sum(octet_length(raw)) OVER (ORDER BY input, coalesce(record, 0), coalesce(start_byte, 0)
                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
             FROM next)
         SELECT input, record, start_byte, line, column_name, reason, raw, sqlstate, constraint_name FROM sized
         WHERE coalesce(before, 0) < $6 ORDER BY input, coalesce(record, 0), coalesce(start_byte, 0)",
        import.0,
        input,
        record,
        byte,
        limit,
        PAGE_BYTES
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Reject::try_from).collect()
}

/// A place as the order of rejects has it.
fn parts(position: Position) -> Result<(i32, i64, i64), LedgerError> {
    let place = |n: Option<u64>| signed::<u64, i64>("a record's place", n.unwrap_or(0));
    Ok((
        signed::<u32, i32>("an input's number", position.input)?,
        place(position.record)?,
        place(position.byte)?,
    ))
}

/// Whether an import has rejects behind `after`.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn any_behind(conn: &mut PgConnection, import: ImportId, after: Position) -> Result<bool, LedgerError> {
    let (input, record, byte) = parts(after)?;
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pgimport.import_reject
           WHERE import_id = $1 AND (input, coalesce(record, 0), coalesce(start_byte, 0)) > ($2, $3, $4)) AS "any!""#,
        import.0,
        input,
        record,
        byte
    )
    .fetch_one(conn)
    .await?)
}

/// The rejects of one chunk, in the order of the source.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn of_chunk(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Vec<Reject>, LedgerError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT input, record, start_byte, line, column_name, reason, raw, sqlstate, constraint_name FROM pgimport.import_reject
         WHERE import_id = $1 AND ordinal = $2 ORDER BY input, record, start_byte",
        chunk.import.0,
        chunk.ordinal
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Reject::try_from).collect()
}

struct Row {
    input: i32,
    record: Option<i64>,
    start_byte: Option<i64>,
    line: Option<i64>,
    column_name: Option<String>,
    reason: String,
    raw: Vec<u8>,
    sqlstate: Option<String>,
    constraint_name: Option<String>,
}

impl TryFrom<Row> for Reject {
    type Error = LedgerError;

    fn try_from(row: Row) -> Result<Self, LedgerError> {
        Ok(Self {
            position: Position {
                input: unsigned("an input's number", row.input.into())?,
                record: unsigned_option("a record's number", row.record)?,
                byte: unsigned_option("a record's start", row.start_byte)?,
                line: unsigned_option("a line's number", row.line)?,
            },
            column: row.column_name,
            reason: row.reason,
            raw: row.raw,
            refusal: row.sqlstate.map(|sqlstate| Refusal {
                sqlstate,
                constraint: row.constraint_name,
            }),
        })
    }
}
