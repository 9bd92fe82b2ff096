//! Integers of 2, 4 and 8 bytes: an optional sign and decimal digits.

use super::{ValueError, split_sign, trim};

/// A `u64` holds any number of this many digits.
const ALWAYS_FITS: usize = 19;

#[inline]
pub(super) fn int2(field: &[u8]) -> Result<i16, ValueError> {
    narrow(field, "smallint holds -32768 to 32767")
}

#[inline]
pub(super) fn int4(field: &[u8]) -> Result<i32, ValueError> {
    narrow(field, "integer holds -2147483648 to 2147483647")
}

#[inline]
pub(super) fn int8(field: &[u8]) -> Result<i64, ValueError> {
    narrow(field, "bigint holds -9223372036854775808 to 9223372036854775807")
}

#[inline]
fn narrow<T: TryFrom<i64>>(field: &[u8], limits: &'static str) -> Result<T, ValueError> {
    let (negative, digits) = split_sign(trim(field));
    let magnitude = magnitude(digits)?;
    let value = if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        0_i64.checked_add_unsigned(magnitude)
    };
    value
        .and_then(|value| T::try_from(value).ok())
        .ok_or(ValueError::OutOfRange {
            what: "integer",
            limits,
        })
}

/// The value of `digits`; past what a `u64` holds, `u64::MAX`, which is out of range for every type here.
#[inline]
fn magnitude(digits: &[u8]) -> Result<u64, ValueError> {
    if digits.is_empty() {
        return Err(ValueError::Invalid { expected: "an integer" });
    }
    let mut value = 0_u64;
    if digits.len() <= ALWAYS_FITS {
        for &byte in digits {
            value = value * 10 + digit(byte)?;
        }
    } else {
        for &byte in digits {
            value = value.saturating_mul(10).saturating_add(digit(byte)?);
        }
    }
    Ok(value)
}

#[inline]
fn digit(byte: u8) -> Result<u64, ValueError> {
    match byte.wrapping_sub(b'0') {
        digit @ 0..=9 => Ok(u64::from(digit)),
        _ => Err(ValueError::Invalid { expected: "an integer" }),
    }
}
