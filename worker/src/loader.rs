//! Puts a chunk's rows into the target. With the eraser, the only code that writes a user's table.
//!
//! Every function works within the caller's transaction. The SQL that names user tables is built here, each identifier quoted, and each
//! name of the server's own with its schema: see [`shared::database::role_session`]. (`unnest` of several arrays is the server's by its
//! syntax, and has no schema.)

use shared::{
    store::registry::{IdRange, TakenIds},
    target::{Column, ColumnType, Target, quote_identifier},
};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::types::Oid};

use crate::{
    encode::{ArrayBuffer, Rows},
    ids,
};

/// Why rows could not be put into the target.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the database refused the rows")]
    Database(#[from] sqlx::Error),
    #[error(
        "{table} took {taken} of {sent} rows: a trigger or a policy drops some, so that they could not be told from rejects"
    )]
    RowsTaken { table: String, sent: u64, taken: u64 },
    #[error(
        "the sequence {sequence} gave the id {id}, which the id column cannot hold: ALTER the column to bigint, or restart the sequence"
    )]
    IdWidth { sequence: String, id: i64 },
    #[error("the table {table} was dropped and made again while it was loaded")]
    Replaced { table: String },
}

/// How the rows of an import are put into its target; made once and used for every chunk.
#[derive(Debug)]
pub struct LoadPlan {
    target: Target,
    /// With `$1` to `$3` as the ends and the step of a single range of ids.
    insert_range: String,
    /// With any ids as `$1`.
    insert: String,
    copy: String,
    xids_statement: String,
}

/// Which rows a chunk put into the target.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    pub ids: TakenIds,
    /// The `xmin` values of the rows.
    pub row_xids: Vec<i64>,
}

impl LoadPlan {
    #[must_use]
    pub fn new(target: Target, columns: &[Column]) -> Self {
        let id = quote_identifier(&target.id.name);
        let xids_statement = format!(
            "SELECT coalesce(pg_catalog.array_agg(DISTINCT t.xmin::pg_catalog.text::pg_catalog.int8), '{{}}') AS xids,
                    pg_catalog.count(*) AS found
             FROM unnest($1::pg_catalog.int8[], $2::pg_catalog.int8[], $3::pg_catalog.int8[]) AS r (start_id, end_id, step)
             JOIN {} AS t ON t.{id} BETWEEN r.start_id AND r.end_id AND (t.{id} - r.start_id) % r.step = 0",
            target.from
        );
        Self {
            insert_range: insert_statement(
                &target,
                columns,
                "pg_catalog.generate_series($1::pg_catalog.int8, $2::pg_catalog.int8, $3::pg_catalog.int8)",
                4,
            ),
            insert: insert_statement(&target, columns, "pg_catalog.unnest($1::pg_catalog.int8[])", 2),
            copy: copy_statement(&target, columns),
            xids_statement,
            target,
        }
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Takes ids for the rows and puts them into the target. `None` without rows.
    ///
    /// After an error the connection must be closed, not used again: it may still hold the lock under which ids are taken.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(&self, conn: &mut PgConnection, rows: Rows) -> Result<Option<Loaded>, LoadError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let count = rows.len() as u64;
        let ids = ids::take(conn, &self.target.id, count).await?;
        let ranges = ids.ranges.as_slice();
        self.check_width(ranges)?;
        fail::fail_point!("after-ids");
        let taken = match rows {
            Rows::Arrays(columns) => self.insert(conn, ranges, columns).await?,
            Rows::Tuples(tuples) => {
                let mut copy = conn.copy_in_raw(&self.copy).await?;
                // As one message: in pieces of 256 KiB client and server wake each other so often that a load takes a quarter more CPU.
                copy.send(tuples.into_copy_data(ranges)).await?;
                copy.finish().await?
            }
        };
        if taken != count {
            return Err(LoadError::RowsTaken {
                table: self.target.name.clone(),
                sent: count,
                taken,
            });
        }
        let row_xids = self.row_xids(conn, ranges, count).await?;
        Ok(Some(Loaded { ids, row_xids }))
    }

    async fn insert(
        &self,
        conn: &mut PgConnection,
        ranges: &[IdRange],
        columns: Vec<ArrayBuffer>,
    ) -> Result<u64, LoadError> {
        let mut query = if let [range] = ranges {
            sqlx::query(AssertSqlSafe(self.insert_range.as_str()))
                .bind(range.start_id)
                .bind(range.end_id)
                .bind(range.step)
        } else {
            let ids: Vec<i64> = ranges.iter().flat_map(|range| range.ids()).collect();
            sqlx::query(AssertSqlSafe(self.insert.as_str())).bind(ids)
        };
        for column in columns {
            query = query.bind(column);
        }
        Ok(query.execute(conn).await?.rows_affected())
    }

    /// Binary COPY has no cast that would find an id too large.
    fn check_width(&self, ranges: &[IdRange]) -> Result<(), LoadError> {
        let (lowest, highest) = match self.target.id.width {
            2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        match ranges
            .iter()
            .find(|range| range.start_id < lowest || range.end_id > highest)
        {
            Some(range) => Err(LoadError::IdWidth {
                sequence: self.target.id.sequence.clone(),
                id: range.end_id,
            }),
            None => Ok(()),
        }
    }

    /// The `xmin` values of the rows just written, and a last look that they went into the table that was meant: it cannot be replaced
    /// any more while this transaction has written to it.
    async fn row_xids(&self, conn: &mut PgConnection, ranges: &[IdRange], count: u64) -> Result<Vec<i64>, LoadError> {
        let row = sqlx::query!(
            r#"SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS "oid: Oid",
                   pg_catalog.pg_current_xact_id()::pg_catalog.xid::pg_catalog.text::pg_catalog.int8 AS "xid!""#,
            self.target.name
        )
        .fetch_one(&mut *conn)
        .await?;
        if row.oid != Some(self.target.oid) {
            return Err(LoadError::Replaced {
                table: self.target.name.clone(),
            });
        }
        if !self.target.has_triggers {
            return Ok(vec![row.xid]);
        }
        let column = |part: fn(&IdRange) -> i64| ranges.iter().map(part).collect::<Vec<i64>>();
        let row = sqlx::query(AssertSqlSafe(self.xids_statement.as_str()))
            .bind(column(|r| r.start_id))
            .bind(column(|r| r.end_id))
            .bind(column(|r| r.step))
            .fetch_one(conn)
            .await?;
        let found = row.try_get::<i64, _>("found")?.unsigned_abs();
        if found != count {
            return Err(LoadError::RowsTaken {
                table: self.target.name.clone(),
                sent: count,
                taken: found,
            });
        }
        Ok(row.try_get("xids")?)
    }
}

/// The id's column and those of the file, quoted, for a statement's list.
fn column_list(target: &Target, columns: &[Column]) -> String {
    let names = std::iter::once(&target.id.name).chain(columns.iter().map(|column| &column.name));
    names.map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ")
}

/// `ids` yields the ids; the columns' arrays are the parameters from `first_array` on.
///
/// Set-returning functions in the select list stream; in FROM they would be stored first.
fn insert_statement(target: &Target, columns: &[Column], ids: &str, first_array: usize) -> String {
    let values = (first_array..).zip(columns).map(|(parameter, column)| {
        // The types are said, for a session prepares a text once: a column of another type since must have another text.
        let values = format!(
            "pg_catalog.unnest(${parameter}::pg_catalog.{})",
            array_type(&column.kind)
        );
        match &column.kind {
            ColumnType::Other { sql_name, .. } => format!("{values}::{sql_name}"),
            _ => values,
        }
    });
    let values: Vec<String> = std::iter::once(ids.to_owned()).chain(values).collect();
    let (table, names) = (&target.name, column_list(target, columns));
    format!(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {}",
        values.join(", ")
    )
}

/// The type of the array in which a column's values are sent.
fn array_type(kind: &ColumnType) -> &'static str {
    match kind {
        ColumnType::Text { .. } | ColumnType::Other { .. } => "text[]",
        ColumnType::Int2 => "int2[]",
        ColumnType::Int4 => "int4[]",
        ColumnType::Int8 => "int8[]",
        ColumnType::Bool => "bool[]",
        ColumnType::Float4 => "float4[]",
        ColumnType::Float8 => "float8[]",
        ColumnType::Numeric { .. } => "numeric[]",
        ColumnType::Date => "date[]",
        ColumnType::Timestamp { .. } => "timestamp[]",
        ColumnType::Timestamptz { .. } => "timestamptz[]",
        ColumnType::Uuid => "uuid[]",
    }
}

fn copy_statement(target: &Target, columns: &[Column]) -> String {
    format!(
        "COPY {} ({}) FROM STDIN (FORMAT binary)",
        target.name,
        column_list(target, columns)
    )
}
