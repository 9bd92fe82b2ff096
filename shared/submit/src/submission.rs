//! Submitting a source: exactly one import comes of it, however often and by however many it is submitted.
//!
//! Owns the order of the steps and who may split; the bytes are the intake's.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};

use crate::chunks::SourceChunks;
use crate::intake::{Intake, Notice};
use crate::producer::Producer;
use ledger::{
    chunks,
    imports::{self, Import, NewImport},
    inputs::{Holder, Taking, find_holder, lock_keys},
    sessions,
};
use model::{FormatSpec, IdentityChoice, ImportId, ImportSpec, ImportState, ProcessName, Replace};
use session::database::{self, Commit, Purpose};
use session::retry::through_outages;
use target::{ConflictChoice, Target};

mod beginning;
mod error;
mod fitting;
mod identity;
mod input_error;
mod inputs;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
mod prepared;
mod request;

pub(crate) use beginning::{Beginning, InputSplitter, Reading, open};
pub use error::{LoadedBefore, SubmitError};
pub use fitting::Fitting;
use identity::{Keys, check_same, check_stream};
pub use input_error::InputError;
pub(crate) use inputs::{Input, compare_headers, of_split};
use prepared::Prepared;
pub use request::{Event, KeyChoice, Progress, Request, Submitted};

/// How often a submission looks again at an import that somebody else splits or cancels.
const POLL: Duration = Duration::from_millis(250);

/// A submission at work.
pub struct Submission<'a> {
    pool: PgPool,
    /// For the name of the table, which means what it means to the role.
    role_session: PgConnectOptions,
    name: ProcessName,
    progress: &'a Progress,
    observe: &'a (dyn Fn(Event) + Send + Sync),
}

/// What a submission would load, and where.
pub struct Checked {
    pub target: Target,
    pub spec: ImportSpec,
    pub chunks: SourceChunks,
}

impl<'a> Submission<'a> {
    #[must_use]
    pub fn new(
        options: &PgConnectOptions,
        name: ProcessName,
        progress: &'a Progress,
        observe: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Self {
        // One session for the batches, one for the lease and the questions while a batch waits.
        let pool = database::pool(database::session(options.clone(), &name, Commit::Durable), 2);
        Self {
            pool,
            role_session: database::role_session(options.clone(), &name, Commit::Durable),
            name,
            progress,
            observe,
        }
    }

    /// Submits `request` and returns when the import needs neither the source nor this process any more.
    ///
    /// # Errors
    /// [`SubmitError`]. Before an import exists, nothing is stored.
    pub async fn run(&self, request: &Request) -> Result<Submitted, SubmitError> {
        let mut prepared = self.prepare(request).await?;
        let new = NewImport {
            source: &prepared.origin,
            resumable: prepared.resumable,
            target: &prepared.target.name,
            target_oid: prepared.target.oid,
            spec: &prepared.spec,
            key: prepared.keys.as_ref().map(|keys| keys.new.as_str()),
            fingerprint: prepared.fingerprint.as_ref().map(|f| f.hash.as_str()),
            size_bytes: prepared.fingerprint.as_ref().map(|f| f.size),
            submitter: &self.name,
        };
        let (import, taken_over) = loop {
            let (existing, part) = match self.find_or_insert(&new, &prepared).await? {
                Some(Inserted::New(import)) => break (import, None),
                Some(Inserted::Existing(existing)) => (existing, false),
                // One file is answered with the import that has it, as long as nothing is wrong with that.
                Some(Inserted::Part(holder))
                    if prepared.inputs.len() > 1
                        || holder.state == ImportState::Failed
                        || holder.state == ImportState::Splitting && holder.lease_expired =>
                {
                    return Err(prepared.loaded_before(holder));
                }
                Some(Inserted::Part(holder)) => (holder.import, true),
                None => continue,
            };
            match self.answer_with(existing, part, request, &prepared).await? {
                Answer::Existing(import) => {
                    if let (KeyChoice::Given(key), None) = (&request.key, &prepared.fingerprint) {
                        check_stream(&import, key, prepared.chunks).await?;
                    }
                    return Ok(Submitted {
                        import: import.id,
                        own: false,
                    });
                }
                Answer::Gone => {}
                Answer::TakenOver(spec) => break (existing, Some(spec)),
            }
        };
        if let Some(spec) = taken_over {
            prepared.cut_as(*spec);
        }
        self.split(import, request, prepared).await
    }

    /// Does what a submission does before it stores anything.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn check(&self, request: &Request) -> Result<Checked, SubmitError> {
        let Prepared {
            target, spec, chunks, ..
        } = self.prepare(request).await?;
        Ok(Checked { target, spec, chunks })
    }

    /// The import that holds one of the keys, or a new one; `None` when a rival took the key in this moment.
    async fn find_or_insert(&self, new: &NewImport<'_>, prepared: &Prepared) -> Result<Option<Inserted>, SubmitError> {
        let inputs = prepared.ledger_inputs();
        let insert = async |conn: &mut PgConnection| {
            // This waits for a rival's batch, at worst one that is frozen.
            let import = imports::insert(conn, new).await?;
            if let Some(import) = import {
                ledger::inputs::insert(conn, import, &inputs).await?;
            }
            Ok::<_, SubmitError>(import.map(Inserted::New))
        };
        let Some(keys) = &prepared.keys else {
            // Without a key, one whose answer was lost could be there twice.
            let mut tx = self.pool.begin().await.map_err(SubmitError::Connect)?;
            let inserted = insert(&mut tx).await?;
            tx.commit().await?;
            return Ok(inserted);
        };
        // What is loaded makes room for this import.
        let replaces = prepared.spec.completion.replace != Replace::Never;
        let own: Vec<&str> = keys.all().collect();
        let (taking, parts) = if prepared.inputs.len() > 1 {
            let parts = prepared.input_keys.iter().flatten().flat_map(Keys::all).collect();
            (Taking::Several, parts)
        } else {
            (Taking::One, own.clone())
        };
        self.through_outages(async |conn| {
            let mut tx = conn.begin().await?;
            lock_keys(&mut tx, new.target_oid, taking).await?;
            if let Some(existing) = imports::find_by_key(&mut tx, &own).await? {
                return Ok(Some(Inserted::Existing(existing)));
            }
            if let Some(holder) = find_holder(&mut tx, &parts, replaces).await? {
                return Ok(Some(Inserted::Part(holder)));
            }
            let inserted = insert(&mut tx).await?;
            tx.commit().await?;
            Ok(inserted)
        })
        .await
    }

    async fn through_outages<T>(
        &self,
        action: impl AsyncFn(&mut PgConnection) -> Result<T, SubmitError>,
    ) -> Result<T, SubmitError> {
        through_outages(
            &self.pool,
            |absence| (self.observe)(Event::Intake(Notice::Waits(absence))),
            action,
        )
        .await
    }

    async fn prepare(&self, request: &Request) -> Result<Prepared, SubmitError> {
        let mut as_the_role = database::check(&self.role_session, Purpose::Submit).await?;
        let oid = Target::find(&mut as_the_role, &request.table).await?;
        drop(as_the_role.close().await);
        let mut conn = self.pool.acquire().await.map_err(SubmitError::Connect)?;
        // Whose a row is that was there already, only the transaction says that wrote it.
        let identity = match request.conflict.choice {
            ConflictChoice::Error => request.identity,
            ConflictChoice::Ignore | ConflictChoice::Update => IdentityChoice::Transaction,
        };
        let target = Target::describe(&mut conn, oid, identity).await?;
        drop(conn);
        let prepared = Prepared::new(&self.pool, request, target).await?;
        if let (true, FormatSpec::Csv(dialect)) = (prepared.found_delimiter, &prepared.spec.format) {
            (self.observe)(Event::FoundDelimiter(dialect.delimiter));
        }
        if !prepared.absent_keys.is_empty() {
            (self.observe)(Event::AbsentKeys(prepared.absent_keys.clone()));
        }
        Ok(prepared)
    }

    /// Decides what a submission does whose rows an import has already: as its only ones, or as a part of them.
    async fn answer_with(
        &self,
        existing: ImportId,
        part: bool,
        request: &Request,
        prepared: &Prepared,
    ) -> Result<Answer, SubmitError> {
        let mut told = false;
        loop {
            let Some(import) = self
                .through_outages(async |conn| Ok(imports::read(conn, existing).await?))
                .await?
            else {
                return Ok(Answer::Gone);
            };
            check_same(&import, request, prepared)?;
            let event = match import.state {
                // Looked at again, it says why it cannot go on from here.
                ImportState::Splitting | ImportState::Failed
                    if part && (import.lease_expired || import.state == ImportState::Failed) =>
                {
                    return Ok(Answer::Gone);
                }
                ImportState::Splitting => {
                    if prepared.resumable && import.lease_expired && self.take_over(existing).await? {
                        (self.observe)(Event::TakenOver { import: existing });
                        return Ok(Answer::TakenOver(Box::new(import.spec()?.clone())));
                    }
                    // A stream cannot be taken over: once its lease is over, maintenance cancels it.
                    if import.lease_expired && !import.resumable {
                        Event::WaitsForCancel { import: existing }
                    } else {
                        Event::Following { import: existing }
                    }
                }
                ImportState::Cancelling => Event::WaitsForCancel { import: existing },
                ImportState::Cancelled => return Ok(Answer::Gone),
                state => {
                    (self.observe)(Event::Existing {
                        import: existing,
                        state,
                    });
                    let replaces = request.completion.replace != Replace::Never;
                    if replaces && import.spec()?.completion.replace == Replace::Never {
                        (self.observe)(Event::ReplacesNothing { import: existing });
                    }
                    return Ok(Answer::Existing(Box::new(import)));
                }
            };
            if !told {
                told = true;
                (self.observe)(event);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes an import whose submitter was silent for too long.
    async fn take_over(&self, import: ImportId) -> Result<bool, SubmitError> {
        self.through_outages(async |conn| {
            if let Err(role) = imports::may_take_over(conn, import).await? {
                return Err(SubmitError::NotYours { import, role });
            }
            let Some(before) = imports::take_over(conn, import, &self.name).await? else {
                return Ok(false);
            };
            // Frozen, it may still hold locks; dead, it has no sessions. If this fails, they end by themselves.
            if let Err(error) =
                sessions::terminate_submitter(conn, &before.submitter, before.submitted_by.as_deref()).await
            {
                tracing::debug!(
                    error = session::describe_error(&error),
                    "the sessions of the former submitter remain"
                );
            }
            Ok(true)
        })
        .await
    }

    async fn split(&self, import: ImportId, request: &Request, prepared: Prepared) -> Result<Submitted, SubmitError> {
        let _ = self.progress.own_import.set(import);
        if let [only] = prepared.inputs.as_slice() {
            let superseded = self
                .through_outages(async |conn| {
                    Ok(imports::find_interrupted(conn, &only.origin, prepared.target.oid, import).await?)
                })
                .await?;
            if let Some(superseded) = superseded {
                (self.observe)(Event::Superseded { import: superseded });
            }
        }
        let producer = Producer::start(prepared.chunks);
        let _ = self.progress.read.set(producer.progress());
        let notify = |notice| (self.observe)(Event::Intake(notice));
        let intake = Intake {
            pool: &self.pool,
            import,
            submitter: &self.name,
            max_pending: request.max_pending,
            rejects: prepared.spec.rejects,
            ordered: prepared.spec.conflict.is_ordered(),
            notify: &notify,
        };
        intake
            .run(producer)
            .await
            .map_err(|source| SubmitError::Intake { import, source })?;
        let stored = self
            .through_outages(async |conn| Ok(chunks::split_progress(conn, import).await?))
            .await?;
        if stored.chunks == 0 {
            (self.observe)(Event::Empty);
        }
        if let Err(error) = ledger::completion::finish_if_done(&self.pool, import).await {
            // Every chunk is stored, so this submission is done; maintenance ends the import if need be.
            tracing::debug!(%import, error = session::describe_error(&error), "left the ending to others");
        }
        Ok(Submitted { import, own: true })
    }
}

enum Answer {
    /// The import stands for this submission.
    Existing(Box<Import>),
    /// It no longer holds the key.
    Gone,
    /// This process goes on in the place of the one that submitted it.
    TakenOver(Box<ImportSpec>),
}

enum Inserted {
    New(ImportId),
    Existing(ImportId),
    /// An import of several inputs has these rows among others, or some of several inputs are in an import.
    Part(Holder),
}
