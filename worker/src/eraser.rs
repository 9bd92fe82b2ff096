//! Deletes from the target exactly the rows that a chunk put there. With the loader, the only code that writes a user's table.

use shared::{
    model::UndoOptions,
    store::{chunks::UndoCounts, registry::RegisteredRange},
    target::{UndoTarget, quote_identifier},
};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// What an undo of a chunk would do to its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasePreview {
    /// Rows that are still there.
    pub present: u64,
    /// Rows of these that differ from what was loaded: they were updated since, or are somebody else's.
    pub edited: u64,
    /// Rows of these that would be left.
    pub kept: u64,
    /// Rows that are gone already.
    pub missing: u64,
    /// Whether rows that differ may be somebody else's, for the sequence of their ids is not what it was.
    pub ids_reused: bool,
    /// Whether every row differs from what was loaded, as after a rewrite of the table: then nobody can tell which were edited.
    pub cannot_tell: bool,
}

/// Which of the rows with a range's ids are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All of them: the ids are ours.
    All,
    /// Those that are as they were loaded: others were edited, or are somebody else's.
    AsLoaded,
}

impl Scope {
    fn of(range: &RegisteredRange, target: &UndoTarget, options: &UndoOptions) -> Self {
        if options.keep_edited || range.voided || may_be_of_others(range, target, options) {
            Self::AsLoaded
        } else {
            Self::All
        }
    }
}

/// Whether the ids of a range may have been given to others since, by a sequence that was set back, altered or replaced, and nobody has
/// said that they were not.
pub(crate) fn may_be_of_others(range: &RegisteredRange, target: &UndoTarget, options: &UndoOptions) -> bool {
    !options.trust_ids && (options.ids_reused || target.may_have_given_again(range.sequence_filenode))
}

/// Looks at the rows of a chunk without changing them.
///
/// # Errors
/// From the database.
pub async fn preview(
    conn: &mut PgConnection,
    target: &UndoTarget,
    ranges: &[RegisteredRange],
    options: &UndoOptions,
) -> Result<ErasePreview, sqlx::Error> {
    let mut preview = ErasePreview::default();
    let mut registered = 0;
    for range in ranges {
        registered += range.range.count();
        let (mut present, as_loaded) = count(conn, target, range).await?;
        if range.voided {
            // Of ids that were given to somebody else, only what is as we loaded it is ours.
            present = as_loaded;
        }
        let edited = present - as_loaded.min(present);
        preview.present += present;
        preview.edited += edited;
        if Scope::of(range, target, options) == Scope::AsLoaded {
            preview.kept += edited;
        }
        preview.ids_reused |= may_be_of_others(range, target, options);
    }
    preview.missing = registered - preview.present.min(registered);
    preview.cannot_tell = preview.present > 0 && preview.edited == preview.present;
    Ok(preview)
}

/// Deletes a chunk's rows. Call with its ranges locked.
///
/// With `keep_edited`, only those that nobody updated since. Where ids may have been given again, to a later import or by a sequence that
/// is not what it was, only rows that are as they were loaded: the others may be somebody else's.
///
/// # Errors
/// From the database; a foreign key that forbids a deletion among them.
pub async fn erase(
    conn: &mut PgConnection,
    target: &UndoTarget,
    ranges: &[RegisteredRange],
    options: &UndoOptions,
) -> Result<UndoCounts, sqlx::Error> {
    let mut counts = UndoCounts::default();
    for range in ranges {
        let scope = Scope::of(range, target, options);
        let deleted = delete(conn, target, range, scope).await?;
        // Rows that were left on purpose, or by a trigger that forbids or replaces their deletion.
        let left = if scope == Scope::AsLoaded || target.has_triggers {
            let (present, as_loaded) = count(conn, target, range).await?;
            if range.voided { as_loaded } else { present }
        } else {
            0
        };
        counts.deleted += deleted;
        counts.kept += left;
        counts.missing += range.range.count() - (deleted + left).min(range.range.count());
    }
    Ok(counts)
}

/// Rows with a range's ids, and those of them that are as they were loaded.
async fn count(
    conn: &mut PgConnection,
    target: &UndoTarget,
    range: &RegisteredRange,
) -> Result<(u64, u64), sqlx::Error> {
    let statement = format!(
        "SELECT pg_catalog.count(*) AS present,
                pg_catalog.count(*) FILTER (WHERE t.xmin::pg_catalog.text::pg_catalog.int8 = ANY ($4)) AS as_loaded
         FROM {} AS t WHERE {}",
        target.from,
        in_range(target)
    );
    let row = bind(&statement, range).fetch_one(conn).await?;
    Ok((
        row.try_get::<i64, _>("present")?.unsigned_abs(),
        row.try_get::<i64, _>("as_loaded")?.unsigned_abs(),
    ))
}

async fn delete(
    conn: &mut PgConnection,
    target: &UndoTarget,
    range: &RegisteredRange,
    scope: Scope,
) -> Result<u64, sqlx::Error> {
    let condition = match scope {
        // The parameter must have its place in either statement.
        Scope::All => "$4::pg_catalog.int8[] IS NOT NULL",
        Scope::AsLoaded => "t.xmin::pg_catalog.text::pg_catalog.int8 = ANY ($4)",
    };
    let statement = format!(
        "DELETE FROM {} AS t WHERE {} AND {condition}",
        target.from,
        in_range(target)
    );
    Ok(bind(&statement, range).execute(conn).await?.rows_affected())
}

/// Those ids, and no others that lie between them.
fn in_range(target: &UndoTarget) -> String {
    let id = quote_identifier(&target.id);
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
