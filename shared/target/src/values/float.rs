//! Floating point numbers: decimal, with an optional exponent, and the words NaN, Infinity and inf.

use std::str::FromStr;

use super::{ValueError, trim};

pub(super) fn float4(field: &[u8]) -> Result<f32, ValueError> {
    let (digits, value) = parse::<f32>(field)?;
    let in_range = keeps_magnitude(digits, value.is_infinite(), value == 0.0);
    // The sign of a NaN says nothing; send the one that Postgres makes itself.
    let value = if value.is_nan() { f32::NAN } else { value };
    in_range.then_some(value).ok_or(ValueError::OutOfRange {
        what: "number",
        limits: "real holds about 1e-45 to 3.4e38",
    })
}

pub(super) fn float8(field: &[u8]) -> Result<f64, ValueError> {
    let (digits, value) = parse::<f64>(field)?;
    let in_range = keeps_magnitude(digits, value.is_infinite(), value == 0.0);
    let value = if value.is_nan() { f64::NAN } else { value };
    in_range.then_some(value).ok_or(ValueError::OutOfRange {
        what: "number",
        limits: "double precision holds about 5e-324 to 1.8e308",
    })
}

/// The standard library's grammar is Postgres's without hexadecimal numbers and `nan(…)`, and rounds alike.
fn parse<T: FromStr>(field: &[u8]) -> Result<(&[u8], T), ValueError> {
    let digits = trim(field);
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .map(|value| (digits, value))
        .ok_or(ValueError::Invalid { expected: "a number" })
}

/// Whether a literal that became infinity or zero was one.
fn keeps_magnitude(literal: &[u8], infinite: bool, zero: bool) -> bool {
    if infinite {
        !literal.iter().any(u8::is_ascii_digit)
    } else if zero {
        let mantissa = literal.iter().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
        !mantissa.into_iter().any(|byte| matches!(byte, b'1'..=b'9'))
    } else {
        true
    }
}
