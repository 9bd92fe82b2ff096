mod datetime;

use crate::{ColumnType, Nature};

use super::encode;

const NUMERIC: ColumnType = ColumnType::Numeric { precision_scale: None };

fn bytes(kind: &ColumnType, field: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode(kind, field.as_bytes(), &mut out).unwrap_or_else(|error| panic!("{field:?} as {kind:?}: {error}"));
    out
}

fn reason(kind: &ColumnType, field: &[u8]) -> String {
    let mut out = b"before".to_vec();
    let error = encode(kind, field, &mut out).expect_err("a reject");
    assert_eq!(out, b"before", "bytes of a reject were left behind");
    error.to_string()
}

/// Weight, sign, display scale and digits.
fn numeric(precision_scale: Option<(u16, i16)>, field: &str) -> (i16, u16, u16, Vec<u16>) {
    let bytes = bytes(&ColumnType::Numeric { precision_scale }, field);
    let words: Vec<_> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    assert_eq!(usize::from(words[0]), words.len() - 4);
    (words[1].cast_signed(), words[2], words[3], words[4..].to_vec())
}

#[test]
fn values_are_appended_to_what_is_there() {
    let mut out = vec![9];
    encode(&ColumnType::Int2, b"258", &mut out).expect("an integer");
    encode(&ColumnType::Bool, b"t", &mut out).expect("a boolean");
    assert_eq!(out, [9, 1, 2, 1]);
}

#[test]
fn text_is_checked_and_passed_through() {
    let text = ColumnType::Text { max_chars: None };
    let other = ColumnType::Other {
        type_name: "jsonb".into(),
        sql_name: "pg_catalog.jsonb".into(),
        nature: Nature::Other,
    };
    assert_eq!(bytes(&text, " grün "), " grün ".as_bytes());
    assert_eq!(bytes(&text, ""), b"");
    assert_eq!(bytes(&other, "{}"), b"{}");
    for kind in [text, other] {
        assert_eq!(reason(&kind, b"a\xffb"), "not valid UTF-8");
        assert_eq!(reason(&kind, b"a\0b"), "contains a NUL byte, which no text type holds");
        assert_eq!(
            reason(&kind, b"\xed\xa0\x80"),
            "not valid UTF-8",
            "a surrogate is no character"
        );
    }
}

#[test]
fn varchar_counts_characters_and_drops_only_spaces_past_its_limit() {
    let varchar = ColumnType::Text { max_chars: Some(3) };
    assert_eq!(bytes(&varchar, "äöü"), "äöü".as_bytes());
    assert_eq!(bytes(&varchar, "äö    "), "äö ".as_bytes());
    assert_eq!(reason(&varchar, "äöüß".as_bytes()), "longer than varchar(3)");
    assert_eq!(reason(&varchar, b"abc\t"), "longer than varchar(3)");
}

#[test]
fn integers_keep_to_their_range() {
    assert_eq!(bytes(&ColumnType::Int2, "-32768"), i16::MIN.to_be_bytes());
    assert_eq!(bytes(&ColumnType::Int4, " +2147483647\t"), i32::MAX.to_be_bytes());
    assert_eq!(bytes(&ColumnType::Int8, "-9223372036854775808"), i64::MIN.to_be_bytes());
    assert_eq!(
        bytes(&ColumnType::Int8, "00000000000000000000000009"),
        9_i64.to_be_bytes()
    );
    assert_eq!(
        reason(&ColumnType::Int2, b"32768"),
        "integer out of range (smallint holds -32768 to 32767)"
    );
    for too_large in [
        &b"9223372036854775808"[..],
        b"18446744073709551617",
        b"99999999999999999999999",
    ] {
        assert!(reason(&ColumnType::Int8, too_large).starts_with("integer out of range (bigint"));
    }
}

#[test]
fn what_is_not_an_integer_is_named_so() {
    for field in [
        "",
        " ",
        "+",
        "--1",
        "- 1",
        "1.0",
        "1e3",
        "0x10",
        "1_000",
        "1,000",
        "12a",
        "99999999999999999999x",
        "１",
    ] {
        assert_eq!(
            reason(&ColumnType::Int4, field.as_bytes()),
            "not an integer",
            "{field:?}"
        );
    }
}

#[test]
fn booleans_may_be_shortened_while_unambiguous() {
    for field in ["t", "TRUE", " tr ", "y", "Yes", "on", "1"] {
        assert_eq!(bytes(&ColumnType::Bool, field), [1], "{field:?}");
    }
    for field in ["f", "fals", "n", "NO", "of", "off", "0"] {
        assert_eq!(bytes(&ColumnType::Bool, field), [0], "{field:?}");
    }
    for field in ["", "o", "truee", "2", "10", "ja"] {
        assert!(
            reason(&ColumnType::Bool, field.as_bytes()).starts_with("not a boolean"),
            "{field:?}"
        );
    }
}

#[test]
fn floats_that_would_become_infinite_or_zero_are_out_of_range() {
    assert_eq!(bytes(&ColumnType::Float8, " -1.5e3 "), (-1500_f64).to_be_bytes());
    assert_eq!(bytes(&ColumnType::Float8, "-inf"), f64::NEG_INFINITY.to_be_bytes());
    assert_eq!(bytes(&ColumnType::Float8, "-0e999"), (-0_f64).to_be_bytes());
    assert_eq!(bytes(&ColumnType::Float4, "nan"), f32::NAN.to_be_bytes());
    assert_eq!(bytes(&ColumnType::Float4, ".5"), 0.5_f32.to_be_bytes());
    for field in [&b"1e39"[..], b"-1e39", b"1e-46"] {
        assert!(reason(&ColumnType::Float4, field).starts_with("number out of range (real"));
    }
    for field in [&b"1e309"[..], b"1e-400"] {
        assert!(reason(&ColumnType::Float8, field).starts_with("number out of range (double"));
    }
    for field in ["", ".", "1e", "0x1p3", "1_0", "1,5", "1.5f", "infinit"] {
        assert_eq!(
            reason(&ColumnType::Float8, field.as_bytes()),
            "not a number",
            "{field:?}"
        );
    }
}

#[test]
fn numerics_are_cut_into_groups_of_four_digits() {
    assert_eq!(numeric(None, "0"), (0, 0, 0, vec![]));
    assert_eq!(numeric(None, "-0.00"), (0, 0, 2, vec![]));
    assert_eq!(numeric(None, "12345.678"), (1, 0, 3, vec![1, 2345, 6780]));
    assert_eq!(numeric(None, "-10000"), (1, 0x4000, 0, vec![1]));
    assert_eq!(numeric(None, "0.00012"), (-1, 0, 5, vec![1, 2000]));
    assert_eq!(numeric(None, "1.50e+5"), (1, 0, 0, vec![15]));
    assert_eq!(numeric(None, "1.5E-3"), (-1, 0, 4, vec![15]));
    assert_eq!(numeric(None, "NaN"), (0, 0xC000, 0, vec![]));
    assert_eq!(numeric(None, "-Infinity"), (0, 0xF000, 0, vec![]));
}

#[test]
fn numerics_are_rounded_half_away_from_zero_to_the_scale() {
    assert_eq!(numeric(Some((10, 2)), "1.005"), (0, 0, 2, vec![1, 100]));
    assert_eq!(numeric(Some((10, 2)), "-1.0049"), (0, 0x4000, 2, vec![1]));
    assert_eq!(numeric(Some((10, 2)), "9999.995"), (1, 0, 2, vec![1]));
    assert_eq!(numeric(Some((10, 2)), "0.005"), (-1, 0, 2, vec![100]));
    assert_eq!(numeric(Some((10, 2)), "-0.004"), (0, 0, 2, vec![]));
    assert_eq!(numeric(Some((10, 2)), "1e-100000"), (0, 0, 2, vec![]));
    assert_eq!(numeric(Some((3, -2)), "12350"), (1, 0, 0, vec![1, 2400]));
    assert_eq!(numeric(Some((3, -2)), "50"), (0, 0, 0, vec![100]));
    assert_eq!(numeric(Some((2, 5)), "0.000985"), (-1, 0, 5, vec![9, 9000]));
}

#[test]
fn numerics_past_the_precision_are_rejected_after_rounding() {
    let kind = |precision, scale| ColumnType::Numeric {
        precision_scale: Some((precision, scale)),
    };
    assert_eq!(
        reason(&kind(4, 2), b"99.995"),
        "numeric out of range (does not fit numeric(4,2))"
    );
    assert_eq!(bytes(&kind(4, 2), "99.994"), bytes(&kind(4, 2), "99.99"));
    assert_eq!(
        reason(&kind(3, -2), b"99950"),
        "numeric out of range (does not fit numeric(3,-2))"
    );
    assert_eq!(
        reason(&kind(4, 2), b"inf"),
        "numeric out of range (does not fit numeric(4,2))"
    );
    assert_eq!(numeric(Some((4, 2)), "nan").1, 0xC000);
    for field in [&b"1e131072"[..], b"1e-16384", b"0e-16384", b"0e99999999999999999999"] {
        assert!(reason(&NUMERIC, field).starts_with("numeric out of range (holds 131072"));
    }
}

#[test]
fn the_longest_numeric_fits() {
    let field = format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383));
    let (weight, _, scale, digits) = numeric(None, &field);
    assert_eq!((weight, scale, digits.len()), (i16::MAX, 16_383, 32_768 + 4_096));
}

#[test]
fn uuids_may_have_braces_and_hyphens_after_each_four_digits() {
    let expected = *b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11";
    for field in [
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    ] {
        assert_eq!(bytes(&ColumnType::Uuid, field), expected, "{field}");
    }
    for field in [
        "",
        "{}",
        " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0e-ebc999c0b4ef8bb6d6bb9bd380a11",
    ] {
        assert_eq!(reason(&ColumnType::Uuid, field.as_bytes()), "not a uuid", "{field:?}");
    }
}
