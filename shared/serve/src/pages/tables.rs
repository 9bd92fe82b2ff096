//! The tables that imports load: when each was loaded last.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use ledger::read::{self, TargetStatus};
use maud::{Markup, html};
use model::words;

use super::{
    badge, fragment,
    layout::{Page, layout},
};
use crate::{access::Visitor, app::App, failure::Failure};

/// Tables that are shown.
const SHOWN: i64 = 500;

pub(crate) async fn listed(app: &App) -> Result<Arc<Vec<TargetStatus>>, Failure> {
    let find = async { Ok(read::targets(&mut *app.connection().await?, SHOWN).await?) };
    app.answers.get("tables", find).await
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Markup, Failure> {
    let body = body(&app, &listed(&app).await?);
    let page = Page {
        title: "Tables",
        here: "/tables",
        live: Some("/live/tables"),
        before: Some(html! { h1 { "Tables" } }),
    };
    Ok(layout(&app, &visitor, &page, &body))
}

pub(crate) async fn live(State(app): State<App>) -> Result<Response, Failure> {
    Ok(fragment(body(&app, &listed(&app).await?)))
}

fn body(app: &App, tables: &[TargetStatus]) -> Markup {
    html! {
        @if tables.is_empty() {
            p.empty { "No table was loaded yet." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Tables" {
                table.tables {
                    thead { tr {
                        th scope="col" { "Table" } th scope="col" { "Last loaded" } th.number scope="col" { "Rows then" }
                        th.number scope="col" { "Rows now, about" } th scope="col" { "Newest import" } th.number scope="col" { "Imports" }
                    } }
                    tbody {
                        @for table in tables {
                            tr {
                                th scope="row" data-label="Table" { (words::escape(&table.target)) @if !table.exists { " " span.hint { "(gone)" } } }
                                td data-label="Last loaded" {
                                    @match (&table.last_loaded, &table.last_loaded_at, table.stale_s) {
                                        (Some(import), Some(at), Some(stale)) => {
                                            a href=(app.path(format!("/imports/{import}"))) { time datetime=(at) title=(at) { (words::duration(stale)) " ago" } }
                                        }
                                        _ => strong { "never" },
                                    }
                                }
                                td.number data-label="Rows then" { (table.last_loaded_rows.map_or_else(|| "–".to_owned(), words::group)) }
                                td.number data-label="Rows now, about" { (table.estimated_rows.map_or_else(|| "–".to_owned(), words::group)) }
                                td data-label="Newest import" {
                                    a href=(app.path(format!("/imports/{}", table.last_import))) { (table.last_import) } " "
                                    (badge(table.last_state, table.last_state.as_str()))
                                }
                                td.number data-label="Imports" {
                                    (words::group(table.imports))
                                    @if table.running > 0 { span.hint { " (" (table.running) " running)" } }
                                }
                            }
                        }
                    }
                }
            }
            p.hint { "Those that were loaded longest ago come first. How many rows a table has is what the server estimates." }
        }
    }
}
