//! Deletes from the target exactly the rows that a chunk put there. With the loader, the only code that writes a user's table.

use shared::{
    store::{chunks::UndoCounts, registry::RegisteredRange},
    target::{Target, quote_identifier},
};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// What an undo of a chunk would do to its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasePreview {
    /// Rows that are still there.
    pub present: u64,
    /// Rows of these that were updated since they were loaded.
    pub edited: u64,
    /// Rows that are gone already.
    pub missing: u64,
    /// Whether every row differs from what was loaded, as after a rewrite of the table: then nobody can tell which were edited.
    pub cannot_tell: bool,
}

/// Looks at the rows of a chunk without changing them.
///
/// # Errors
/// From the database.
pub async fn preview(
    conn: &mut PgConnection,
    target: &Target,
    ranges: &[RegisteredRange],
) -> Result<ErasePreview, sqlx::Error> {
    let mut preview = ErasePreview::default();
    for registered in live(ranges) {
        let statement = format!(
            "SELECT count(*) AS present, count(*) FILTER (WHERE t.xmin::text::bigint <> ALL ($4)) AS edited FROM {} AS t WHERE {}",
            target.name,
            in_range(target)
        );
        let row = bind(&statement, registered).fetch_one(&mut *conn).await?;
        preview.present += row.try_get::<i64, _>("present")?.unsigned_abs();
        preview.edited += row.try_get::<i64, _>("edited")?.unsigned_abs();
    }
    let registered: u64 = ranges.iter().map(|r| r.range.count()).sum();
    preview.missing = registered - preview.present.min(registered);
    preview.cannot_tell = preview.present > 0 && preview.edited == preview.present;
    Ok(preview)
}

/// Deletes a chunk's rows; with `keep_edited`, only those that nobody updated since. Ranges that were voided name nobody's rows and are
/// passed over.
///
/// # Errors
/// From the database; a foreign key that forbids a deletion among them.
pub async fn erase(
    conn: &mut PgConnection,
    target: &Target,
    ranges: &[RegisteredRange],
    keep_edited: bool,
) -> Result<UndoCounts, sqlx::Error> {
    let registered: u64 = ranges.iter().map(|r| r.range.count()).sum();
    let before = if keep_edited {
        Some(preview(conn, target, ranges).await?)
    } else {
        None
    };
    if let Some(before) = before.filter(|preview| preview.cannot_tell) {
        return Ok(UndoCounts {
            deleted: 0,
            kept: before.present,
            missing: before.missing,
        });
    }
    let mut deleted = 0;
    for registered in live(ranges) {
        let unedited = if keep_edited {
            " AND t.xmin::text::bigint = ANY ($4)"
        } else {
            " AND $4::bigint[] IS NOT NULL"
        };
        let statement = format!("DELETE FROM {} AS t WHERE {}{unedited}", target.name, in_range(target));
        deleted += bind(&statement, registered).execute(&mut *conn).await?.rows_affected();
    }
    let kept = before.map_or(0, |preview| preview.present - deleted.min(preview.present));
    Ok(UndoCounts {
        deleted,
        kept,
        missing: registered - (deleted + kept).min(registered),
    })
}

fn live(ranges: &[RegisteredRange]) -> impl Iterator<Item = &RegisteredRange> {
    ranges.iter().filter(|range| !range.voided)
}

/// Those ids, and no others that lie between them.
fn in_range(target: &Target) -> String {
    let id = quote_identifier(&target.id.name);
    format!("t.{id} BETWEEN $1 AND $2 AND (t.{id} - $1) % $3 = 0")
}

fn bind<'q>(
    statement: &'q str,
    registered: &'q RegisteredRange,
) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query(AssertSqlSafe(statement))
        .bind(registered.range.start_id)
        .bind(registered.range.end_id)
        .bind(registered.range.step)
        .bind(&registered.row_xids)
}
