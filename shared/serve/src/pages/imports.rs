//! The imports: what runs, and what there was.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use ledger::read::{self, ImportFilter, ImportStatus, Throughput};
use maud::{Markup, html};
use model::{ImportId, ImportState, Lane, words};
use serde::{Deserialize, Serialize};

use super::{
    badge, bar, drawings, fragment,
    layout::{Page, layout},
};
use crate::{
    access::Visitor,
    app::App,
    failure::Failure,
    query::Query,
    words::{share, state},
};

/// Imports on a page.
const SHOWN: usize = 50;
/// Stretches of time of the small drawing of an import's speed.
const STRETCHES: u32 = 30;

/// What is asked for, as the address has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Wanted {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub q: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
}

/// How long ago, as the form offers it.
const AGES: [(&str, &str, u64); 4] = [
    ("1h", "the last hour", 3_600),
    ("1d", "the last day", 86_400),
    ("7d", "the last week", 7 * 86_400),
    ("30d", "the last 30 days", 30 * 86_400),
];

/// States as the form offers them.
const STATES: [(&str, &str, &[ImportState]); 6] = [
    (
        "running",
        "running",
        &[ImportState::Splitting, ImportState::Loading, ImportState::Cancelling],
    ),
    ("loaded", "loaded", &[ImportState::Loaded]),
    ("failed", "failed", &[ImportState::Failed]),
    ("cancelling", "being cancelled", &[ImportState::Cancelling]),
    ("cancelled", "cancelled", &[ImportState::Cancelled]),
    ("kept", "partly undone", &[ImportState::Kept]),
];

impl Wanted {
    fn filter(&self) -> Result<ImportFilter, Failure> {
        let states = match STATES.iter().find(|(name, ..)| *name == self.state) {
            Some((_, _, states)) => states.to_vec(),
            None if self.state.is_empty() => Vec::new(),
            None => return Err(Failure::bad_request("there is no such state to filter by")),
        };
        let since = match AGES.iter().find(|(name, ..)| *name == self.since) {
            Some((_, _, seconds)) => Some(Duration::from_secs(*seconds)),
            None if self.since.is_empty() => None,
            None => return Err(Failure::bad_request("since is one of 1h, 1d, 7d, 30d")),
        };
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(ImportFilter {
            states,
            text: text(&self.q),
            since,
            submitted_by: text(&self.by),
            before: self.before.map(ImportId),
        })
    }

    fn query(&self) -> String {
        serde_urlencoded::to_string(self).unwrap_or_default()
    }

    fn is_filtered(&self) -> bool {
        *self != Self::default()
    }
}

/// What a page shows.
struct Listed {
    imports: Vec<(ImportStatus, Option<Throughput>)>,
    more: bool,
    /// Queues in which imports wait for workers, and that none serves.
    unserved: Vec<Lane>,
}

async fn listed(app: &App, wanted: &Wanted) -> Result<Arc<Listed>, Failure> {
    let filter = wanted.filter()?;
    let find = async {
        let mut conn = app.connection().await?;
        let limit = i64::try_from(SHOWN + 1).unwrap_or(i64::MAX);
        let mut statuses = read::list(&mut conn, &filter, limit).await?;
        let more = statuses.len() > SHOWN;
        statuses.truncate(SHOWN);
        let mut imports = Vec::with_capacity(statuses.len());
        for status in statuses {
            // How fast one was that ended long ago is on its own page.
            let speed = match status.state.is_final() {
                true => None,
                false => Some(read::throughput(&mut conn, status.import_id, STRETCHES).await?),
            };
            imports.push((status, speed));
        }
        Ok(Listed {
            imports,
            more,
            unserved: ledger::workers::unserved_lanes(&mut conn).await?,
        })
    };
    app.answers.get(format!("imports?{}", wanted.query()), find).await
}

pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Markup, Failure> {
    let listed = listed(&app, &wanted).await?;
    let body = table(&app, &wanted, &listed);
    let live = format!("/live/imports?{}", wanted.query());
    let page = Page {
        title: "Imports",
        here: "/imports",
        live: Some(&live),
        before: Some(form(&app, &wanted)),
    };
    Ok(layout(&app, &visitor, &page, &body))
}

pub(crate) async fn live(State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Response, Failure> {
    let listed = listed(&app, &wanted).await?;
    Ok(fragment(table(&app, &wanted, &listed)))
}

fn form(app: &App, wanted: &Wanted) -> Markup {
    html! {
        h1 { "Imports" }
        form.filter role="search" method="get" action=(app.path("/imports")) {
            label { span { "State" }
                select name="state" {
                    option value="" { "any" }
                    @for (value, name, _) in STATES { option value=(value) selected[wanted.state == value] { (name) } }
                }
            }
            label { span { "Source or table" } input type="search" name="q" value=(wanted.q); }
            label { span { "Submitted by" } input type="text" name="by" value=(wanted.by) autocapitalize="none"; }
            label { span { "Since" }
                select name="since" {
                    option value="" { "ever" }
                    @for (value, name, _) in AGES { option value=(value) selected[wanted.since == value] { (name) } }
                }
            }
            button type="submit" { "Show" }
            @if wanted.is_filtered() { a href=(app.path("/imports")) { "all" } }
        }
    }
}

fn table(app: &App, wanted: &Wanted, listed: &Listed) -> Markup {
    html! {
        @for lane in &listed.unserved {
            p.failure role="alert" { "No worker serves the queue " (lane) ": what is submitted to it waits until one is started (" code { (lane.worker_command()) } ")." }
        }
        @if listed.imports.is_empty() {
            @if wanted.is_filtered() {
                p.empty { "No import is like this." }
            } @else {
                p.empty { "No import yet: " code { "enqueue -i FILE" } }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Imports" {
                table.imports {
                    thead { tr {
                        th scope="col" { "Import" } th scope="col" { "State" } th scope="col" { "Source" } th scope="col" { "Table" }
                        th scope="col" { "Progress" } th.number scope="col" { "Rows" } th.number scope="col" { "Rows/s" }
                        th.number scope="col" { "Left" } th.number scope="col" { "Rejects" } th scope="col" { "Age" } th scope="col" { "By" }
                    } }
                    tbody { @for (status, speed) in &listed.imports { (row(app, status, speed.as_ref())) } }
                }
            }
        }
        @if let Some((last, _)) = listed.imports.last().filter(|_| listed.more) {
            @let older = Wanted { before: Some(last.import_id.0), ..wanted.clone() };
            p.more { a href=(app.path(format!("/imports?{}", older.query()))) { "Older imports" } }
        }
    }
}

fn row(app: &App, status: &ImportStatus, speed: Option<&Throughput>) -> Markup {
    let path = app.path(format!("/imports/{}", status.import_id));
    let progress = status.progress();
    let moves = !status.state.is_final();
    let rows_per_s = match speed {
        Some(speed) => speed.rows_per_s,
        None => status.mean_rows_per_s(),
    };
    let left = progress.total.saturating_sub(progress.done);
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    let time_left =
        (moves && status.state != ImportState::Splitting && rows_per_s >= 0.5).then(|| left as f64 / rows_per_s);
    html! {
        tr {
            th scope="row" data-label="Import" { a href=(path) { (status.import_id) } }
            td data-label="State" { (badge(status.state, state(status))) }
            td.source data-label="Source" title=(words::escape(&status.source)) {
                (short_source(&status.source)) @if !status.queue.is_default() { span.hint { " queue " (status.queue) } }
            }
            td data-label="Table" { (words::escape(&status.target)) }
            td.progress data-label="Progress" {
                @if moves { (bar(share(progress.done, progress.total))) }
                @else if status.state == ImportState::Failed { (words::group(status.chunks_failed)) " of " (words::group(status.chunks)) " chunks failed" }
            }
            td.number data-label="Rows" { (words::group(status.remaining())) }
            td.number data-label="Rows/s" {
                @if let Some(speed) = speed { (drawings::sparkline(speed)) " " }
                (words::rate(rows_per_s))
            }
            td.number data-label="Left" { @if let Some(left) = time_left { (words::duration(left)) } @else { "–" } }
            td.number data-label="Rejects" {
                @if status.rejected > 0 { a href={ (path) "/rejects" } { (words::group(status.rejected)) } } @else { "0" }
            }
            td data-label="Age" { time datetime=(status.created_at) title=(status.created_at) { (words::duration(status.age_s)) } }
            td data-label="By" { (status.submitted_by.as_deref().map(words::escape).unwrap_or_default()) }
        }
    }
}

/// The end of a path, which says more than its beginning.
pub(super) fn short_source(source: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    let escaped = words::escape(source);
    let name = escaped
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or(&escaped);
    let chars = name.chars().count();
    if chars <= SHOWN_CHARS {
        return name.to_owned();
    }
    let end: String = name.chars().skip(chars - SHOWN_CHARS + 1).collect();
    format!("…{end}")
}
