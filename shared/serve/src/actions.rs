//! What is asked for, done and written down: who, when, from where, what, and whether it was refused.

use std::sync::Arc;

use axum::body::Body;
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
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

/// Does it, in one transaction with its row of the audit; what is refused is written down as well. Who asks must have been asked for.
pub(crate) async fn perform(
    app: &App,
    visitor: &Visitor,
    who: &str,
    import: ImportId,
    asked: Asked,
) -> Result<(), Failure> {
    let mut request = Request {
        who,
        address: visitor.address.as_deref(),
        action: asked.action(),
        import: Some(import),
        details: None,
    };
    let mut details = match asked {
        Asked::Cancel(undo) => serde_json::json!(undo),
        _ => serde_json::json!({}),
    };
    let mut conn = app.connection().await?;
    let mut tx = conn.begin().await?;
    let outcome = match asked.act(&mut tx, import, who).await {
        Ok(changed) => {
            if !changed {
                details["changed"] = false.into();
            }
            request.details = Some(details);
            audit::insert(&mut tx, &request, None).await?;
            tx.commit().await.map_err(Failure::from)
        }
        Err(failure) => {
            tx.rollback().await?;
            request.details = Some(details);
            Err(failure)
        }
    };
    match &outcome {
        Ok(()) => tracing::info!(who, action = asked.action().as_str(), %import, "asked for and done"),
        Err(failure) => {
            tracing::info!(who, action = asked.action().as_str(), %import, refused = failure.message, "asked for and refused");
            audit::insert(&mut conn, &request, Some(&failure.message)).await?;
        }
    }
    app.answers.forget();
    outcome
}

/// Compares the ledger with the table, and writes down that it was asked for, and what kept it from being done.
pub(crate) async fn verify(app: &App, visitor: &Visitor, who: &str, import: ImportId) -> Result<Verification, Failure> {
    let verified = look_through(app, import).await;
    let request = Request {
        who,
        address: visitor.address.as_deref(),
        action: Action::Verify,
        import: Some(import),
        details: verified
            .as_ref()
            .ok()
            .map(|verified| serde_json::json!({"agrees": verified.agrees()})),
    };
    let refused = verified.as_ref().err().map(|failure| failure.message.as_str());
    audit::insert(&mut *app.connection().await?, &request, refused).await?;
    app.answers.forget();
    verified
}

/// The file is not at hand here.
async fn look_through(app: &App, import: ImportId) -> Result<Verification, Failure> {
    let mut session = app.role_connection(RoleLimit::None).await?;
    Ok(worker::verify(&mut session, import, &[]).await?)
}

/// Submits what is uploaded, and writes it down: what was submitted, or why it was not.
pub(crate) async fn submit(
    app: &App,
    visitor: &Visitor,
    who: &str,
    (name, options): (&str, Vec<(String, String)>),
    body: Body,
) -> Result<ImportId, Failure> {
    let submitter = app.submitter()?;
    let upload = app.uploads.begin(name, who);
    let source = uploads::source_of(body, &upload);
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
    let request = Request {
        who,
        address: visitor.address.as_deref(),
        action: Action::Submit,
        import,
        details: Some(serde_json::json!({"name": name, "options": options})),
    };
    audit::insert(&mut *app.connection().await?, &request, refused.as_deref()).await?;
    app.answers.forget();
    Ok(outcome?.import)
}
