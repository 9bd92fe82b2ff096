//! What is asked for, done and written down: who, when, from where, what, and whether it was refused.

use std::sync::Arc;

use axum::{body::Body, http::StatusCode};
use ledger::audit::{self, Action, Request};
use model::{ImportId, UndoSpec};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use submit::requests;
use worker::Verification;

use crate::{
    access::Visitor,
    app::{App, RoleLimit},
    failure::Failure,
    uploads::{self, Refused},
};

/// How an import shall be undone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::IntoParams, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UndoOptions {
    /// Delete rows that were edited since, too.
    pub include_edited: bool,
    /// Go on although rows of other tables are deleted with them (ON DELETE CASCADE).
    pub cascade: bool,
}

impl From<UndoOptions> for UndoSpec {
    fn from(options: UndoOptions) -> Self {
        Self {
            include_edited: options.include_edited,
            cascade: options.cascade,
        }
    }
}

/// What is done at once; what takes longer has its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Cancel(UndoOptions),
    Keep,
    Retry,
    Forget,
}

impl Asked {
    fn action(self) -> Action {
        match self {
            Self::Cancel(_) => Action::Cancel,
            Self::Keep => Action::Keep,
            Self::Retry => Action::Retry,
            Self::Forget => Action::Forget,
        }
    }

    /// Whether that changed anything; it may have been so before.
    async fn act(self, conn: &mut PgConnection, import: ImportId, who: &str) -> Result<bool, Failure> {
        Ok(match self {
            Self::Cancel(undo) => {
                let reason = format!("cancelled by {who}");
                requests::cancel(conn, import, undo.into(), Some(&reason))
                    .await?
                    .changed
            }
            Self::Keep => requests::keep(conn, import).await?.changed,
            Self::Retry => {
                requests::retry(conn, import).await?;
                true
            }
            Self::Forget => {
                requests::forget(conn, import).await?;
                true
            }
        })
    }
}

/// Who asks, and from where: what a task needs of a request that may be over before it.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    who: String,
    address: Option<String>,
}

impl Asker {
    pub fn new(who: &str, visitor: &Visitor) -> Self {
        Self {
            who: who.to_owned(),
            address: visitor.address.clone(),
        }
    }

    fn request(&self, action: Action, import: Option<ImportId>, details: serde_json::Value) -> Request<'_> {
        Request {
            who: &self.who,
            address: self.address.as_deref(),
            action,
            import,
            details: Some(details),
        }
    }
}

/// Does it, in one transaction with its row of the audit; what is refused is written down as well. It goes on to its end even when nobody
/// waits for the answer any more.
pub(crate) async fn perform(app: &App, asker: Asker, import: ImportId, asked: Asked) -> Result<(), Failure> {
    let shared = app.clone();
    app.to_the_end(async move {
        let outcome = perform_and_note(&shared, &asker, import, asked).await;
        shared.answers.forget();
        outcome
    })
    .await
}

async fn perform_and_note(app: &App, asker: &Asker, import: ImportId, asked: Asked) -> Result<(), Failure> {
    let mut details = match asked {
        Asked::Cancel(undo) => serde_json::json!(undo),
        _ => serde_json::json!({}),
    };
    let (who, action) = (&asker.who, asked.action());
    let mut conn = app.acting().await?;
    let mut tx = conn.begin().await?;
    let failure = match asked.act(&mut tx, import, who).await {
        Ok(changed) => {
            if !changed {
                details["changed"] = false.into();
            }
            audit::insert(&mut tx, &asker.request(action, Some(import), details), None).await?;
            tx.commit().await?;
            conn.commit().await?;
            tracing::info!(who, action = action.as_str(), %import, changed, "asked for and done");
            return Ok(());
        }
        Err(failure) => failure,
    };
    // A session that broke is no reason to forget why it was refused.
    drop(tx.rollback().await);
    drop(conn);
    tracing::info!(who, action = action.as_str(), %import, status = failure.status.as_u16(), "asked for and refused");
    let request = asker.request(action, Some(import), details);
    note(app, &request, Some(&failure.message)).await?;
    Err(failure)
}

/// Writes down what was asked for, by itself.
async fn note(app: &App, request: &Request<'_>, refused: Option<&str>) -> Result<(), Failure> {
    let mut session = app.acting().await?;
    audit::insert(&mut session, request, refused).await?;
    Ok(session.commit().await?)
}

/// Compares the ledger with the table, and writes down that it was asked for, and what kept it from being done. The file is not at hand
/// here.
pub(crate) async fn verify(app: &App, asker: Asker, import: ImportId) -> Result<Verification, Failure> {
    let shared = app.clone();
    app.to_the_end(async move {
        let verified = look_through(&shared, import).await;
        let details = match &verified {
            Ok(verified) => serde_json::json!({"agrees": verified.agrees()}),
            Err(_) => serde_json::json!({}),
        };
        let refused = verified.as_ref().err().map(|failure| failure.message.as_str());
        let request = asker.request(Action::Verify, Some(import), details);
        note(&shared, &request, refused).await?;
        shared.answers.forget();
        verified
    })
    .await
}

async fn look_through(app: &App, import: ImportId) -> Result<Verification, Failure> {
    let mut session = app.role_connection(RoleLimit::None).await?;
    Ok(worker::verify(&mut session, import, &[]).await?)
}

/// Submits what is uploaded, and writes it down: what was submitted, or why it was not.
pub(crate) async fn submit(
    app: &App,
    asker: Asker,
    name: String,
    options: Vec<(String, String)>,
    body: Body,
) -> Result<ImportId, Failure> {
    let shared = app.clone();
    app.to_the_end(async move { submit_and_note(&shared, &asker, &name, options, body).await })
        .await
}

async fn submit_and_note(
    app: &App,
    asker: &Asker,
    name: &str,
    options: Vec<(String, String)>,
    body: Body,
) -> Result<ImportId, Failure> {
    let submitter = app.submitter()?;
    let Ok(_turn) = app.uploading.try_acquire() else {
        return Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many files are being uploaded at this moment: try again",
        ));
    };
    let upload = app.uploads.begin(name, &asker.who);
    let source = uploads::source_of(body, &upload, app.stopping.clone());
    let (asked, progress) = (options.clone(), Arc::clone(&upload));
    let submitting = tokio::task::spawn_blocking(move || submitter.submit(&asked, source, &progress.progress));
    let submitted = match submitting.await {
        Ok(submitted) => submitted,
        Err(error) => Err(Refused::Submission(format!(
            "the submission ended unexpectedly: {error}"
        ))),
    };
    let import = match &submitted {
        Ok(submitted) => Some(submitted.import),
        Err(_) => upload.progress.own_import.get().copied(),
    };
    let outcome = submitted.map_err(Failure::from);
    let refused = outcome.as_ref().err().map(|failure| failure.message.clone());
    upload.end(refused.clone().map_or(Ok(()), Err));
    let details = serde_json::json!({"name": name, "options": options});
    let request = asker.request(Action::Submit, import, details);
    note(app, &request, refused.as_deref()).await?;
    app.answers.forget();
    Ok(outcome?.import)
}
