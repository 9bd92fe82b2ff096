//! Text that is not there yet: made of the rows of a Parquet file, where this program was built to read one.

use std::{
    fs::File,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

#[cfg(feature = "parquet")]
pub use parquet_source::{Column, Kind, ParquetError, dialect};

use crate::{spool::SpoolError, text::EncodingError};

/// Why a source's bytes are no text.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    #[error(
        "a Parquet file is read from its end: it must be a regular file or an object, and not compressed as a whole"
    )]
    Stream,
    #[error("this is no Parquet file: it does not begin with PAR1")]
    NoMark,
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("cannot look at it")]
    Look(#[source] std::io::Error),
    #[cfg(feature = "parquet")]
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[cfg(not(feature = "parquet"))]
    #[error("this program was built without Parquet (the cargo feature `parquet`)")]
    NotBuilt,
}

/// Whether a source begins as Parquet files do, encrypted ones too.
pub(crate) fn is_parquet(beginning: &[u8]) -> bool {
    beginning.starts_with(b"PAR1") || beginning.starts_with(b"PARE")
}

/// The rows of a Parquet file, and how far they were read.
pub(crate) struct Rows {
    #[cfg(feature = "parquet")]
    pub columns: Vec<Column>,
    done: Arc<AtomicU64>,
    rows: u64,
    /// **Bytes** of the file.
    size: u64,
}

impl Rows {
    /// **Bytes** of the file that were read, as if all rows had as many.
    pub(crate) fn bytes(&self) -> u64 {
        let done = u128::from(self.done.load(Ordering::Relaxed));
        let bytes = u128::from(self.size) * done / u128::from(self.rows.max(1));
        u64::try_from(bytes).unwrap_or(self.size)
    }
}

/// Opens a Parquet file, for the text of its rows.
#[cfg(feature = "parquet")]
pub(crate) fn open(
    file: impl FnOnce() -> Result<File, DecodeError>,
) -> Result<(Box<dyn Read + Send>, Rows), DecodeError> {
    let file = file()?;
    let size = file.metadata().map_err(DecodeError::Look)?.len();
    let file = parquet_source::ParquetFile::open(file)?;
    let (columns, rows) = (file.columns().to_vec(), file.rows());
    let text = file.into_csv();
    let about = Rows {
        columns,
        done: text.rows(),
        rows,
        size,
    };
    Ok((Box::new(text), about))
}

/// Says that it cannot, and asks for no file.
#[cfg(not(feature = "parquet"))]
pub(crate) fn open(_: impl FnOnce() -> Result<File, DecodeError>) -> Result<(Box<dyn Read + Send>, Rows), DecodeError> {
    Err(DecodeError::NotBuilt)
}
