//! What one chunk costs its clients, step by step, in bytes of the source a second: `cargo bench -p worker --bench pipeline`.

use std::{hint::black_box, io::Write as _, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use format::{
    csv::{
        grammar::Grammar,
        read::RecordReader,
        split::{Position, Splitter, SplitterConfig},
    },
    record::Records as _,
};
use ledger::registry::IdRange;
use model::{
    CompletionSpec, ConflictSpec, CsvDialect, Delimiter, FormatSpec, IdentitySpec, ImportSpec, LoadMethod, LoadSpec,
    MappingSpec, RejectsSpec, Replace, SourceKind, SourceSpec, Span, SplitSpec, TextSpec, ValuesSpec,
};
use sqlx::postgres::types::Oid;
use target::{Column, ColumnType, values};
use worker::load::{
    rows,
    shape::{About, RecordShape},
    sink::Sink,
};

/// As many as a chunk has without other options.
const RECORDS: u64 = 50_000;

/// Records of a sale, the product quoted in every `quoted`th; no header.
fn records(quoted: Option<u64>) -> Vec<u8> {
    let mut csv = Vec::new();
    for row in 0..RECORDS {
        let random = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let quote = if quoted.is_some_and(|every| row % every == 0) {
            "\""
        } else {
            ""
        };
        let (shop, product, day, stock) = (random % 500, random % 90_000, random % 28 + 1, random % 1000);
        writeln!(
            csv,
            "POS-{shop:04};{quote}Product {product:06}{quote};2024-05-{day:02};{stock}"
        )
        .expect("memory can be written to");
    }
    csv
}

fn column(name: &str, kind: ColumnType, element: u32, array: u32) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable: false,
        optional: false,
        element_oid: Oid(element),
        array_oid: Oid(array),
        characters: None,
    }
}

/// Of the default table.
fn default_shape() -> RecordShape {
    shape(vec![
        column("PointOfSale", ColumnType::Text { max_chars: None }, 25, 1009),
        column("Product", ColumnType::Text { max_chars: None }, 25, 1009),
        column("Date", ColumnType::Date, 1082, 1182),
        column("Stock", ColumnType::Int4, 23, 1007),
    ])
}

/// The same with nothing but text.
fn text_shape() -> RecordShape {
    let names = ["PointOfSale", "Product", "Date", "Stock"];
    shape(
        names
            .map(|name| column(name, ColumnType::Text { max_chars: None }, 25, 1009))
            .to_vec(),
    )
}

fn shape(columns: Vec<Column>) -> RecordShape {
    let names = columns.iter().map(|column| column.name.clone()).collect();
    let spec = ImportSpec {
        source: SourceSpec {
            kind: SourceKind::File,
            by_reference: false,
        },
        text: TextSpec::default(),
        format: FormatSpec::Csv(dialect()),
        mapping: MappingSpec::of_columns(names),
        values: ValuesSpec::default(),
        split: SPLIT,
        load: LoadSpec {
            method: LoadMethod::Insert,
        },
        identity: IdentitySpec::Sequence {
            column: "id".to_owned(),
        },
        conflict: ConflictSpec::Fail,
        rejects: RejectsSpec::default(),
        completion: CompletionSpec {
            replace: Replace::Never,
        },
    };
    RecordShape::new(columns, &spec, &About::default()).expect("values as Postgres writes them")
}

fn dialect() -> CsvDialect {
    CsvDialect::strict(Delimiter::new(b";").expect("it separates"), false)
}

const SPLIT: SplitSpec = SplitSpec {
    chunk_rows: RECORDS / 4,
    chunk_bytes: 8 << 20,
    max_record: 8 << 20,
};

fn sink(method: LoadMethod, shape: &RecordShape) -> Sink {
    match method {
        LoadMethod::Insert => Sink::arrays(&shape.columns),
        LoadMethod::Copy => Sink::tuples(shape.columns.len(), 8),
    }
}

const SPAN: Span = Span {
    start: model::Position {
        input: 0,
        record: Some(1),
        byte: Some(0),
        line: Some(1),
    },
    end_byte: None,
    record_count: RECORDS,
};

fn splitting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("splitter");
    for (name, quoted) in [
        ("no quotes", None),
        ("a quoted field in ten records", Some(10)),
        ("in every record", Some(1)),
    ] {
        let csv = records(quoted);
        group.throughput(Throughput::Bytes(csv.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let config = SplitterConfig::new(&FormatSpec::Csv(dialect()), &SPLIT);
                let mut splitter = Splitter::new(csv.as_slice(), config, Position::START);
                while let Some(chunk) = splitter.next_chunk().expect("valid CSV") {
                    black_box(chunk);
                }
            });
        });
    }
}

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parser");
    for (name, quoted) in [("no quotes", None), ("quotes", Some(1))] {
        let csv = records(quoted);
        group.throughput(Throughput::Bytes(csv.len() as u64));
        for (table, shape) in [("default table", default_shape()), ("text only", text_shape())] {
            for method in [LoadMethod::Insert, LoadMethod::Copy] {
                group.bench_function(BenchmarkId::new(format!("{table}, {method:?}"), name), |bencher| {
                    // As a worker does from its second chunk on.
                    let mut kept = Some(sink(method, &shape));
                    bencher.iter(|| {
                        let mut rows = kept.take().unwrap_or_else(|| sink(method, &shape));
                        rows.clear();
                        kept = Some(
                            rows::parse(black_box(&csv), &shape, SPAN, rows)
                                .expect("valid CSV")
                                .rows,
                        );
                    });
                });
            }
        }
    }
}

/// The fields alone, beside those of the `csv` crate.
fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reader");
    for (name, quoted) in [("no quotes", None), ("quotes", Some(1))] {
        let csv = records(quoted);
        group.throughput(Throughput::Bytes(csv.len() as u64));
        group.bench_function(BenchmarkId::new("ours", name), |bencher| {
            bencher.iter(|| {
                let grammar = Grammar::new(&dialect(), Some(4), SPLIT.max_record);
                let mut reader = RecordReader::new(black_box(&csv), grammar, SPAN.start);
                let mut bytes = 0;
                while reader.advance() {
                    bytes += reader.fields().map(|field| field.value.len()).sum::<usize>();
                }
                bytes
            });
        });
        group.bench_function(BenchmarkId::new("the csv crate", name), |bencher| {
            bencher.iter(|| {
                let mut builder = csv::ReaderBuilder::new();
                let mut reader = builder
                    .delimiter(b';')
                    .has_headers(false)
                    .from_reader(black_box(csv.as_slice()));
                let (mut record, mut bytes) = (csv::ByteRecord::new(), 0);
                while reader.read_byte_record(&mut record).expect("valid CSV") {
                    bytes += record.iter().map(<[u8]>::len).sum::<usize>();
                }
                bytes
            });
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encoder");
    group.throughput(Throughput::Elements(1));
    let kinds: [(&str, ColumnType, &[u8]); 7] = [
        ("text", ColumnType::Text { max_chars: None }, b"Product 012345"),
        (
            "varchar(20)",
            ColumnType::Text { max_chars: Some(20) },
            b"Product 012345",
        ),
        ("integer", ColumnType::Int4, b"123456"),
        ("numeric", ColumnType::Numeric { precision_scale: None }, b"1234.56"),
        ("double precision", ColumnType::Float8, b"1234.56"),
        ("date", ColumnType::Date, b"2024-05-17"),
        (
            "timestamptz",
            ColumnType::Timestamptz { precision: None },
            b"2024-05-17 12:34:56+02",
        ),
    ];
    let mut out = Vec::with_capacity(64);
    for (name, kind, field) in kinds {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                values::encode(&kind, black_box(field), &mut out).expect("a valid value");
            });
        });
    }
    group.throughput(Throughput::Elements(RECORDS));
    let csv = records(None);
    let ids = [IdRange {
        start_id: 1,
        end_id: i64::try_from(RECORDS).expect("small"),
        step: 1,
    }];
    group.bench_function("ids into a chunk's rows for COPY", |bencher| {
        bencher.iter_batched(
            || match rows::parse(&csv, &default_shape(), SPAN, sink(LoadMethod::Copy, &default_shape()))
                .expect("valid CSV")
                .rows
            {
                Sink::Tuples(tuples) => tuples,
                Sink::Arrays(_) => unreachable!("the method is COPY"),
            },
            |mut tuples| tuples.copy_data(&ids).len(),
            criterion::BatchSize::LargeInput,
        );
    });
}

fn compression(criterion: &mut Criterion) {
    let csv = records(None);
    let mut group = criterion.benchmark_group("compression");
    group.throughput(Throughput::Bytes(csv.len() as u64));
    let lz4 = lz4_flex::block::compress_prepend_size(&csv);
    group.bench_function(format!("lz4, to 1/{:.1}", ratio(&csv, &lz4)), |bencher| {
        bencher.iter(|| lz4_flex::block::compress_prepend_size(black_box(&csv)));
    });
    group.bench_function("lz4, back", |bencher| {
        bencher.iter(|| lz4_flex::block::decompress_size_prepended(black_box(&lz4)).expect("just compressed"));
    });
    for level in [1, 3] {
        let zstd = zstd::encode_all(csv.as_slice(), level).expect("memory can be read");
        group.bench_function(format!("zstd {level}, to 1/{:.1}", ratio(&csv, &zstd)), |bencher| {
            bencher.iter(|| zstd::encode_all(black_box(csv.as_slice()), level).expect("memory can be read"));
        });
        group.bench_function(format!("zstd {level}, back"), |bencher| {
            bencher.iter(|| zstd::decode_all(black_box(zstd.as_slice())).expect("just compressed"));
        });
    }
}

#[allow(clippy::cast_precision_loss)] // for people
fn ratio(plain: &[u8], compressed: &[u8]) -> f64 {
    plain.len() as f64 / compressed.len() as f64
}

criterion_group! {
    name = steps;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = splitting, reading, parsing, encoding, compression
}
criterion_main!(steps);
