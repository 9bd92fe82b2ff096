//! One import: how it stands, what happened to it, what went wrong, and what can be done.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use ledger::{
    audit::{self, AuditStatus},
    read::{self, EventStatus, GroupedErrors, ImportStatus, Picture, Throughput},
    workers::{self, WorkerStatus},
};
use maud::{Markup, html};
use model::{ImportEvent, ImportId, ImportState, Lane, words};

use super::{
    badge, bar, drawings, figure, fragment,
    layout::{Page, button, layout},
    verifications,
};
use crate::{
    access::Visitor,
    app::App,
    failure::Failure,
    query::Named,
    words::{share, state},
};

/// Squares of the picture of its chunks, at most.
pub(crate) const CELLS: u32 = 1_000;
/// Stretches of time of the drawing of its speed.
pub(crate) const STRETCHES: u32 = 60;
/// What stands for words that may hold values of records.
pub(crate) const HIDDEN: &str = "Why, is shown to those with the token.";
/// Requests that are shown.
const AUDITED: i64 = 50;

/// What a page shows.
struct Seen {
    status: ImportStatus,
    events: Vec<EventStatus>,
    audit: Vec<AuditStatus>,
    picture: Picture,
    speed: Throughput,
    errors: GroupedErrors,
    workers: Vec<WorkerStatus>,
    unserved: Option<Lane>,
}

async fn see(app: &App, import: ImportId) -> Result<Arc<Seen>, Failure> {
    let find = async {
        let mut conn = app.connection().await?;
        let mut status = read::status(&mut conn, import)
            .await?
            .ok_or_else(|| Failure::no_import(import))?;
        read::name_files(&mut conn, &mut status).await?;
        Ok(Seen {
            events: read::events(&mut conn, import).await?,
            audit: audited(app, &mut conn, import).await?,
            picture: read::picture(&mut conn, import, CELLS).await?,
            speed: read::throughput(&mut conn, import, STRETCHES).await?,
            errors: read::grouped_errors(&mut conn, import).await?,
            workers: workers::list(&mut conn).await?,
            unserved: workers::unserved_lane(&mut conn, import).await?,
            status,
        })
    };
    app.answers.get(format!("import {import}"), find).await
}

/// What was asked of it; of a page that only shows, nothing was.
async fn audited(app: &App, conn: &mut sqlx::PgConnection, import: ImportId) -> Result<Vec<AuditStatus>, Failure> {
    if app.config.tokens.is_empty() {
        return Ok(Vec::new());
    }
    Ok(audit::of_import(conn, import, AUDITED).await?)
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor, Named(id): Named) -> Result<Markup, Failure> {
    let import = id;
    let seen = see(&app, import).await?;
    let title = format!("Import {import}");
    let live = format!("/live/imports/{import}");
    let page = Page {
        title: &title,
        here: "/imports",
        live: Some(&live),
        before: None,
    };
    Ok(layout(&app, &visitor, &page, &body(&app, &visitor, &seen)))
}

pub(crate) async fn live(State(app): State<App>, visitor: Visitor, Named(id): Named) -> Result<Response, Failure> {
    let seen = see(&app, id).await?;
    Ok(fragment(body(&app, &visitor, &seen)))
}

fn body(app: &App, visitor: &Visitor, seen: &Seen) -> Markup {
    let status = &seen.status;
    let id = status.import_id;
    html! {
        h1 { "Import " (id) " " (badge(status.state, state(status))) }
        (headline(seen))
        (acts(app, visitor, status))
        (verifications::show(app, visitor, id))
        @if let Some(error) = &status.error {
            p.failure role="alert" { @if visitor.who.is_some() { (words::escape(error)) } @else { (HIDDEN) } }
        }
        @if let Some(reason) = &status.unreadable { p.failure { (words::escape(reason)) } }
        div.columns {
            section aria-labelledby="what" {
                h2 #what { "What came of it" }
                (figures(app, status))
            }
            section aria-labelledby="speed" {
                h2 #speed { "Rows a second" }
                (drawings::chart(&seen.speed))
            }
        }
        section aria-labelledby="chunks" {
            h2 #chunks { "Chunks: " (words::group(status.chunks)) }
            @if status.chunks > 0 { (drawings::grid(&seen.picture)) }
            (workers_of(seen))
        }
        @if !(seen.errors.rejects.is_empty() && seen.errors.chunks.is_empty()) {
            section aria-labelledby="errors" { h2 #errors { "What went wrong" } (errors(app, visitor, status, &seen.errors)) }
        }
        section aria-labelledby="events" { h2 #events { "What happened" } (timeline(seen, visitor.who.is_some())) }
    }
}

/// How far it is.
fn headline(seen: &Seen) -> Markup {
    let status = &seen.status;
    let progress = status.progress();
    let speed = &seen.speed;
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    let left = (speed.rows_per_s >= 0.5 && status.state != ImportState::Splitting)
        .then(|| progress.total.saturating_sub(progress.done) as f64 / speed.rows_per_s);
    html! {
        @if !status.state.is_final() {
            p.headline {
                (bar(share(progress.done, progress.total))) " "
                (words::group(progress.done)) " of " (words::group(progress.total))
                @if status.state == ImportState::Splitting { " records read so far" }
                @else if status.state == ImportState::Cancelling { " rows undone" }
                @else { " records" }
                ", " (words::rate(speed.rows_per_s)) " rows/s"
                @if let Some(left) = left { ", " (words::duration(left)) " left" }
            }
        }
    }
}

/// What can be done about it; to those who may.
fn acts(app: &App, visitor: &Visitor, status: &ImportStatus) -> Markup {
    let id = status.import_id;
    if !visitor.could_act(app) {
        return html! {};
    }
    html! {
        div.acts {
            @if status.state.allows(ImportEvent::Cancel) {
                a.button href=(app.path(format!("/imports/{id}/cancel"))) { "Cancel: take its rows out …" }
            }
            @if status.state.allows(ImportEvent::Keep) {
                a.button href=(app.path(format!("/imports/{id}/keep"))) { "Keep what is left …" }
            }
            @if visitor.who.is_some() {
                @if status.state == ImportState::Failed {
                    (button(app, visitor, &format!("/imports/{id}/retry"), "Try failed chunks again", "Opens its failed chunks again"))
                }
                @if status.state.is_final() {
                    (button(app, visitor, &format!("/imports/{id}/verify"), "Verify", "Compares what the ledger says with the table"))
                }
            }
            @if status.state.is_final() {
                a.button href=(app.path(format!("/imports/{id}/forget"))) { "Forget …" }
            }
        }
    }
}

fn figures(app: &App, status: &ImportStatus) -> Markup {
    let upserts = status.updated + status.unchanged + status.skipped > 0;
    let undone = matches!(
        status.state,
        ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept
    );
    html! {
        dl.facts {
            dt { "Source" }
            dd { (words::escape(&status.source)) @if let Some(size) = status.size_bytes { " (" (words::bytes(size)) ")" } }
            @if status.files.len() > 1 {
                dt { "Files" }
                dd { details { summary { (status.files.len()) } ul { @for file in &status.files { li { (words::escape(file)) } } } } }
            }
            dt { "Table" }
            dd { (words::escape(&status.target)) @if let Some(was) = &status.renamed_from { " (which was " (words::escape(was)) ")" } }
            dt { "Submitted" }
            dd { time datetime=(status.created_at) { (status.created_at) } @if let Some(by) = &status.submitted_by { " by " (words::escape(by)) } }
            @if !status.queue.is_default() { dt { "Queue" } dd { (status.queue) } }
            @if !undone { dt { "Time" } dd { (words::duration(status.elapsed_s)) ", " (words::rate(status.mean_rows_per_s())) " rows/s" } }
        }
        table.figures { tbody {
            (figure("Records", status.records, if status.state == ImportState::Splitting { "so far" } else { "" }))
            (figure("Inserted", status.inserted, ""))
            @if upserts {
                (figure("Updated", status.updated, "rows that were there"))
                (figure("Unchanged", status.unchanged, "the table had the same values"))
                (figure("Skipped", status.skipped, "another row or record has their key"))
            }
            @if status.removed > 0 { (figure("Removed", status.removed, "the source does not have them")) }
            tr {
                th scope="row" { "Rejected" }
                td.number {
                    @if status.rejected > 0 { a href=(app.path(format!("/imports/{}/rejects", status.import_id))) { (words::group(status.rejected)) } }
                    @else { "0" }
                }
                td.hint {}
            }
            @if undone {
                (figure("Deleted", status.deleted, "by the undo"))
                @if status.restored > 0 { (figure("Restored", status.restored, "got their former values back")) }
                @if status.removed > 0 { (figure("Put back", status.returned, "of those removed")) }
                @if status.kept > 0 { (figure("Kept", status.kept, "not as they were loaded")) }
                @if status.missing > 0 { (figure("Gone", status.missing, "deleted by others before")) }
                (figure("Remain", status.remaining(), "rows of it in the table"))
            }
        } }
    }
}

fn workers_of(seen: &Seen) -> Markup {
    let begin = format!("{}/", seen.status.import_id);
    let at_work: Vec<(&WorkerStatus, Vec<&str>)> = seen
        .workers
        .iter()
        .map(|worker| {
            let chunks = worker
                .chunks
                .iter()
                .filter_map(|chunk| chunk.strip_prefix(&begin))
                .collect::<Vec<_>>();
            (worker, chunks)
        })
        .filter(|(_, chunks)| !chunks.is_empty())
        .collect();
    html! {
        @if !at_work.is_empty() {
            ul.workers {
                @for (worker, chunks) in at_work {
                    li { (words::escape(&worker.host)) ":" (worker.pid) " loads " (if chunks.len() == 1 { "chunk " } else { "chunks " }) (chunks.join(", ")) }
                }
            }
        } @else if let Some(lane) = seen.unserved.as_ref().filter(|_| seen.status.chunks_pending > 0) {
            p.failure role="alert" {
                "No worker serves the queue " (lane) ": " (words::group(seen.status.chunks_pending)) " chunks wait until one is started ("
                code { (lane.worker_command()) } ")."
            }
        }
    }
}

fn errors(app: &App, visitor: &Visitor, status: &ImportStatus, errors: &GroupedErrors) -> Markup {
    let groups = |groups: &[read::ErrorGroup], what: &str| {
        html! {
            table.errors {
                thead { tr { th.number scope="col" { (what) } th scope="col" { "Where" } th scope="col" { "Why" } } }
                tbody {
                    @for group in groups {
                        tr {
                            td.number { (words::group(group.count)) }
                            td {
                                @if let Some(column) = &group.column { (words::escape(column)) " " }
                                @if let Some(constraint) = &group.constraint { "constraint " (words::escape(constraint)) " " }
                                @if let Some(line) = group.first_line { "from line " (words::group(line)) }
                            }
                            td.wrap { (words::escape(group.example.as_ref().filter(|_| visitor.who.is_some()).unwrap_or(&group.reason))) }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if !errors.rejects.is_empty() {
            (groups(&errors.rejects, "Rejects"))
            @if errors.rejects_seen < status.rejected { p.hint { "Of the first " (words::group(errors.rejects_seen)) " rejects." } }
            p { a href=(app.path(format!("/imports/{}/rejects", status.import_id))) { "The rejected records" } }
        }
        @if !errors.chunks.is_empty() { (groups(&errors.chunks, "Chunks")) }
    }
}

/// What happened and what was asked for, in one order.
fn timeline(seen: &Seen, is_known: bool) -> Markup {
    let mut items: Vec<(&str, Markup)> = Vec::with_capacity(seen.events.len() + seen.audit.len());
    for event in &seen.events {
        items.push((
            &event.at,
            html! {
                strong { (event.event.replace('_', " ")) } " → " (event.to.as_str())
                span.hint { " by " (words::escape(&event.role)) ", " (words::escape(&event.process)) }
                @if let Some(note) = event.note.as_ref().filter(|_| is_known) { div.note { (words::escape(note)) } }
                @for notification in event.notifications.iter().filter(|_| is_known) {
                    div.note { (words::escape(&notification.to_string())) }
                }
            },
        ));
    }
    for request in seen.audit.iter().filter(|_| is_known) {
        items.push((
            &request.at,
            html! {
                (words::escape(&request.who)) " asked to " strong { (request.action) }
                @if let Some(address) = &request.address { span.hint { " from " (words::escape(address)) } }
                @if let Some(refused) = &request.refused { div.note { "refused: " (words::escape(refused)) } }
            },
        ));
    }
    items.sort_by_key(|(at, _)| *at);
    html! { ol.timeline { @for (at, item) in items { li { time datetime=(at) { (at) } " " (item) } } } }
}
