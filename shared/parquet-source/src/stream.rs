//! A file as a stream of CSV.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    Damage, ParquetError,
    batches::{Batch, Batches},
    csv,
    error::guarded,
};

/// **Bytes** of text that are written before they are given away, and one record more at most.
pub const BLOCK_BYTES: usize = 128 << 10;

/// A header and the rows of a file, in their order, in [`dialect`](crate::dialect).
///
/// It ends after the last row that the footer promises. What cannot be read is an error of kind [`io::ErrorKind::InvalidData`] that holds a
/// [`ParquetError`], after all rows before it; where the system could not read the file, the kind is the system's. Every later read has the
/// same error.
pub struct CsvStream {
    batches: Batches,
    batch: Option<Batch>,
    /// The next row of the batch.
    row: usize,
    block: Vec<u8>,
    /// **Bytes** of the block that are whole records.
    whole: usize,
    /// **Bytes** of the block that were given away.
    given: usize,
    room: Vec<u8>,
    end: Option<Result<(), ParquetError>>,
    rows: Arc<AtomicU64>,
}

impl CsvStream {
    pub(crate) fn new<'n>(batches: Batches, names: impl Iterator<Item = &'n str>) -> Self {
        let mut block = Vec::new();
        csv::header(&mut block, names);
        Self {
            batches,
            batch: None,
            row: 0,
            whole: block.len(),
            block,
            given: 0,
            room: Vec::new(),
            end: None,
            rows: Arc::default(),
        }
    }

    /// **Rows** that were written so far: for whoever shows how far it is.
    #[must_use]
    pub fn rows(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.rows)
    }

    /// Writes the next block.
    fn fill(&mut self) {
        // A long record does not keep its room.
        self.block.clear();
        self.block.shrink_to(2 * BLOCK_BYTES);
        self.room.clear();
        self.room.shrink_to(2 * BLOCK_BYTES);
        (self.whole, self.given) = (0, 0);
        match guarded(|| self.write()) {
            Ok(true) => {}
            Ok(false) => self.end = Some(Ok(())),
            Err(damage) => {
                self.block.truncate(self.whole);
                self.end = Some(Err(self.error(damage)));
            }
        }
    }

    /// Writes records until the block is full; whether there may be more.
    fn write(&mut self) -> Result<bool, Damage> {
        while self.block.len() < BLOCK_BYTES {
            let Some(batch) = &self.batch else {
                self.batch = self.batches.next()?;
                self.row = 0;
                if self.batch.is_none() {
                    return Ok(false);
                }
                continue;
            };
            if self.row == batch.rows {
                self.batch = None;
                continue;
            }
            for (at, cells) in batch.columns.iter().enumerate() {
                if at > 0 {
                    self.block.push(csv::DELIMITER);
                }
                cells.field(self.row, &mut self.block, &mut self.room)?;
            }
            self.block.push(b'\n');
            self.whole = self.block.len();
            self.row += 1;
            self.rows.fetch_add(1, Ordering::Relaxed);
        }
        Ok(true)
    }

    fn error(&self, damage: Damage) -> ParquetError {
        if let Some(source) = self.batches.input().failure() {
            return ParquetError::Read(source);
        }
        let unwritten = self.batch.as_ref().map_or(0, |batch| batch.rows - self.row);
        let place = self.batches.place(unwritten as u64);
        ParquetError::Damaged { place, damage }
    }
}

impl Read for CsvStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let mut rest = self.block.get(self.given..).unwrap_or_default();
            let read = rest.read(buffer)?;
            if read > 0 {
                self.given += read;
                return Ok(read);
            }
            match &self.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(error)) => return Err(error.clone().into()),
                None => self.fill(),
            }
        }
    }
}
