//! Records that could not be loaded: what they were, where, and why. Only for those with a token, for they are what users sent.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use ledger::{
    read::RejectReport,
    rejects::{self, Reject},
};
use maud::{Markup, html};
use model::{ImportId, Position, words};
use serde::Deserialize;

use super::layout::{Page, layout};
use crate::{
    access::Visitor,
    app::App,
    failure::Failure,
    query::{Named, Query},
    reject_page::{self, RejectPage},
};

/// Rejects on a page.
const SHOWN: i64 = 100;
/// Rejects read at once for a file.
const AT_ONCE: i64 = 1_000;
/// Characters of a record that are shown; the file has all of them.
const SHOWN_CHARS: usize = 400;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct From {
    after: String,
}

pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Named(id): Named,
    Query(from): Query<From>,
) -> Result<Markup, Failure> {
    visitor.must_be_known(&app)?;
    let RejectPage { names, rejects, next } = RejectPage::read(&app, id, &from.after, SHOWN).await?;
    let path = app.path(format!("/imports/{id}/rejects"));
    let body = html! {
        h1 { "Rejects of import " a href=(app.path(format!("/imports/{id}"))) { (id) } }
        @if rejects.is_empty() {
            p.empty { @if from.after.is_empty() { "No record was rejected." } @else { "There are no more." } }
        } @else {
            p { a.button href={ (path) ".csv" } download { "Download all as CSV" } }
            div.scroll tabindex="0" role="region" aria-label="Rejects" {
                table.rejects {
                    thead { tr {
                        @if names.len() > 1 { th scope="col" { "File" } }
                        th.number scope="col" { "Record" } th.number scope="col" { "Line" } th scope="col" { "Column" }
                        th scope="col" { "Why" } th scope="col" { "The record" }
                    } }
                    tbody { @for reject in &rejects { (row(reject, &names)) } }
                }
            }
            @if let Some(next) = next { p.more { a href={ (path) "?after=" (next) } { "More" } } }
        }
    };
    let title = format!("Rejects of import {id}");
    Ok(layout(&app, &visitor, &Page::still(&title, "/imports"), &body))
}

fn row(reject: &Reject, names: &[String]) -> Markup {
    let number = |number: Option<u64>| number.map(words::group).unwrap_or_default();
    let raw = String::from_utf8_lossy(&reject.raw);
    let mut chars = raw.chars();
    let beginning: String = chars.by_ref().take(SHOWN_CHARS).collect();
    let constraint = reject
        .refusal
        .as_ref()
        .and_then(|refusal| refusal.constraint.as_deref());
    html! {
        tr {
            @if names.len() > 1 { td data-label="File" { (reject.input_name(names).map(words::escape).unwrap_or_default()) } }
            td.number data-label="Record" { (number(reject.position.record)) }
            td.number data-label="Line" { (number(reject.position.line)) }
            td data-label="Column" { (reject.column.as_deref().map(words::escape).unwrap_or_default()) }
            td.wrap data-label="Why" {
                (words::escape(&reject.reason))
                @if let Some(constraint) = constraint { " (constraint " (words::escape(constraint)) ")" }
            }
            td.raw data-label="The record" { code { (words::escape(&beginning)) @if chars.next().is_some() { "…" } } }
        }
    }
}

/// All of them as a file, as long as it may be: a page of them after the other.
pub(crate) async fn csv(State(app): State<App>, visitor: Visitor, Named(id): Named) -> Result<Response, Failure> {
    visitor.must_be_known(&app)?;
    let names = reject_page::names(&mut *app.connection().await?, id).await?;
    let pages = stream::unfold(
        Some(Written {
            app,
            id,
            names,
            after: None,
        }),
        |written| async move {
            let written = written?;
            match written.next().await {
                Ok(Some((bytes, written))) => Some((Ok(bytes), Some(written))),
                Ok(None) => None,
                // The answer has begun: it breaks off, and a browser says that it did.
                Err(failure) => Some((Err(failure), None)),
            }
        },
    );
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"import-{id}-rejects.csv\""),
        ),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// How far a file of rejects is written.
struct Written {
    app: App,
    id: ImportId,
    names: Vec<String>,
    after: Option<Option<Position>>,
}

impl Written {
    async fn next(self) -> Result<Option<(Bytes, Self)>, Failure> {
        let mut writer = csv_async::AsyncWriter::from_writer(Vec::new());
        let failed = |error: csv_async::Error| Failure::internal(&error.to_string());
        let Some(after) = self.after else {
            let header = [
                "file",
                "record",
                "line",
                "column",
                "reason",
                "code",
                "constraint",
                "raw",
            ];
            writer.write_record(header).await.map_err(failed)?;
            let bytes = writer
                .into_inner()
                .await
                .map_err(|error| Failure::internal(&error.to_string()))?;
            return Ok(Some((
                bytes.into(),
                Self {
                    after: Some(None),
                    ..self
                },
            )));
        };
        let mut conn = self.app.connection().await?;
        let page = rejects::page(&mut conn, self.id, after, AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        let last = last.position;
        for reject in &page {
            let report = RejectReport::new(reject, &self.names);
            let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
            let fields = [
                report.file.unwrap_or_default().as_bytes(),
                number(report.record).as_bytes(),
                number(report.line).as_bytes(),
                report.column.unwrap_or_default().as_bytes(),
                report.reason.as_bytes(),
                report.code.unwrap_or_default().as_bytes(),
                report.constraint.unwrap_or_default().as_bytes(),
                &reject.raw,
            ]
            .map(<[u8]>::to_vec);
            let record = csv_async::ByteRecord::from(fields.to_vec());
            writer.write_byte_record(&record).await.map_err(failed)?;
        }
        let bytes = writer
            .into_inner()
            .await
            .map_err(|error| Failure::internal(&error.to_string()))?;
        Ok(Some((
            bytes.into(),
            Self {
                after: Some(Some(last)),
                ..self
            },
        )))
    }
}
