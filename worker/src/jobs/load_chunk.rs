//! Loads one chunk: attempt, parse, then claim, ids, rows, registry, rejects, payload and counts in one transaction. Where the server
//! refuses rows, that transaction is rolled back, and another one does the same batch by batch.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ledger::{
    LedgerError, Unreadable,
    chunks::{self, LoadCounts, Start},
    completion::{check_rejects, finish_if_done},
    conflicts, imports, pages,
    payloads::{self, Payload},
    registry,
    rejects::{self, Reject},
    wakeups,
};
use model::{ChunkKey, ChunkKind, ImportId, Span};
use session::database;
use source::codec::{self, CodecError};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use target::Target;

use super::{Failure, ImportPlan, JobContext, Tried, referenced, sweep};
use crate::{
    load::{
        conflict::Conflicts,
        plan::{AllLoaded, LoadError, LoadPlan, Loaded, Places},
        refusal::{Refused, is_of_a_row},
        rows::{self, FoundRecord, ParsedChunk},
        shape::{About, RecordShape},
        sink::{Parts, Sink},
    },
    metrics::LoadedChunk,
};

/// Loads a chunk, unless it has `limit` attempts.
pub(super) async fn run(context: &JobContext, chunk: ChunkKey, limit: u32) -> Result<Tried, Failure> {
    let begin = std::time::Instant::now();
    let mut ledger = context.ledger().await?;
    let start = chunks::start(&mut ledger, chunk, context.worker.as_str(), &context.queues, limit).await?;
    let Start::Started(kind, started) = start else {
        ledger.give_back();
        return match start {
            Start::Tried(attempts) if attempts >= context.max_attempts => Err(Failure::Exhausted { attempts }),
            Start::Tried(_) => Ok(Tried::NotBegun),
            Start::NewerSpec(version) => Err(LedgerError::Unreadable {
                import: chunk.import,
                source: Unreadable::NewerSpec(version),
            }
            .into()),
            Start::Started(..) | Start::NotPending => Ok(Tried::Done),
        };
    };
    fail::fail_point!("after-attempt");
    // One chunk that kills whoever begins it.
    fail::fail_point!(&format!("begin-chunk-{}", chunk.ordinal));
    if kind == ChunkKind::Sweep {
        ledger.give_back();
        sweep::run(context, chunk).await?;
        return Ok(Tried::Done);
    }
    let plan = plan(context, &mut ledger, chunk.import).await?;
    if let Err(many) = check_rejects(&mut ledger, chunk.import, plan.max_rejects).await? {
        ledger.give_back();
        return Err(Failure::Permanent(many.to_string()));
    }
    let content = match plan.object_of(started)? {
        None => {
            let payload = payloads::read(&mut ledger, chunk).await?;
            ledger.give_back();
            // Gone: somebody else loaded or cancelled the chunk since.
            match payload {
                None => return Ok(Tried::Done),
                Some(payload) => Content::Stored(payload),
            }
        }
        Some(object) => {
            let digest = chunks::digest(&mut ledger, chunk).await?;
            ledger.give_back();
            Content::Read(referenced::read(object, started, digest).await?)
        }
    };
    let records = Records {
        span: started,
        read: content.kept(),
    };
    let (parsed, bytes) = parse(context, &plan, content, started).await?;
    let mut loader = context.loader().await?;
    let loaded = load(context, &mut loader, chunk, &plan, &records, parsed).await?;
    loader.give_back();
    if let Some(counts) = loaded {
        context.metrics.loaded(LoadedChunk {
            rows: counts.loaded,
            rejects: counts.rejected,
            bytes,
            took: begin.elapsed(),
        });
    }
    fail::fail_point!("after-commit");
    if loaded.is_some() {
        tracing::debug!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), duration_ms = begin.elapsed().as_millis(), "chunk loaded");
        if plan.advances {
            let mut ledger = context.ledger().await?;
            wakeups::advance(&mut ledger, chunk.import).await?;
            ledger.give_back();
        }
        let ended = finish_if_done(&mut *context.pool.acquire().await?, chunk.import).await?;
        if ended.is_some() {
            context.forget_plan(chunk.import);
        }
    }
    Ok(Tried::Done)
}

/// The bytes of a chunk.
enum Content {
    /// As the ledger has them.
    Stored(Payload),
    /// As they were read from where the import refers to.
    Read(Bytes),
}

impl Content {
    /// What cannot be had again from the ledger.
    fn kept(&self) -> Option<Bytes> {
        match self {
            Self::Stored(_) => None,
            Self::Read(bytes) => Some(bytes.clone()),
        }
    }

    /// As the source has them; those that are compressed come to be in `room`.
    fn bytes<'a>(&'a self, room: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        match self {
            Self::Stored(payload) => {
                codec::decompress(payload.codec, &payload.data, room)?;
                Ok(room)
            }
            Self::Read(bytes) => Ok(bytes),
        }
    }
}

/// The records of a chunk, for who has to look at them once more.
struct Records {
    span: Span,
    /// Their bytes, where the ledger does not have them.
    read: Option<Bytes>,
}

/// The records of a chunk, and how many **bytes** they have.
async fn parse(
    context: &JobContext,
    plan: &Arc<ImportPlan>,
    content: Content,
    span: Span,
) -> Result<(ParsedChunk, u64), Failure> {
    let (plan, mut room) = (Arc::clone(plan), context.spare_room());
    let (parsed, length, room) = tokio::task::spawn_blocking(move || {
        let bytes = content.bytes(&mut room)?;
        let count = usize::try_from(span.record_count).unwrap_or(usize::MAX);
        let parsed = rows::parse(bytes, &plan.shape, span, plan.load.sink(bytes.len(), count))?;
        let length = bytes.len() as u64;
        Ok::<_, Failure>((parsed, length, room))
    })
    .await??;
    context.keep_room(room);
    Ok((parsed, length))
}

/// Loads what was parsed of a chunk's `records`. `None` when somebody else had the chunk.
async fn load(
    context: &JobContext,
    conn: &mut PgConnection,
    chunk: ChunkKey,
    plan: &Arc<ImportPlan>,
    records: &Records,
    mut parsed: ParsedChunk,
) -> Result<Option<LoadCounts>, Failure> {
    let at_once = !plan.load.is_careful();
    if at_once {
        match load_at_once(context, conn, chunk, plan, (&mut parsed.rows, &parsed.rejects)).await? {
            AtOnce::Loaded(counts) => {
                plan.load.keep(parsed.rows);
                return Ok(Some(counts));
            }
            AtOnce::Taken => return Ok(None),
            AtOnce::Refused => {}
        }
    }
    fail::fail_point!("before-salvage");
    if plan.load.may_conflict() {
        load_without_refused(context, conn, chunk, plan, records, (parsed, at_once)).await
    } else {
        salvage(context, conn, chunk, plan, records, (parsed, at_once)).await
    }
}

/// Begins a transaction with the claim of a chunk; `None` when somebody else had it.
async fn claim(conn: &mut PgConnection, chunk: ChunkKey) -> Result<Option<Transaction<'_, Postgres>>, Failure> {
    let mut tx = conn.begin().await?;
    fail::fail_point!("before-claim");
    if chunks::claim(&mut tx, chunk).await? {
        return Ok(Some(tx));
    }
    tx.rollback().await?;
    Ok(None)
}

/// What came of the attempt to load all rows of a chunk by one statement.
enum AtOnce {
    Loaded(LoadCounts),
    /// By somebody else.
    Taken,
    /// For what one of the rows is, or several.
    Refused,
}

/// The transaction, when nothing is wrong with any of the rows.
async fn load_at_once(
    context: &JobContext,
    conn: &mut PgConnection,
    chunk: ChunkKey,
    plan: &ImportPlan,
    (rows, rejects): (&mut Sink, &[Reject]),
) -> Result<AtOnce, Failure> {
    let Some(mut tx) = claim(conn, chunk).await? else {
        return Ok(AtOnce::Taken);
    };
    fail::fail_point!("after-claim");
    let all = match plan.load.load(&mut tx, chunk, rows).await {
        Ok(all) => all,
        // If it was another table that refused them, the next attempt finds that out.
        Err(LoadError::Rows(error)) if plan.load.is_of_rows(&error) => {
            tx.rollback().await?;
            return Ok(AtOnce::Refused);
        }
        Err(error) => return Err(reconsider(context, plan, error).await?),
    };
    fail::fail_point!("after-rows");
    let counts = record_all(context, &mut tx, chunk, plan, all, rejects).await?;
    match commit(context, tx).await {
        Ok(()) => Ok(AtOnce::Loaded(counts)),
        // By a constraint that is deferred.
        Err(error) if is_of_a_row(&error) => Ok(AtOnce::Refused),
        Err(error) => Err(error.into()),
    }
}

/// The transaction, when the server refuses some of the rows: these are rejects. `None` when somebody else had the chunk.
async fn salvage(
    context: &JobContext,
    conn: &mut PgConnection,
    chunk: ChunkKey,
    plan: &Arc<ImportPlan>,
    records: &Records,
    (mut parsed, was_tried): (ParsedChunk, bool),
) -> Result<Option<LoadCounts>, Failure> {
    let Some(mut tx) = claim(conn, chunk).await? else {
        return Ok(None);
    };
    let rows = Parts::new(parsed.take_rows(), plan.load.columns());
    let salvaged = match plan.load.salvage(&mut tx, chunk, &rows).await {
        Ok(salvaged) => salvaged,
        Err(error) => return Err(not_salvaged(context, plan, error, was_tried).await?),
    };
    fail::fail_point!("after-rows");
    let refused = salvaged.refused.len();
    let rejects = with_refused(&mut tx, chunk, plan, records, &parsed, salvaged.refused).await?;
    let loaded = (salvaged.loaded.as_slice(), &Conflicts::default());
    let counts = record(context, &mut tx, chunk, plan, loaded, &rejects).await?;
    commit(context, tx).await?;
    plan.load.note(refused > 0);
    if refused > 0 {
        tracing::debug!(import = %chunk.import, chunk = chunk.ordinal, worker = context.worker.as_str(), refused, "the server refused records of a chunk");
    }
    Ok(Some(counts))
}

/// The same where rows may be there already: which ones the server refuses is found out in a transaction that is rolled back, for what
/// becomes of a record depends on the others of its key. Those that are left are loaded at once; or one by one, if they are refused together
/// and none by itself.
async fn load_without_refused(
    context: &JobContext,
    conn: &mut PgConnection,
    chunk: ChunkKey,
    plan: &Arc<ImportPlan>,
    records: &Records,
    (mut parsed, was_tried): (ParsedChunk, bool),
) -> Result<Option<LoadCounts>, Failure> {
    let all = Parts::new(parsed.take_rows(), plan.load.columns());
    let mut left: Vec<usize> = (0..all.count()).collect();
    let mut refused: BTreeMap<usize, Refused> = BTreeMap::new();
    loop {
        let Some(mut tx) = claim(conn, chunk).await? else {
            return Ok(None);
        };
        let rows = Parts::new(Sink::Arrays(all.part(&left)), plan.load.columns());
        let found = match plan.load.salvage(&mut tx, chunk, &rows).await {
            Ok(found) => found,
            Err(error) => return Err(not_salvaged(context, plan, error, was_tried).await?),
        };
        let found_none = found.refused.is_empty();
        let found = found.refused.into_iter();
        refused.extend(found.filter_map(|(row, reason)| Some((*left.get(row)?, reason))));
        left.retain(|row| !refused.contains_key(row));
        let rejects = with_refused(&mut tx, chunk, plan, records, &parsed, refused.clone()).await?;
        tx.rollback().await?;
        fail::fail_point!("after-finding");
        let mut rows = Sink::Arrays(all.part(&left));
        match load_at_once(context, conn, chunk, plan, (&mut rows, &rejects)).await? {
            AtOnce::Loaded(counts) => {
                plan.load.note(!refused.is_empty());
                return Ok(Some(counts));
            }
            AtOnce::Taken => return Ok(None),
            AtOnce::Refused if found_none => {
                let rows = Parts::new(rows, plan.load.columns());
                return load_one_by_one(context, conn, chunk, plan, (&rows, &rejects)).await;
            }
            // For another one, which is found next.
            AtOnce::Refused => {}
        }
    }
}

/// Loads rows one after the other, in one transaction. `None` when somebody else had the chunk.
async fn load_one_by_one(
    context: &JobContext,
    conn: &mut PgConnection,
    chunk: ChunkKey,
    plan: &ImportPlan,
    (rows, rejects): (&Parts, &[Reject]),
) -> Result<Option<LoadCounts>, Failure> {
    let Some(mut tx) = claim(conn, chunk).await? else {
        return Ok(None);
    };
    let all = match plan.load.load_one_by_one(&mut tx, chunk, rows).await {
        Ok(all) => all,
        Err(error) => return Err(reconsider(context, plan, error).await?),
    };
    let counts = record_all(context, &mut tx, chunk, plan, all, rejects).await?;
    commit(context, tx).await?;
    Ok(Some(counts))
}

/// Commits a load.
async fn commit(context: &JobContext, tx: Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    let begin = std::time::Instant::now();
    tx.commit().await?;
    context.metrics.committed(begin.elapsed());
    Ok(())
}

/// What it means that rows could not be salvaged.
async fn not_salvaged(
    context: &JobContext,
    plan: &ImportPlan,
    error: LoadError,
    was_tried: bool,
) -> Result<Failure, Failure> {
    match error {
        // Together the rows may be what they are not one by one, and the plan that comes after a failure is not careful.
        error @ LoadError::Refusals { .. } if !was_tried => Ok(Failure::Transient(error.to_string())),
        error => reconsider(context, plan, error).await,
    }
}

/// The rejects of a chunk with the rows that the server refused.
async fn with_refused(
    tx: &mut PgConnection,
    chunk: ChunkKey,
    plan: &Arc<ImportPlan>,
    records: &Records,
    parsed: &ParsedChunk,
    refused: BTreeMap<usize, Refused>,
) -> Result<Vec<Reject>, Failure> {
    let mut rejects = parsed.rejects.clone();
    if refused.is_empty() {
        return Ok(rejects);
    }
    let wanted = refused.keys().map(|&row| parsed.record_of_row(row)).collect();
    let found = find(tx, chunk, plan, records, wanted).await?;
    rejects.extend(
        std::iter::zip(found, refused.into_values()).map(|(record, refused)| Reject {
            position: record.position,
            column: refused.column,
            reason: refused.reason,
            raw: record.raw,
            refusal: Some(refused.refusal),
        }),
    );
    rejects.sort_by_key(|reject| (reject.position.record, reject.position.byte));
    Ok(rejects)
}

/// Writes what came of a chunk's records, of which no row was refused any more.
async fn record_all(
    context: &JobContext,
    tx: &mut PgConnection,
    chunk: ChunkKey,
    plan: &ImportPlan,
    all: Option<AllLoaded>,
    rejects: &[Reject],
) -> Result<LoadCounts, Failure> {
    let (loaded, conflicts) = all.map(|all| (all.loaded, all.conflicts)).unzip();
    let conflicts = conflicts.unwrap_or_default();
    record(context, tx, chunk, plan, (loaded.as_slice(), &conflicts), rejects).await
}

/// Writes what came of a chunk's records.
async fn record(
    context: &JobContext,
    tx: &mut PgConnection,
    chunk: ChunkKey,
    plan: &ImportPlan,
    (loaded, conflicts): (&[Loaded], &Conflicts),
    rejects: &[Reject],
) -> Result<LoadCounts, Failure> {
    let mut counts = LoadCounts {
        loaded: 0,
        rejected: rejects.len() as u64,
    };
    for Loaded { places, xids } in loaded {
        counts.loaded += places.rows();
        match places {
            Places::Ids(ids) => registry::insert(tx, chunk, plan.load.target().oid, ids, xids).await?,
            Places::Pages(ranges) => pages::insert(tx, chunk, ranges, xids).await?,
        }
    }
    fail::fail_point!("after-registry");
    conflicts::supersede(tx, chunk.import, &conflicts.superseded).await?;
    rejects::insert(tx, chunk, rejects).await?;
    if plan.objects.is_empty() {
        payloads::delete(tx, chunk).await?;
    }
    chunks::finish_load(tx, chunk, context.worker.as_str(), counts).await?;
    if plan.load.may_conflict() {
        conflicts::insert(tx, chunk, conflicts.counts).await?;
    }
    fail::fail_point!("before-commit");
    Ok(counts)
}

/// Where records of a chunk lie, by reading it once more.
async fn find(
    tx: &mut PgConnection,
    chunk: ChunkKey,
    plan: &Arc<ImportPlan>,
    records: &Records,
    wanted: Vec<usize>,
) -> Result<Vec<FoundRecord>, Failure> {
    let (plan, expected, span) = (Arc::clone(plan), wanted.len(), records.span);
    let content = match &records.read {
        Some(bytes) => Some(Content::Read(bytes.clone())),
        // It is there as long as the claim lasts.
        None => payloads::read(tx, chunk).await?.map(Content::Stored),
    };
    let found = tokio::task::spawn_blocking(move || {
        let Some(content) = content else { return Ok(Vec::new()) };
        let mut room = Vec::new();
        let bytes = content.bytes(&mut room)?;
        Ok::<_, CodecError>(rows::find(bytes, &plan.shape, span, &wanted))
    })
    .await??;
    if found.len() != expected {
        return Err(LedgerError::Rows {
            what: "finding refused records",
            expected: expected as u64,
            found: found.len() as u64,
        }
        .into());
    }
    Ok(found)
}

/// What an error of a load means, as a failure.
async fn reconsider(context: &JobContext, plan: &ImportPlan, error: LoadError) -> Result<Failure, Failure> {
    let mut other = context.pool.acquire().await.map_err(LedgerError::from)?;
    Ok(plan.load.reconsider(&mut other, error).await?.into())
}

async fn plan(context: &JobContext, conn: &mut PgConnection, import: ImportId) -> Result<Arc<ImportPlan>, Failure> {
    if let Some(plan) = context.cached_plan(import) {
        return Ok(plan);
    }
    let row = imports::read(conn, import).await?;
    let row = row.ok_or(LedgerError::Missing(import))?;
    let spec = row.spec()?;
    let columns = spec.mapping.columns();
    let target = Target::describe_again(conn, &row.target, row.target_oid, &spec.identity).await?;
    if let Some(role) = &row.submitted_by {
        target.check_may_load(conn, role, spec.conflict.updates()).await?;
    }
    target.check_method(spec.load.method, &columns)?;
    let conflict = target.describe_conflict(conn, &spec.conflict).await?;
    let columns: Vec<_> = target.select(&columns)?.into_iter().cloned().collect();
    let about = About::read(conn, &row, spec).await?;
    let objects = if spec.source.by_reference {
        referenced::objects(context, conn, import).await?
    } else {
        Vec::new()
    };
    let plan = Arc::new(ImportPlan {
        max_rejects: spec.rejects.max,
        shape: RecordShape::new(columns.clone(), spec, &about)?,
        advances: row.advances,
        objects,
        load: LoadPlan::new(
            target,
            columns,
            spec.load.method,
            !database::is_by_socket(&context.loaders.connect_options()),
            conflict.as_ref(),
            row.submitted_by,
        ),
    });
    context.keep_plan(import, &plan);
    Ok(plan)
}
