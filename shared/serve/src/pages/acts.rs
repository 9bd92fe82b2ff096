//! Forms that do something, and where they lead.

use axum::{extract::State, response::Redirect};
use model::ImportId;
use serde::Deserialize;

use crate::{
    access::Visitor,
    actions::{self, Asked, Asker, UndoOptions},
    app::App,
    failure::Failure,
    query::{Form, Named},
};

/// What a form has to come with from a browser that is known.
pub(super) fn csrf_of(form: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Second {
        csrf: Option<String>,
    }
    serde_urlencoded::from_bytes::<Second>(form).ok()?.csrf
}

async fn act(
    app: &App,
    visitor: &Visitor,
    import: ImportId,
    form: &[u8],
    asked: Asked,
    to: &str,
) -> Result<Redirect, Failure> {
    let who = visitor.must_act(app, csrf_of(form).as_deref())?;
    actions::perform(app, Asker::new(who, visitor), import, asked).await?;
    Ok(Redirect::to(&app.path(to)))
}

pub(crate) async fn cancel(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Form(form): Form,
) -> Result<Redirect, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Options {
        include_edited: bool,
        cascade: bool,
    }
    let Options {
        include_edited,
        cascade,
    } = serde_urlencoded::from_bytes(&form).map_err(|_| Failure::bad_request("the form has an option that is none"))?;
    let asked = Asked::Cancel(UndoOptions {
        include_edited,
        cascade,
    });
    act(&app, &visitor, id, &form, asked, &format!("/imports/{id}")).await
}

pub(crate) async fn keep(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Form(form): Form,
) -> Result<Redirect, Failure> {
    act(&app, &visitor, id, &form, Asked::Keep, &format!("/imports/{id}")).await
}

pub(crate) async fn retry(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Form(form): Form,
) -> Result<Redirect, Failure> {
    act(&app, &visitor, id, &form, Asked::Retry, &format!("/imports/{id}")).await
}

pub(crate) async fn forget(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Form(form): Form,
) -> Result<Redirect, Failure> {
    act(&app, &visitor, id, &form, Asked::Forget, "/imports").await
}

/// Begins to verify; how it goes, the import's page says.
pub(crate) async fn verify(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Form(form): Form,
) -> Result<Redirect, Failure> {
    let who = visitor.must_act(&app, csrf_of(&form).as_deref())?;
    super::verifications::begin(&app, Asker::new(who, &visitor), id);
    Ok(Redirect::to(&app.path(format!("/imports/{id}"))))
}
