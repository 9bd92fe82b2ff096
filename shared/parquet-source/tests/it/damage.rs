//! Files that are not what they should be. Whatever is wrong with one, it is an error, or every row comes.

use std::{
    io::{self, Read as _},
    panic,
    sync::{Arc, Once},
};

use arrow_array::{builder::*, types::Int8Type, *};
use parquet::{
    basic::Compression,
    file::{
        metadata::ParquetMetaDataReader,
        properties::{WriterProperties, WriterVersion},
    },
};
use parquet_source::{ParquetError, Place};

use crate::support::{batch, bytes, file, open, read};

const ROWS: u64 = 60;

/// A file of several row groups, with several pages each.
fn sound(codec: Compression, version: WriterVersion) -> Vec<u8> {
    let rows = 0..i32::try_from(ROWS).unwrap();
    let mut lists = ListBuilder::new(Int16Builder::new());
    for row in rows.clone() {
        lists.append_value((0..row % 4).map(|item| (item != 2).then_some(i16::try_from(item * row).unwrap())));
    }
    let words: DictionaryArray<Int8Type> = rows
        .clone()
        .map(|row| ["one", "another", "a third word"].get(row as usize % 4).copied())
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(rows.clone())),
        Arc::new(StringArray::from_iter_values(
            rows.clone().map(|row| format!("text {row}, \"quoted\"")),
        )),
        Arc::new(words),
        Arc::new(lists.finish()),
        Arc::new(BooleanArray::from_iter(
            rows.map(|row| (row % 5 != 0).then_some(row % 2 == 0)),
        )),
    ];
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_writer_version(version)
        .set_max_row_group_row_count(Some(25))
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(5)
        .build();
    bytes(&[batch(columns)], properties)
}

fn error_of(error: &io::Error) -> &ParquetError {
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    error.get_ref().unwrap().downcast_ref().unwrap()
}

/// The records of a file, unless there is an error; which must not go away.
fn rows_read(data: &[u8]) -> Option<u64> {
    let mut stream = open(data).ok()?.into_csv();
    let mut out = Vec::new();
    if let Err(first) = stream.read_to_end(&mut out) {
        error_of(&first);
        let again = stream.read(&mut [0; 10]).unwrap_err();
        assert_eq!(again.to_string(), first.to_string());
        return None;
    }
    let reader = csv::ReaderBuilder::new().flexible(true).from_reader(out.as_slice());
    Some(reader.into_byte_records().count() as u64)
}

/// Panics in the code that is tested are expected here, and not to be printed.
fn quiet() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|at| at.file().contains("parquet-source")) {
                print(panic);
            }
        }));
    });
}

/// Numbers that look like chance, and are always the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn what_is_cut_off_is_no_parquet_file() {
    let data = sound(Compression::SNAPPY, WriterVersion::PARQUET_1_0);
    for end in 0..data.len() {
        assert!(matches!(open(&data[..end]), Err(ParquetError::NoFooter)), "{end}");
    }
    assert!(matches!(open(b"a,b\n1,2\n"), Err(ParquetError::NoFooter)));
    assert!(open(b"PAR1").is_err() && open(b"PAR1PAR1").is_err());
    let missing = [&data[..100], &data[300..]].concat();
    quiet();
    assert_eq!(rows_read(&missing), None);
}

#[test]
fn a_changed_bit_is_an_error_or_costs_no_row() {
    quiet();
    let mut chance = Chance(1);
    let variants = [
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0),
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_2_0),
        (Compression::SNAPPY, WriterVersion::PARQUET_1_0),
        (Compression::ZSTD(Default::default()), WriterVersion::PARQUET_2_0),
    ];
    for (codec, version) in variants {
        let data = sound(codec, version);
        assert_eq!(rows_read(&data), Some(ROWS));
        for _ in 0..400 {
            let (at, bit) = (chance.below(data.len()), chance.below(8));
            let mut changed = data.clone();
            changed[at] ^= 1 << bit;
            assert!(
                matches!(rows_read(&changed), None | Some(ROWS)),
                "{codec} {version:?} byte {at} bit {bit}"
            );
        }
    }
}

#[test]
fn a_changed_block_is_an_error_or_costs_no_row() {
    quiet();
    let mut chance = Chance(2);
    let data = sound(Compression::GZIP(Default::default()), WriterVersion::PARQUET_2_0);
    for _ in 0..400 {
        let (at, length) = (chance.below(data.len() - 8), chance.below(30));
        let mut changed = data.clone();
        for byte in changed.iter_mut().skip(at).take(length) {
            *byte = chance.below(256) as u8;
        }
        assert!(
            matches!(rows_read(&changed), None | Some(ROWS)),
            "byte {at}, {length} bytes"
        );
    }
}

#[test]
fn a_checksum_tells_that_a_value_was_changed() {
    // Written with the checksums of its pages.
    let data = include_bytes!("data/pyarrow.parquet");
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file(data)).unwrap();
    let columns = metadata.row_group(0).columns();
    for column in columns {
        let (start, length) = column.byte_range();
        let mut changed = data.to_vec();
        // The last byte of the last page.
        changed[(start + length - 1) as usize] ^= 1;
        let error = read(&changed).unwrap_err();
        assert!(
            matches!(error_of(&error), ParquetError::Damaged { .. }),
            "{}",
            column.column_path()
        );
    }
}

#[test]
fn an_error_says_where_and_follows_the_rows_before() {
    let codec = Compression::ZSTD(Default::default());
    let data = sound(codec, WriterVersion::PARQUET_1_0);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file(&data)).unwrap();
    let (start, _) = metadata.row_group(1).column(0).byte_range();
    let mut changed = data.clone();
    changed[start as usize..start as usize + 10].fill(0xff);
    quiet();
    let mut out = String::new();
    let error = open(&changed).unwrap().into_csv().read_to_string(&mut out).unwrap_err();
    let ParquetError::Damaged { place, .. } = error_of(&error) else {
        panic!("{error}")
    };
    let expected = Place::Rows {
        group: 2,
        groups: 3,
        row: 26,
    };
    assert_eq!(*place, expected);
    assert_eq!(
        error.to_string(),
        "the Parquet file is damaged, or written in a way that is not known: row group 2 of 3, from row 26 on, cannot be read"
    );
    let whole = read(&data).unwrap();
    assert!(whole.starts_with(&out) && out.lines().count() == 26);
}

#[test]
fn an_encrypted_file_is_refused() {
    let mut data = sound(Compression::SNAPPY, WriterVersion::PARQUET_1_0);
    let end = data.len() - 4;
    data[end..].copy_from_slice(b"PARE");
    assert!(matches!(open(&data), Err(ParquetError::Encrypted)));
}
