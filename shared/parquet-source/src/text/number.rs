//! Numbers: every digit that there is, and none that there is not.

use std::fmt::{Display, LowerExp};

use arrow_buffer::i256;

use super::push;

/// Appends a whole number.
pub(crate) fn integer(out: &mut Vec<u8>, value: impl Display) {
    push(out, format_args!("{value}"));
}

/// Appends the shortest text that reads as this number in double precision.
pub(crate) fn double(out: &mut Vec<u8>, value: f64) {
    float(out, value, value);
}

/// Where a number needs more zeros than this, they are counted in an exponent.
const PLAIN: std::ops::Range<f64> = 1e-5..1e17;

/// `size` is about as large as `value`.
fn float(out: &mut Vec<u8>, value: impl Display + LowerExp, size: f64) {
    if size.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if size.is_infinite() {
        out.extend_from_slice(if size > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if size == 0.0 || PLAIN.contains(&size.abs()) {
        push(out, format_args!("{value}"));
    } else {
        push(out, format_args!("{value:e}"));
    }
}

/// Appends `value` / 10^`scale`, with `scale` digits after the point.
pub(crate) fn decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    let digits = value.unsigned_abs();
    match u64::try_from(digits) {
        Ok(digits) => scaled(out, value < 0, digits, scale),
        Err(_) => scaled(out, value < 0, digits, scale),
    }
}

/// The same of a wider number.
pub(crate) fn decimal_256(out: &mut Vec<u8>, value: i256, scale: i8) {
    match value.to_i128() {
        Some(value) => decimal(out, value, scale),
        None => {
            // Beyond 128 bits there are more digits than a scale has.
            let text = value.to_string();
            let digits = text.trim_start_matches('-');
            scaled(out, text.starts_with('-'), digits, scale);
        }
    }
}

fn scaled(out: &mut Vec<u8>, negative: bool, digits: impl Display, scale: i8) {
    if negative {
        out.push(b'-');
    }
    let begin = out.len();
    push(out, format_args!("{digits}"));
    let length = out.len() - begin;
    match usize::try_from(scale) {
        Ok(0) => {}
        Ok(scale) => {
            let missing = (scale + 1).saturating_sub(length);
            out.splice(begin..begin, std::iter::repeat_n(b'0', missing));
            let point = begin + missing + length - scale;
            out.insert(point, b'.');
        }
        Err(_) if out.ends_with(b"0") && length == 1 => {}
        Err(_) => out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs()))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap()[1..].to_owned()
    }

    #[test]
    fn a_decimal_has_the_digits_of_its_scale() {
        let decimal_text = |value, scale| text(|out| decimal(out, value, scale));
        assert_eq!(decimal_text(0, 0), "0");
        assert_eq!(decimal_text(0, 2), "0.00");
        assert_eq!(decimal_text(5, 2), "0.05");
        assert_eq!(decimal_text(-5, 1), "-0.5");
        assert_eq!(decimal_text(-12345, 2), "-123.45");
        assert_eq!(decimal_text(120, 0), "120");
        assert_eq!(decimal_text(12, -3), "12000");
        assert_eq!(decimal_text(0, -3), "0");
        assert_eq!(decimal_text(i128::MIN, 38), "-1.70141183460469231731687303715884105728");
        let wide = i256::from_i128(i128::MAX).wrapping_mul(i256::from_i128(10));
        assert_eq!(
            text(|out| decimal_256(out, wide, 1)),
            "170141183460469231731687303715884105727.0"
        );
        assert_eq!(text(|out| decimal_256(out, i256::MINUS_ONE, 3)), "-0.001");
        assert_eq!(
            text(|out| decimal_256(out, i256::MIN, 76)),
            "-5.7896044618658097711785492504343953926634992332820282019728792003956564819968"
        );
    }

    #[test]
    fn floats_are_as_short_as_they_can_be() {
        assert_eq!(text(|out| double(out, f64::from(0.1_f32))), "0.10000000149011612");
        assert_eq!(text(|out| double(out, 0.1)), "0.1");
        assert_eq!(text(|out| double(out, -0.0)), "-0");
        assert_eq!(text(|out| double(out, 1e300)), "1e300");
        assert_eq!(text(|out| double(out, 5e-324)), "5e-324");
        assert_eq!(text(|out| double(out, f64::from(f32::MAX))), "3.4028234663852886e38");
        assert_eq!(text(|out| double(out, f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(text(|out| double(out, f64::NAN)), "NaN");
        assert_eq!(text(|out| double(out, 123_456_789.25)), "123456789.25");
    }

    proptest! {
        #[test]
        fn a_float_reads_as_it_was(bits: u64) {
            let (wide, narrow) = (f64::from_bits(bits), f32::from_bits(bits as u32));
            prop_assume!(!wide.is_nan() && !narrow.is_nan());
            prop_assert_eq!(text(|out| double(out, wide)).parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(text(|out| double(out, f64::from(narrow))).parse::<f32>().unwrap().to_bits(), bits as u32);
        }

        #[test]
        fn a_decimal_is_its_digits_and_a_point(value: i64, scale in 1_i8..38) {
            let written = text(|out| decimal(out, value.into(), scale));
            let (whole, fraction) = written.split_once('.').unwrap();
            prop_assert_eq!(fraction.len(), usize::try_from(scale).unwrap());
            prop_assert_eq!(format!("{whole}{fraction}").parse::<i128>().unwrap(), i128::from(value));
        }
    }
}
