//! The API for programs: what the pages show and do, as JSON. Its types are those of the command line's `--json`.

mod document;

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
};
use ledger::{
    audit::{self as ledger_audit, AuditStatus},
    imports,
    read::{
        self, EventStatus, GroupedErrors, ImportFilter, ImportStatus, Picture, RejectReport, TargetStatus, Throughput,
    },
    workers::WorkerStatus,
};
use model::{ImportId, ImportState};
use serde::{Deserialize, Serialize};
use worker::{UndoPreview, Verification};

use crate::{
    access::{CSRF_HEADER, Visitor},
    actions::{self, Asked, Asker, UndoOptions},
    app::{App, RoleLimit},
    failure::{ErrorBody, Failure},
    pages::{import as import_page, tables as tables_page, workers as workers_page},
    query::{self, Named, Query},
    reject_page::RejectPage,
    uploads::{Looked, Sniffed, file_name, sample_of},
};

pub use document::openapi;

pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}

/// What a browser's script sends, and a program need not.
fn second(headers: &axum::http::HeaderMap) -> Option<&str> {
    headers.get(CSRF_HEADER)?.to_str().ok()
}

/// Which imports are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportsQuery {
    /// Only those in this state; several with commas between them.
    state: String,
    /// Only those whose source or table has this in its name, whatever its case.
    q: String,
    /// Only those that this role submitted.
    submitted_by: String,
    /// Only those submitted within this time: **seconds**.
    since_s: Option<u64>,
    /// Only those older than this one: `next` of an earlier answer.
    before: Option<i64>,
    /// At most so many: 50 unless told otherwise, and 500 at most.
    limit: Option<u16>,
}

/// A list of imports.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ImportsAnswer {
    /// The newest first.
    imports: Vec<ImportStatus>,
    /// What `before` has to be for those behind them; none where there are no more.
    next: Option<i64>,
}

fn states(text: &str) -> Result<Vec<ImportState>, Failure> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse()
                .map_err(|error| Failure::bad_request(format!("state: {error}")))
        })
        .collect()
}

/// What those may see who have no token: how an import stands, but not what was in it.
fn for_visitor(mut status: ImportStatus, visitor: &Visitor) -> ImportStatus {
    if visitor.who.is_none() {
        status.chunk_errors.clear();
        status.error = status.error.map(|_| import_page::HIDDEN.to_owned());
    }
    status
}

#[utoipa::path(get, path = "/imports", params(ImportsQuery), tag = "read",
    responses((status = 200, body = ImportsAnswer), (status = 400, body = ErrorBody)))]
/// Lists imports, the newest first
pub(crate) async fn imports(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<ImportsQuery>,
) -> Result<Json<ImportsAnswer>, Failure> {
    const USUAL: u16 = 50;
    const MOST: u16 = 500;
    let limit = usize::from(query.limit.unwrap_or(USUAL));
    if !(1..=usize::from(MOST)).contains(&limit) {
        return Err(Failure::bad_request(format!("limit is a number from 1 to {MOST}")));
    }
    const LONGEST_S: u64 = 100 * 366 * 86_400;
    if query.since_s.is_some_and(|seconds| seconds > LONGEST_S) {
        return Err(Failure::bad_request(format!("since_s is a number up to {LONGEST_S}")));
    }
    let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = ImportFilter {
        states: states(&query.state)?,
        text: text(&query.q),
        since: query.since_s.map(std::time::Duration::from_secs),
        submitted_by: text(&query.submitted_by),
        before: query.before.map(ImportId),
    };
    let find = async {
        let mut conn = app.connection().await?;
        let one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        Ok(read::list(&mut conn, &filter, one_more).await?)
    };
    let listed = app.answers.get(format!("api imports {limit} {filter:?}"), find).await?;
    let next = (listed.len() > limit).then(|| listed[limit - 1].import_id.0);
    let imports = listed.iter().take(limit).cloned();
    Ok(Json(ImportsAnswer {
        imports: imports.map(|status| for_visitor(status, &visitor)).collect(),
        next,
    }))
}

/// What a file is called, and the options of `enqueue` that say how it is loaded: each by its name without the dashes, as often as it is given.
fn name_and_options(query: Option<&str>) -> Result<(String, Vec<(String, String)>), Failure> {
    let mut all: Vec<(String, String)> = serde_urlencoded::from_str(query::check(query.unwrap_or_default())?)
        .map_err(|error| Failure::bad_request(format!("the options cannot be read: {error}")))?;
    let name = all
        .iter()
        .find(|(option, _)| option == "name")
        .map(|(_, name)| name.clone());
    all.retain(|(option, _)| option != "name");
    Ok((file_name(&name.unwrap_or_default()), all))
}

/// The beginning of a file, which must not be all of a large one.
fn sample(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
    body.map_err(|error| {
        let status = error.status();
        if status == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            return Failure::new(status, "this takes the first MiB of the file, and no more");
        }
        Failure::new(status, error.to_string())
    })
}

/// How a file is loaded.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "it is described here, and understood by the command line's parser"
)]
pub(crate) struct SubmitQuery {
    /// What the file is called.
    name: Option<String>,
    /// The table to load.
    table: Option<String>,
    /// Any other option of `enqueue` that says how a file is read and loaded, by its name without the dashes, as often as it may be given:
    /// `delimiter`, `null`, `columns`, `on-conflict`, `max-rejects`, `key`, … ; one without a value is `true`.
    #[param(value_type = Option<String>)]
    delimiter: Option<String>,
}

#[utoipa::path(post, path = "/imports", params(SubmitQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "The file, compressed or not"), tag = "token", security(("token" = [])),
    responses((status = 201, body = ImportStatus), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)))]
/// Submits a file as it is sent, however large it is; a second one with the same `key` answers with the first
pub(crate) async fn submit(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    RawQuery(query): RawQuery,
    body: axum::body::Body,
) -> Result<axum::response::Response, Failure> {
    let who = visitor.must_act(&app, second(&headers))?;
    let (name, options) = name_and_options(query.as_deref())?;
    let import = actions::submit(&app, Asker::new(who, &visitor), name, options, body).await?;
    let location = app.path(format!("/api/v1/imports/{import}"));
    let created = (
        axum::http::StatusCode::CREATED,
        [(axum::http::header::LOCATION, location)],
        Json(status_of(&app, import).await?),
    );
    Ok(axum::response::IntoResponse::into_response(created))
}

#[utoipa::path(post, path = "/sniff", params(("name" = Option<String>, Query)), request_body(content = Vec<u8>,
        content_type = "application/octet-stream", description = "The first MiB of the file"), tag = "token", security(("token" = [])),
    responses((status = 200, body = Sniffed), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 413, body = ErrorBody), (status = 422, body = ErrorBody)))]
/// How a file seems to be written, by its beginning
pub(crate) async fn sniff(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Sniffed>, Failure> {
    visitor.must_act(&app, second(&headers))?;
    let body = sample(body)?;
    let (name, _) = name_and_options(query.as_deref())?;
    let submitter = app.submitter()?;
    let sniffed = tokio::task::spawn_blocking(move || submitter.sniff(&sample_of(&name, body))).await;
    Ok(Json(sniffed.map_err(|error| Failure::internal(&error.to_string()))??))
}

#[utoipa::path(post, path = "/check", params(SubmitQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "The first MiB of the file"), tag = "token", security(("token" = [])),
    responses((status = 200, body = Looked), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 422, body = ErrorBody)))]
/// What would be loaded of the beginning of a file, and what rejected; stores nothing
pub(crate) async fn check(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Looked>, Failure> {
    visitor.must_act(&app, second(&headers))?;
    let body = sample(body)?;
    let (name, options) = name_and_options(query.as_deref())?;
    let submitter = app.submitter()?;
    let looked = tokio::task::spawn_blocking(move || submitter.look(&options, sample_of(&name, body))).await;
    Ok(Json(looked.map_err(|error| Failure::internal(&error.to_string()))??))
}

async fn status_of(app: &App, import: ImportId) -> Result<ImportStatus, Failure> {
    let mut conn = app.connection().await?;
    let mut status = read::status(&mut conn, import)
        .await?
        .ok_or_else(|| Failure::no_import(import))?;
    read::name_files(&mut conn, &mut status).await?;
    Ok(status)
}

#[utoipa::path(get, path = "/imports/{id}", params(("id" = i64, Path, description = "What `enqueue` printed")), tag = "read",
    responses((status = 200, body = ImportStatus), (status = 404, body = ErrorBody)))]
/// One import
pub(crate) async fn import(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
) -> Result<Json<ImportStatus>, Failure> {
    let find = status_of(&app, id);
    let status = app.answers.get(format!("api import {id}"), find).await?;
    Ok(Json(for_visitor((*status).clone(), &visitor)))
}

#[utoipa::path(get, path = "/imports/{id}/events", params(("id" = i64, Path)), tag = "read",
    responses((status = 200, body = Vec<EventStatus>), (status = 404, body = ErrorBody)))]
/// What happened to an import, in its order; why, only with a token
pub(crate) async fn events(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
) -> Result<Json<Vec<EventStatus>>, Failure> {
    let find = async {
        let mut conn = app.connection().await?;
        must_exist(&mut conn, id).await?;
        Ok(read::events(&mut conn, id).await?)
    };
    let mut events = (*app.answers.get(format!("api events {id}"), find).await?).clone();
    if visitor.who.is_none() {
        for event in &mut events {
            event.note = event.note.take().map(|_| import_page::HIDDEN.to_owned());
            // It may name a host that only some know.
            event.notifications = Vec::new();
        }
    }
    Ok(Json(events))
}

#[utoipa::path(get, path = "/imports/{id}/errors", params(("id" = i64, Path)), tag = "read",
    responses((status = 200, body = GroupedErrors), (status = 404, body = ErrorBody)))]
/// What went wrong in an import, alike things together; examples only with a token
pub(crate) async fn errors(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
) -> Result<Json<GroupedErrors>, Failure> {
    let find = async {
        let mut conn = app.connection().await?;
        must_exist(&mut conn, id).await?;
        Ok(read::grouped_errors(&mut conn, id).await?)
    };
    let errors = (*app.answers.get(format!("api errors {id}"), find).await?).clone();
    Ok(Json(match visitor.who {
        Some(_) => errors,
        None => errors.without_examples(),
    }))
}

#[utoipa::path(get, path = "/imports/{id}/chunks", params(("id" = i64, Path)), tag = "read",
    responses((status = 200, body = Picture), (status = 404, body = ErrorBody)))]
/// How the chunks of an import stand, in at most 1,000 cells
pub(crate) async fn chunks(State(app): State<App>, Named(id): Named) -> Result<Json<Picture>, Failure> {
    let find = async {
        let mut conn = app.connection().await?;
        must_exist(&mut conn, id).await?;
        Ok(read::picture(&mut conn, id, import_page::CELLS).await?)
    };
    let picture = app.answers.get(format!("api chunks {id}"), find).await?;
    Ok(Json((*picture).clone()))
}

#[utoipa::path(get, path = "/imports/{id}/throughput", params(("id" = i64, Path)), tag = "read",
    responses((status = 200, body = Throughput), (status = 404, body = ErrorBody)))]
/// How fast an import was over its time
pub(crate) async fn throughput(State(app): State<App>, Named(id): Named) -> Result<Json<Throughput>, Failure> {
    let find = async {
        let mut conn = app.connection().await?;
        must_exist(&mut conn, id).await?;
        Ok(read::throughput(&mut conn, id, import_page::STRETCHES).await?)
    };
    let throughput = app.answers.get(format!("api throughput {id}"), find).await?;
    Ok(Json((*throughput).clone()))
}

async fn must_exist(conn: &mut sqlx::PgConnection, import: ImportId) -> Result<(), Failure> {
    match imports::state(conn, import).await? {
        Some(_) => Ok(()),
        None => Err(Failure::no_import(import)),
    }
}

#[utoipa::path(get, path = "/imports/{id}/audit", params(("id" = i64, Path)), tag = "token", security(("token" = [])),
    responses((status = 200, body = Vec<AuditStatus>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
/// What was asked of an import through the page and the API, by whom
pub(crate) async fn audit(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
) -> Result<Json<Vec<AuditStatus>>, Failure> {
    const MOST: i64 = 1_000;
    visitor.must_be_known(&app)?;
    let mut conn = app.connection().await?;
    Ok(Json(ledger_audit::of_import(&mut conn, id, MOST).await?))
}

/// Which rejects are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RejectsQuery {
    /// Only those behind this place: `next` of an earlier answer.
    after: String,
}

/// Rejected records, in the source's order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RejectsAnswer<'r> {
    rejects: Vec<RejectReport<'r>>,
    /// What `after` has to be for those behind them, or `null` where there are none.
    next: Option<String>,
}

#[utoipa::path(get, path = "/imports/{id}/rejects", params(("id" = i64, Path), RejectsQuery), tag = "token", security(("token" = [])),
    responses((status = 200, body = RejectsAnswer<'static>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
/// The rejected records of an import with all that is known of them
pub(crate) async fn rejects(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Query(query): Query<RejectsQuery>,
) -> Result<axum::response::Response, Failure> {
    const AT_ONCE: i64 = 500;
    visitor.must_be_known(&app)?;
    let RejectPage { names, rejects, next } = RejectPage::read(&app, id, &query.after, AT_ONCE).await?;
    let answer = RejectsAnswer {
        rejects: rejects.iter().map(|reject| RejectReport::new(reject, &names)).collect(),
        next,
    };
    Ok(axum::response::IntoResponse::into_response(Json(answer)))
}

#[utoipa::path(get, path = "/imports/{id}/preview", params(("id" = i64, Path), UndoOptions), tag = "token", security(("token" = [])),
    responses((status = 200, body = UndoPreview), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 504, body = ErrorBody)))]
/// What a cancel would do to the rows of an import, as the table is at this moment
pub(crate) async fn preview(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Query(undo): Query<UndoOptions>,
) -> Result<Json<UndoPreview>, Failure> {
    visitor.must_be_known(&app)?;
    let mut conn = app.role_connection(RoleLimit::Preview).await?;
    Ok(Json(worker::preview(&mut conn, id, undo.into()).await?))
}

async fn act(
    app: &App,
    visitor: &Visitor,
    headers: &axum::http::HeaderMap,
    import: ImportId,
    asked: Asked,
) -> Result<ImportId, Failure> {
    let who = visitor.must_act(app, second(headers))?;
    actions::perform(app, Asker::new(who, visitor), import, asked).await?;
    Ok(import)
}

#[utoipa::path(post, path = "/imports/{id}/cancel", params(("id" = i64, Path)), request_body = Option<UndoOptions>, tag = "token",
    security(("token" = [])), responses((status = 200, body = ImportStatus), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
/// Takes exactly the rows of an import out again; workers do it, and the answer comes at once
pub(crate) async fn cancel(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    Named(id): Named,
    body: Bytes,
) -> Result<Json<ImportStatus>, Failure> {
    let undo = if body.trim_ascii().is_empty() {
        UndoOptions::default()
    } else {
        serde_json::from_slice(&body)
            .map(serde_json::Value::Object)
            .and_then(serde_json::from_value)
            .map_err(|error| Failure::bad_request(format!("the body is not as it should be: {error}")))?
    };
    let import = act(&app, &visitor, &headers, id, Asked::Cancel(undo)).await?;
    Ok(Json(status_of(&app, import).await?))
}

#[utoipa::path(post, path = "/imports/{id}/keep", params(("id" = i64, Path)), tag = "token", security(("token" = [])),
    responses((status = 200, body = ImportStatus), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
/// Stops an undo: what is left of the import stays
pub(crate) async fn keep(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    Named(id): Named,
) -> Result<Json<ImportStatus>, Failure> {
    let import = act(&app, &visitor, &headers, id, Asked::Keep).await?;
    Ok(Json(status_of(&app, import).await?))
}

#[utoipa::path(post, path = "/imports/{id}/retry", params(("id" = i64, Path)), tag = "token", security(("token" = [])),
    responses((status = 200, body = ImportStatus), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
/// Opens the failed chunks of an import again
pub(crate) async fn retry(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    Named(id): Named,
) -> Result<Json<ImportStatus>, Failure> {
    let import = act(&app, &visitor, &headers, id, Asked::Retry).await?;
    Ok(Json(status_of(&app, import).await?))
}

#[utoipa::path(delete, path = "/imports/{id}", params(("id" = i64, Path)), tag = "token", security(("token" = [])),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
/// Drops the history of an import that ended, and with it its undo; its rows stay
pub(crate) async fn forget(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    Named(id): Named,
) -> Result<axum::http::StatusCode, Failure> {
    act(&app, &visitor, &headers, id, Asked::Forget).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/imports/{id}/verify", params(("id" = i64, Path)), tag = "token", security(("token" = [])),
    responses((status = 200, body = Verification), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
/// Compares what the ledger says of an import with the table; takes as long as reading its rows does
pub(crate) async fn verify(
    State(app): State<App>,
    visitor: Visitor,
    headers: axum::http::HeaderMap,
    Named(id): Named,
) -> Result<Json<Verification>, Failure> {
    let who = visitor.must_act(&app, second(&headers))?;
    Ok(Json(actions::verify(&app, Asker::new(who, &visitor), id).await?))
}

#[utoipa::path(get, path = "/workers", tag = "read", responses((status = 200, body = Vec<WorkerStatus>)))]
/// The workers, and what each does
pub(crate) async fn workers(State(app): State<App>) -> Result<Json<Vec<WorkerStatus>>, Failure> {
    Ok(Json((*workers_page::listed(&app).await?).clone()))
}

#[utoipa::path(get, path = "/tables", tag = "read", responses((status = 200, body = Vec<TargetStatus>)))]
/// The tables that imports load, those that were loaded longest ago first
pub(crate) async fn tables(State(app): State<App>) -> Result<Json<Vec<TargetStatus>>, Failure> {
    Ok(Json((*tables_page::listed(&app).await?).clone()))
}
