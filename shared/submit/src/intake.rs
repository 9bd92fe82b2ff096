//! From the splitter to the ledger: chunk rows, payloads and jobs, added together while the source is still being read.
//!
//! What the [`Producer`] brings is stored here in batches, each in one transaction. Memory is bounded by the batch, the channel and one
//! chunk, whatever the size of the source.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use crate::producer::{Content, Produced, ProducedChunk, Producer};
use crate::submission::InputError;
use ledger::{
    LedgerError, chunks,
    chunks::NewChunk,
    completion::{TooManyRejects, check_rejects, end_split, fail_split},
    imports, payloads,
    wakeups::{add_chunks, advance},
    workers,
};
use model::{Codec, ImportId, Lane, ProcessName, RejectsSpec};
use session::database::Pool;
use session::retry::{Absence, MaybeTransient, through_outages};
use source::Fingerprint;

/// **Bytes** of payload that close a batch: enough that the transaction's own cost does not count, little enough to be held twice.
const BATCH_BYTES: u64 = 2 << 20;
/// **Bytes** of the first batch; each may be twice as large as the one before. Workers need not wait for much.
const FIRST_BATCH_BYTES: u64 = 256 << 10;
/// A batch that does not fill is stored after this time, so that workers need not wait for a slow source.
const BATCH_DELAY: Duration = Duration::from_millis(200);
/// How soon back-pressure looks whether workers caught up; the pause doubles from look to look.
const FIRST_PRESSURE_INTERVAL: Duration = Duration::from_millis(20);
/// The longest such pause.
const PRESSURE_INTERVAL: Duration = Duration::from_millis(500);
/// How often the lease is renewed while there is nothing else to store.
const LEASE_INTERVAL: Duration = Duration::from_secs(2);

/// Why an intake stopped short.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(
        "the source is no longer cut as it was when the import was interrupted, at byte {byte} of its input {input}"
    )]
    Prefix { input: u32, byte: u64 },
    #[error("the import is no longer this process's to split: it was cancelled, or taken over by another submission")]
    Lost,
    #[error(
        "the database holds {stored} chunks of the import where {sent} were stored: it was restored, or failed over to a server that lagged behind; cancel the import and submit again"
    )]
    Gap { stored: i32, sent: i32 },
    #[error(transparent)]
    Rejects(#[from] TooManyRejects),
    #[error("the source has more chunks than can be numbered: make them larger")]
    TooManyChunks,
    #[error("the thread that reads the source ended unexpectedly")]
    Reader,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Something a person wants to know while a submission waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// More payload is pending than allowed; the intake waits for workers.
    WaitsForWorkers { pending_bytes: u64 },
    /// The same, and no worker is alive that serves the import's queue.
    NoWorkerAlive { pending_bytes: u64, lane: Lane },
    /// The database cannot be used for now; the intake tries again.
    Waits(Absence),
}

/// One import being filled.
pub struct Intake<'a> {
    pub pool: &'a Pool,
    pub import: ImportId,
    pub submitter: &'a ProcessName,
    /// **Bytes** of payload that may be pending.
    pub max_pending: u64,
    pub rejects: RejectsSpec,
    /// Whether chunks may be stored already: an interrupted submission goes on.
    pub resumes: bool,
    /// Whether only some chunks are in line at once, and whoever loads one brings the next.
    pub advances: bool,
    /// Whether rows are deleted at the end which the source does not have.
    pub sweeps: bool,
    /// Told what a person wants to know while it waits.
    pub notify: &'a (dyn Fn(Notice) + Send + Sync),
}

impl Intake<'_> {
    /// Stores everything that is produced, and moves the import to `loading`. Returns how many chunks it has.
    ///
    /// With chunks stored already, those are skipped after checking that the source has the same chunks still.
    ///
    /// # Errors
    /// [`IntakeError`]. When the source is at fault the import is `failed` then.
    pub async fn run(&self, mut producer: Producer) -> Result<i32, IntakeError> {
        match self.store_all(&mut producer).await {
            Err(
                error @ (IntakeError::Input(_)
                | IntakeError::Prefix { .. }
                | IntakeError::Gap { .. }
                | IntakeError::Rejects(_)),
            ) => {
                self.fail(&error).await?;
                Err(error)
            }
            outcome => outcome,
        }
    }

    async fn store_all(&self, producer: &mut Producer) -> Result<i32, IntakeError> {
        let (mut next_ordinal, mut resume_at) = (0, (0, 0));
        if self.resumes {
            let stored = self
                .through_outages(async |conn| Ok(chunks::split_progress(conn, self.import).await?))
                .await?;
            (next_ordinal, resume_at) = (stored.chunks, stored.end.unwrap_or_default());
        }
        // One batch shall not be more than may be pending in all.
        let most_bytes = BATCH_BYTES.min(self.max_pending);
        let mut batch_bytes = FIRST_BATCH_BYTES.min(most_bytes);
        let mut told = None;
        loop {
            let (mut batch, mut end) = (Vec::new(), None);
            let mut bytes = 0_u64;
            let mut deadline = Instant::now() + LEASE_INTERVAL;
            while (batch.is_empty() || bytes < batch_bytes) && end.is_none() {
                match tokio::time::timeout_at(deadline, producer.receiver.recv()).await {
                    Err(_) => break,
                    Ok(None) => return Err(IntakeError::Reader),
                    Ok(Some(Produced::Failed(error))) => return Err(error.into()),
                    Ok(Some(Produced::End(fingerprint))) => end = Some(fingerprint),
                    Ok(Some(Produced::Chunk(chunk))) if chunk.bounds().1 <= resume_at => {}
                    Ok(Some(Produced::Chunk(chunk))) if chunk.bounds().0 < resume_at => {
                        let (input, byte) = resume_at;
                        return Err(IntakeError::Prefix { input, byte });
                    }
                    Ok(Some(Produced::Chunk(chunk))) => {
                        if batch.is_empty() {
                            deadline = deadline.min(Instant::now() + BATCH_DELAY);
                        }
                        bytes += chunk.content.stored_bytes();
                        batch.push(chunk);
                    }
                }
            }
            self.store_batch(next_ordinal, &batch).await?;
            next_ordinal = i32::try_from(batch.len())
                .ok()
                .and_then(|added| next_ordinal.checked_add(added))
                .ok_or(IntakeError::TooManyChunks)?;
            if let Some(fingerprint) = end {
                self.finish(&fingerprint).await?;
                return Ok(next_ordinal);
            }
            if !batch.is_empty() {
                batch_bytes = (batch_bytes * 2).min(most_bytes);
                self.wait_for_workers(&mut told).await?;
                self.check_rejects().await?;
            }
        }
    }

    /// Ends the intake when there are more rejects than there may be: nobody would load what comes.
    async fn check_rejects(&self) -> Result<(), IntakeError> {
        let max = self.rejects.max;
        let checked = self
            .through_outages(async |conn| Ok(check_rejects(conn, self.import, max).await?))
            .await?;
        Ok(checked?)
    }

    /// Stores a batch, or renews the lease where there is none, for as long as the database may be away.
    async fn store_batch(&self, first_ordinal: i32, batch: &[ProducedChunk]) -> Result<(), IntakeError> {
        self.through_outages(async |conn| self.try_store_batch(conn, first_ordinal, batch).await)
            .await?;
        if self.advances && !batch.is_empty() {
            // Whoever loaded the chunk before these may not have seen them.
            self.through_outages(async |conn| Ok(advance(conn, self.import).await?))
                .await?;
        }
        Ok(())
    }

    async fn try_store_batch(
        &self,
        conn: &mut PgConnection,
        first_ordinal: i32,
        batch: &[ProducedChunk],
    ) -> Result<(), IntakeError> {
        let mut tx = conn.begin().await.map_err(LedgerError::from)?;
        if !imports::renew_lease(&mut tx, self.import, self.submitter).await? {
            return Err(IntakeError::Lost);
        }
        if let Some(last) = batch.last() {
            // A commit whose answer was lost with the connection may have happened; the lease's row lock makes this look final.
            let stored = chunks::split_progress(&mut tx, self.import).await?;
            if stored.chunks == first_ordinal {
                self.insert(&mut tx, first_ordinal, batch).await?;
            } else if stored.end != Some(last.bounds().1) {
                return Err(IntakeError::Gap {
                    stored: stored.chunks,
                    sent: first_ordinal,
                });
            }
        }
        tx.commit().await.map_err(LedgerError::from)?;
        Ok(())
    }

    async fn insert(
        &self,
        tx: &mut PgConnection,
        first_ordinal: i32,
        batch: &[ProducedChunk],
    ) -> Result<(), LedgerError> {
        let rows: Vec<NewChunk> = batch
            .iter()
            .map(|chunk| NewChunk {
                span: chunk.span,
                payload_bytes: chunk.content.stored_bytes(),
                digest: chunk.content.digest(),
            })
            .collect();
        let ordinals = add_chunks(tx, self.import, first_ordinal, &rows, self.advances).await?;
        let stored = std::iter::zip(ordinals, batch).filter_map(|(ordinal, chunk)| match &chunk.content {
            Content::Payload { codec, data } => Some((ordinal, *codec, data.as_slice())),
            Content::Digest(_) => None,
        });
        let (ordinals, codecs, data): (Vec<i32>, Vec<Codec>, Vec<&[u8]>) = stored.collect();
        if ordinals.is_empty() {
            return Ok(());
        }
        payloads::insert(tx, self.import, &ordinals, &codecs, &data).await
    }

    async fn finish(&self, found: &Fingerprint) -> Result<(), IntakeError> {
        self.through_outages(async |conn| {
            let mut tx = conn.begin().await.map_err(LedgerError::from)?;
            let moved = imports::lock_for_submitter(&mut tx, self.import, self.submitter).await?;
            if moved {
                imports::finish_split(&mut tx, self.import, &found.hash, found.size).await?;
                end_split(&mut tx, self.import, self.sweeps).await?;
            }
            tx.commit().await.map_err(LedgerError::from)?;
            if moved {
                return Ok(());
            }
            // A lost answer to an earlier try may hide that it was this process that moved it.
            let split = imports::read(conn, self.import)
                .await?
                .is_some_and(|import| import.split);
            if split { Ok(()) } else { Err(IntakeError::Lost) }
        })
        .await?;
        if self.sweeps {
            // All others may be loaded already.
            self.through_outages(async |conn| Ok(advance(conn, self.import).await?))
                .await?;
        }
        Ok(())
    }

    async fn fail(&self, error: &IntakeError) -> Result<(), IntakeError> {
        let message = session::describe_error(error);
        self.through_outages(async |conn| {
            let mut tx = conn.begin().await.map_err(LedgerError::from)?;
            if imports::lock_for_submitter(&mut tx, self.import, self.submitter).await? {
                let role = None;
                fail_split(&mut tx, self.import, &message, self.rejects.all_or_nothing, role).await?;
            }
            tx.commit().await.map_err(LedgerError::from)?;
            Ok(())
        })
        .await
    }

    /// Waits outside any transaction, with the lease renewed, while more payload is pending than allowed. `told` remembers between the
    /// waits whether a worker was alive when this was said last: an import that waits after every batch says so once.
    async fn wait_for_workers(&self, told: &mut Option<bool>) -> Result<(), IntakeError> {
        let mut pause = FIRST_PRESSURE_INTERVAL;
        let mut renew_at = Instant::now() + LEASE_INTERVAL;
        loop {
            let (pending, unserved) = self
                .through_outages(async |conn| {
                    let pending = chunks::pending_payload_bytes(conn, self.import).await?;
                    let unserved = if pending > self.max_pending {
                        workers::unserved_lane(conn, self.import).await?
                    } else {
                        None
                    };
                    Ok((pending, unserved))
                })
                .await?;
            if pending <= self.max_pending {
                // That nobody is alive is said each time anew.
                *told = told.filter(|&alive| alive);
                return Ok(());
            }
            if *told != Some(unserved.is_none()) {
                *told = Some(unserved.is_none());
                (self.notify)(match unserved {
                    None => Notice::WaitsForWorkers { pending_bytes: pending },
                    Some(lane) => Notice::NoWorkerAlive {
                        pending_bytes: pending,
                        lane,
                    },
                });
            }
            // The batch before has just renewed it.
            if Instant::now() >= renew_at {
                self.store_batch(0, &[]).await?;
                renew_at = Instant::now() + LEASE_INTERVAL;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PRESSURE_INTERVAL);
        }
    }

    /// Runs `action` again and again while the database is away, or a lock is held for too long.
    async fn through_outages<T>(
        &self,
        action: impl AsyncFn(&mut PgConnection) -> Result<T, IntakeError>,
    ) -> Result<T, IntakeError> {
        through_outages(self.pool, |absence| (self.notify)(Notice::Waits(absence)), action).await
    }
}

impl MaybeTransient for IntakeError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_transient())
    }
}

impl From<sqlx::Error> for IntakeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}
