//! Files of another implementation: made with pyarrow 26, each value a row, with NULL in the second.

use parquet_source::Kind;

use crate::support::{open, read, records};

const TYPES: &[u8] = include_bytes!("data/pyarrow.parquet");
const INT96: &[u8] = include_bytes!("data/int96.parquet");

#[test]
fn every_type_of_pyarrow_is_read() {
    let integer = |bits, signed| Kind::Integer { bits, signed };
    let zoned = |with_zone| Kind::Timestamp { with_zone };
    let expected = [
        ("flag", Kind::Boolean, ["true", r"\N", "false"]),
        ("tiny", integer(8, true), ["-128", r"\N", "127"]),
        ("count", integer(64, false), ["18446744073709551615", r"\N", "0"]),
        (
            "big",
            integer(64, true),
            ["-9223372036854775808", r"\N", "9223372036854775807"],
        ),
        ("half", Kind::Float { bits: 16 }, ["0.5", r"\N", "65504"]),
        (
            "single",
            Kind::Float { bits: 32 },
            ["0.10000000149011612", r"\N", "NaN"],
        ),
        ("double", Kind::Float { bits: 64 }, ["1e300", r"\N", "-Infinity"]),
        (
            "price",
            Kind::Decimal {
                precision: 10,
                scale: 2,
            },
            ["-1.50", r"\N", "99999999.99"],
        ),
        (
            "wide",
            Kind::Decimal {
                precision: 76,
                scale: 60,
            },
            [
                "0.000000000000000000000000000000000000000000000000000000000001",
                r"\N",
                "-1234567890123456.500000000000000000000000000000000000000000000000000000000000",
            ],
        ),
        ("day", Kind::Date, ["0001-01-01", r"\N", "9999-12-31"]),
        ("day64", Kind::Date, ["1600-02-29", r"\N", "2026-01-31"]),
        (
            "at_s",
            zoned(false),
            ["0001-01-01 00:00:00", r"\N", "9999-12-31 23:59:59"],
        ),
        (
            "at_ms",
            zoned(false),
            ["1969-12-31 23:59:59.999", r"\N", "1970-01-01 00:00:01.500"],
        ),
        (
            "at_us",
            zoned(true),
            ["1969-12-31 23:59:59.999999+00", r"\N", "1970-01-01 00:00:00.000001+00"],
        ),
        (
            "at_ns",
            zoned(true),
            [
                "1969-12-31 23:59:59.999999999+00",
                r"\N",
                "1970-01-01 00:00:00.000001+00",
            ],
        ),
        ("clock_ms", Kind::Time, ["00:00:00", r"\N", "23:59:59.999"]),
        (
            "clock_ns",
            Kind::Time,
            ["00:00:00.000000001", r"\N", "23:59:59.999999999"],
        ),
        ("span", Kind::Interval, ["-00:00:01.500", r"\N", "26:03:04"]),
        ("text", Kind::Text, ["", r"\N", "a \"quoted\", line\r\nand \0 é"]),
        ("large", Kind::Text, ["x", r"\N", "NULL"]),
        ("word", Kind::Text, ["red", r"\N", "red"]),
        ("bytes", Kind::Binary, [r"\x", r"\N", r"\x00ff22"]),
        ("fixed", Kind::Binary, [r"\x616263", r"\N", r"\x000102"]),
        (
            "id",
            Kind::Uuid,
            [
                "00000000-0000-0000-0000-000000000001",
                r"\N",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            ],
        ),
        ("nothing", Kind::Null, [r"\N", r"\N", r"\N"]),
        ("list", Kind::Json, ["[]", r"\N", "[1,null,9007199254740993]"]),
        ("pair", Kind::Json, ["[1,2]", r"\N", "[3,4]"]),
        ("map", Kind::Json, [r#"{"a":1.10}"#, r"\N", r#"{"k\"":null,"":-0.01}"#]),
        (
            "group",
            Kind::Json,
            [
                r#"{"a":1.5,"b":"\\x01","c":"2026-01-31 12:00:00+00"}"#,
                r"\N",
                r#"{"a":"Infinity","b":null,"c":null}"#,
            ],
        ),
        ("json", Kind::Json, [r#"{"a": 1}"#, r"\N", "[]"]),
    ];
    let file = open(TYPES).unwrap();
    let rows = records(&read(TYPES).unwrap());
    assert_eq!(rows.len(), 3);
    assert_eq!(file.columns().len(), expected.len());
    for (at, (name, kind, values)) in expected.into_iter().enumerate() {
        let column = &file.columns()[at];
        assert_eq!((column.name.as_str(), column.kind), (name, kind));
        let found: Vec<_> = rows.iter().map(|row| row[at].as_str()).collect();
        assert_eq!(found, values, "{name}");
    }
}

#[test]
fn int96_is_a_timestamp() {
    let file = open(INT96).unwrap();
    let kinds: Vec<_> = file.columns().iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [Kind::Timestamp { with_zone: false }, Kind::Json]);
    let expected = [
        ["1970-01-01 00:00:00", r#"["1970-01-01 00:00:00.000000001"]"#],
        [r"\N", r"\N"],
        [
            "1970-01-01 00:00:01.000000001",
            r#"[null,"1969-12-31 23:59:59.999999999"]"#,
        ],
    ];
    assert_eq!(records(&read(INT96).unwrap()), expected);
}
