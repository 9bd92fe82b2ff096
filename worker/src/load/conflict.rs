//! Putting rows into a target that may have rows of the same keys already.
//!
//! Of records with the same key in one statement one counts, so that no row is written twice; and all take their keys in one order, so that
//! two loads wait for one another and do not block each other.
//!
//! Rows are updated by two statements. The first one inserts, or else locks the row that has the key, whatever others do with it meanwhile.
//! The second one, which sees what was locked, keeps the rows as they are and updates them. One statement alone cannot do it: what it
//! updates may be newer than what it sees.

use std::collections::BTreeMap;

use ledger::{
    before,
    conflicts::{ConflictCounts, Superseded},
    seen,
};
use model::ChunkKey;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use target::{Column, Conflict, ConflictColumn, KeyColumn, Target, is_of_key, quote_identifier, text_array};

use super::{
    pages,
    plan::{LoadError, Put, unsigned},
    sink::{ArrayBuffer, Parts},
    statements::{BY_PAGES, PAGES, PLACE, arrays, column_list},
};

/// The statements of an import that may find rows of its keys.
#[derive(Debug)]
pub(super) struct OnConflict {
    /// With the columns' arrays from `$1` on, and how many values each has. Returns which of the records count, from 1.
    choose: String,
    /// The same, where keys are remembered with the import and the chunk's number after them. Returns the pages of the rows that it inserted;
    /// where rows are updated, those that it did not insert are locked then.
    insert: String,
    /// Whether the key of each row is remembered that has a record.
    remembers: bool,
    /// The same with the import and the chunk's number after them.
    update: Option<String>,
    table: String,
}

/// A query that compares records, which come as for [`OnConflict`], with rows of their keys: `rows` is a query for all columns of those that
/// are as they were loaded, and `differs` a condition on a row `t` and a record `s`, which has what it has in the columns as `c0`, `c1`, ….
/// Returns how many of these rows there are as `there`, but for those with a NULL in their key, which have no equals; how many have a record
/// as `found`, how many of these differ as `differing`; and how many records have no row of their key at all as `absent`.
pub(crate) fn comparison(
    target: &Target,
    columns: &[Column],
    conflict: &Conflict,
    (rows, differs): (&str, &str),
) -> String {
    let statements = Writer {
        target,
        columns,
        conflict,
    };
    let nullable = conflict.key.iter().filter(|key| key.nullable);
    let keys = conflict.key.iter();
    let keys = keys.map(|key| format!("s.{} IS DISTINCT FROM NULL", statements.value(&key.column.name)));
    let with_key = keys.collect::<Vec<_>>().join(" AND ");
    let keyed: String = nullable
        .map(|key| format!(" AND t.{} IS DISTINCT FROM NULL", quote_identifier(&key.column.name)))
        .collect();
    format!(
        "WITH s AS ({}), t AS MATERIALIZED ({rows})
         SELECT (SELECT pg_catalog.count(*) FROM t WHERE true{keyed}) AS there, pg_catalog.count(*) AS found,
             pg_catalog.count(*) FILTER (WHERE {differs}) AS differing,
             (SELECT pg_catalog.count(*) FROM s WHERE {with_key} AND NOT EXISTS (SELECT FROM {from} AS t WHERE {is_of_key})) AS absent
         FROM s JOIN t ON {is_of_key}",
        statements.records(),
        from = target.from,
        is_of_key = statements.is_of_key(),
    )
}

/// What came of rows, as far as they were not simply inserted.
#[derive(Debug, Default)]
pub struct Conflicts {
    pub counts: ConflictCounts,
    pub superseded: Vec<Superseded>,
}

impl OnConflict {
    pub(super) fn new(target: &Target, columns: &[Column], conflict: &Conflict) -> Self {
        let statements = Writer {
            target,
            columns,
            conflict,
        };
        Self {
            choose: format!("SELECT s.n FROM ({}) AS s ORDER BY s.n", statements.records()),
            insert: statements.insert(),
            remembers: conflict.removes_missing,
            update: (!conflict.columns.is_empty()).then(|| statements.update()),
            table: target.name.clone(),
        }
    }

    /// Whether rows that are there already are changed.
    pub(super) fn updates(&self) -> bool {
        self.update.is_some()
    }

    /// Puts rows into the target, or over those that are there. With `exactly`, none may have been put there by this transaction before, and
    /// each has to be found again.
    pub(super) async fn put(
        &self,
        conn: &mut PgConnection,
        chunk: ChunkKey,
        columns: &[ArrayBuffer],
        exactly: bool,
    ) -> Result<Put, LoadError> {
        let count = columns.first().map_or(0, ArrayBuffer::count) as u64;
        let number = i64::try_from(count).unwrap_or(i64::MAX);
        let mut query = sqlx::query(AssertSqlSafe(self.insert.as_str()));
        for column in columns {
            query = query.bind(column);
        }
        query = query.bind(number);
        if self.remembers {
            before::pin_text_forms(&mut *conn).await?;
            query = query.bind(chunk.import.0).bind(chunk.ordinal);
        }
        let mut put = Put::default();
        for row in &query.fetch_all(&mut *conn).await.map_err(LoadError::Rows)? {
            pages::add(&mut put, row)?;
        }
        let inserted = put.taken;
        let mut found = Found::default();
        if let Some(update) = self.update.as_ref().filter(|_| inserted < count) {
            if !self.remembers {
                before::pin_text_forms(&mut *conn).await?;
            }
            // Planned anew for each chunk, as large as it and the table are now: a plan of when the table was small would go on reading all of it.
            let mut query = sqlx::query(AssertSqlSafe(update.as_str())).persistent(false);
            for column in columns {
                query = query.bind(column);
            }
            let query = query.bind(number).bind(chunk.import.0).bind(chunk.ordinal);
            for row in &query.fetch_all(conn).await.map_err(LoadError::Rows)? {
                found.add(&mut put, row)?;
            }
            if exactly && inserted + found.there != found.keys {
                return Err(LoadError::RowsTaken {
                    table: self.table.clone(),
                    sent: found.keys,
                    taken: inserted + found.there,
                });
            }
        }
        let Found { mut conflicts, .. } = found;
        conflicts.counts.skipped = count.saturating_sub(put.taken + conflicts.counts.unchanged);
        put.conflicts = conflicts;
        Ok(put)
    }
}

impl OnConflict {
    /// The same one by one, in the order of the records: what the server refuses together it may accept one after the other.
    pub(super) async fn put_in_order(
        &self,
        conn: &mut PgConnection,
        chunk: ChunkKey,
        rows: &Parts,
    ) -> Result<Put, LoadError> {
        let all: Vec<usize> = (0..rows.count()).collect();
        let columns = rows.part(&all);
        let mut query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(self.choose.as_str()));
        for column in &columns {
            query = query.bind(column);
        }
        let number = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let chosen = query
            .bind(number)
            .fetch_all(&mut *conn)
            .await
            .map_err(LoadError::Rows)?;
        let mut put = Put::default();
        let mut superseded: BTreeMap<i32, Superseded> = BTreeMap::new();
        for row in chosen.into_iter().filter_map(|n| usize::try_from(n - 1).ok()) {
            let one = self.put(conn, chunk, &rows.part(&[row]), true).await?;
            put.taken += one.taken;
            put.pages.extend(one.pages);
            put.conflicts.counts.updated += one.conflicts.counts.updated;
            put.conflicts.counts.unchanged += one.conflicts.counts.unchanged;
            for more in one.conflicts.superseded {
                let chunk = superseded.entry(more.ordinal).or_insert(Superseded {
                    rows: 0,
                    updated: 0,
                    ..more
                });
                chunk.rows += more.rows;
                chunk.updated += more.updated;
            }
        }
        put.conflicts.superseded = superseded.into_values().collect();
        let counts = &mut put.conflicts.counts;
        counts.skipped = (all.len() as u64).saturating_sub(put.taken + counts.unchanged);
        Ok(put)
    }
}

/// What the statement for updates says.
#[derive(Debug, Default)]
struct Found {
    conflicts: Conflicts,
    /// Different keys of the records.
    keys: u64,
    /// Those that the table had already.
    there: u64,
}

impl Found {
    /// Takes a row that it returns.
    fn add(&mut self, put: &mut Put, row: &PgRow) -> Result<(), LoadError> {
        let counts = &mut self.conflicts.counts;
        let rows = unsigned(row.try_get("rows")?)?;
        match row.try_get("kind")? {
            "page" => return pages::add(put, row),
            "updated" => counts.updated += rows,
            "superseded" => {
                let chunk = Superseded {
                    ordinal: row.try_get("ordinal")?,
                    rows,
                    updated: unsigned(row.try_get("existed")?)?,
                };
                // Before the import there were these.
                counts.updated += chunk.updated;
                self.conflicts.superseded.push(chunk);
            }
            "unchanged" => counts.unchanged = rows,
            "there" => self.there = rows,
            _ => self.keys = rows,
        }
        Ok(())
    }
}

/// Writes the statements of a target.
struct Writer<'a> {
    target: &'a Target,
    columns: &'a [Column],
    conflict: &'a Conflict,
}

impl Writer<'_> {
    /// The parameter after the columns' arrays, and those after it.
    fn parameter(&self, after: usize) -> String {
        format!("${}", self.columns.len() + 1 + after)
    }

    /// What a record has in a column: `c0`, `c1`, … in the order of the columns.
    fn value(&self, name: &str) -> String {
        let index = self.columns.iter().position(|column| column.name == name);
        format!("c{}", index.unwrap_or_default())
    }

    /// The records, one for each key: of several the last one where rows are updated, or else the first. In the order of the keys.
    fn records(&self) -> String {
        let values = arrays(self.columns, 1).enumerate();
        let values: Vec<String> = values.map(|(index, array)| format!("{array} AS c{index}")).collect();
        let key_of = |key: &KeyColumn| key.column.as_key(&self.value(&key.column.name));
        let mut key: Vec<String> = self.conflict.key.iter().map(key_of).collect();
        let nullable = self.conflict.key.iter().filter(|key| key.nullable);
        let nulls: Vec<String> = nullable
            // Of a composite, NULL is something else than nothing but NULLs.
            .map(|key| format!("{} IS NOT DISTINCT FROM NULL", self.value(&key.column.name)))
            .collect();
        if !nulls.is_empty() {
            // These have no equals.
            key.push(format!("CASE WHEN {} THEN n END", nulls.join(" OR ")));
        }
        let (key, order) = (
            key.join(", "),
            if self.conflict.columns.is_empty() { "" } else { "DESC" },
        );
        format!(
            "SELECT DISTINCT ON ({key}) * FROM (
                 SELECT {}, pg_catalog.generate_series(1::pg_catalog.int8, {}::pg_catalog.int8) AS n) AS given
             ORDER BY {key}, n {order}",
            values.join(", "),
            self.parameter(0)
        )
    }

    fn insert(&self) -> String {
        let each: Vec<String> = (0..self.columns.len()).map(|index| format!("c{index}")).collect();
        let key: Vec<String> = self
            .conflict
            .key
            .iter()
            .map(|key| quote_identifier(&key.column.name))
            .collect();
        let then = match self.conflict.columns.first() {
            None => "NOTHING".to_owned(),
            Some(column) => {
                let column = quote_identifier(&column.name);
                format!("UPDATE SET {column} = excluded.{column} WHERE false")
            }
        };
        let (of_row, remembered) = if self.conflict.removes_missing {
            let key = text_array(self.conflict.key.iter().map(|key| &key.column));
            (format!(", {key} AS key"), self.remembered("put"))
        } else {
            Default::default()
        };
        format!(
            "WITH put AS (
                 INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM ({}) AS s
                 ON CONFLICT ({}) DO {then}
                 RETURNING {PLACE}{of_row}){remembered}
             SELECT {PAGES} FROM put {BY_PAGES}",
            self.target.name,
            column_list(None, self.columns),
            each.join(", "),
            self.records(),
            key.join(", ")
        )
    }

    /// A part of a statement that remembers the `key` of each row of a query.
    fn remembered(&self, rows: &str) -> String {
        let statement = seen::save(rows, &self.parameter(1), &self.parameter(2));
        format!(", remembered AS ({statement})")
    }

    /// That the row `t` has the key of the record `s`.
    fn is_of_key(&self) -> String {
        is_of_key(&self.conflict.key, |_, key| {
            format!("s.{}", self.value(&key.column.name))
        })
    }

    /// Something made of each column that is updated and what the record `s` has in it.
    fn each(&self, part: impl Fn(&ConflictColumn, String) -> String) -> String {
        let columns = self.conflict.columns.iter();
        let parts = columns.map(|column| {
            let value = format!("s.{}::{}", self.value(&column.name), column.sql_type);
            part(column, value)
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// What the row `t` has in the columns that are updated, and the record `s`.
    fn compared(&self) -> (String, String) {
        (self.each(|column, _| column.of_row()), self.each(|_, value| value))
    }

    /// Rows are compared byte by byte, and not by their types' own equality, of which some have none, and some take for equal what is not.
    fn update(&self) -> String {
        let (from, conflict) = (&self.target.from, self.conflict);
        let (import, ordinal) = (self.parameter(1), self.parameter(2));
        let is_of_key = self.is_of_key();
        let (there, given) = self.compared();
        // Nobody can have moved what is locked. Of partitions, each would be looked into for each place.
        let is_found = if from.starts_with("ONLY ") {
            "t.ctid OPERATOR(pg_catalog.=) s.place"
        } else {
            is_of_key.as_str()
        };
        let set = self.each(|column, value| format!("{} = {value}", quote_identifier(&column.name)));
        let key = text_array(conflict.key.iter().map(|key| &key.column));
        let image = text_array(&conflict.columns);
        let remembered = if conflict.removes_missing {
            self.remembered("there")
        } else {
            String::new()
        };
        format!(
            "WITH s AS ({records}),
                 own AS ({own}),
                 there AS MATERIALIZED (
                     SELECT s.*, t.ctid AS place, t.xmin::pg_catalog.text::pg_catalog.int8 AS xmin, {key} AS key, {image} AS image,
                         pg_catalog.record_image_ne(ROW({there}), ROW({given})) AS differs
                     FROM s JOIN {from} AS t ON {is_of_key}
                     WHERE t.xmin OPERATOR(pg_catalog.<>) pg_catalog.pg_current_xact_id()::pg_catalog.xid),
                 found AS MATERIALIZED (SELECT there.*, own.ordinal AS own FROM there LEFT JOIN own ON own.xmin = there.xmin),
                 changed AS (SELECT * FROM found WHERE differs),
                 saved AS ({save}),
                 put AS (UPDATE {from} AS t SET {set} FROM changed AS s WHERE {is_found} RETURNING t.tableoid AS leaf, t.ctid AS place){remembered}
             SELECT 'page' AS kind, {PAGES}, NULL::pg_catalog.int4 AS ordinal, NULL::pg_catalog.int8 AS existed FROM put {BY_PAGES}
             UNION ALL
             SELECT CASE WHEN supersedes IS NULL THEN 'updated' ELSE 'superseded' END, NULL, NULL, NULL, NULL, pg_catalog.count(*), supersedes,
                 pg_catalog.count(*) FILTER (WHERE existed)
             FROM saved GROUP BY supersedes
             UNION ALL
             SELECT 'unchanged', NULL, NULL, NULL, NULL, pg_catalog.count(*), NULL, NULL FROM found WHERE NOT differs AND own IS NULL
             UNION ALL
             SELECT 'there', NULL, NULL, NULL, NULL, pg_catalog.count(*), NULL, NULL FROM there
             UNION ALL
             SELECT 'keys', NULL, NULL, NULL, NULL, pg_catalog.count(*), NULL, NULL FROM s",
            records = self.records(),
            own = before::own_transactions(&import),
            save = before::save("changed", &import, &ordinal),
        )
    }
}
