//! Why an input cannot be read.

use format::csv::{read::HeaderError, split::SplitError};
use format::jsonl::KeysError;
use source::{DecodeError, SourceError};

use super::fitting::Fitting;

/// Why an input cannot be read as one of the import.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{origin}: {source}")]
    Decode { origin: String, source: DecodeError },
    #[error("{origin} is a Parquet file")]
    Parquet { origin: String },
    #[cfg(feature = "parquet")]
    #[error("{origin}: {source}")]
    Type {
        origin: String,
        source: Box<super::parquet::UnfitColumn>,
    },
    #[cfg(feature = "parquet")]
    #[error("{origin}: {source}")]
    Mixed {
        origin: String,
        source: Box<super::parquet::MixedColumn>,
    },
    #[error("{origin}: the header cannot be read")]
    Header { origin: String, source: SplitError },
    #[error("{origin}, line {line}: {source}")]
    Names {
        origin: String,
        line: u64,
        source: HeaderError,
        fits: Option<Fitting>,
    },
    #[error("{origin}: {source}")]
    Keys { origin: String, source: KeysError },
    #[error(
        "{origin}: no delimiter was found with which most records have the same number of fields: name it with -d, or look with `enqueue sniff`"
    )]
    NoDelimiter { origin: String },
    #[error("{origin} cannot be loaded by reference: {why}")]
    ByReference { origin: String, why: String },
    #[error("{origin} can be read only once: a stream is an import of its own")]
    Stream { origin: String },
    #[error(
        "{origin} has another header than {first}: {difference}; the files of one import have the same columns in the same order, and --each makes each an import of its own"
    )]
    OtherHeader {
        origin: String,
        first: String,
        difference: String,
    },
    #[error(
        "{origin} is {encoding} text and {first} is {first_encoding}, by their byte-order marks or for want of one: the files of one import have the same encoding, and --each makes each an import of its own"
    )]
    OtherEncoding {
        origin: String,
        encoding: String,
        first: String,
        first_encoding: String,
    },
    #[error("{origin} has the same content as {other}: leave one of them out, or load both with --force")]
    SameContent { origin: String, other: String },
    #[error("{origin} cannot be split into chunks")]
    Split { origin: String, source: SplitError },
    #[error("{origin} changed while it was read: submit it again when nobody writes to it")]
    Changed { origin: String },
    #[error("the thread that reads {origin} ended unexpectedly")]
    Reader { origin: String },
}
