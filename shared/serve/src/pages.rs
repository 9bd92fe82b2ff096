//! Pages for people. All of them can be read, and acted with, without any script; with it, they follow what happens.

pub(crate) mod acts;
pub(crate) mod assets;
pub(crate) mod confirm;
mod drawings;
pub(crate) mod import;
pub(crate) mod imports;
mod layout;
pub(crate) mod rejects;
pub(crate) mod sign_in;
pub(crate) mod tables;
pub(crate) mod upload;
pub(crate) mod verifications;
pub(crate) mod workers;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use model::ImportState;

use crate::{access::Visitor, app::App, failure::Failure};
use layout::{Page, layout};

/// Tells a person what could not be done; where a token is missing, asks for it.
pub(crate) fn failure(app: &App, visitor: &Visitor, failure: &Failure, wanted: &str) -> Response {
    if failure.status == StatusCode::UNAUTHORIZED {
        let next = serde_urlencoded::to_string([("next", wanted)]).unwrap_or_default();
        return Redirect::to(&app.path(format!("/sign-in?{next}"))).into_response();
    }
    let title = failure.status.canonical_reason().unwrap_or("This could not be done");
    let body = html! {
        h1 { (title) }
        p.failure role="alert" { (model::words::escape(&failure.message)) }
        p { a href=(app.path("/imports")) { "All imports" } }
    };
    let page = layout(app, visitor, &Page::still(title, ""), &body);
    (failure.status, page).into_response()
}

/// A state in words, with a colour and a sign of its own.
fn badge(state: ImportState, words: &str) -> Markup {
    let sign = match state {
        ImportState::Splitting | ImportState::Loading => "▶",
        ImportState::Loaded => "✓",
        ImportState::Failed => "✕",
        ImportState::Cancelling => "◀",
        ImportState::Cancelled => "○",
        ImportState::Kept => "◐",
    };
    html! { span class={ "badge " (state.as_str()) } { span aria-hidden="true" { (sign) " " } (words) } }
}

/// How much is done.
fn bar(share: Option<f64>) -> Markup {
    match share {
        Some(share) => {
            let percent = format!("{:.0}", (share * 100.0).floor());
            html! {
                progress max="100" value=(percent) aria-label="progress" {}
                span.percent { (percent) " %" }
            }
        }
        None => html! { progress aria-label="progress, of an unknown amount" {} },
    }
}

/// A row of a table of figures.
fn figure(name: &str, number: u64, hint: &str) -> Markup {
    html! { tr { th scope="row" { (name) } td.number { (model::words::group(number)) } td.hint { (hint) } } }
}

/// A part of a page, for the script that follows.
fn fragment(markup: Markup) -> Response {
    (
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        markup.into_string(),
    )
        .into_response()
}
