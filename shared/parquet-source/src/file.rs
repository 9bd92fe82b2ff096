//! A file that was opened: what its footer says.

use std::{fs::File, sync::Arc};

use parquet::{
    basic::Compression,
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy},
        reader::ChunkReader as _,
    },
};

use crate::{
    Column, CsvStream, Damage, ParquetError, Place,
    batches::{Batches, rows_of},
    error::guarded,
    input::Input,
    plan::Plan,
};

const MARK: &[u8; MARK_BYTES] = b"PAR1";
/// The mark of a file whose footer is encrypted.
const ENCRYPTED_MARK: &[u8; MARK_BYTES] = b"PARE";

/// **Bytes** that tell.
pub const MARK_BYTES: usize = 4;
/// **Bytes** of a file with nothing but the mark at both ends and the length of the footer.
const LEAST_BYTES: u64 = 12;

/// Whether a file that begins like this is a Parquet file, if only an encrypted one.
#[must_use]
pub fn is_parquet(beginning: &[u8]) -> bool {
    beginning.starts_with(MARK) || beginning.starts_with(ENCRYPTED_MARK)
}

/// A Parquet file whose footer was read and makes sense.
#[derive(Debug)]
pub struct ParquetFile {
    input: Input,
    columns: Vec<Column>,
    rows: u64,
    plan: Plan,
}

impl ParquetFile {
    /// Reads the footer. The file is read by position: where its handle stands does not matter.
    ///
    /// # Errors
    /// [`ParquetError`], when this is no Parquet file, when its footer is damaged, or when something in it cannot be read: nothing of such a
    /// column would be right.
    pub fn open(file: File) -> Result<Self, ParquetError> {
        let input = Input::new(file).map_err(|source| ParquetError::Read(Arc::new(source)))?;
        let metadata = footer(&input).map_err(|damage| match input.failure() {
            Some(source) => ParquetError::Read(source),
            None => damaged(damage),
        })?;
        let metadata = Arc::new(metadata.ok_or(ParquetError::NoFooter)??);
        let rows = count(&metadata).map_err(damaged)?;
        refuse_elsewhere(&metadata)?;
        let plan = Plan::new(&metadata)?;
        let fields = plan.reading.schema().fields();
        let columns = fields.iter().zip(&plan.shapes).map(|(field, shape)| Column {
            name: field.name().clone(),
            kind: shape.kind(),
            nullable: field.is_nullable(),
        });
        Ok(Self {
            columns: columns.collect(),
            input,
            rows,
            plan,
        })
    }

    /// The columns in their order. There is at least one.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// **Rows** that the stream has, after the header.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The file as CSV.
    #[must_use]
    pub fn into_csv(self) -> CsvStream {
        let names = self.columns.iter().map(|column| column.name.as_str());
        CsvStream::new(Batches::new(self.input, self.plan), names)
    }
}

fn damaged(damage: Damage) -> ParquetError {
    let place = Place::Footer;
    ParquetError::Damaged { place, damage }
}

/// What the footer says; `None` when there is none.
fn footer(input: &Input) -> Result<Option<Result<ParquetMetaData, ParquetError>>, Damage> {
    if input.length() < LEAST_BYTES {
        return Ok(None);
    }
    let mark = input.get_bytes(input.length() - MARK_BYTES as u64, MARK_BYTES)?;
    if mark == ENCRYPTED_MARK.as_slice() {
        return Ok(Some(Err(ParquetError::Encrypted)));
    }
    if mark != MARK.as_slice() {
        return Ok(None);
    }
    // What is said of the values is for those who look for some of them.
    let mut options = ParquetMetaDataOptions::new();
    options.set_column_stats_policy(ParquetStatisticsPolicy::SkipAll);
    options.set_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    options.set_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let reader = ParquetMetaDataReader::new().with_metadata_options(Some(options));
    guarded(|| Ok(Some(Ok(reader.parse_and_finish(input)?))))
}

/// **Rows** of the file, if its row groups have as many as it.
fn count(metadata: &ParquetMetaData) -> Result<u64, Damage> {
    let mut groups: u64 = 0;
    for group in metadata.row_groups() {
        groups = groups.saturating_add(rows_of(group)?);
    }
    let file = metadata.file_metadata().num_rows();
    if i64::try_from(groups) == Ok(file) {
        Ok(groups)
    } else {
        Err(Damage::Total { groups, file })
    }
}

/// Refuses values that are not in this file, or in a form that nobody reads.
fn refuse_elsewhere(metadata: &ParquetMetaData) -> Result<(), ParquetError> {
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        if let Some(path) = column.file_path() {
            return Err(ParquetError::OtherFile(path.to_owned()));
        }
        if column.compression() == Compression::LZO {
            let column = column.column_path().string();
            let problem = "is compressed with LZO, which cannot be read: write it with zstd";
            return Err(ParquetError::Column { column, problem });
        }
    }
    Ok(())
}
