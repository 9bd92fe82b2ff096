//! Exact numbers: decimal digits re-cut into the base-10000 digits that Postgres stores, rounded to the column's scale.
//!
//! The wire format is five parts, each of 16 bits: how many base-10000 digits, the weight (the power of 10000) of the
//! first, the sign, how many decimal digits to show after the point, then the digits.

use super::{ValueError, leading_digits, split_sign, trim};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Decimal digits in one base-10000 digit.
const GROUP: i64 = 4;
const HEADER_BYTES: usize = 8;
/// Digits after the point that the storage format can count.
const MAX_DISPLAY_SCALE: i64 = 16_383;
/// Where Postgres stops reading an exponent, whatever digits it belongs to.
const EXPONENT_LIMIT: i64 = i32::MAX as i64 / 2;

const NOT_A_NUMBER: ValueError = ValueError::Invalid { expected: "a number" };
const TOO_LARGE: ValueError = ValueError::OutOfRange {
    what: "numeric",
    limits: "holds 131072 digits before the decimal point and 16383 after it",
};

/// After an error `out` may end with a part of a value.
#[inline(never)]
pub(super) fn encode(field: &[u8], limit: Option<(u16, i16)>, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let field = trim(field);
    if let Some(sign) = special(field) {
        return match limit {
            Some((precision, scale)) if sign != NAN => Err(ValueError::NumericOverflow { precision, scale }),
            _ => {
                out.extend_from_slice(&header(0, 0, sign, 0));
                Ok(())
            }
        };
    }
    let literal = Literal::parse(field)?;
    match limit {
        None => literal.write_whole(out),
        Some((precision, scale)) => literal.write_rounded(precision, scale, out),
    }
}

fn special(field: &[u8]) -> Option<u16> {
    if field.last().is_none_or(u8::is_ascii_digit) {
        return None;
    }
    if field.eq_ignore_ascii_case(b"nan") {
        return Some(NAN);
    }
    let (negative, word) = split_sign(field);
    let infinite = word.eq_ignore_ascii_case(b"infinity") || word.eq_ignore_ascii_case(b"inf");
    infinite.then_some(if negative { NEGATIVE_INFINITY } else { INFINITY })
}

fn header(groups: u16, weight: i16, sign: u16, display_scale: u16) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let words = [groups, weight.cast_unsigned(), sign, display_scale];
    for (pair, word) in bytes.chunks_exact_mut(2).zip(words) {
        pair.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// A number taken apart, its digits left where they are in the field.
struct Literal<'a> {
    negative: bool,
    /// Digits, with at most one point among them.
    digits: &'a [u8],
    /// How many digits are before the point.
    whole: usize,
    /// The first digit that is not zero, and one past the last; equal when there is none.
    first: usize,
    end: usize,
    /// The power of ten of digit 0.
    lead: i64,
    display_scale: i64,
}

impl<'a> Literal<'a> {
    fn parse(field: &'a [u8]) -> Result<Self, ValueError> {
        let (negative, rest) = split_sign(field);
        let whole = leading_digits(rest);
        let (fraction, length) = match rest.get(whole..) {
            Some([b'.', after @ ..]) => {
                let fraction = leading_digits(after);
                (fraction, whole + 1 + fraction)
            }
            _ => (0, whole),
        };
        let (digits, tail) = rest.split_at(length);
        let exponent = match tail {
            [] => 0,
            [b'e' | b'E', exponent @ ..] => parse_exponent(exponent)?,
            _ => return Err(NOT_A_NUMBER),
        };
        let count = whole + fraction;
        if count == 0 {
            return Err(NOT_A_NUMBER);
        }
        let mut literal = Self {
            negative,
            digits,
            whole,
            first: 0,
            end: count,
            lead: whole.cast_signed() as i64 - 1 + exponent,
            display_scale: (fraction.cast_signed() as i64 - exponent).max(0),
        };
        while literal.first < literal.end && literal.digit(literal.first) == 0 {
            literal.first += 1;
        }
        while literal.first < literal.end && literal.digit(literal.end - 1) == 0 {
            literal.end -= 1;
        }
        Ok(literal)
    }

    #[inline]
    fn digit(&self, at: usize) -> u16 {
        let byte = if at < self.whole {
            self.digits[at]
        } else {
            self.digits[at + 1]
        };
        u16::from(byte - b'0')
    }

    fn write_whole(&self, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.display_scale > MAX_DISPLAY_SCALE {
            return Err(TOO_LARGE);
        }
        let start = begin(out);
        let weight = self.write_groups(self.end, out);
        self.finish(start, weight, self.display_scale, out)
    }

    fn write_rounded(&self, precision: u16, scale: i16, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let unit = -i64::from(scale);
        let display_scale = i64::from(scale.max(0));
        let start = begin(out);
        // Digits past `cut` are worth less than one unit of the column's scale.
        let cut = self.lead + 1 - unit;
        let weight = if cut >= self.end.cast_signed() as i64 {
            self.write_groups(self.end, out)
        } else if let Ok(cut) = usize::try_from(cut)
            && cut >= self.first
        {
            let weight = self.write_groups(cut, out);
            if self.digit(cut) >= 5 {
                add_unit(start, weight, cut == self.first, unit, out)
            } else {
                weight
            }
        } else {
            0
        };
        if let Some(leading) = out.get(start + HEADER_BYTES..start + HEADER_BYTES + 2) {
            let leading = u16::from_be_bytes([leading[0], leading[1]]);
            if GROUP * weight + i64::from(leading.ilog10()) >= i64::from(precision) + unit {
                return Err(ValueError::NumericOverflow { precision, scale });
            }
        }
        self.finish(start, weight, display_scale, out)
    }

    /// Writes the digits from the first that is not zero up to `end`; answers the weight of the first group.
    fn write_groups(&self, end: usize, out: &mut Vec<u8>) -> i64 {
        if end <= self.first {
            return 0;
        }
        let top = self.lead - self.first.cast_signed() as i64;
        let mut missing = top.rem_euclid(GROUP) + 1;
        let mut group = 0_u16;
        for at in self.first..end {
            group = group * 10 + self.digit(at);
            missing -= 1;
            if missing == 0 {
                out.extend_from_slice(&group.to_be_bytes());
                group = 0;
                missing = GROUP;
            }
        }
        if missing < GROUP {
            group *= power_of_ten(missing);
            out.extend_from_slice(&group.to_be_bytes());
        }
        top.div_euclid(GROUP)
    }

    /// Drops trailing zero groups and fills in the header.
    fn finish(&self, start: usize, weight: i64, display_scale: i64, out: &mut Vec<u8>) -> Result<(), ValueError> {
        while out.len() > start + HEADER_BYTES && out.ends_with(&[0, 0]) {
            out.truncate(out.len() - 2);
        }
        let groups = (out.len() - start - HEADER_BYTES) / 2;
        let (weight, sign) = match groups {
            0 => (0, POSITIVE),
            _ => (weight, if self.negative { NEGATIVE } else { POSITIVE }),
        };
        let groups = u16::try_from(groups).map_err(|_| TOO_LARGE)?;
        let weight = i16::try_from(weight).map_err(|_| TOO_LARGE)?;
        let display_scale = u16::try_from(display_scale).map_err(|_| TOO_LARGE)?;
        out[start..start + HEADER_BYTES].copy_from_slice(&header(groups, weight, sign, display_scale));
        Ok(())
    }
}

fn parse_exponent(field: &[u8]) -> Result<i64, ValueError> {
    let (negative, digits) = split_sign(field);
    if digits.is_empty() || leading_digits(digits) < digits.len() {
        return Err(NOT_A_NUMBER);
    }
    let magnitude = digits.iter().fold(0_i64, |magnitude, byte| {
        magnitude.saturating_mul(10).saturating_add(i64::from(byte - b'0'))
    });
    if magnitude >= EXPONENT_LIMIT {
        return Err(TOO_LARGE);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Adds ten to the power of `unit` to the groups after `start`, the last of which holds that digit; answers the weight.
fn add_unit(start: usize, weight: i64, empty: bool, unit: i64, out: &mut Vec<u8>) -> i64 {
    let mut carry = power_of_ten(unit.rem_euclid(GROUP));
    if empty {
        out.extend_from_slice(&carry.to_be_bytes());
        return unit.div_euclid(GROUP);
    }
    for pair in out[start + HEADER_BYTES..].rchunks_exact_mut(2) {
        let sum = u16::from_be_bytes([pair[0], pair[1]]) + carry;
        carry = sum / 10_000;
        pair.copy_from_slice(&(sum % 10_000).to_be_bytes());
        if carry == 0 {
            return weight;
        }
    }
    // Carried out of the first group: they are all zero now, so a single one replaces them.
    out.truncate(start + HEADER_BYTES);
    out.extend_from_slice(&carry.to_be_bytes());
    weight + 1
}

fn power_of_ten(exponent: i64) -> u16 {
    match exponent {
        0 => 1,
        1 => 10,
        2 => 100,
        _ => 1000,
    }
}
