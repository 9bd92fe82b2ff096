//! Reads, splits and compresses a source, or digests it where its bytes are not stored, on a thread of its own, and hands the chunks over one by one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use model::{Codec, Span};
use source::{Fingerprint, codec::Compressor};
use tokio::sync::mpsc;

use crate::{chunks::SourceChunks, submission::InputError};

/// Chunks that may wait between the splitting thread and the database.
const PRODUCED_CHUNKS: usize = 2;

/// A chunk on its way to the ledger.
pub(crate) struct ProducedChunk {
    pub span: Span,
    pub content: Content,
}

/// What the ledger has of a chunk's bytes.
pub(crate) enum Content {
    Payload {
        codec: Codec,
        data: Vec<u8>,
    },
    /// BLAKE3, where workers read the bytes themselves.
    Digest([u8; 32]),
}

impl Content {
    fn of(bytes: &[u8], by_reference: bool, compressor: &mut Compressor) -> Self {
        if by_reference {
            return Self::Digest(blake3::hash(bytes).into());
        }
        let (codec, data) = compressor.compress(bytes);
        Self::Payload { codec, data }
    }

    /// **Bytes** that the ledger will hold.
    pub fn stored_bytes(&self) -> u64 {
        match self {
            Self::Payload { data, .. } => data.len() as u64,
            Self::Digest(_) => 0,
        }
    }

    pub fn digest(&self) -> Option<[u8; 32]> {
        match self {
            Self::Payload { .. } => None,
            Self::Digest(digest) => Some(*digest),
        }
    }
}

impl ProducedChunk {
    /// Where it begins and ends: the input, and the **bytes** of it.
    pub fn bounds(&self) -> ((u32, u64), (u32, u64)) {
        let input = self.span.start.input;
        let (start, end) = (self.span.start.byte, self.span.end_byte);
        ((input, start.unwrap_or(0)), (input, end.unwrap_or(0)))
    }
}

/// What the thread says.
pub(crate) enum Produced {
    Chunk(ProducedChunk),
    End(Fingerprint),
    Failed(InputError),
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
    pub fn start(chunks: SourceChunks, by_reference: bool) -> Self {
        let (sender, receiver) = mpsc::channel(PRODUCED_CHUNKS);
        let read = Arc::new(AtomicU64::new(0));
        let progress = Arc::clone(&read);
        std::thread::spawn(move || produce(chunks, by_reference, &sender, &progress));
        Self { receiver, read }
    }

    /// **Bytes** of the source that were read so far; shared with the thread.
    #[must_use]
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

fn produce(mut chunks: SourceChunks, by_reference: bool, sender: &mpsc::Sender<Produced>, progress: &AtomicU64) {
    let mut compressor = Compressor::default();
    let last = loop {
        let (span, bytes) = match chunks.next_chunk() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break chunks.drain().map_or_else(Produced::Failed, Produced::End),
            Err(error) => break Produced::Failed(error),
        };
        progress.store(chunks.raw_bytes(), Ordering::Relaxed);
        let content = Content::of(&bytes, by_reference, &mut compressor);
        let produced = ProducedChunk { span, content };
        if sender.blocking_send(Produced::Chunk(produced)).is_err() {
            return;
        }
    };
    // Nobody listens any more when the submission was given up.
    drop(sender.blocking_send(last));
}
