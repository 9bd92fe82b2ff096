//! From a token to a browser that is known.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, layout};
use crate::{
    access::{self, Visitor},
    app::App,
    failure::Failure,
    query::{Form, Query},
};

#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Entered {
    token: String,
    next: Option<String>,
}

pub(crate) async fn page(State(app): State<App>, visitor: Visitor, Query(next): Query<Next>) -> Markup {
    form(&app, &visitor, next.next.as_deref(), None)
}

pub(crate) async fn enter(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form_data): Form,
) -> Result<Response, Failure> {
    let entered: Entered =
        serde_urlencoded::from_bytes(&form_data).map_err(|_| Failure::bad_request("the form is not complete"))?;
    let Some(cookies) = access::sign_in(&app, &entered.token, &headers) else {
        let page = form(
            &app,
            &Visitor::default(),
            entered.next.as_deref(),
            Some("This token is nobody's."),
        );
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    };
    let next = entered.next.filter(|next| is_ours(&app, next));
    let to = next.unwrap_or_else(|| app.path("/imports"));
    Ok((cookies, Redirect::to(&to)).into_response())
}

pub(crate) async fn leave(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response, Failure> {
    if visitor.looker.is_none() {
        visitor.must_be_known(&app)?;
    }
    visitor.must_come_from_us(super::acts::csrf_of(&form).as_deref())?;
    let to = Redirect::to(&app.path("/imports"));
    Ok((access::sign_out(&app, &headers), to).into_response())
}

/// Whether a path leads to a page of ours, and not elsewhere.
fn is_ours(app: &App, path: &str) -> bool {
    let is_path = |path: &str| path.starts_with('/') && !path.starts_with("//");
    // A browser takes a backslash for a slash, and control characters out.
    let is_plain = !path.contains(|c: char| c == '\\' || c.is_control());
    is_plain && is_path(path) && path.strip_prefix(&app.config.prefix).is_some_and(is_path)
}

fn form(app: &App, visitor: &Visitor, next: Option<&str>, wrong: Option<&str>) -> Markup {
    let body = html! {
        h1 { "Sign in" }
        @if app.config.tokens.is_empty() {
            p { "This page was started without a token, and only shows. To act from it, start it with " code { "PG_IMPORT_HTTP_TOKEN" }
                ", or with a token in the staging's file " code { ".http.tokens" } "." }
        } @else {
            @if let Some(wrong) = wrong { p.failure role="alert" { (wrong) } }
            form.sign-in method="post" action=(app.path("/sign-in")) {
                @if let Some(next) = next { input type="hidden" name="next" value=(next); }
                label for="token" { "Token" }
                input #token name="token" type="password" required autocomplete="current-password" autofocus;
                button type="submit" { "Sign in" }
            }
            p.hint { "The one that " code { "enqueue serve" } " was started with. It is good for 12 hours in this browser." }
        }
    };
    layout(app, visitor, &Page::still("Sign in", ""), &body)
}
