//! Reads, splits and compresses a source on a thread of its own, and hands the chunks over one by one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use format::csv::split::SplitError;
use model::{Codec, Span};
use source::Fingerprint;
use tokio::sync::mpsc;

use crate::{chunks::SourceChunks, submission::SourceSplitter};

/// Chunks that may wait between the splitting thread and the database.
const PRODUCED_CHUNKS: usize = 2;

/// A chunk on its way to the ledger.
pub(crate) struct ProducedChunk {
    pub span: Span,
    pub codec: Codec,
    pub data: Vec<u8>,
}

impl ProducedChunk {
    /// **Bytes** of the source before and up to its end; CSV always has them.
    pub fn bytes(&self) -> (u64, u64) {
        (self.span.start.byte.unwrap_or(0), self.span.end_byte.unwrap_or(0))
    }
}

/// What the thread says.
pub(crate) enum Produced {
    Chunk(ProducedChunk),
    End(Fingerprint),
    Failed(SplitError),
}

/// The thread's end of the source: what it reads, splits and compresses.
pub struct Producer {
    pub(crate) receiver: mpsc::Receiver<Produced>,
    read: Arc<AtomicU64>,
}

impl Producer {
    /// Starts the thread. A blocked read of standard input cannot be interrupted, so nothing waits for the thread: it ends with the
    /// process, or when the producer is dropped.
    #[must_use]
    pub fn start(splitter: SourceSplitter) -> Self {
        let (sender, receiver) = mpsc::channel(PRODUCED_CHUNKS);
        let read = Arc::new(AtomicU64::new(0));
        let progress = Arc::clone(&read);
        std::thread::spawn(move || produce(splitter, &sender, &progress));
        Self { receiver, read }
    }

    /// **Bytes** of the source that were read so far; shared with the thread.
    #[must_use]
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

fn produce(splitter: SourceSplitter, sender: &mpsc::Sender<Produced>, progress: &AtomicU64) {
    let mut chunks = SourceChunks::new(splitter);
    let last = loop {
        let (span, bytes) = match chunks.next_chunk() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break chunks.drain().map_or_else(Produced::Failed, Produced::End),
            Err(error) => break Produced::Failed(error),
        };
        progress.store(chunks.raw_bytes(), Ordering::Relaxed);
        let (codec, data) = source::codec::compress(&bytes);
        let produced = ProducedChunk { span, codec, data };
        if sender.blocking_send(Produced::Chunk(produced)).is_err() {
            return;
        }
    };
    // Nobody listens any more when the submission was given up.
    drop(sender.blocking_send(last));
}
