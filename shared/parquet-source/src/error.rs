//! What is wrong with a file, and where; and how a panic of the `parquet` crate becomes such an error.

use std::{
    any::Any,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_schema::ArrowError;

/// A file that cannot be read, or not to its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ParquetError {
    #[error("this is no Parquet file, or not the whole of one: it does not end with PAR1")]
    NoFooter,
    #[error("the Parquet file is encrypted: decrypt it first")]
    Encrypted,
    #[error("the Parquet file has no columns")]
    NoColumns,
    #[error("the Parquet file is a summary: its rows are in other files, such as {0:?}; load those")]
    OtherFile(String),
    #[error("column {column:?} {problem}")]
    Column { column: String, problem: &'static str },
    #[error("the Parquet file is damaged, or written in a way that is not known: {place} cannot be read")]
    Damaged {
        place: Place,
        #[source]
        damage: Damage,
    },
    #[error("cannot read the Parquet file")]
    Read(#[source] Arc<io::Error>),
}

/// For whoever reads the stream: of kind [`InvalidData`](io::ErrorKind::InvalidData), unless it is the system that could not read.
impl From<ParquetError> for io::Error {
    fn from(error: ParquetError) -> Self {
        let kind = match &error {
            ParquetError::Read(source) => source.kind(),
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Footer,
    Rows {
        /// From 1.
        group: usize,
        /// How many there are.
        groups: usize,
        /// The row of the file, from 1. It is this one, or one of the next that are read with it.
        row: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Footer => f.write_str("its footer"),
            Self::Rows { group, groups, row } => write!(f, "row group {group} of {groups}, from row {row} on,"),
        }
    }
}

/// What shows that a file is damaged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Damage {
    #[error(transparent)]
    Parquet(Arc<parquet::errors::ParquetError>),
    #[error(transparent)]
    Arrow(Arc<ArrowError>),
    /// The code that reads it found something that it takes to be impossible.
    #[error("what is there makes no sense: {0}")]
    Panic(String),
    #[error("there should be {expected} rows, and there are {found}")]
    Rows { expected: u64, found: u64 },
    #[error("the row groups have {groups} rows, and the file should have {file}")]
    Total { groups: u64, file: i64 },
    #[error("a number of rows is {0}")]
    Count(i64),
    #[error("the values are not of the type that the schema says, but of {0}")]
    Type(String),
    #[error("a map has a key that is NULL")]
    NullKey,
}

impl From<parquet::errors::ParquetError> for Damage {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Parquet(Arc::new(error))
    }
}

impl From<ArrowError> for Damage {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(Arc::new(error))
    }
}

/// Does something with what the file says, which may make the `parquet` crate panic. What `work` changed must not be used after an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Damage>) -> Result<T, Damage> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Damage::Panic(message(panic.as_ref()))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
