//! Sending a file: what was found in it, how it is loaded, and how far each upload is.

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use model::words;

use super::{
    assets, fragment,
    layout::{Page, layout},
};
use crate::{access::Visitor, app::App, failure::Failure};

pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Markup, Failure> {
    app.submitter()?;
    visitor.must_be_known(&app)?;
    let page = Page {
        title: "Upload",
        here: "/upload",
        live: Some("/live/upload"),
        before: Some(form(&app, &visitor)),
    };
    Ok(layout(&app, &visitor, &page, &uploads(&app)))
}

pub(crate) async fn live(State(app): State<App>, visitor: Visitor) -> Result<Response, Failure> {
    visitor.must_be_known(&app)?;
    Ok(fragment(uploads(&app)))
}

/// What the script fills: it sends the beginning of the file to be looked at, and then the whole of it.
fn form(app: &App, visitor: &Visitor) -> Markup {
    let text = |name: &str, label: &str, hint: &str| {
        html! {
            label { span { (label) } input type="text" name=(name) autocapitalize="none" spellcheck="false" placeholder=(hint); }
        }
    };
    html! {
        h1 { "Upload" }
        noscript { p.failure { "Uploading takes JavaScript. Without it: " code { "enqueue -i FILE" } ", or the API." } }
        form #upload data-api=(app.path("/api/v1")) data-imports=(app.path("/imports")) data-csrf=[visitor.csrf.as_deref()] {
            div #drop.drop {
                label for="file" { "A file: CSV, JSON Lines, compressed or not" }
                input #file type="file";
                p.hint { "Or drop it here." }
            }
            p #said role="status" {}
            div #found hidden {
                div.filter {
                    (text("table", "Table", "public.sale_order"))
                    (text("delimiter", "Delimiter", ";"))
                    (text("null", "NULL is written", "empty"))
                    (text("encoding", "Encoding", "UTF-8"))
                    (text("max-rejects", "Rejects, at most", "any number"))
                    label { span { "Format" } select name="format" { option value="csv" { "CSV" } option value="jsonl" { "JSON Lines" } } }
                    label { span { "If a row is there already" }
                        select name="on-conflict" {
                            option value="" { "it is an error" } option value="ignore" { "leave it" } option value="update" { "update it" }
                        }
                    }
                }
                label.check { input type="checkbox" name="create-table" value="true"; " Make the table if it is not there" }
                label.check { input type="checkbox" name="all-or-nothing" value="true" checked; " When the import fails, take out again what was loaded" }
                details {
                    summary { "More options" }
                    p.hint { "Options of " code { "enqueue" } ", one a line: " code { "--date-format DD.MM.YYYY" } }
                    label { span.unseen { "More options, one a line" } textarea #more rows="4" cols="60" spellcheck="false" {} }
                }
                fieldset #columns hidden {
                    legend { "Which column takes which field" }
                    p.hint { "A field without a column (" code { "-" } ") is passed over." }
                    div #fields {}
                }
                div.acts {
                    button #check type="button" { "Check the beginning" }
                    button #send type="submit" { "Upload and load" }
                }
                progress #sent max="100" value="0" aria-label="sent" hidden {}
                div.scroll #preview tabindex="0" role="region" aria-label="The first rows" {}
                div #rejects {}
            }
        }
        script src=(app.path(assets::path("upload.js"))) defer {}
        h2 { "Uploads of late" }
    }
}

fn uploads(app: &App) -> Markup {
    let uploads = app.uploads.list();
    html! {
        @if uploads.is_empty() {
            p.empty { "None since this page was started." }
        } @else {
            ul.uploads {
                @for upload in &uploads {
                    li {
                        (words::escape(&upload.name)) ": " (words::bytes(upload.bytes))
                        @if upload.running { " so far" }
                        ", by " (words::escape(&upload.who))
                        @if let Some(import) = upload.import {
                            ", " a href=(app.path(format!("/imports/{import}"))) { "import " (import) }
                        }
                        @if let Some(error) = &upload.error { div.failure { (words::escape(error)) } }
                    }
                }
            }
        }
    }
}
