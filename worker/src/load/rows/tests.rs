use crate::load::shape::About;
use model::{
    ColumnChoice, CompletionSpec, ConflictSpec, CsvDialect, Delimiter, FormatSpec, IdentitySpec, ImportSpec,
    LoadMethod, LoadSpec, MappingSpec, OnNul, RejectsSpec, Replace, SourceKind, SourceSpec, SplitSpec, TextSpec,
    ValuesSpec,
};
use proptest::prelude::*;
use sqlx::postgres::types::Oid;

use super::*;

fn column(name: &str, kind: ColumnType, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable,
        optional: nullable,
        element_oid: Oid(25),
        array_oid: Oid(1009),
        characters: None,
    }
}

fn shape(columns: Vec<Column>) -> RecordShape {
    shape_of(columns, CsvDialect::plain(b';', false))
}

fn shape_of(columns: Vec<Column>, dialect: CsvDialect) -> RecordShape {
    shape_with(columns, dialect, ValuesSpec::default())
}

fn shape_with(columns: Vec<Column>, dialect: CsvDialect, values: ValuesSpec) -> RecordShape {
    let spec = ImportSpec {
        source: SourceSpec {
            kind: SourceKind::File,
            by_reference: false,
        },
        text: TextSpec::default(),
        format: FormatSpec::Csv(dialect),
        mapping: MappingSpec::of_columns(columns.iter().map(|column| column.name.clone()).collect()),
        values,
        split: SplitSpec {
            chunk_rows: 1000,
            chunk_bytes: 1 << 20,
            max_record: 1 << 20,
        },
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
    RecordShape::new(columns, &spec, &About::default()).unwrap()
}

fn orders() -> RecordShape {
    shape(vec![
        column("Product", ColumnType::Text { max_chars: None }, false),
        column("Date", ColumnType::Date, false),
        column("Stock", ColumnType::Int4, true),
    ])
}

fn origin(record_count: u64) -> Span {
    Span {
        start: model::Position {
            input: 0,
            record: Some(7),
            byte: Some(100),
            line: Some(10),
        },
        end_byte: None,
        record_count,
    }
}

fn place(record: u64, byte: u64, line: u64) -> model::Position {
    model::Position {
        input: 0,
        record: Some(record),
        byte: Some(byte),
        line: Some(line),
    }
}

fn parse(bytes: &[u8], shape: &RecordShape, span: Span) -> Result<ParsedChunk, ParseError> {
    super::parse(bytes, shape, span, Sink::arrays(&shape.columns))
}

#[test]
fn a_bad_record_is_rejected_with_its_place_and_the_others_are_rows() {
    let csv = b"a;2024-01-01;1\r\n\r\nb;2024-02-30;2\r\n\"c\nd\";2024-01-03;3\r\ne;2024-01-04;x";
    let parsed = parse(csv, &orders(), origin(4)).unwrap();
    assert_eq!(parsed.rows.len(), 2);
    let places: Vec<_> = parsed
        .rejects
        .iter()
        .map(|r| (r.position, r.column.as_deref(), r.raw.as_slice()))
        .collect();
    assert_eq!(
        places,
        [
            (place(8, 118, 12), Some("Date"), b"b;2024-02-30;2".as_slice()),
            (place(10, 154, 15), Some("Stock"), b"e;2024-01-04;x".as_slice()),
        ]
    );
    // The rows are the first and the third of the records.
    assert_eq!([0, 1].map(|row| parsed.record_of_row(row)), [0, 2]);
}

#[test]
fn a_wrong_number_of_fields_is_rejected_as_a_whole() {
    let parsed = parse(b"a;2024-01-01\nb;2024-01-01;1;1\n", &orders(), origin(2)).unwrap();
    assert_eq!(parsed.rows.len(), 0);
    let reasons: Vec<_> = parsed
        .rejects
        .iter()
        .map(|r| (r.column.clone(), r.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (None, "expected 3 fields, found 2"),
            (None, "expected 3 fields, found 4")
        ]
    );
}

#[test]
fn an_empty_field_is_null_where_it_can_be_and_the_empty_string_in_required_text() {
    let parsed = parse(b";2024-01-01;\n\"\";;1\n", &orders(), origin(2)).unwrap();
    assert_eq!(parsed.rows.len(), 1);
    assert_eq!(parsed.rejects[0].column.as_deref(), Some("Date"));
    assert_eq!(parsed.rejects[0].reason, "no value, but the column is NOT NULL");
}

#[test]
fn the_null_text_is_null() {
    let dialect = CsvDialect {
        null: vec!["NA".to_owned()],
        ..CsvDialect::plain(b';', false)
    };
    let shape = shape_of(orders().columns, dialect);
    let parsed = parse(b"NA;2024-01-01;NA\na;2024-01-01;NA\n", &shape, origin(2)).unwrap();
    assert_eq!((parsed.rows.len(), parsed.rejects.len()), (1, 1));
}

fn strict() -> CsvDialect {
    CsvDialect {
        null: vec!["NA".to_owned(), "-".to_owned()],
        ..CsvDialect::strict(Delimiter::new(b";").unwrap(), false)
    }
}

/// Of a column of text and one of integers that may be NULL: how many elements of each are.
fn nulls(csv: &str, dialect: CsvDialect) -> (usize, usize, Vec<String>) {
    let columns = vec![
        column("t", ColumnType::Text { max_chars: None }, true),
        column("i", ColumnType::Int4, true),
    ];
    let shape = shape_of(columns, dialect);
    let parsed = super::parse(
        csv.as_bytes(),
        &shape,
        origin(csv.lines().count() as u64),
        Sink::arrays(&shape.columns),
    );
    let parsed = parsed.unwrap();
    let Sink::Arrays(columns) = &parsed.rows else {
        unreachable!()
    };
    let [texts, integers] = columns.as_slice() else {
        unreachable!()
    };
    let reasons = parsed.rejects.into_iter().map(|reject| reject.reason).collect();
    (texts.nulls(), integers.nulls(), reasons)
}

#[test]
fn a_quoted_field_is_a_value_if_its_type_has_one() {
    assert_eq!(nulls(";\n\"\";\"\"\n", strict()), (1, 2, vec![]));
    assert_eq!(nulls("NA;-\n\"NA\";1\n", strict()), (1, 1, vec![]));
    assert_eq!(nulls("a;\"NA\"\n", strict()), (0, 0, vec!["not an integer".to_owned()]));
}

#[test]
fn null_may_be_forced_and_forbidden_by_column() {
    let forced = CsvDialect {
        force_null: ColumnChoice::All,
        ..strict()
    };
    assert_eq!(nulls("\"\";\"NA\"\n", forced), (1, 1, vec![]));
    let forbidden = CsvDialect {
        force_not_null: ColumnChoice::These(vec!["t".to_owned()]),
        ..strict()
    };
    assert_eq!(nulls(";\nNA;-\n", forbidden), (0, 2, vec![]));
}

#[test]
fn a_record_with_another_number_of_fields_is_what_was_asked_for() {
    let rows = |csv: &[u8], short_rows, long_rows| {
        let shape = shape_of(
            orders().columns,
            CsvDialect {
                short_rows,
                long_rows,
                ..strict()
            },
        );
        let parsed = parse(csv, &shape, origin(1)).unwrap();
        parsed.rejects.first().map(|reject| reject.reason.clone())
    };
    let (short, long) = (b"a;2024-01-01\n".as_slice(), b"a;2024-01-01;1;2\n".as_slice());
    assert_eq!(
        rows(short, ShortRows::Reject, LongRows::Reject).as_deref(),
        Some("expected 3 fields, found 2")
    );
    assert_eq!(rows(short, ShortRows::Pad, LongRows::Reject), None);
    assert_eq!(rows(long, ShortRows::Pad, LongRows::Truncate), None);
    // "1;2" is no integer.
    assert_eq!(
        rows(long, ShortRows::Pad, LongRows::Join).as_deref(),
        Some("not an integer")
    );
}

#[test]
fn values_may_be_written_otherwise() {
    let values = ValuesSpec {
        on_nul: OnNul::Strip,
        date_format: Some("DD.MM.YYYY".to_owned()),
        thousands_separator: Some('.'),
        decimal_separator: Some(','),
        ..ValuesSpec::default()
    };
    let shape = shape_with(orders().columns, strict(), values);
    let csv = b"a\0;31.01.2024;1.000\nb;2024-01-31;1\nc;30.02.2024;NA\nd;01.02.2024;1.0\n";
    let parsed = parse(csv, &shape, origin(4)).unwrap();
    assert_eq!(parsed.rows.len(), 1);
    let reasons: Vec<&str> = parsed.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "not of the form DD.MM.YYYY",
            "no such day in the calendar",
            "not a number with the decimal separator ',' and the thousands separator '.'"
        ]
    );
}

#[test]
fn a_field_of_nul_bytes_alone_is_read_as_an_empty_one_where_they_are_dropped() {
    let values = ValuesSpec {
        on_nul: OnNul::Strip,
        ..ValuesSpec::default()
    };
    let mut columns = orders().columns;
    columns.truncate(1);
    columns[0].nullable = true;
    let shape = shape_with(columns, strict(), values);
    let parsed = parse(b"\0\0\n\"\0\"\na\0\n", &shape, origin(3)).unwrap();
    let Sink::Arrays(arrays) = &parsed.rows else {
        panic!("{parsed:?}")
    };
    assert_eq!((parsed.rows.len(), arrays[0].nulls()), (3, 1));
}

#[test]
fn a_stray_quote_is_a_reject_with_its_column() {
    let shape = shape_of(orders().columns, strict());
    let parsed = parse(b"a;2024-01-01\";1\nb;2024-01-01;2\n", &shape, origin(2)).unwrap();
    assert_eq!(parsed.rows.len(), 1);
    assert_eq!(parsed.rejects[0].column.as_deref(), Some("Date"));
    assert_eq!(parsed.rejects[0].reason, "a quote inside an unquoted field");
}

#[test]
fn bytes_that_are_no_text_are_rejected_and_kept_as_they_are() {
    let parsed = parse(b"\xff;2024-01-01;1\na\0;2024-01-01;1\n", &orders(), origin(2)).unwrap();
    assert_eq!(
        parsed.rejects.iter().map(|r| r.raw[0]).collect::<Vec<_>>(),
        [0xff, b'a']
    );
}

#[test]
fn a_byte_order_mark_within_the_file_is_data() {
    let text = shape(vec![column("a", ColumnType::Text { max_chars: Some(2) }, false)]);
    let parsed = parse(b"\xef\xbb\xbfx\n\xef\xbb\xbfxyz\n", &text, origin(2)).unwrap();
    assert_eq!((parsed.rows.len(), parsed.rejects.len()), (1, 1));
    assert_eq!(parsed.rejects[0].position.byte, Some(105));
}

#[test]
fn a_payload_with_another_number_of_records_is_an_error() {
    let found = parse(b"a;2024-01-01;1\n", &orders(), origin(2));
    assert!(matches!(found, Err(ParseError::RecordCount { expected: 2, found: 1 })));
}

proptest! {
    /// Whatever the bytes: every record is a row or a reject, and each reject's raw bytes stand where it says.
    #[test]
    fn every_record_is_a_row_or_a_reject(bytes in proptest::collection::vec(
        prop_oneof![Just(b'"'), Just(b';'), Just(b'\n'), Just(b'\r'), Just(b'a'), Just(b'1'), Just(0xef), Just(0xbb), Just(0xbf)], 0..80),
        copy in any::<bool>())
    {
        let shape = shape(vec![
            column("a", ColumnType::Text { max_chars: None }, false),
            column("b", ColumnType::Int4, true),
        ]);
        let sink = if copy { Sink::tuples(2, 8) } else { Sink::arrays(&shape.columns) };
        let expected = {
            let mut guarded = b"\n".to_vec();
            guarded.extend_from_slice(&bytes);
            let mut reader = csv_core_reader(&guarded);
            std::iter::from_fn(move || reader.next()).count()
        };
        let span = Span { start: place(1, 0, 1), ..origin(expected as u64) };
        let parsed = super::parse(&bytes, &shape, span, sink).unwrap();
        prop_assert_eq!(parsed.rows.len() + parsed.rejects.len(), expected);
        for reject in parsed.rejects {
            let start = usize::try_from(reject.position.byte.unwrap()).unwrap();
            prop_assert_eq!(&bytes[start..start + reject.raw.len()], &reject.raw);
        }
    }
}

fn csv_core_reader(bytes: &[u8]) -> impl Iterator<Item = csv::ByteRecord> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(b';')
        .from_reader(bytes.to_vec().leak() as &[u8])
        .into_byte_records()
        .map(Result::unwrap)
}

#[test]
fn a_character_that_the_database_cannot_hold_is_a_reject_with_its_column() {
    let characters = std::sync::Arc::new(target::Characters::new("LATIN1", ['é']));
    let mut shape = orders();
    shape.columns[0].characters = Some(characters);
    let csv = "caf\u{e9};2024-01-01;1\n\u{2603};2024-01-01;1\nplain;2024-01-01;1\n";
    for sink in [Sink::arrays(&shape.columns), Sink::tuples(shape.columns.len(), 8)] {
        let parsed = super::parse(csv.as_bytes(), &shape, origin(3), sink).unwrap();
        assert_eq!(parsed.rows.len(), 2);
        let [reject] = parsed.rejects.as_slice() else {
            panic!("{:?}", parsed.rejects)
        };
        assert_eq!(
            (reject.position.line, reject.column.as_deref(), reject.reason.as_str()),
            (
                Some(11),
                Some("Product"),
                "contains a character that the database cannot hold (its encoding is LATIN1)"
            )
        );
    }
}

#[test]
fn records_are_found_again_with_their_places() {
    let span = Span {
        start: model::Position {
            input: 2,
            record: Some(5),
            byte: Some(100),
            line: Some(9),
        },
        end_byte: None,
        record_count: 4,
    };
    let bytes = b"a;2025-01-01;1\n\n\"b\nb\";2025-01-01;2\nbad\nc;2025-01-01;3\n";
    let shape = orders();
    let parsed = super::parse(bytes, &shape, span, Sink::arrays(&shape.columns)).unwrap();
    assert_eq!(parsed.rows.len(), 3);
    let records: Vec<usize> = [1, 2].map(|row| parsed.record_of_row(row)).to_vec();
    assert_eq!(records, [1, 3]);
    let found = find(bytes, &shape, span, &records);
    let places: Vec<_> = found
        .iter()
        .map(|record| (record.position.record, record.position.byte, record.position.line))
        .collect();
    assert_eq!(places, [(Some(6), Some(116), Some(11)), (Some(8), Some(139), Some(14))]);
    assert_eq!(found[0].raw, b"\"b\nb\";2025-01-01;2");
    assert_eq!(found[1].raw, b"c;2025-01-01;3");
    assert_eq!(found[0].position.input, 2);
    assert_eq!(find(bytes, &shape, span, &[9]), []);
}
