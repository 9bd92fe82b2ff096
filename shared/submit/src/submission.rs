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
    sessions,
};
use model::{
    ColumnChoice, FormatSpec, ImportId, ImportSpec, ImportState, JsonLinesSpec, MappingSpec, ProcessName, SourceKind,
    SourceSpec,
};
use session::database::{self, Commit, Purpose};
use session::retry::through_outages;
use source::Fingerprint;
use target::{Target, forms::Form, map_fields};

mod beginning;
mod error;
mod fitting;
mod identity;
mod request;

pub(crate) use beginning::SourceSplitter;
use beginning::{Beginning, Reading};
pub use error::SubmitError;
pub use fitting::Fitting;
use fitting::fitting;
use identity::{Keys, check_same, check_stream};
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
    /// What the source is called.
    pub origin: String,
    pub target: Target,
    pub spec: ImportSpec,
    pub chunks: SourceChunks,
}

/// A source that was opened and understood, before anything is stored.
struct Prepared {
    origin: String,
    target: Target,
    spec: ImportSpec,
    splitter: SourceSplitter,
    /// Known beforehand for a regular file.
    fingerprint: Option<Fingerprint>,
    resumable: bool,
    keys: Option<Keys>,
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
            let inserted = self.find_or_insert(&new, prepared.keys.as_ref()).await?;
            let existing = match inserted {
                Some(Inserted::New(import)) => break (import, None),
                Some(Inserted::Existing(existing)) => existing,
                None => continue,
            };
            match self.answer_with(existing, request, &prepared).await? {
                Answer::Existing(import) => {
                    if let (KeyChoice::Given(key), None) = (&request.key, &prepared.fingerprint) {
                        check_stream(&import, key, prepared.splitter, &prepared.origin).await?;
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
            // The chunks must be cut as the first submission cut them.
            let fields = spec.mapping.fields.len();
            let reading = Reading {
                text: spec.text,
                format: spec.format,
                find_delimiter: false,
                split: spec.split,
                fields: Some(fields),
            };
            prepared.splitter = beginning::read(&request.source, reading).await?.splitter;
            prepared.splitter.expect_fields(fields);
        }
        self.split(import, request, prepared).await
    }

    /// Does what a submission does before it stores anything.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn check(&self, request: &Request) -> Result<Checked, SubmitError> {
        let Prepared {
            origin,
            target,
            spec,
            splitter,
            ..
        } = self.prepare(request).await?;
        Ok(Checked {
            origin,
            target,
            spec,
            chunks: SourceChunks::new(splitter),
        })
    }

    /// The import that holds one of the keys, or a new one; `None` when a rival took the key in this moment.
    async fn find_or_insert(&self, new: &NewImport<'_>, keys: Option<&Keys>) -> Result<Option<Inserted>, SubmitError> {
        let Some(keys) = keys else {
            // Without a key, one whose answer was lost could be there twice.
            let mut conn = self.pool.acquire().await.map_err(SubmitError::Connect)?;
            return Ok(imports::insert(&mut conn, new).await?.map(Inserted::New));
        };
        let keys = keys.all();
        self.through_outages(async |conn| {
            if let Some(existing) = imports::find_by_key(conn, &keys).await? {
                return Ok(Some(Inserted::Existing(existing)));
            }
            // This waits for a rival's batch, at worst one that is frozen.
            Ok(imports::insert(conn, new).await?.map(Inserted::New))
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
        let target = Target::describe(&mut conn, oid).await?;
        drop(conn);
        let origin = request.source.describe();
        request.format.check()?;
        let reading = Reading {
            text: request.text.clone(),
            format: request.format.clone(),
            find_delimiter: request.find_delimiter,
            split: request.split,
            fields: request.columns.as_ref().map(Vec::len),
        };
        let Beginning {
            text,
            format,
            mut splitter,
            header,
            header_bytes,
            fingerprint,
        } = beginning::read(&request.source, reading).await?;
        if let (true, FormatSpec::Csv(dialect)) = (request.find_delimiter, &format) {
            (self.observe)(Event::FoundDelimiter(dialect.delimiter));
        }
        // Names that somebody gave need no header that can be read.
        let header = match header {
            Some(Err(_)) if request.columns.is_some() => None,
            header => header.transpose()?,
        };
        let names = request.columns.as_deref().or(header.as_deref());
        let header_alone_is_missing = format.names_fields() && header.is_none() && request.columns.is_none();
        // An input without any record has no header either; it is an empty import of every column.
        let columns = map_fields(&target, if header_alone_is_missing { None } else { names }).map_err(|source| {
            SubmitError::Mapping {
                origin: origin.clone(),
                source,
                fits: match request.columns {
                    Some(_) => None,
                    None => fitting(&target, &header_bytes, &format),
                },
            }
        })?;
        let format = match format {
            FormatSpec::Csv(dialect) => {
                for choice in [&dialect.force_null, &dialect.force_not_null] {
                    check_choice(choice, &columns)?;
                }
                FormatSpec::Csv(dialect)
            }
            FormatSpec::JsonLines(json) => FormatSpec::JsonLines(JsonLinesSpec {
                keys: names.map_or_else(|| columns.clone(), <[String]>::to_vec),
                ..json
            }),
        };
        target.check_method(request.load.method, &columns)?;
        let filled: Vec<_> = target.select(&columns)?.into_iter().cloned().collect();
        Form::of_columns(&request.values, &filled)?;
        splitter.expect_fields(columns.len());
        let kind = if fingerprint.is_some() {
            SourceKind::File
        } else {
            SourceKind::Stream
        };
        let spec = ImportSpec {
            source: SourceSpec { kind },
            text,
            format,
            mapping: MappingSpec::of_columns(columns),
            values: request.values.clone(),
            split: request.split,
            load: request.load,
            identity: target.identity.spec(),
            conflict: request.conflict,
            completion: request.completion,
        };
        let keys = match (&request.key, &fingerprint) {
            (KeyChoice::Force, _) | (KeyChoice::Content, None) => None,
            (KeyChoice::Given(key), _) => Some(Keys::given(key)),
            (KeyChoice::Content, Some(content)) => Some(Keys::of_content(content, &target, &spec)?),
        };
        // Who has no key cannot be found again by the same command.
        let resumable = fingerprint.is_some() && keys.is_some();
        Ok(Prepared {
            origin,
            target,
            spec,
            splitter,
            fingerprint,
            resumable,
            keys,
        })
    }

    /// Decides what a submission does whose key belongs to an import already.
    async fn answer_with(
        &self,
        existing: ImportId,
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
        let superseded = self
            .through_outages(async |conn| {
                Ok(imports::find_interrupted(conn, &prepared.origin, prepared.target.oid, import).await?)
            })
            .await?;
        if let Some(superseded) = superseded {
            (self.observe)(Event::Superseded { import: superseded });
        }
        let producer = Producer::start(prepared.splitter);
        let _ = self.progress.read.set(producer.progress());
        let notify = |notice| (self.observe)(Event::Intake(notice));
        let intake = Intake {
            pool: &self.pool,
            import,
            submitter: &self.name,
            max_pending: request.max_pending,
            notify: &notify,
        };
        intake
            .run(producer, prepared.fingerprint.as_ref())
            .await
            .map_err(|source| SubmitError::Intake {
                origin: prepared.origin,
                import,
                source,
            })?;
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

/// Refuses a choice of columns that are none of the file's.
fn check_choice(choice: &ColumnChoice, columns: &[String]) -> Result<(), SubmitError> {
    let ColumnChoice::These(chosen) = choice else {
        return Ok(());
    };
    match chosen.iter().find(|name| !columns.contains(name)) {
        Some(unknown) => Err(SubmitError::NotLoaded {
            column: unknown.clone(),
            known: columns.join(", "),
        }),
        None => Ok(()),
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
}
