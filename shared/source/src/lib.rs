//! Where the bytes come from: a file, an object, standard input or an upload, hashed as they are read, then decompressed and decoded to UTF-8, or made
//! into text.

#![warn(clippy::unwrap_used)]

pub mod codec;
mod compression;
mod container;
mod expansion;
mod raw;
mod spool;
mod stream;
mod text;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use model::{Container, TextSpec};
use object_source::Object;
use raw::RawReader;

pub use compression::{Compression, DecompressError};
pub use container::DecodeError;
#[cfg(feature = "parquet")]
pub use container::{Column, Kind, dialect as parquet_dialect};
pub use expansion::{ExpansionError, ExpansionLimit};
pub use spool::SpoolError;
pub use stream::Stream;
pub use text::{EncodingError, MARK_BYTES, encoding_name, marked_encoding};

/// A source as it was named on the command line, or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// Pinned to what it was when it was found.
    Object(Object),
    StandardInput,
    Stream(Stream),
}

/// Why a source cannot be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot open {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} is a directory: name a file")]
    Directory { path: PathBuf },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = .path.display())]
    Encoding { path: PathBuf, source: EncodingError },
}

impl Source {
    /// The source for people, and for telling that it is the same again: an absolute path, an address, 'standard input', or what a stream is called.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path
                .canonicalize()
                .unwrap_or_else(|_| path.clone())
                .display()
                .to_string(),
            Self::Object(object) => object.address().to_string(),
            Self::StandardInput => "standard input".to_owned(),
            Self::Stream(stream) => stream.name().to_owned(),
        }
    }

    /// The path of a regular file: one that can be read again. A pipe or a device that was named like a file cannot.
    #[must_use]
    pub fn regular_file(&self) -> Option<&Path> {
        match self {
            Self::File(path) if path.is_file() => Some(path),
            _ => None,
        }
    }

    /// Whether it can be read again: a regular file, or an object.
    #[must_use]
    pub fn can_be_read_again(&self) -> bool {
        matches!(self, Self::Object(_)) || self.regular_file().is_some()
    }

    /// Reads a regular file for its fingerprint; an object has the one of what it is pinned to, which costs no reading; `None` for what can be read
    /// once.
    ///
    /// # Errors
    /// [`SourceError`], naming the path.
    pub fn fingerprint(&self) -> Result<Option<Fingerprint>, SourceError> {
        match self {
            Self::Object(object) => Ok(Some(Fingerprint::of_object(object))),
            _ => self.regular_file().map(fingerprint).transpose(),
        }
    }

    /// Opens the source at its beginning, and takes its compression off, if it has one.
    ///
    /// # Errors
    /// [`SourceError`], naming the path.
    pub fn open(&self) -> Result<OpenedSource, SourceError> {
        let (bytes, access): (Box<dyn Read + Send>, _) = match self {
            Self::StandardInput => (Box::new(io::stdin()), Access::Once),
            Self::Stream(stream) => {
                let path = PathBuf::from(stream.name());
                (
                    stream.take().map_err(|source| SourceError::Read { path, source })?,
                    Access::Once,
                )
            }
            Self::Object(object) => (object.reader(), Access::Copy),
            Self::File(path) if path.is_dir() => return Err(SourceError::Directory { path: path.clone() }),
            Self::File(path) => {
                let of_open = |source| SourceError::Open {
                    path: path.clone(),
                    source,
                };
                let file = File::open(path).map_err(of_open)?;
                // The same file, whatever has its name by now.
                let again = path.is_file().then(|| file.try_clone()).transpose().map_err(of_open)?;
                (Box::new(file), again.map_or(Access::Once, Access::File))
            }
        };
        let path = PathBuf::from(self.describe());
        let opened =
            OpenedSource::new(bytes, ExpansionLimit::default()).map_err(|source| SourceError::Read { path, source })?;
        Ok(OpenedSource { access, ..opened })
    }
}

/// What the bytes of a source add up to, or what stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// BLAKE3 of the bytes, hexadecimal; of an object, of its address and of what its store calls this content, behind [`OF_OBJECT`].
    pub hash: String,
    /// **Bytes**.
    pub size: u64,
}

/// What the fingerprint of an object begins with: it is not that of its bytes.
pub const OF_OBJECT: &str = "object:";

impl Fingerprint {
    fn of_object(object: &Object) -> Self {
        Self {
            hash: format!("{OF_OBJECT}{}", object.identity()),
            size: object.pin().size,
        }
    }

    /// Whether it is that of the bytes.
    #[must_use]
    pub fn is_of_bytes(&self) -> bool {
        !self.hash.starts_with(OF_OBJECT)
    }

    /// That of several inputs, one after the other; of one, its own.
    #[must_use]
    pub fn of_all(inputs: &[Self]) -> Self {
        if let [only] = inputs {
            return only.clone();
        }
        let mut hasher = blake3::Hasher::new();
        for input in inputs {
            // Of one length each: no two lists read the same.
            hasher.update(input.hash.as_bytes());
        }
        Self {
            hash: hasher.finalize().to_hex().to_string(),
            size: inputs.iter().map(|input| input.size).sum(),
        }
    }
}

/// Reads a whole file for its fingerprint.
///
/// # Errors
/// [`SourceError`], naming the path.
pub fn fingerprint(path: &Path) -> Result<Fingerprint, SourceError> {
    let file = File::open(path).map_err(|source| SourceError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut hasher = blake3::Hasher::new();
    let read = hasher.update_reader(file);
    read.map_err(|source| SourceError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Fingerprint {
        hash: hasher.finalize().to_hex().to_string(),
        size: hasher.count(),
    })
}

/// A source whose text is not decoded yet.
pub struct OpenedSource {
    raw: RawReader,
    bytes: Box<dyn Read + Send>,
    compression: Option<Compression>,
    beginning: Vec<u8>,
    access: Access,
}

/// How a source is read from any place.
enum Access {
    /// Not at all: its bytes come once, in their order.
    Once,
    /// It is a file of this machine.
    File(File),
    /// From a copy on this machine, for it is elsewhere.
    Copy,
}

impl OpenedSource {
    /// Looks at the beginning of `bytes`, and takes their compression off, if they have one.
    ///
    /// # Errors
    /// From `bytes`, or when what is compressed is damaged from its beginning on.
    pub fn new(bytes: Box<dyn Read + Send>, limit: ExpansionLimit) -> io::Result<Self> {
        let mut raw = RawReader::new(bytes);
        let beginning = raw.peek(Compression::MARK_BYTES)?;
        let compression = Compression::recognise(&beginning);
        let (bytes, beginning): (Box<dyn Read + Send>, _) = match compression {
            None => (Box::new(raw.clone()), beginning),
            Some(compression) => {
                let counter = raw.clone();
                let inner = compression.reader(raw.clone())?;
                let mut bytes = expansion::Limited::new(inner, limit, move || counter.count());
                let mut beginning = Vec::new();
                bytes.by_ref().take(MARK_BYTES as u64).read_to_end(&mut beginning)?;
                let all = io::Cursor::new(beginning.clone()).chain(bytes);
                (Box::new(all), beginning)
            }
        };
        Ok(Self {
            raw,
            bytes,
            compression,
            beginning,
            access: Access::Once,
        })
    }

    /// How the source is compressed, by its first bytes.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The encoding that the text's byte-order mark names; `None` for UTF-8 and without a mark.
    ///
    /// # Errors
    /// [`EncodingError::NotReadable`].
    pub fn marked_encoding(&self) -> Result<Option<&'static str>, EncodingError> {
        marked_encoding(&self.beginning)
    }

    /// Whether it is a Parquet file, by its first bytes.
    #[must_use]
    pub fn is_parquet(&self) -> bool {
        container::is_parquet(&self.beginning)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(self, text: &TextSpec) -> Result<SourceReader, DecodeError> {
        let raw = self.raw.clone();
        let (text, rows) = match text.container {
            Container::Plain => (text::reader(self.bytes, text)?, None),
            Container::Parquet => {
                let (text, rows) = container::open(|| self.into_parquet())?;
                (text, Some(rows))
            }
        };
        Ok(SourceReader { raw, text, rows })
    }

    /// A file that can be read from any place, if it may be a Parquet file: nothing else is worth a copy.
    fn into_parquet(mut self) -> Result<File, DecodeError> {
        let is_parquet = self.is_parquet();
        match (self.access, self.compression) {
            (Access::Once, _) | (_, Some(_)) => Err(DecodeError::Stream),
            _ if !is_parquet => Err(DecodeError::NoMark),
            (Access::File(file), None) => Ok(file),
            (Access::Copy, None) => Ok(spool::spool(&mut self.bytes)?),
        }
    }
}

/// Reads a source's text, and hashes the bytes of which it is made.
pub struct SourceReader {
    raw: RawReader,
    text: Box<dyn Read + Send>,
    /// Of a Parquet file, which is hashed by itself.
    rows: Option<container::Rows>,
}

impl SourceReader {
    /// **Bytes** of the source that were read so far: compressed and encoded as they are.
    #[must_use]
    pub fn raw_bytes(&self) -> u64 {
        match &self.rows {
            Some(rows) => rows.bytes(),
            None => self.raw.count(),
        }
    }

    /// What the columns of a Parquet file hold; `None` of any other source.
    #[cfg(feature = "parquet")]
    #[must_use]
    pub fn columns(&self) -> Option<&[Column]> {
        self.rows.as_ref().map(|rows| rows.columns.as_slice())
    }

    /// Reads what is left of the source, for the fingerprint alone.
    ///
    /// # Errors
    /// From the source.
    pub fn drain(&mut self) -> io::Result<Fingerprint> {
        io::copy(&mut self.raw, &mut io::sink())?;
        Ok(self.raw.fingerprint())
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_reader_and_the_file_have_the_same_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"\xff\xfea\0;\0b\0\n\0").unwrap();
        for (content, compression, marked, text) in [
            (b"a;b\n1;2\n".to_vec(), None, None, "a;b\n1;2\n"),
            (
                gzip.finish().unwrap(),
                Some(Compression::Gzip),
                Some("UTF-16LE"),
                "a;b\n",
            ),
            (Vec::new(), None, None, ""),
        ] {
            std::fs::write(&path, &content).unwrap();
            let source = Source::File(path.clone()).open().unwrap();
            assert_eq!(
                (source.compression(), source.marked_encoding()),
                (compression, Ok(marked))
            );
            let spec = TextSpec {
                encoding: marked.map(str::to_owned),
                ..TextSpec::default()
            };
            let mut reader = source.decode(&spec).unwrap();
            let mut read = String::new();
            reader.read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
            assert_eq!(reader.drain().unwrap(), fingerprint(&path).unwrap());
            assert_eq!(reader.raw_bytes(), content.len() as u64);
        }
    }

    #[test]
    fn an_interruption_between_two_streams_ends_nothing() {
        /// One byte at a time, and an interruption before each.
        struct Hesitant(io::Cursor<Vec<u8>>, bool);

        impl Read for Hesitant {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let length = buffer.len().min(1);
                self.0.read(&mut buffer[..length])
            }
        }

        let gzip = || {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(b"a;b\n").unwrap();
            gzip.finish().unwrap()
        };
        let lz4 = || {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(b"a;b\n").unwrap();
            lz4.finish().unwrap()
        };
        for twice in [[gzip(), gzip()].concat(), [lz4(), lz4()].concat()] {
            let hesitant = Hesitant(io::Cursor::new(twice), false);
            let source = OpenedSource::new(Box::new(hesitant), ExpansionLimit::default()).unwrap();
            let mut text = String::new();
            source
                .decode(&TextSpec::default())
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "a;b\na;b\n");
        }
    }

    #[test]
    fn text_out_of_all_proportion_is_refused() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 4 << 20]).unwrap();
        let bomb = gzip.finish().unwrap();
        let limit = ExpansionLimit {
            ratio: 100,
            after: 1 << 20,
        };
        let source = OpenedSource::new(Box::new(io::Cursor::new(bomb.clone())), limit).unwrap();
        let mut reader = source.decode(&TextSpec::default()).unwrap();
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("more than 100 times as many"), "{error}");
        assert_eq!(reader.drain().unwrap().size, bomb.len() as u64);
    }

    #[test]
    fn a_directory_and_a_missing_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Source::File(dir.path().to_owned()).open(),
            Err(SourceError::Directory { .. })
        ));
        let missing = Source::File(dir.path().join("none.csv")).open().err().unwrap();
        assert!(missing.to_string().contains("none.csv"));
    }
}
