//! Values and the forms in which they may be written, beside parsers that take their time.

mod decimal;
mod forms;
mod times;
pub(crate) mod written;

use target::{
    ColumnType, Nature,
    values::{ValueError, encode},
};

use crate::Knobs;
use decimal::Decimal;

/// Knobs before the field.
const KNOBS: usize = 6;

pub fn check(data: &[u8]) {
    let (mut knobs, field) = Knobs::new(data, KNOBS);
    let what = knobs.number(18);
    let precision = 1 + u16::from(knobs.byte()) * 4;
    let scale = i16::from(knobs.byte()) - 100;
    let digits = knobs.pick(&[None, Some(0), Some(1), Some(3), Some(5), Some(6)]);
    match what {
        0 => check_text(field, None),
        1 => check_text(field, Some(u32::from(precision))),
        2 => check_integer(&ColumnType::Int2, field, i16::MIN.into(), i16::MAX.into()),
        3 => check_integer(&ColumnType::Int4, field, i32::MIN.into(), i32::MAX.into()),
        4 => check_integer(&ColumnType::Int8, field, i64::MIN.into(), i64::MAX.into()),
        5 => check_bool(field),
        6 => check_float(field),
        7 => check_numeric(field, None),
        8 | 9 => check_numeric(field, Some((precision.min(1000), scale.clamp(-100, 100)))),
        10 => times::check_date(field),
        11 => times::check_timestamp(field, digits),
        12 => times::check_timestamptz(field, digits),
        13 => check_uuid(field),
        14 => assert_eq!(
            encoded(&other(), field).map_err(drop),
            encoded(&ColumnType::Text { max_chars: None }, field).map_err(drop)
        ),
        _ => forms::check(knobs, field),
    }
}

fn other() -> ColumnType {
    ColumnType::Other {
        type_name: "inet".to_owned(),
        sql_name: "pg_catalog.inet".to_owned(),
        nature: Nature::Other,
    }
}

/// The value in binary. What stood in the buffer before must stand there still.
fn encoded(kind: &ColumnType, field: &[u8]) -> Result<Vec<u8>, ValueError> {
    const BEFORE: &[u8] = b"before";
    let mut out = BEFORE.to_vec();
    let result = encode(kind, field, &mut out);
    assert!(out.starts_with(BEFORE));
    let value = out.split_off(BEFORE.len());
    assert!(result.is_ok() || value.is_empty());
    result.map(|()| value)
}

/// C's `isspace`.
fn trimmed(field: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| b" \t\n\x0b\x0c\r".contains(byte);
    let begin = field.iter().take_while(|byte| is_space(byte)).count();
    let rest = &field[begin..];
    let end = rest.iter().rev().take_while(|byte| is_space(byte)).count();
    &rest[..rest.len() - end]
}

fn check_text(field: &[u8], max_chars: Option<u32>) {
    let found = encoded(&ColumnType::Text { max_chars }, field);
    let Ok(text) = std::str::from_utf8(field) else {
        assert!(found.is_err());
        return;
    };
    let kept: String = text
        .chars()
        .take(max_chars.map_or(usize::MAX, |max| max as usize))
        .collect();
    let is_text = !text.contains('\0') && text[kept.len()..].chars().all(|c| c == ' ');
    assert_eq!(found.ok(), is_text.then(|| kept.into_bytes()));
}

fn check_integer(kind: &ColumnType, field: &[u8], least: i128, most: i128) {
    let found = encoded(kind, field);
    let text = trimmed(field);
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let significant: Vec<u8> = digits.iter().copied().skip_while(|digit| *digit == b'0').collect();
    let expected = (is_number && significant.len() < 30).then(|| {
        let magnitude = significant
            .iter()
            .fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        if negative { -magnitude } else { magnitude }
    });
    let expected = expected.filter(|value| (least..=most).contains(value));
    let value = found.ok().map(|binary| {
        let sign = if binary[0] & 0x80 == 0 { 0 } else { -1 };
        binary
            .iter()
            .fold(sign, |value: i128, byte| value << 8 | i128::from(*byte))
    });
    assert_eq!(value, expected);
}

fn check_bool(field: &[u8]) {
    let word = trimmed(field).to_ascii_lowercase();
    let begins = |full: &[u8], least: usize| word.len() >= least && full.starts_with(&word);
    let yes = begins(b"true", 1) || begins(b"yes", 1) || word == b"on" || word == b"1";
    let no = begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) || word == b"0";
    let expected = (yes || no).then(|| vec![u8::from(yes)]);
    assert_eq!(encoded(&ColumnType::Bool, field).ok(), expected);
}

fn check_float(field: &[u8]) {
    let text = std::str::from_utf8(trimmed(field)).unwrap_or("none");
    let bits = |value: f64| {
        if value.is_nan() {
            f64::NAN.to_bits()
        } else {
            value.to_bits()
        }
    };
    if let Ok(found) = encoded(&ColumnType::Float8, field) {
        let value: f64 = text.parse().expect("the standard library reads it too");
        assert_eq!(found, bits(value).to_be_bytes());
    }
    if let Ok(found) = encoded(&ColumnType::Float4, field) {
        let value: f32 = text.parse().expect("the standard library reads it too");
        let value = if value.is_nan() { f32::NAN } else { value };
        assert_eq!(found, value.to_be_bytes());
    }
    let plain = !text.is_empty() && text.len() < 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(!plain || encoded(&ColumnType::Float8, field).is_ok());
}

fn check_numeric(field: &[u8], precision_scale: Option<(u16, i16)>) {
    let found = encoded(&ColumnType::Numeric { precision_scale }, field);
    let Some(decimal) = Decimal::parse(trimmed(field)) else {
        if let Ok(found) = found {
            let word = trimmed(field).to_ascii_lowercase();
            let word = word.strip_prefix(b"-").or(word.strip_prefix(b"+")).unwrap_or(&word);
            let is_word = [&b"nan"[..], b"inf", b"infinity"].contains(&word);
            // An exponent of many digits takes too long here.
            assert!(is_word || word.contains(&b'e'), "{found:?}");
        }
        return;
    };
    let expected = match precision_scale {
        None => decimal.text(),
        Some((precision, scale)) => decimal.rounded(usize::from(precision), scale.into()),
    };
    let found = found.ok().map(|binary| written::numeric(&binary));
    assert_eq!(found, expected);
}

fn check_uuid(field: &[u8]) {
    let Ok(found) = encoded(&ColumnType::Uuid, field) else {
        let plain = field.len() == 32 && field.iter().all(u8::is_ascii_hexdigit);
        assert!(!plain);
        return;
    };
    let digits: Vec<u8> = field.iter().copied().filter(u8::is_ascii_hexdigit).collect();
    let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.as_bytes(), digits.to_ascii_lowercase());
    assert!(field.len() - digits.len() <= 9);
}
