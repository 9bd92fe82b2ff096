//! Reads, splits and compresses a source on a thread of its own, and hands the chunks over one by one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use format::csv::split::SplitError;
use model::{Codec, Position, Span};
use source::Fingerprint;
use tokio::sync::mpsc;

use crate::submission::SourceSplitter;

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

fn produce(mut splitter: SourceSplitter, sender: &mpsc::Sender<Produced>, progress: &AtomicU64) {
    let mut next_record = 1;
    let last = loop {
        let chunk = match splitter.next_chunk() {
            Ok(Some(chunk)) => chunk,
            // What is no record any more belongs to the content all the same.
            Ok(None) => match splitter.into_reader().into_reader().drain() {
                Ok(fingerprint) => break Produced::End(fingerprint),
                Err(error) => break Produced::Failed(SplitError::Read(error)),
            },
            Err(error) => break Produced::Failed(error),
        };
        progress.store(splitter.reader().reader().raw_bytes(), Ordering::Relaxed);
        let (codec, data) = source::codec::compress(&chunk.bytes);
        let start = Position {
            input: 0,
            record: Some(next_record),
            byte: Some(chunk.span.start),
            line: Some(chunk.first_line),
        };
        next_record += chunk.record_count;
        let produced = ProducedChunk {
            span: Span {
                start,
                end_byte: Some(chunk.span.end),
                record_count: chunk.record_count,
            },
            codec,
            data,
        };
        if sender.blocking_send(Produced::Chunk(produced)).is_err() {
            return;
        }
    };
    // Nobody listens any more when the submission was given up.
    drop(sender.blocking_send(last));
}
