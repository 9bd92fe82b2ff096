//! Loads one chunk: attempt, parse, then claim, ids, rows, registry, rejects, payload and counts in one transaction.

use std::sync::Arc;

use ledger::{
    LedgerError, Unreadable,
    chunks::{self, LoadCounts, Start},
    completion::finish_if_done,
    imports,
    payloads::{self, Payload},
    registry, rejects,
};
use model::{ChunkKey, ImportId, Span};
use sqlx::{Connection as _, PgConnection};
use target::Target;

use super::{Failure, ImportPlan, JobContext};
use crate::load::{
    plan::LoadPlan,
    rows::{self, About, ParsedChunk, RecordShape},
};

/// What came of a chunk's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Nothing is left to do: this worker or another one loaded it, or its import does not load any more.
    Done,
    /// It was not begun, for it has as many attempts as was allowed; there are some left.
    NotBegun,
}

/// Loads a chunk, unless it has `limit` attempts.
pub(super) async fn run(context: &JobContext, chunk: ChunkKey, limit: u32) -> Result<Load, Failure> {
    let begin = std::time::Instant::now();
    let mut ledger = context.ledger().await?;
    let start = chunks::start(&mut ledger, chunk, context.worker.as_str(), limit).await?;
    let Start::Started(started) = start else {
        ledger.give_back();
        return match start {
            Start::Tried(attempts) if attempts >= context.max_attempts => Err(Failure::Exhausted { attempts }),
            Start::Tried(_) => Ok(Load::NotBegun),
            Start::NewerSpec(version) => Err(LedgerError::Unreadable {
                import: chunk.import,
                source: Unreadable::NewerSpec(version),
            }
            .into()),
            Start::Started(_) | Start::NotPending => Ok(Load::Done),
        };
    };
    fail::fail_point!("after-attempt");
    // One chunk that kills whoever begins it.
    fail::fail_point!(&format!("begin-chunk-{}", chunk.ordinal));
    let plan = plan(context, &mut ledger, chunk.import).await?;
    let payload = payloads::read(&mut ledger, chunk).await?;
    ledger.give_back();
    // Gone: somebody else loaded or cancelled the chunk since.
    let Some(payload) = payload else {
        return Ok(Load::Done);
    };
    let parsed = parse(&plan, payload, started).await?;
    let mut loader = context.loader().await?;
    let claimed = load(context, &mut loader, chunk, &plan, parsed).await?;
    loader.give_back();
    fail::fail_point!("after-commit");
    if claimed {
        tracing::debug!(%chunk, duration_ms = begin.elapsed().as_millis(), "chunk loaded");
        finish_if_done(&context.pool, chunk.import).await?;
    }
    Ok(Load::Done)
}

async fn parse(plan: &Arc<ImportPlan>, payload: Payload, span: Span) -> Result<ParsedChunk, Failure> {
    let plan = Arc::clone(plan);
    let parsed = tokio::task::spawn_blocking(move || {
        let bytes = source::codec::decompress(payload.codec, &payload.data)?;
        Ok(rows::parse(&bytes, &plan.shape, span, plan.load.sink())?)
    })
    .await;
    match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.is_panic() => Err(Failure::Panicked(super::outcome::panic_message(
            error.into_panic().as_ref(),
        ))),
        // The runtime is shutting down.
        Err(_) => Err(Failure::Abandoned),
    }
}

/// The transaction. `false` when somebody else had the chunk.
async fn load(
    context: &JobContext,
    conn: &mut PgConnection,
    chunk: ChunkKey,
    plan: &ImportPlan,
    parsed: ParsedChunk,
) -> Result<bool, Failure> {
    let ParsedChunk { rows, rejects, .. } = parsed;
    let mut tx = conn.begin().await?;
    fail::fail_point!("before-claim");
    if !chunks::claim(&mut tx, chunk).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    fail::fail_point!("after-claim");
    let counts = LoadCounts {
        loaded: rows.len() as u64,
        rejected: rejects.len() as u64,
    };
    let loaded = match plan.load.load(&mut tx, rows).await {
        Ok(loaded) => loaded,
        Err(error) => {
            let mut other = context.pool.acquire().await.map_err(LedgerError::from)?;
            return Err(plan.load.reconsider(&mut other, error).await?.into());
        }
    };
    fail::fail_point!("after-rows");
    if let Some(loaded) = loaded {
        registry::insert(&mut tx, chunk, plan.load.target().oid, &loaded.ids, &loaded.xids).await?;
    }
    fail::fail_point!("after-registry");
    rejects::insert(&mut tx, chunk, &rejects).await?;
    payloads::delete(&mut tx, chunk).await?;
    chunks::finish_load(&mut tx, chunk, context.worker.as_str(), counts).await?;
    fail::fail_point!("before-commit");
    tx.commit().await?;
    Ok(true)
}

async fn plan(context: &JobContext, conn: &mut PgConnection, import: ImportId) -> Result<Arc<ImportPlan>, Failure> {
    if let Some(plan) = context.cached_plan(import) {
        return Ok(plan);
    }
    let row = imports::read(conn, import).await?;
    let row = row.ok_or(LedgerError::Missing(import))?;
    let spec = row.spec()?;
    let columns = spec.mapping.columns();
    let target = Target::describe_again(conn, &row.target, row.target_oid).await?;
    if let Some(role) = &row.submitted_by {
        target.check_may_insert(conn, role).await?;
    }
    target.check_method(spec.load.method, &columns)?;
    let columns: Vec<_> = target.select(&columns)?.into_iter().cloned().collect();
    let about = About::read(conn, &row, spec).await?;
    let plan = Arc::new(ImportPlan {
        shape: RecordShape::new(columns.clone(), spec, &about)?,
        load: LoadPlan::new(target, columns, spec.load.method, row.submitted_by),
    });
    context.keep_plan(import, &plan);
    Ok(plan)
}
