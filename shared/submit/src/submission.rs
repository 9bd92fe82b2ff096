//! Submitting a source: exactly one import comes of it, however often and by however many it is submitted.
//!
//! Owns the order of the steps and who may split; the bytes are the intake's.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, postgres::types::Oid};

use crate::chunks::SourceChunks;
use crate::intake::{Intake, Notice};
use crate::producer::Producer;
use ledger::{
    LedgerError,
    imports::{self, Import, NewImport},
    inputs::{Holder, Taking, find_holder, lock_keys},
    notifications, references, segments, sessions,
};
use model::{ConflictSpec, IdentityChoice, ImportId, ImportSpec, ImportState, ProcessName, Replace};
use session::Hosts;
use session::database::{self, Commit, Pool, Purpose};
use session::retry::through_outages;
use target::{ConflictChoice, NewTable, Place, Target, TargetError};

mod beginning;
mod draft;
mod error;
mod fitting;
mod identity;
mod input_error;
mod inputs;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
mod prepared;
mod reference;
mod request;

pub(crate) use beginning::{Beginning, InputSplitter, Reading, open};
pub use draft::{Draft, Evidence, Records};
pub use error::{LoadedBefore, SubmitError};
pub use fitting::Fitting;
use identity::{Keys, check_same, check_stream};
pub use input_error::InputError;
pub(crate) use inputs::{Input, compare_headers, of_split};
use prepared::{Aim, Looked, Prepared};
pub use request::{Event, KeyChoice, Progress, Request, Submitted};

/// How often a submission looks again at an import that somebody else splits or cancels.
const POLL: Duration = Duration::from_millis(250);

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A submission at work.
pub struct Submission<'a> {
    pool: Pool,
    /// For the name of the table, which means what it means to the role.
    role_session: Hosts,
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
        hosts: &Hosts,
        name: ProcessName,
        progress: &'a Progress,
        observe: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Self {
        // One session for the batches, one for the lease and the questions while a batch waits.
        let pool = database::pool(database::session(hosts.clone(), &name, Commit::Durable), 2);
        Self {
            pool,
            role_session: database::role_session(hosts.clone(), &name, Commit::Durable),
            name,
            progress,
            observe,
        }
    }

    /// Takes its sessions from a pool that the process has under the same name: it needs two of them at once.
    #[must_use]
    pub fn sharing(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// Submits `request` and returns when the import needs neither the source nor this process any more.
    ///
    /// # Errors
    /// [`SubmitError`]. Before an import exists, nothing is stored.
    pub async fn run(&self, request: &Request) -> Result<Submitted, SubmitError> {
        let prepared = self.prepare(request).await?;
        self.submit(request, prepared, None).await
    }

    /// Looks at a source for which a table is to be made; `None` where the table is there. Whether this role may make it does not matter where it
    /// is `only_shown` what it would be.
    ///
    /// # Errors
    /// [`SubmitError`]. Nothing is stored, and no table made.
    pub async fn draft(&self, request: &Request, only_shown: bool) -> Result<Option<Draft>, SubmitError> {
        let mut as_the_role = database::check(&self.role_session, Purpose::Submit).await?;
        let place = match Target::find(&mut as_the_role, &request.table).await {
            Ok(oid) => {
                self.pool.adopt(as_the_role).await;
                self.tell_that_it_exists(oid, request).await?;
                return Ok(None);
            }
            Err(TargetError::Missing { .. }) => Place::find(&mut as_the_role, &request.table).await?,
            Err(error) => return Err(error.into()),
        };
        if !only_shown {
            place.check_may_create(&mut as_the_role).await?;
        }
        self.pool.adopt(as_the_role).await;
        let looked = Looked::new(request).await?;
        looked.tell(self.observe);
        Draft::new(request, place, looked).await.map(Some)
    }

    /// Submits `request` as [`Submission::run`] does, and makes its table with the import.
    ///
    /// # Errors
    /// [`SubmitError`]. Before an import exists, nothing is stored, and no table made.
    pub async fn run_with_new(
        &self,
        request: &Request,
        draft: Draft,
        table: NewTable,
    ) -> Result<Submitted, SubmitError> {
        let Draft { mut looked, stream, .. } = draft;
        // What becomes of rows that are there already is settled once there is a table.
        let aim = looked.aim(request, table.imagined(), ConflictSpec::Fail)?;
        let chunks = stream.unwrap_or_else(|| looked.chunks(&aim.spec));
        self.submit(request, Prepared::with(looked, aim, chunks), Some(table))
            .await
    }

    async fn submit(
        &self,
        request: &Request,
        mut prepared: Prepared,
        mut table: Option<NewTable>,
    ) -> Result<Submitted, SubmitError> {
        let (import, taken_over) = loop {
            let found = match &table {
                None => self.find_or_insert(request, &prepared).await?,
                Some(new) => match self.make_and_insert(request, &prepared, new).await? {
                    WithTable::Made(found, aim) => {
                        prepared.aim = *aim;
                        Some(found)
                    }
                    WithTable::Existed => {
                        // Unless it is gone again.
                        if let Some(oid) = self.find_made(new).await? {
                            self.tell_that_it_exists(oid, request).await?;
                            let target = self.describe(oid, request).await?;
                            let conflict = self.resolve_conflict(request, &prepared.looked, &target).await?;
                            prepared.aim = prepared.looked.aim(request, target, conflict)?;
                            table = None;
                        }
                        continue;
                    }
                },
            };
            let (existing, part) = match found {
                Some(Inserted::New(import)) => break (import, None),
                Some(Inserted::Existing(existing)) => (existing, false),
                // One file is answered with the import that has it, as long as nothing is wrong with that.
                Some(Inserted::Part(holder))
                    if prepared.looked.inputs.len() > 1
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
                    if let (KeyChoice::Given(key), None) = (&request.key, &prepared.looked.fingerprint) {
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
        if let Some(table) = &table {
            (self.observe)(Event::TableMade {
                table: table.place().name().to_owned(),
            });
        }
        let resumes = taken_over.is_some();
        if let Some(spec) = taken_over {
            prepared.cut_as(*spec);
        }
        self.split(import, request, prepared, resumes).await
    }

    /// Does what a submission does before it stores anything.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn check(&self, request: &Request) -> Result<Checked, SubmitError> {
        let Prepared { aim, chunks, .. } = self.prepare(request).await?;
        let Aim { target, spec, .. } = aim;
        Ok(Checked { target, spec, chunks })
    }

    /// The import that holds one of the keys, or a new one; `None` when a rival took the key in this moment.
    async fn find_or_insert(&self, request: &Request, prepared: &Prepared) -> Result<Option<Inserted>, SubmitError> {
        self.in_transaction(&prepared.aim, async |conn| {
            let mut tx = conn.begin().await?;
            let inserted = self
                .find_or_insert_in(&mut tx, request, prepared, &prepared.aim)
                .await?;
            match &inserted {
                Some(Inserted::New(_)) => tx.commit().await?,
                _ => tx.rollback().await?,
            }
            Ok(inserted)
        })
        .await
    }

    /// The same, for a table that is made in the same transaction: it is there if the import is, and not if it is not.
    async fn make_and_insert(
        &self,
        request: &Request,
        prepared: &Prepared,
        table: &NewTable,
    ) -> Result<WithTable, SubmitError> {
        self.in_transaction(&prepared.aim, async |conn| {
            let mut tx = conn.begin().await?;
            let made = table.create(&mut tx).await.map_err(|error| SubmitError::Create {
                name: table.place().name().to_owned(),
                source: error.into(),
            })?;
            let Some(oid) = made else {
                tx.rollback().await?;
                return Ok(WithTable::Existed);
            };
            let of_target = |error| match error {
                TargetError::Catalog(error) => SubmitError::from(error),
                error => error.into(),
            };
            let target = Target::describe(&mut tx, oid, identity(request))
                .await
                .map_err(of_target)?;
            let filled = prepared.looked.spec(request, &target)?.mapping.columns();
            let conflict = target.resolve_conflict(&mut tx, &request.conflict, &filled).await;
            let aim = prepared.looked.aim(request, target, conflict.map_err(of_target)?)?;
            match self.find_or_insert_in(&mut tx, request, prepared, &aim).await? {
                Some(found @ Inserted::New(_)) => {
                    tx.commit().await?;
                    Ok(WithTable::Made(found, Box::new(aim)))
                }
                found => {
                    tx.rollback().await?;
                    match found {
                        Some(found) => Ok(WithTable::Made(found, Box::new(aim))),
                        // A rival took the key: look again.
                        None => Ok(WithTable::Existed),
                    }
                }
            }
        })
        .await
    }

    /// Does something that stores an import, and is safe to do twice where the import has a key.
    async fn in_transaction<T>(
        &self,
        aim: &Aim,
        action: impl AsyncFn(&mut PgConnection) -> Result<T, SubmitError>,
    ) -> Result<T, SubmitError> {
        if aim.keys.is_some() {
            return self.through_outages(action).await;
        }
        // Without a key, one whose answer was lost could be there twice.
        self.pool.within(action).await
    }

    /// Within the caller's transaction, which is to be committed if the import is new.
    async fn find_or_insert_in(
        &self,
        conn: &mut PgConnection,
        request: &Request,
        prepared: &Prepared,
        aim: &Aim,
    ) -> Result<Option<Inserted>, SubmitError> {
        let Aim {
            target,
            spec,
            keys,
            input_keys,
        } = aim;
        if let Some(keys) = keys {
            // What is loaded makes room for this import.
            let replaces = spec.completion.replace != Replace::Never;
            let own: Vec<&str> = keys.all().collect();
            let (taking, parts) = if prepared.looked.inputs.len() > 1 {
                let parts = input_keys.iter().flatten().flat_map(Keys::all).collect();
                (Taking::Several, parts)
            } else {
                (Taking::One, own.clone())
            };
            lock_keys(conn, target.oid, taking).await?;
            if let Some(existing) = imports::find_by_key(conn, &own).await? {
                return Ok(Some(Inserted::Existing(existing)));
            }
            if let Some(holder) = find_holder(conn, &parts, replaces).await? {
                return Ok(Some(Inserted::Part(holder)));
            }
        }
        let fingerprint = prepared.looked.fingerprint.as_ref();
        let segments = reference::segments(&prepared.looked.inputs, spec);
        let new = NewImport {
            source: &prepared.origin,
            resumable: prepared.resumable,
            target: &target.name,
            target_oid: target.oid,
            spec,
            key: keys.as_ref().map(|keys| keys.new.as_str()),
            fingerprint: fingerprint.map(|f| f.hash.as_str()),
            size_bytes: fingerprint.map(|f| f.size),
            submitter: &self.name,
            share: request.share,
            queue: &request.queue,
            split_by_workers: segments.is_some(),
        };
        // This waits for a rival's batch, at worst one that is frozen.
        let Some(import) = imports::insert(conn, &new).await? else {
            return Ok(None);
        };
        ledger::inputs::insert(conn, import, &prepared.ledger_inputs(aim)).await?;
        if spec.source.by_reference {
            references::insert(conn, import, &reference::references(&prepared.looked.inputs)).await?;
        }
        if let Some(segments) = segments {
            segments::insert(conn, import, &segments).await?;
        }
        if let Some(url) = &request.notify {
            notifications::add(conn, import, url).await?;
        }
        Ok(Some(Inserted::New(import)))
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
        self.pool.adopt(as_the_role).await;
        let target = self.describe(oid, request).await?;
        let looked = Looked::new(request).await?;
        let conflict = self.resolve_conflict(request, &looked, &target).await?;
        let prepared = Prepared::new(request, looked, target, conflict)?;
        prepared.looked.tell(self.observe);
        Ok(prepared)
    }

    async fn describe(&self, oid: Oid, request: &Request) -> Result<Target, SubmitError> {
        let mut conn = self.pool.acquire().await.map_err(SubmitError::Connect)?;
        let target = Target::describe(&mut conn, oid, identity(request)).await?;
        conn.commit().await.map_err(SubmitError::Connect)?;
        Ok(target)
    }

    /// Settles what becomes of rows that are there already.
    async fn resolve_conflict(
        &self,
        request: &Request,
        looked: &Looked,
        target: &Target,
    ) -> Result<ConflictSpec, SubmitError> {
        if request.conflict.choice == ConflictChoice::Error {
            return Ok(ConflictSpec::Fail);
        }
        let filled = looked.spec(request, target)?.mapping.columns();
        let mut conn = self.pool.acquire().await.map_err(SubmitError::Connect)?;
        let conflict = target.resolve_conflict(&mut conn, &request.conflict, &filled).await?;
        conn.commit().await.map_err(SubmitError::Connect)?;
        Ok(conflict)
    }

    /// The table that somebody else made under the name of one that was to be made.
    async fn find_made(&self, table: &NewTable) -> Result<Option<Oid>, SubmitError> {
        let mut conn = self.pool.acquire().await.map_err(SubmitError::Connect)?;
        match Target::find(&mut conn, table.place().name()).await {
            Ok(oid) => Ok(Some(oid)),
            Err(TargetError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that a table is there which was to be made, and that it can be loaded.
    async fn tell_that_it_exists(&self, oid: Oid, request: &Request) -> Result<(), SubmitError> {
        let table = self.describe(oid, request).await?.name;
        (self.observe)(Event::TableExists { table });
        Ok(())
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
                ImportState::Splitting if !self.is_split_by_workers(existing, import.spec()?).await? => {
                    if !told {
                        self.notify_of(existing, request).await?;
                    }
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
                    if !told {
                        self.notify_of(existing, request).await?;
                    }
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

    /// Has somebody told of an import that was submitted before, too, as this submission asks.
    async fn notify_of(&self, import: ImportId, request: &Request) -> Result<(), SubmitError> {
        let Some(url) = &request.notify else { return Ok(()) };
        let set = self.through_outages(async |conn| {
            let mut tx = conn.begin().await?;
            let state = notifications::add(&mut tx, import, url).await?;
            tx.commit().await?;
            Ok::<_, SubmitError>(state)
        });
        let reason = match set.await {
            Ok(state) if !state.is_final() => return Ok(()),
            Ok(_) => "it has ended; only what happens to it from now on is told",
            Err(error) if session::sqlstate(&error).as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {
                "another role submitted it"
            }
            Err(error) => return Err(error),
        };
        (self.observe)(Event::NotNotified { import, reason });
        Ok(())
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
            let ended = async {
                // By itself: what else was done shall count, whatever comes of this.
                let mut apart = conn.begin().await?;
                let role = before.submitted_by.as_deref();
                sessions::terminate_submitter(&mut apart, &before.submitter, role).await?;
                Ok::<_, LedgerError>(apart.rollback().await?)
            };
            if let Err(error) = ended.await {
                tracing::debug!(
                    error = session::describe_error(&error),
                    "the sessions of the former submitter remain"
                );
            }
            Ok(true)
        })
        .await
    }

    async fn is_split_by_workers(&self, import: ImportId, spec: &ImportSpec) -> Result<bool, SubmitError> {
        if !spec.source.by_reference {
            return Ok(false);
        }
        self.through_outages(async |conn| Ok(segments::has_any(conn, import).await?))
            .await
    }

    async fn split(
        &self,
        import: ImportId,
        request: &Request,
        prepared: Prepared,
        resumes: bool,
    ) -> Result<Submitted, SubmitError> {
        let _ = self.progress.own_import.set(import);
        if self.is_split_by_workers(import, &prepared.aim.spec).await? {
            (self.observe)(Event::SplitByWorkers);
            return Ok(Submitted { import, own: true });
        }
        if let [only] = prepared.looked.inputs.as_slice() {
            let superseded = self
                .through_outages(async |conn| {
                    Ok(imports::find_interrupted(conn, &only.origin, prepared.aim.target.oid, import).await?)
                })
                .await?;
            if let Some(superseded) = superseded {
                (self.observe)(Event::Superseded { import: superseded });
            }
        }
        let advances = if resumes {
            // As it was submitted, which may have been with other options.
            self.through_outages(async |conn| {
                Ok(imports::read(conn, import).await?.is_some_and(|import| import.advances))
            })
            .await?
        } else {
            imports::advances(&prepared.aim.spec, request.share)
        };
        let by_reference = prepared.aim.spec.source.by_reference;
        if let (true, Err(why)) = (by_reference, prepared.aim.spec.format.ends_with_lines()) {
            (self.observe)(Event::SplitHere { why });
        }
        let producer = Producer::start(prepared.chunks, by_reference);
        let _ = self.progress.read.set(producer.progress());
        let notify = |notice| (self.observe)(Event::Intake(notice));
        let sweeps = prepared.aim.spec.conflict.missing().is_some();
        let intake = Intake {
            pool: &self.pool,
            import,
            submitter: &self.name,
            max_pending: request.max_pending,
            rejects: prepared.aim.spec.rejects,
            resumes,
            advances,
            sweeps,
            notify: &notify,
        };
        let chunks = intake
            .run(producer)
            .await
            .map_err(|source| SubmitError::Intake { import, source })?;
        if chunks == 0 && !sweeps {
            (self.observe)(Event::Empty);
        }
        let ended = self
            .pool
            .within(async |conn| ledger::completion::finish_if_done(conn, import).await);
        if let Err(error) = ended.await {
            // Every chunk is stored, so this submission is done; maintenance ends the import if need be.
            tracing::debug!(%import, error = session::describe_error(&error), "left the ending to others");
        }
        Ok(Submitted { import, own: true })
    }
}

/// How the import shall find its rows. Whose a row is that was there already, only the transaction says that wrote it.
fn identity(request: &Request) -> IdentityChoice {
    match request.conflict.choice {
        ConflictChoice::Error => request.identity,
        ConflictChoice::Ignore | ConflictChoice::Update => IdentityChoice::Transaction,
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

/// What came of making a table with its import.
enum WithTable {
    /// It is there if the import is new.
    Made(Inserted, Box<Aim>),
    /// Nothing: somebody else made it, or took the import's key in this moment.
    Existed,
}

enum Inserted {
    New(ImportId),
    Existing(ImportId),
    /// An import of several inputs has these rows among others, or some of several inputs are in an import.
    Part(Holder),
}
