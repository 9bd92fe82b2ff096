//! Files to read, and what was read from them.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    sync::Arc,
};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use parquet_source::{Kind, ParquetError, ParquetFile};

/// A batch of these columns, named a, b, c and so on; each may be NULL.
pub(crate) fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let names = ('a'..='z').map(String::from);
    let fields: Vec<Field> = names
        .zip(&columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The bytes of a file with these rows.
pub(crate) fn bytes(batches: &[RecordBatch], properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    bytes
}

pub(crate) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(crate) fn open(bytes: &[u8]) -> Result<ParquetFile, ParquetError> {
    ParquetFile::open(file(bytes))
}

/// All that a file has.
pub(crate) fn read(bytes: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    open(bytes)?.into_csv().read_to_string(&mut text)?;
    Ok(text)
}

/// The fields of all records but the header, as another reader of CSV sees them.
pub(crate) fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let record = |record: csv::Result<csv::StringRecord>| record.unwrap().iter().map(str::to_owned).collect();
    reader.records().map(record).collect()
}

/// What a file with one column has: its kind, and its fields. Written with the schema of Arrow, and without where `bare`.
pub(crate) fn column(array: impl Into<ArrayRef>, bare: bool) -> (Kind, Vec<String>) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2));
    let mut out = Vec::new();
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(bare);
    let batch = batch(vec![array.into()]);
    let mut writer = ArrowWriter::try_new_with_options(&mut out, batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let kind = open(&out).unwrap().columns()[0].kind;
    let fields = records(&read(&out).unwrap()).concat();
    (kind, fields)
}
