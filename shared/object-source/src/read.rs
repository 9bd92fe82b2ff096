//! An object as a stream for whoever reads in a thread of its own.

use std::{
    io::{self, Read},
    ops::Range,
};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{Object, ObjectError};

/// **Bytes** that are asked for at once: enough that a request's own time does not count, little enough to be held several times.
pub(crate) const PART_BYTES: u64 = 4 << 20;
/// Parts that are asked for at the same time.
const AT_ONCE: usize = 2;

/// Reads parts that a task brings.
pub(crate) struct Reader {
    parts: mpsc::Receiver<Result<Bytes, ObjectError>>,
    part: Bytes,
    task: JoinHandle<()>,
}

impl Reader {
    pub(crate) fn start(object: &Object, range: Range<u64>) -> Self {
        let (sender, parts) = mpsc::channel(1);
        let task = object.runtime().spawn(bring(object.clone(), range, sender));
        Self {
            parts,
            part: Bytes::new(),
            task,
        }
    }
}

async fn bring(object: Object, range: Range<u64>, sender: mpsc::Sender<Result<Bytes, ObjectError>>) {
    let parts = stream::iter(Object::parts(range).map(Ok));
    let mut bytes = parts.map_ok(|part| object.range(part)).try_buffered(AT_ONCE);
    while let Some(part) = bytes.next().await {
        let failed = part.is_err();
        if sender.send(part).await.is_err() || failed {
            return;
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                None => return Ok(0),
                Some(part) => self.part = part.map_err(io::Error::other)?,
            }
        }
        let count = buffer.len().min(self.part.len());
        self.part.split_to(count).copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
