//! Who works, on what, and who fell silent.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use ledger::workers::{self, WorkerStatus};
use maud::{Markup, html};
use model::words;

use super::{
    fragment,
    layout::{Page, layout},
};
use crate::{access::Visitor, app::App, failure::Failure};

pub(crate) async fn listed(app: &App) -> Result<Arc<Vec<WorkerStatus>>, Failure> {
    let find = async { Ok(workers::list(&mut *app.connection().await?).await?) };
    app.answers.get("workers", find).await
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Markup, Failure> {
    let body = body(&app, &listed(&app).await?);
    let page = Page {
        title: "Workers",
        here: "/workers",
        live: Some("/live/workers"),
        before: Some(html! { h1 { "Workers" } }),
    };
    Ok(layout(&app, &visitor, &page, &body))
}

pub(crate) async fn live(State(app): State<App>) -> Result<Response, Failure> {
    Ok(fragment(body(&app, &listed(&app).await?)))
}

fn body(app: &App, workers: &[WorkerStatus]) -> Markup {
    let silent_after = queue::stale_after().as_secs_f64();
    html! {
        @if workers.is_empty() {
            p.empty { "No worker is alive: start one on any machine that reaches the database (" code { "worker" } ")." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Workers" {
                table.workers {
                    thead { tr {
                        th scope="col" { "Host" } th.number scope="col" { "Process" } th scope="col" { "Version" } th.number scope="col" { "At once" } th scope="col" { "Queues" }
                        th scope="col" { "Up for" } th scope="col" { "Last heard of" } th scope="col" { "Loads" }
                    } }
                    tbody {
                        @for worker in workers {
                            @let silent = worker.silent_s > silent_after;
                            tr class=[silent.then_some("silent")] {
                                th scope="row" data-label="Host" { (words::escape(&worker.host)) }
                                td.number data-label="Process" { (worker.pid) }
                                td data-label="Version" { (words::escape(&worker.version)) }
                                td.number data-label="At once" { (worker.concurrency) }
                                td data-label="Queues" { (words::list(&worker.queues)) }
                                td data-label="Up for" { (words::duration(worker.uptime_s)) }
                                td data-label="Last heard of" {
                                    @if silent { strong { "silent for " (words::duration(worker.silent_s)) } } @else { (words::duration(worker.silent_s)) " ago" }
                                }
                                td data-label="Loads" {
                                    @if worker.chunks.is_empty() { span.hint { "idle" } }
                                    @for (n, chunk) in worker.chunks.iter().enumerate() {
                                        @if n > 0 { ", " }
                                        @let import = chunk.split('/').next().unwrap_or_default();
                                        a href=(app.path(format!("/imports/{import}"))) { (chunk) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            p.hint { "Chunks are named import/number. Others take over what a worker had that was silent for more than " (silent_after) " s." }
        }
    }
}
