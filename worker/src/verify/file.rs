//! The files of an import beside its rows.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ledger::{chunks::ChunkRow, rejects::Reject};
use model::{ImportSpec, Position, Span, TextSpec};
use source::Source;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{Column, ColumnType, Conflict, Target, UndoTarget, quote_identifier};

use super::{DifferenceKind, Verification, VerifyError, WhyNot, source_text::SourceText};
use crate::{
    load::{
        conflict::comparison,
        rows::{self, ParseError},
        shape::{About, RecordShape},
        sink::{ArrayBuffer, Parts, Sink},
    },
    undo::{
        erase::{Rows, ours},
        places::{Places, Registered},
    },
};

/// The files beside the table.
pub(super) struct FileComparison {
    /// By the number of the input.
    files: HashMap<u32, Source>,
    text: TextSpec,
    /// The input that is being read: chunks come in the order of the inputs.
    open: Option<(u32, SourceText)>,
    shape: Arc<RecordShape>,
    target: Target,
    /// How rows were found that were there already, if they could be.
    conflict: Option<Conflict>,
}

impl FileComparison {
    pub(super) fn new(
        files: HashMap<u32, Source>,
        spec: &ImportSpec,
        about: &About,
        target: Target,
        conflict: Option<Conflict>,
    ) -> Result<Self, VerifyError> {
        let columns: Vec<Column> = target.select(&spec.mapping.columns())?.into_iter().cloned().collect();
        let shape = RecordShape::new(columns, spec, about)?;
        Ok(Self {
            files,
            text: spec.text.clone(),
            open: None,
            shape: Arc::new(shape),
            target,
            conflict,
        })
    }

    pub(super) async fn compare(
        &mut self,
        conn: &mut PgConnection,
        (chunk, place): (&ChunkRow, &str),
        rows: &Rows<'_>,
        rejects: &[Reject],
        report: &mut Verification,
    ) -> Result<(), VerifyError> {
        let Some(text) = self.text_of(chunk.span.start.input) else {
            return Ok(());
        };
        // What the server refused is read as a row here.
        let (refused, unread): (Vec<&Reject>, Vec<&Reject>) =
            rejects.iter().partition(|reject| reject.refusal.is_some());
        let rejected = records(unread);
        let refused = refused.iter().map(|reject| reject.position).collect();
        let (parsed, columns) = match self.parse(text, chunk, refused).await? {
            Ok(parsed) => parsed,
            Err(error) => {
                report.differ(DifferenceKind::Parse, chunk.span.record_count, || {
                    format!("{place}: {error}")
                });
                return Ok(());
            }
        };
        let records = records(&parsed);
        if records != rejected {
            report.differ(
                DifferenceKind::Parse,
                records.len().abs_diff(rejected.len()).max(1) as u64,
                || {
                    let (before, now) = (numbers(&rejected), numbers(&records));
                    format!("{place}: the records {before} were rejected, now {now}")
                },
            );
            return Ok(());
        }
        match rows.registered {
            Registered::Ids { column, ranges } => {
                let ids: Vec<i64> = ranges.iter().flat_map(|range| range.range.ids()).collect();
                let statement = self.by_ids(rows.target, column);
                let mut query = sqlx::query(AssertSqlSafe(statement)).bind(ids);
                for column in &columns {
                    query = query.bind(column);
                }
                for row in &query.fetch_all(conn).await? {
                    let id: i64 = row.try_get("id")?;
                    report.differ(DifferenceKind::Content, 1, || format!("the row with id {id}, {place}"));
                }
            }
            Registered::Pages(_) if chunk.deleted_count + chunk.kept_count > 0 => {
                report.leave(
                    WhyNot::PartiallyUndone,
                    chunk.span.record_count.saturating_sub(chunk.rejected_count),
                );
            }
            Registered::Pages(_) => {
                let places = Places::find(conn, rows.target, rows.registered, false)
                    .await
                    .map_err(VerifyError::Target)?;
                match &self.conflict {
                    Some(conflict) => {
                        let counts = &rows.conflicts.counts;
                        report.leave(WhyNot::RowOfOthers, counts.unchanged + counts.skipped);
                        let statement = self.by_key(conflict, &places);
                        self.compare_found(conn, &statement, &columns, (chunk, place), report)
                            .await?;
                    }
                    None => {
                        let statement = self.by_content(&places);
                        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
                        for column in &columns {
                            query = query.bind(column);
                        }
                        let row = query.fetch_one(conn).await?;
                        let differing: i64 = row.try_get("differing")?;
                        report.differ(DifferenceKind::Content, differing.unsigned_abs(), || {
                            format!("{differing} records of the file have no row with their values, {place}")
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Compares rows that are as they were loaded with the records of their keys; of those that the table has otherwise, nobody knows what
    /// they were.
    async fn compare_found(
        &self,
        conn: &mut PgConnection,
        statement: &str,
        columns: &[ArrayBuffer],
        (chunk, place): (&ChunkRow, &str),
        report: &mut Verification,
    ) -> Result<(), VerifyError> {
        let records = columns.first().map_or(0, ArrayBuffer::count);
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        for column in columns {
            query = query.bind(column);
        }
        let row = query
            .bind(i64::try_from(records).unwrap_or(i64::MAX))
            .fetch_one(conn)
            .await?;
        let number = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        let (there, found, differing) = (number("there")?, number("found")?, number("differing")?);
        // Of the import's own it is known already.
        let absent = number("absent")?.saturating_sub(chunk.loaded_count.saturating_sub(there));
        report.differ(DifferenceKind::MissingRow, absent, || {
            format!("{absent} records found their row in the table, and it is gone, {place}")
        });
        report.differ(DifferenceKind::Content, there.abs_diff(found) + differing, || {
            format!(
                "of {there} rows {found} have a record with their key, and {differing} of these other values, {place}"
            )
        });
        Ok(())
    }

    /// How rows of places that are as they were loaded differ from the records of their keys.
    fn by_key(&self, conflict: &Conflict, places: &Places) -> String {
        // A partition may have its columns in another order.
        let columns = self.shape.columns.iter();
        let columns: Vec<String> = columns
            .map(|column| format!("t.{}", quote_identifier(&column.name)))
            .collect();
        let rows_where =
            |from: &str, condition: &str| format!("SELECT {} FROM {from} AS t WHERE {condition}", columns.join(", "));
        let rows = places
            .places
            .iter()
            .map(|place| rows_where(&place.from, &format!("{} AND {}", place.within, ours(place))));
        let rows: Vec<String> = std::iter::once(rows_where(&self.target.from, "false"))
            .chain(rows)
            .collect();
        let rows = rows.join(" UNION ALL ");
        // What an update leaves alone was there before.
        let is_written = |column: &Column| {
            let mut updated = conflict.columns.iter();
            conflict.columns.is_empty() || updated.any(|updated| updated.name == column.name)
        };
        let columns = self.shape.columns.iter().enumerate();
        let differs = columns.filter(|(_, column)| is_written(column)).map(|(index, column)| {
            let (there, here) = compared(column, &format!("s.c{index}"));
            format!("{there} IS DISTINCT FROM {here}")
        });
        let differs = differs.collect::<Vec<_>>().join(" OR ");
        comparison(&self.target, &self.shape.columns, conflict, (&rows, &differs))
    }

    /// The ids whose row differs from the values beside them, which come as arrays after the ids.
    fn by_ids(&self, target: &UndoTarget, column: &str) -> String {
        let (mut selected, mut differs) = (
            vec!["pg_catalog.unnest($1::pg_catalog.int8[]) AS id".to_owned()],
            Vec::new(),
        );
        for (index, column) in self.shape.columns.iter().enumerate() {
            selected.push(format!("pg_catalog.unnest(${}) AS v{index}", index + 2));
            let (there, here) = compared(column, &format!("f.v{index}"));
            differs.push(format!("{there} IS DISTINCT FROM {here}"));
        }
        let id = quote_identifier(column);
        format!(
            "SELECT f.id FROM (SELECT {}) AS f JOIN {} AS t ON t.{id} = f.id WHERE {} ORDER BY f.id",
            selected.join(", "),
            target.from,
            differs.join(" OR ")
        )
    }

    /// How many of the records, which come as arrays, have no row of their own with the same values.
    fn by_content(&self, places: &Places) -> String {
        let (mut selected, mut here, mut there) = (Vec::new(), Vec::new(), Vec::new());
        for (index, column) in self.shape.columns.iter().enumerate() {
            selected.push(format!("pg_catalog.unnest(${}) AS v{index}", index + 1));
            let (of_row, of_record) = compared(column, &format!("f.v{index}"));
            there.push(of_row);
            here.push(of_record);
        }
        let there = there.join(", ");
        let rows = places.places.iter().map(|place| {
            format!(
                "SELECT {there} FROM {} AS t WHERE {} AND {}",
                place.from,
                place.within,
                ours(place)
            )
        });
        let rows: Vec<String> = rows.collect();
        let rows = if rows.is_empty() {
            format!("SELECT {} WHERE false", here.join(", ").replace("f.v", "f0.v"))
        } else {
            rows.join(" UNION ALL ")
        };
        format!(
            "WITH f AS MATERIALIZED (SELECT {}), f0 AS (SELECT * FROM f WHERE false)
             SELECT pg_catalog.count(*) AS differing FROM (SELECT {} FROM f EXCEPT ALL ({rows})) AS d",
            selected.join(", "),
            here.join(", ")
        )
    }

    /// The text of an input; `None` when its file was not found.
    fn text_of(&mut self, input: u32) -> Option<SourceText> {
        if let Some((open, text)) = &self.open
            && *open == input
        {
            return Some(text.clone());
        }
        let text = SourceText::new(self.files.get(&input)?.clone(), &self.text);
        self.open = Some((input, text.clone()));
        Some(text)
    }

    /// Reads and parses a chunk's bytes off the runtime: its rejects, and its rows without the records at these places.
    async fn parse(
        &self,
        text: SourceText,
        chunk: &ChunkRow,
        refused: Vec<Position>,
    ) -> Result<Result<(Vec<Reject>, Vec<ArrayBuffer>), ParseError>, VerifyError> {
        let (shape, span) = (Arc::clone(&self.shape), chunk.span);
        tokio::task::spawn_blocking(move || {
            let bounds = span.start.byte.unwrap_or(0)..span.end_byte.unwrap_or(0);
            let bytes = text
                .read(bounds)
                .map_err(|(origin, source)| VerifyError::Read { origin, source })?;
            // Values travel as arrays, whatever loaded them.
            let parsed = rows::parse(&bytes, &shape, span, Sink::arrays(&shape.columns));
            Ok(parsed.map(|mut parsed| {
                let rows = parsed.take_rows();
                let refused = numbers_of(&refused, &bytes, &shape, span);
                let there: Vec<usize> = (0..rows.len())
                    .filter(|&row| !refused.contains(&parsed.record_of_row(row)))
                    .collect();
                (parsed.rejects, Parts::new(rows, &shape.columns).part(&there))
            }))
        })
        .await?
    }
}

/// Which of a chunk's records, from 0, lie at these places.
fn numbers_of(places: &[Position], bytes: &[u8], shape: &RecordShape, span: Span) -> HashSet<usize> {
    let number = |place: &Position| usize::try_from(place.record?.checked_sub(span.start.record?)?).ok();
    if places.is_empty() || span.start.record.is_some() {
        return places.iter().filter_map(number).collect();
    }
    // Of before, when records had no numbers.
    let all: Vec<usize> = (0..usize::try_from(span.record_count).unwrap_or(usize::MAX)).collect();
    let found = rows::find(bytes, shape, span, &all);
    let there = found.iter().map(|record| places.contains(&record.position));
    there.enumerate().filter_map(|(n, there)| there.then_some(n)).collect()
}

/// The numbers of rejected records.
fn records<'r>(rejects: impl IntoIterator<Item = &'r Reject>) -> Vec<Option<u64>> {
    rejects.into_iter().map(|reject| reject.position.record).collect()
}

/// Records, for people.
fn numbers(lines: &[Option<u64>]) -> String {
    let numbers: Vec<String> = lines.iter().flatten().map(u64::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

/// The value of a row and that of a record, as they are compared. A type that the server casts from text is compared as text: it may have
/// no equality of its own; nor has varchar, and somebody may have made one.
fn compared(column: &Column, value: &str) -> (String, String) {
    let name = quote_identifier(&column.name);
    match &column.kind {
        ColumnType::Other { sql_name, .. } => (
            format!("t.{name}::pg_catalog.text"),
            format!("{value}::{sql_name}::pg_catalog.text"),
        ),
        ColumnType::Text { .. } => (format!("t.{name}::pg_catalog.text"), value.to_owned()),
        _ => (format!("t.{name}"), value.to_owned()),
    }
}
