//! What all pages have in common.

use maud::{DOCTYPE, Markup, html};

use super::assets;
use crate::{access::Visitor, app::App};

/// A page, but for what is on it.
pub(super) struct Page<'a> {
    pub title: &'a str,
    /// Which of the menu's it is.
    pub here: &'a str,
    /// Where its moving part comes from, if it has one.
    pub live: Option<&'a str>,
    /// What stands above that.
    pub before: Option<Markup>,
}

impl<'a> Page<'a> {
    /// A page that does not move.
    pub fn still(title: &'a str, here: &'a str) -> Self {
        Self {
            title,
            here,
            live: None,
            before: None,
        }
    }
}

const MENU: [(&str, &str); 4] = [
    ("/imports", "Imports"),
    ("/upload", "Upload"),
    ("/workers", "Workers"),
    ("/tables", "Tables"),
];

/// A whole page.
pub(super) fn layout(app: &App, visitor: &Visitor, page: &Page<'_>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " – pg_import" }
                link rel="icon" type="image/svg+xml" href=(app.path(assets::path("icon.svg")));
                link rel="stylesheet" href=(app.path(assets::path("style.css")));
                script src=(app.path(assets::path("live.js"))) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.home href=(app.path("/imports")) { "pg_import" }
                    nav aria-label="Pages" {
                        @for (path, name) in MENU.into_iter().filter(|(path, _)| *path != "/upload" || visitor.could_act(app)) {
                            a href=(app.path(path)) aria-current=[(page.here == path).then_some("page")] { (name) }
                        }
                    }
                    (who(app, visitor))
                }
                main #main tabindex="-1" {
                    @if let Some(before) = &page.before { (before) }
                    @if let Some(live) = page.live {
                        div.follow {
                            span #pulse role="status" {}
                            button #pause type="button" hidden { "Pause" }
                        }
                        div #live data-live=(app.path(live)) { (body) }
                    } @else {
                        (body)
                    }
                }
            }
        }
    }
}

fn who(app: &App, visitor: &Visitor) -> Markup {
    html! {
        div.who {
            @match (visitor.who.as_ref().or(visitor.looker.as_ref()), &visitor.csrf) {
                (Some(who), Some(csrf)) => {
                    form method="post" action=(app.path("/sign-out")) {
                        (csrf_field(csrf))
                        span { (who) " " }
                        button.plain type="submit" { "Sign out" }
                    }
                }
                _ if app.config.tokens.is_empty() => span { "read only" },
                _ => a href=(app.path("/sign-in")) { "Sign in" },
            }
        }
    }
}

/// What acts must come with.
pub(super) fn csrf_field(csrf: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(csrf); }
}

/// A button that does something at once.
pub(super) fn button(app: &App, visitor: &Visitor, path: &str, name: &str, title: &str) -> Markup {
    html! {
        form.act method="post" action=(app.path(path)) {
            @if let Some(csrf) = &visitor.csrf { (csrf_field(csrf)) }
            button type="submit" title=(title) { (name) }
        }
    }
}
