//! The rows of a file, some at a time, and that there are as many as its footer says.

use arrow_array::{ArrayRef, RecordBatch};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    file::metadata::RowGroupMetaData,
    schema::types::ColumnDescriptor,
};

use crate::{Damage, Place, cells::Cells, input::Input, plan::Plan};

/// Most rows that are decoded at once.
pub const BATCH_ROWS: u64 = 1024;
/// **Bytes** that the values of a batch should take at most, by what the footer says of the average row.
const BATCH_BYTES: u64 = 4 << 20;
/// **Bytes** of an entry that says where a text is.
const VIEW_BYTES: u64 = 16;

/// Reads one row group after another.
pub(crate) struct Batches {
    input: Input,
    plan: Plan,
    /// The next row group, from 0.
    next_group: usize,
    group: Option<Group>,
    /// **Rows** that were read.
    rows: u64,
}

/// A row group that is being read.
struct Group {
    first: ParquetRecordBatchReader,
    second: Option<ParquetRecordBatchReader>,
    rows: u64,
    expected: u64,
}

/// The values of some rows.
pub(crate) struct Batch {
    pub(crate) columns: Vec<Cells>,
    pub(crate) rows: usize,
}

impl Batches {
    pub(crate) fn new(input: Input, plan: Plan) -> Self {
        Self {
            input,
            plan,
            next_group: 0,
            group: None,
            rows: 0,
        }
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    /// Where the row is that is so many rows before the next batch.
    pub(crate) fn place(&self, before: u64) -> Place {
        let groups = self.groups().len();
        Place::Rows {
            // A group that is being read was the next one before.
            group: (self.next_group + usize::from(self.group.is_none())).min(groups),
            groups,
            row: (self.rows + 1).saturating_sub(before),
        }
    }

    fn groups(&self) -> &[RowGroupMetaData] {
        self.plan.reading.metadata().row_groups()
    }

    /// The next rows, or `None` after the last.
    ///
    /// # Errors
    /// When what is there cannot be decoded, or when a row group has not as many rows as it should. It must not be called again then.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, Damage> {
        loop {
            let Some(group) = &mut self.group else {
                if self.next_group == self.groups().len() {
                    return Ok(None);
                }
                self.open()?;
                continue;
            };
            let Some(batch) = group.next()? else {
                self.group = None;
                continue;
            };
            let rows = batch.0.num_rows();
            let columns = self.cells(&batch.0, batch.1.as_ref())?;
            self.rows += rows as u64;
            return Ok(Some(Batch { columns, rows }));
        }
    }

    /// Begins the next row group that has rows.
    fn open(&mut self) -> Result<(), Damage> {
        let Some(metadata) = self.groups().get(self.next_group) else {
            return Ok(());
        };
        let expected = rows_of(metadata)?;
        if expected > 0 {
            let rows = usize::try_from(batch_rows(metadata, expected)).unwrap_or(1);
            let reader = |reading: &ArrowReaderMetadata, columns| {
                ParquetRecordBatchReaderBuilder::new_with_metadata(self.input.clone(), reading.clone())
                    .with_projection(columns)
                    .with_row_groups(vec![self.next_group])
                    .with_batch_size(rows)
                    .build()
            };
            let first = reader(&self.plan.reading, ProjectionMask::all())?;
            let second = self.plan.second.as_ref();
            let second = second
                .map(|second| reader(&second.reading, second.columns.clone()))
                .transpose()?;
            self.group = Some(Group {
                first,
                second,
                rows: 0,
                expected,
            });
        }
        self.next_group += 1;
        Ok(())
    }

    fn cells(&self, first: &RecordBatch, second: Option<&RecordBatch>) -> Result<Vec<Cells>, Damage> {
        let mut again = second.map(RecordBatch::columns).unwrap_or_default().iter();
        let mut cells = Vec::with_capacity(self.plan.shapes.len());
        for (array, shape) in first.columns().iter().zip(&self.plan.shapes) {
            let second: Option<&ArrayRef> = if shape.is_read_twice() { again.next() } else { None };
            cells.push(Cells::new(array, second, shape)?);
        }
        Ok(cells)
    }
}

impl Group {
    fn next(&mut self) -> Result<Option<(RecordBatch, Option<RecordBatch>)>, Damage> {
        let first = self.first.next().transpose()?;
        let second = self.second.as_mut().and_then(Iterator::next).transpose()?;
        let rows = |batch: &Option<RecordBatch>| batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        self.rows += rows(&first);
        let has_other_count = self.second.is_some() && rows(&first) != rows(&second);
        let ends_early = first.is_none() && self.rows < self.expected;
        if has_other_count || ends_early || self.rows > self.expected {
            let (expected, found) = (self.expected, self.rows);
            return Err(Damage::Rows { expected, found });
        }
        Ok(first.map(|first| (first, second)))
    }
}

/// **Rows** of a row group.
pub(crate) fn rows_of(group: &RowGroupMetaData) -> Result<u64, Damage> {
    u64::try_from(group.num_rows()).map_err(|_| Damage::Count(group.num_rows()))
}

/// Fewer where rows are long. What the footer says may be wrong, which costs memory or time, and no value.
fn batch_rows(group: &RowGroupMetaData, rows: u64) -> u64 {
    let stored = u64::try_from(group.total_byte_size()).unwrap_or_default();
    let decoded = group.columns().iter().map(|column| {
        let values = u64::try_from(column.num_values()).unwrap_or_default();
        values.saturating_mul(value_bytes(column.column_descr()))
    });
    let bytes = decoded.fold(stored, u64::saturating_add);
    let row_bytes = (bytes / rows).max(1);
    (BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS)
}

/// **Bytes** of a decoded value, beside what it shares with its page.
fn value_bytes(leaf: &ColumnDescriptor) -> u64 {
    u64::try_from(leaf.type_length()).unwrap_or_default().max(VIEW_BYTES)
}
