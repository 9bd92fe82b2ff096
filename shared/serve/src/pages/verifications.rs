//! Verifying takes as long as it takes to read the rows: it goes on by itself, and the import's page says how it went.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use maud::{Markup, html};
use model::{ImportId, words};
use worker::Verification;

use super::import::HIDDEN;
use crate::{
    access::Visitor,
    actions::{self, Asker},
    app::App,
    failure::Failure,
};

/// Outcomes that are remembered.
const KEPT: usize = 100;

/// What was verified since the page was started.
#[derive(Default)]
pub(crate) struct Verifications(Mutex<HashMap<ImportId, Verified>>);

#[derive(Clone)]
enum Verified {
    Running(Instant),
    Done(Instant, Arc<Result<Verification, Failure>>),
}

impl Verifications {
    fn get(&self, import: ImportId) -> Option<Verified> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&import)
            .cloned()
    }

    /// Notes that it begins; `false` when it is running.
    fn begin(&self, import: ImportId) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(all.get(&import), Some(Verified::Running(_))) {
            return false;
        }
        if all.len() >= KEPT {
            all.retain(|_, verified| matches!(verified, Verified::Running(_)));
        }
        all.insert(import, Verified::Running(Instant::now()));
        true
    }

    fn end(&self, import: ImportId, outcome: Result<Verification, Failure>) {
        let done = Verified::Done(Instant::now(), Arc::new(outcome));
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(import, done);
    }
}

/// Begins to verify an import, unless that is being done.
pub(super) fn begin(app: &App, asker: Asker, import: ImportId) {
    if !app.verifications.begin(import) {
        return;
    }
    let shared = app.clone();
    app.tasks.spawn(async move {
        // That it comes to its end, or why it did not, is known here in any case.
        let outcome = actions::verify(&shared, asker, import).await;
        shared.verifications.end(import, outcome);
    });
}

/// How it went, if it was verified.
pub(super) fn show(app: &App, visitor: &Visitor, import: ImportId) -> Markup {
    match app.verifications.get(import) {
        None => html! {},
        Some(Verified::Running(since)) => html! {
            p.note role="status" { "Being verified, for " (words::duration(since.elapsed().as_secs_f64())) " now." }
        },
        Some(Verified::Done(at, outcome)) => {
            let ago = words::duration(at.elapsed().as_secs_f64());
            match &*outcome {
                Err(failure) => {
                    html! { p.failure role="alert" { "It could not be verified: " @if visitor.who.is_some() { (words::escape(&failure.message)) } @else { (HIDDEN) } } }
                }
                Ok(report) if report.agrees() => html! {
                    p.success role="status" { "Verified " (ago) " ago: ledger and table agree on " (words::group(report.rows)) " rows." }
                },
                Ok(report) => html! {
                    div.failure role="alert" {
                        p { "Verified " (ago) " ago: ledger and table differ." }
                        ul { @for difference in &report.differences {
                            li { (words::group(difference.count)) ": " (difference.kind.describe()) }
                        } }
                    }
                },
            }
        }
    }
}
