//! What cannot be taken back is shown first, with what it would do.

use axum::extract::State;
use ledger::read::{self, ImportStatus};
use maud::{Markup, html};
use model::{ImportEvent, ImportId, words};

use super::{
    badge, figure,
    layout::{Page, csrf_field, layout},
};
use crate::{
    access::Visitor,
    app::{App, RoleLimit},
    failure::Failure,
    query::Named,
    words::state,
};

async fn status_of(app: &App, import: ImportId) -> Result<ImportStatus, Failure> {
    let mut conn = app.connection().await?;
    let status = read::status(&mut conn, import).await?;
    status.ok_or_else(|| Failure::no_import(import))
}

/// A page that asks, and the form that does it.
fn ask(
    app: &App,
    visitor: &Visitor,
    status: &ImportStatus,
    title: &str,
    act: &str,
    button: &str,
    body: &Markup,
) -> Markup {
    let id = status.import_id;
    let csrf = visitor.csrf.as_deref();
    let body = html! {
        h1 { (title) " " a href=(app.path(format!("/imports/{id}"))) { "import " (id) } " " (badge(status.state, state(status))) }
        p { (words::escape(&status.source)) " → " (words::escape(&status.target)) }
        form.confirm method="post" action=(app.path(format!("/imports/{id}/{act}"))) {
            @if let Some(csrf) = csrf { (csrf_field(csrf)) }
            (body)
            div.acts {
                button.danger type="submit" { (button) }
                a.button href=(app.path(format!("/imports/{id}"))) { "Back" }
            }
        }
    };
    layout(app, visitor, &Page::still(title, "/imports"), &body)
}

pub(crate) async fn cancel(State(app): State<App>, visitor: Visitor, Named(id): Named) -> Result<Markup, Failure> {
    visitor.must_be_known(&app)?;
    let status = status_of(&app, id).await?;
    let preview = worker::preview(
        &mut *app.role_connection(RoleLimit::Preview).await?,
        id,
        model::UndoSpec::default(),
    )
    .await
    .map_err(Failure::from);
    let body = html! {
        @if !status.state.allows(ImportEvent::Cancel) {
            p.failure role="alert" { "It is " (state(&status)) ": there is nothing to cancel." }
        }
        @match &preview {
            Ok(preview) => {
                p { "As the table is at this moment:" }
                table.figures { tbody {
                    (figure("Deleted", preview.would_delete, "rows that are as it loaded them"))
                    @if preview.would_restore > 0 { (figure("Restored", preview.would_restore, "would get their former values back")) }
                    @if preview.would_return > 0 { (figure("Put back", preview.would_return, "rows that the source did not have")) }
                    (figure("Kept", preview.would_keep, "rows that are not as it loaded them stay"))
                    @if preview.edited > 0 { (figure("Edited", preview.edited, "of these: changed since, or somebody else's")) }
                    @if preview.cannot_tell > 0 { (figure("Unclear", preview.cannot_tell, "nobody can tell whether they were edited")) }
                    @if preview.missing > 0 { (figure("Gone", preview.missing, "deleted by others already")) }
                } }
            }
            Err(failure) => p.failure role="alert" { "What it would do could not be counted: " (words::escape(&failure.message)) }
        }
        @if !status.state.is_final() { p { "It is still being loaded: what workers load until they hear of it goes, too." } }
        fieldset {
            legend { "Options" }
            label.check { input type="checkbox" name="include_edited" value="true"; " Delete rows that were edited since, too" }
            label.check { input type="checkbox" name="cascade" value="true"; " Go on although rows of other tables are deleted with them (ON DELETE CASCADE)" }
        }
    };
    Ok(ask(
        &app,
        &visitor,
        &status,
        "Cancel",
        "cancel",
        "Take its rows out",
        &body,
    ))
}

pub(crate) async fn keep(State(app): State<App>, visitor: Visitor, Named(id): Named) -> Result<Markup, Failure> {
    visitor.must_be_known(&app)?;
    let status = status_of(&app, id).await?;
    let body = html! {
        @if !status.state.allows(ImportEvent::Keep) {
            p.failure role="alert" { "It is " (state(&status)) ": only an import that is being cancelled can be kept." }
        }
        p { "Its undo stops: " (words::group(status.deleted + status.restored)) " rows are undone, and the other "
            (words::group(status.remaining())) " stay." }
    };
    Ok(ask(
        &app,
        &visitor,
        &status,
        "Keep what is left of",
        "keep",
        "Stop the undo",
        &body,
    ))
}

pub(crate) async fn forget(State(app): State<App>, visitor: Visitor, Named(id): Named) -> Result<Markup, Failure> {
    visitor.must_be_known(&app)?;
    let status = status_of(&app, id).await?;
    let body = html! {
        @if !status.state.is_final() {
            p.failure role="alert" { "It is " (state(&status)) ": only an import that ended can be forgotten." }
        }
        p { "Its history goes, and with it its rejects and its undo: the " (words::group(status.remaining()))
            " rows that it put into the table stay, and can no longer be taken out by pg_import." }
    };
    Ok(ask(&app, &visitor, &status, "Forget", "forget", "Forget it", &body))
}
