//! The rejects of an import, some of them after the others.

use ledger::{
    imports, inputs,
    rejects::{self, Reject},
};
use model::{ImportId, Position};
use sqlx::PgConnection;

use crate::{app::App, failure::Failure};

/// Some of the rejects of an import.
pub(crate) struct RejectPage {
    /// What the import's inputs are called.
    pub names: Vec<String>,
    pub rejects: Vec<Reject>,
    /// Behind what to go on, as an address has it; `None` where there are no more.
    pub next: Option<String>,
}

impl RejectPage {
    /// Reads those behind the place that an address names, or from the beginning on.
    pub async fn read(app: &App, import: ImportId, after: &str, limit: i64) -> Result<Self, Failure> {
        let mut conn = app.connection().await?;
        let names = names(&mut conn, import).await?;
        let rejects = rejects::page(&mut conn, import, parse_place(after)?, limit).await?;
        let next = match rejects.last() {
            Some(last) if rejects::any_behind(&mut conn, import, last.position).await? => Some(place(&last.position)),
            _ => None,
        };
        Ok(Self { names, rejects, next })
    }
}

/// What the inputs of an import are called.
pub(crate) async fn names(conn: &mut PgConnection, import: ImportId) -> Result<Vec<String>, Failure> {
    let row = imports::read(conn, import)
        .await?
        .ok_or_else(|| Failure::no_import(import))?;
    Ok(inputs::names(conn, &row).await?)
}

/// A place as an address has it.
fn place(position: &Position) -> String {
    let part = |part: Option<u64>| part.unwrap_or(0);
    format!("{}.{}.{}", position.input, part(position.record), part(position.byte))
}

/// The place that an address means; `None` for the beginning.
fn parse_place(text: &str) -> Result<Option<Position>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let mut parts = text.split('.');
        let position = Position {
            // As large as the database's numbers, and no larger.
            input: u32::try_from(parts.next()?.parse::<i32>().ok()?).ok()?,
            record: Some(u64::try_from(parts.next()?.parse::<i64>().ok()?).ok()?),
            byte: Some(u64::try_from(parts.next()?.parse::<i64>().ok()?).ok()?),
            line: None,
        };
        parts.next().is_none().then_some(position)
    };
    parse()
        .map(Some)
        .ok_or_else(|| Failure::bad_request("after is the place of a reject, as an earlier answer names it"))
}
