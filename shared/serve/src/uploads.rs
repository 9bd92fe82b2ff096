//! Files that are sent to the page or the API: read as they come, cut into chunks and stored, however large they are.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use model::ImportId;
use serde::Serialize;
use source::{Source, Stream};
use submit::submission::{Progress, Submitted};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pieces of an upload that wait for whoever cuts them: reading from the network pauses when there are more.
const PIECES: usize = 4;
/// How long nothing may come of an upload.
const IDLE: Duration = Duration::from_secs(60);
/// Uploads that are remembered.
const REMEMBERED: usize = 50;
/// **Characters** of a file's name, at most.
const NAME_CHARS: usize = 255;

/// Why it came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The options cannot be understood.
    Options(String),
    /// The file or the table are not as they should be.
    Submission(String),
}

/// What a file would be loaded as.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Looked {
    pub target: String,
    /// The columns that fields fill.
    pub columns: Vec<String>,
    /// The first rows as they would be loaded; `null` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Records of the sample that were looked at.
    pub records: u64,
    /// Those of them that would be rejected, the first of them with line, column and reason.
    pub rejected: u64,
    pub rejects: Vec<LookedReject>,
}

/// A record that would be rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LookedReject {
    pub line: Option<u64>,
    pub column: Option<String>,
    pub reason: String,
    pub raw: String,
}

/// How a file seems to be written.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Sniffed {
    /// csv, jsonl or parquet.
    pub format: &'static str,
    pub compression: Option<String>,
    /// Options of `enqueue` that read it so: names without the dashes, and values.
    pub options: Vec<(String, String)>,
    /// What its fields are called, where it says so.
    pub fields: Vec<Option<String>>,
    /// The first rows; `null` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Whoever understands the options of a submission, which are those of the command line. Each call takes a thread for as long as it needs.
pub trait Submitter: fmt::Debug + Send + Sync {
    /// Submits a source, and makes its table if that is asked for.
    ///
    /// # Errors
    /// Why nothing was submitted, or not to the end.
    fn submit(&self, options: &[(String, String)], source: Source, progress: &Progress) -> Result<Submitted, Refused>;

    /// Reads the beginning of a source, and stores nothing.
    ///
    /// # Errors
    /// Why it could not be submitted.
    fn look(&self, options: &[(String, String)], sample: Source) -> Result<Looked, Refused>;

    /// How the beginning of a source seems to be written.
    ///
    /// # Errors
    /// When nothing can be said of it.
    fn sniff(&self, sample: &Source) -> Result<Sniffed, Refused>;
}

/// An upload as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadStatus {
    pub name: String,
    pub who: String,
    /// **Bytes** that came so far.
    pub bytes: u64,
    pub import: Option<ImportId>,
    pub running: bool,
    pub error: Option<String>,
}

/// An upload that runs, or ran.
pub(crate) struct Upload {
    name: String,
    who: String,
    bytes: AtomicU64,
    pub progress: Progress,
    outcome: Mutex<Option<Result<(), String>>>,
}

impl Upload {
    pub fn end(&self, outcome: Result<(), String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn status(&self) -> UploadStatus {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UploadStatus {
            name: self.name.clone(),
            who: self.who.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
            import: self.progress.own_import.get().copied(),
            running: outcome.is_none(),
            error: outcome.and_then(Result::err),
        }
    }
}

/// The uploads of this page, the newest first.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<VecDeque<Arc<Upload>>>);

impl Uploads {
    pub fn begin(&self, name: &str, who: &str) -> Arc<Upload> {
        let upload = Arc::new(Upload {
            name: name.to_owned(),
            who: who.to_owned(),
            bytes: AtomicU64::new(0),
            progress: Progress::default(),
            outcome: Mutex::default(),
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_front(Arc::clone(&upload));
        all.truncate(REMEMBERED);
        upload
    }

    pub fn list(&self) -> Vec<UploadStatus> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|upload| upload.status()).collect()
    }
}

/// What a file may be called: the last part of a path, without what steers a terminal or turns the reading direction round.
pub(crate) fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = model::words::escape(last.trim()).chars().take(NAME_CHARS).collect();
    if name.is_empty() { "upload".to_owned() } else { name }
}

/// The body of a request as a source: it is read as fast as it is cut, and no faster. One that breaks off is an error where it does, and
/// never an end.
pub(crate) fn source_of(body: Body, upload: &Arc<Upload>, stopping: CancellationToken) -> Source {
    let (sender, receiver) = mpsc::channel(PIECES);
    let counted = Arc::clone(upload);
    tokio::spawn(async move {
        let mut pieces = body.into_data_stream();
        loop {
            // Only what the network does is waited for in time: whoever cuts may take as long as it must.
            let piece = tokio::select! {
                piece = tokio::time::timeout(IDLE, pieces.next()) => piece,
                () = stopping.cancelled() => {
                    let stopped = io::Error::new(io::ErrorKind::Interrupted, "the page was stopped");
                    drop(sender.send(Some(Err(io::Error::other(stopped)))).await);
                    return;
                }
            };
            let piece = match piece {
                Ok(Some(piece)) => piece.map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error)),
                Ok(None) => break,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nothing came of the upload any more",
                )),
            };
            if let Ok(piece) = &piece {
                counted.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            if sender.send(Some(piece)).await.is_err() {
                return;
            }
        }
        // That it is complete; a task that is dropped does not say so.
        drop(sender.send(None).await);
    });
    let reader = Pieces {
        receiver,
        piece: Bytes::new(),
        ended: false,
    };
    Source::Stream(Stream::new(format!("upload of {}", upload.name), reader))
}

/// The beginning of a file that lies in memory.
pub(crate) fn sample_of(name: &str, sample: Bytes) -> Source {
    Source::Stream(Stream::new(file_name(name), io::Cursor::new(sample)))
}

/// Reads the pieces of a body, on a thread that may wait.
struct Pieces {
    receiver: mpsc::Receiver<Option<io::Result<Bytes>>>,
    piece: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Some(piece)) => self.piece = piece?,
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upload broke off")),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_by_the_last_part_of_its_path() {
        for (name, called) in [
            ("orders.csv", "orders.csv"),
            ("C:\\in\\orders.csv", "orders.csv"),
            ("../../etc/passwd", "passwd"),
            ("a\u{202e}b\n", "a\\u{202e}b"),
            ("", "upload"),
            ("in/", "upload"),
        ] {
            assert_eq!(file_name(name), called);
        }
        assert_eq!(file_name(&"x".repeat(1000)).len(), NAME_CHARS);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_upload_that_breaks_off_is_no_end() {
        let read = async |body: Body| {
            let upload = Uploads::default().begin("a.csv", "mia");
            let Source::Stream(stream) = source_of(body, &upload, CancellationToken::new()) else {
                panic!("a stream");
            };
            let text = tokio::task::spawn_blocking(move || {
                let opened = Source::Stream(stream).open().map_err(io::Error::other)?;
                let reader = opened.decode(&model::TextSpec::default()).map_err(io::Error::other)?;
                io::read_to_string(reader)
            });
            (text.await.unwrap(), upload.status().bytes)
        };
        let pieces = |last: io::Result<&'static str>| {
            let pieces = vec![Ok("a;b\n"), Ok("1;2\n"), last];
            Body::from_stream(futures::stream::iter(pieces))
        };
        let (whole, bytes) = read(pieces(Ok("3;4\n"))).await;
        assert_eq!((whole.unwrap().as_str(), bytes), ("a;b\n1;2\n3;4\n", 12));
        let (broken, _) = read(pieces(Err(io::ErrorKind::ConnectionReset.into()))).await;
        assert!(broken.is_err());
    }
}
