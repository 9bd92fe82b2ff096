//! Files as wholes: their columns, row groups, codecs, and the dialect of what is read.

use std::{io::Read, sync::Arc};

use arrow_array::*;
use arrow_schema::{DataType, Field, Schema};
use format::{
    csv::{
        grammar::Grammar,
        read::RecordReader,
        split::{Position, Splitter, SplitterConfig},
    },
    record::Records as _,
};
use model::{FormatSpec, SplitSpec};
use parquet::{
    basic::{Compression, Encoding},
    file::properties::{WriterProperties, WriterVersion},
};
use parquet_source::{Column, Kind, ParquetError, dialect, is_parquet};

use crate::support::{batch, bytes, open, read, records};

fn numbers(from: i64, to: i64) -> RecordBatch {
    let texts = (from..to).map(|n| (n % 7 != 0).then(|| format!("text {}", n % 100)));
    batch(vec![
        Arc::new(Int64Array::from_iter_values(from..to)),
        Arc::new(StringArray::from_iter(texts)),
    ])
}

/// What [`numbers`] should read as.
fn numbers_text(from: i64, to: i64) -> String {
    let line = |n: i64| match n % 7 {
        0 => format!("{n},\\N\n"),
        _ => format!("{n},\"text {}\"\n", n % 100),
    };
    (from..to).map(line).collect()
}

#[test]
fn a_file_is_known_by_its_first_bytes() {
    let data = bytes(&[numbers(0, 1)], WriterProperties::default());
    assert!(is_parquet(&data));
    assert!(is_parquet(b"PARE"));
    assert!(!is_parquet(b"PAR"));
    assert!(!is_parquet(b"a,b\n"));
}

#[test]
fn row_groups_follow_each_other() {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(1500))
        .build();
    let data = bytes(
        &[numbers(0, 4000), numbers(4000, 4001), numbers(4001, 9000)],
        properties,
    );
    let file = open(&data).unwrap();
    assert_eq!(file.rows(), 9000);
    let expected = format!("\"a\",\"b\"\n{}", numbers_text(0, 9000));
    assert_eq!(read(&data).unwrap(), expected);
    // However little is asked for at a time.
    let mut stream: Box<dyn Read + Send> = Box::new(open(&data).unwrap().into_csv());
    let mut text = Vec::new();
    let mut buffer = [0; 7];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
    assert_eq!(text, expected.as_bytes());
    assert_eq!(stream.read(&mut buffer).unwrap(), 0);
}

#[test]
fn every_codec_is_read() {
    let expected = format!("\"a\",\"b\"\n{}", numbers_text(0, 3000));
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let properties = WriterProperties::builder()
                .set_compression(codec)
                .set_writer_version(version);
            let data = bytes(&[numbers(0, 3000)], properties.build());
            assert_eq!(read(&data).unwrap(), expected, "{codec} {version:?}");
        }
    }
}

#[test]
fn every_encoding_is_read() {
    let expected = format!("\"a\",\"b\"\n{}", numbers_text(0, 3000));
    let all = [
        (Encoding::PLAIN, Encoding::PLAIN),
        (Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        (Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BYTE_ARRAY),
    ];
    for (number, text) in all {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_column_encoding("a".into(), number)
            .set_column_encoding("b".into(), text)
            .set_data_page_row_count_limit(100);
        let data = bytes(&[numbers(0, 3000)], properties.build());
        assert_eq!(read(&data).unwrap(), expected, "{number} {text}");
    }
}

#[test]
fn a_file_without_rows_is_a_header() {
    let data = bytes(&[numbers(0, 0)], WriterProperties::default());
    let file = open(&data).unwrap();
    assert_eq!(file.rows(), 0);
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
        nullable: true,
    };
    let integer = Kind::Integer { bits: 64, signed: true };
    assert_eq!(file.columns(), [column("a", integer), column("b", Kind::Text)]);
    assert_eq!(read(&data).unwrap(), "\"a\",\"b\"\n");
}

#[test]
fn a_file_without_columns_is_refused() {
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let rows = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    let data = bytes(&[rows], WriterProperties::default());
    assert!(matches!(open(&data), Err(ParquetError::NoColumns)));
}

#[test]
fn names_are_as_they_are() {
    let names = ["", "a,b", "a \"b\"", "line\nend", r"\N", "a", "a"];
    let fields: Vec<_> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int32, false))
        .collect();
    let columns = names
        .iter()
        .map(|_| Arc::new(Int32Array::from(vec![1])) as ArrayRef)
        .collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let data = bytes(&[rows], WriterProperties::default());
    let file = open(&data).unwrap();
    let found: Vec<_> = file.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(found, names);
    assert!(file.columns().iter().all(|column| !column.nullable));
    let text = read(&data).unwrap();
    assert_eq!(
        text,
        "\"\",\"a,b\",\"a \"\"b\"\"\",\"line\nend\",\"\\N\",\"a\",\"a\"\n1,1,1,1,1,1,1\n"
    );
    assert_eq!(records(&text), [["1"; 7]]);
}

#[test]
fn the_dialect_tells_null_from_text_like_it() {
    dialect().check().unwrap();
    let texts = vec![None, Some(""), Some(r"\N"), Some("\n\n"), Some("\u{feff}a\r\"b\"")];
    let data = bytes(
        &[batch(vec![Arc::new(StringArray::from(texts.clone()))])],
        WriterProperties::default(),
    );
    let text = read(&data).unwrap();
    assert_eq!(text, "\"a\"\n\\N\n\"\"\n\"\\N\"\n\"\n\n\"\n\"\u{feff}a\r\"\"b\"\"\"\n");

    // As the workers read it.
    let split = SplitSpec {
        chunk_rows: 2,
        chunk_bytes: 1 << 20,
        max_record: 1 << 20,
    };
    let config = SplitterConfig::new(&FormatSpec::Csv(dialect()), &split);
    let mut splitter = Splitter::new(text.as_bytes(), config, Position::START);
    let header = splitter.read_header().unwrap().unwrap();
    assert_eq!(
        format::csv::read::header_names(&header.bytes, &dialect()).unwrap(),
        ["a"]
    );
    let mut found = Vec::new();
    while let Some(chunk) = splitter.next_chunk().unwrap() {
        let grammar = Grammar::new(&dialect(), Some(1), 1 << 20);
        let start = model::Position {
            input: 0,
            record: None,
            byte: None,
            line: None,
        };
        let mut reader = RecordReader::new(&chunk.bytes, grammar, start);
        while reader.advance() {
            assert_eq!(reader.defect(), None);
            let field = reader.fields().next().unwrap();
            let value = String::from_utf8(field.value.to_vec()).unwrap();
            let is_null = !field.quoted && dialect().null.contains(&value);
            found.push((!is_null).then_some(value));
        }
    }
    let expected: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_text_longer_than_a_block_is_whole() {
    let long = "long \"text\" ".repeat(100_000);
    let rows = batch(vec![Arc::new(StringArray::from(vec![
        Some(long.as_str()),
        None,
        Some("short"),
    ]))]);
    let text = read(&bytes(&[rows], WriterProperties::default())).unwrap();
    assert_eq!(records(&text), [[long.as_str()], [r"\N"], ["short"]]);
}
