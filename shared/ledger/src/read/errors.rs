//! What went wrong in an import, alike things together.

use model::ImportId;
use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    LedgerError,
    number::{unsigned, unsigned_option},
};

/// Rejects or chunk errors that differ in values alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErrorGroup {
    /// How many.
    pub count: u64,
    /// The table's column at fault, of rejects.
    pub column: Option<String>,
    /// The constraint that they break, where the server refused them.
    pub constraint: Option<String>,
    /// What may be said of them to anybody: nothing of what the server said, for that may hold values.
    pub reason: String,
    /// The first one's words; `None` for those who may not see what records hold.
    pub example: Option<String>,
    /// The line of the first one, where it has lines.
    pub first_line: Option<u64>,
}

/// What went wrong in an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GroupedErrors {
    /// Why records were rejected, the most frequent first.
    pub rejects: Vec<ErrorGroup>,
    /// How many rejects were looked at: the first of them, where there are very many.
    pub rejects_seen: u64,
    /// What befell chunks, the most frequent first.
    pub chunks: Vec<ErrorGroup>,
}

impl GroupedErrors {
    /// The same for those who may not see what records hold.
    #[must_use]
    pub fn without_examples(mut self) -> Self {
        for group in self.rejects.iter_mut().chain(&mut self.chunks) {
            group.example = None;
        }
        self
    }
}

/// Rejects, and chunks, that are looked at.
const SEEN: i64 = 20_000;
/// Groups that are told.
const GROUPS: i64 = 20;

/// Groups what went wrong in an import: by column and constraint, and by what is said without the values in it.
///
/// # Errors
/// [`LedgerError`] from the database.
pub async fn grouped_errors(conn: &mut PgConnection, import: ImportId) -> Result<GroupedErrors, LedgerError> {
    let rejects = sqlx::query!(
        r#"WITH seen AS (SELECT column_name, constraint_name, sqlstate, reason, line, row_number() OVER () AS n
               FROM (SELECT column_name, constraint_name, sqlstate, reason, line FROM pgimport.import_reject
                     WHERE import_id = $1 ORDER BY import_id, input, coalesce(record, 0), coalesce(start_byte, 0) LIMIT $2) AS first)
           SELECT count(*) AS "count!", column_name, constraint_name, CASE WHEN sqlstate IS NULL THEN regexp_replace(reason, '''[^'']*''|"[^"]*"|[0-9]+', '...', 'g')
                   ELSE 'refused by the server (' || sqlstate || ')' END AS "said!",
               CASE WHEN sqlstate IS NULL THEN '' ELSE regexp_replace(reason, '''[^'']*''|"[^"]*"|\([^)]*\)|[0-9]+', '', 'g') END AS alike,
               (array_agg(reason ORDER BY n))[1] AS example, (array_agg(line ORDER BY n))[1] AS first_line, sum(count(*)) OVER ()::bigint AS "seen!"
           FROM seen GROUP BY column_name, constraint_name, "said!", alike
           ORDER BY count(*) DESC, min(n) LIMIT $3"#,
        import.0,
        SEEN,
        GROUPS
    )
    .fetch_all(&mut *conn)
    .await?;
    let chunks = sqlx::query!(
        r#"WITH seen AS (SELECT last_error, first_line, ordinal FROM pgimport.import_chunk
               WHERE import_id = $1 AND last_error IS NOT NULL AND state IN ('pending', 'failed', 'loaded') ORDER BY ordinal LIMIT $2)
           SELECT count(*) AS "count!", 'an error of the database, the file or the worker' AS "said!",
               regexp_replace(last_error, '''[^'']*''|"[^"]*"|[0-9]+', '', 'g') AS alike,
               (array_agg(last_error ORDER BY ordinal))[1] AS example, (array_agg(first_line ORDER BY ordinal))[1] AS first_line
           FROM seen GROUP BY alike
           ORDER BY count(*) DESC, min(ordinal) LIMIT $3"#,
        import.0,
        SEEN,
        GROUPS
    )
    .fetch_all(conn)
    .await?;
    let line = |line| unsigned_option("a line's number", line);
    Ok(GroupedErrors {
        rejects_seen: unsigned("a number of rejects", rejects.first().map_or(0, |row| row.seen))?,
        rejects: rejects
            .into_iter()
            .map(|row| {
                Ok(ErrorGroup {
                    count: unsigned("a number of rejects", row.count)?,
                    column: row.column_name,
                    constraint: row.constraint_name,
                    reason: row.said,
                    example: row.example,
                    first_line: line(row.first_line)?,
                })
            })
            .collect::<Result<_, LedgerError>>()?,
        chunks: chunks
            .into_iter()
            .map(|row| {
                Ok(ErrorGroup {
                    count: unsigned("a number of chunks", row.count)?,
                    column: None,
                    constraint: None,
                    reason: row.said,
                    example: row.example,
                    first_line: line(row.first_line)?,
                })
            })
            .collect::<Result<_, LedgerError>>()?,
    })
}
