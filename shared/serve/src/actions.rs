//! What is asked for, done and written down: who, when, from where, what, and whether it was refused.

use ledger::audit::{self, Action, Request};
use model::{ImportId, UndoSpec};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use submit::requests;

use crate::{access::Visitor, app::App, failure::Failure};

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

    async fn act(self, conn: &mut PgConnection, import: ImportId, who: &str) -> Result<(), Failure> {
        match self {
            Self::Cancel(undo) => {
                let reason = format!("cancelled by {who}");
                requests::cancel(conn, import, undo.into(), Some(&reason)).await?;
            }
            Self::Keep => {
                requests::keep(conn, import).await?;
            }
            Self::Retry => {
                requests::retry(conn, import).await?;
            }
            Self::Forget => requests::forget(conn, import).await?,
        }
        Ok(())
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
    let details = match asked {
        Asked::Cancel(undo) => serde_json::to_value(undo).ok(),
        _ => None,
    };
    let request = Request {
        who,
        address: visitor.address.as_deref(),
        action: asked.action(),
        import: Some(import),
        details,
    };
    let mut conn = app.connection().await?;
    let mut tx = conn.begin().await?;
    audit::insert(&mut tx, &request, None).await?;
    let outcome = match asked.act(&mut tx, import, who).await {
        Ok(()) => tx.commit().await.map_err(Failure::from),
        Err(failure) => {
            tx.rollback().await?;
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

/// Writes down that something was asked for that goes on by itself.
pub(crate) async fn note(
    app: &App,
    visitor: &Visitor,
    who: &str,
    import: ImportId,
    action: Action,
) -> Result<(), Failure> {
    let request = Request {
        who,
        address: visitor.address.as_deref(),
        action,
        import: Some(import),
        details: None,
    };
    audit::insert(&mut *app.connection().await?, &request, None).await?;
    Ok(())
}
