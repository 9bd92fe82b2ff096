//! One CSV field in, one value in Postgres's binary wire format out, or the reason why not.
//!
//! Owns what each column type accepts: what Postgres 15's own input functions accept, less the forms whose meaning
//! depends on a setting or that Postgres would take by silently dropping a part. Length and precision limits of the
//! column are applied here, so that `INSERT … SELECT unnest(…)` and `COPY … BINARY` store the same value and one that
//! does not fit is a reject and not a failed batch.
//!
//! Must not know SQL, CSV, or what a NULL looks like: a field that stands for NULL never gets here.
//!
//! This is the hot path: nothing is allocated for a value except the room it takes in the caller's buffer.

mod boolean;
mod datetime;
mod float;
mod integer;
mod numeric;
mod text;
mod uuid;

#[cfg(test)]
mod tests;

pub(crate) use datetime::local_time;

use crate::{Characters, ColumnType};
use thiserror::Error;

/// Why a field is not a value of its column's type.
///
/// `Display` is the reason a reject is stored and logged with, so no variant carries any of the field's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueError {
    #[error("not valid UTF-8")]
    NotUtf8,
    #[error("contains a NUL byte, which no text type holds")]
    NulByte,
    #[error("contains a character that the database cannot hold (its encoding is {encoding})")]
    NotHeld { encoding: &'static str },
    /// The field is not of a form that the type accepts.
    #[error("not {expected}")]
    Invalid { expected: &'static str },
    /// The field is well formed, but beyond what the type can hold.
    #[error("{what} out of range ({limits})")]
    OutOfRange { what: &'static str, limits: &'static str },
    #[error("longer than varchar({max_chars})")]
    TooLong { max_chars: u32 },
    /// Too large after rounding to the column's scale, or infinite.
    #[error("numeric out of range (does not fit numeric({precision},{scale}))")]
    NumericOverflow { precision: u16, scale: i16 },
    #[error("no such day in the calendar")]
    NoSuchDay,
    #[error("no such time of day (00:00:00 to 24:00:00)")]
    NoSuchTime,
    #[error("time zone offset out of range (-15:59:59 to +15:59:59)")]
    NoSuchOffset,
    /// Postgres would drop both.
    #[error("a date holds no time zone, and no time of day but midnight")]
    TimeInDate,
    /// Postgres would ignore the time zone.
    #[error("a time zone does not fit timestamp without time zone")]
    UnexpectedTimeZone,
}

/// Takes the binary form of one value.
pub trait ValueOutput {
    /// Of a type whose values have one length.
    fn put<const BYTES: usize>(&mut self, value: [u8; BYTES]);

    fn put_bytes(&mut self, value: &[u8]);

    /// What `write` appends to the bytes before it, or nothing if it fails.
    ///
    /// # Errors
    /// Those of `write`.
    fn put_written(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), ValueError>) -> Result<(), ValueError>;
}

/// Values one after the other, without a length word.
impl ValueOutput for Vec<u8> {
    #[inline]
    fn put<const BYTES: usize>(&mut self, value: [u8; BYTES]) {
        self.extend_from_slice(&value);
    }

    #[inline]
    fn put_bytes(&mut self, value: &[u8]) {
        self.extend_from_slice(value);
    }

    #[inline]
    fn put_written(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), ValueError>) -> Result<(), ValueError> {
        let start = self.len();
        write(self).inspect_err(|_| self.truncate(start))
    }
}

/// Puts the binary form of `field` as a `kind` into `out`, without the length word that arrays and COPY put before it.
///
/// A [`ColumnType::Other`] is put as checked text, for the server to cast.
///
/// # Errors
/// When `field` is not a value of `kind`, or is one that would lose a part of itself in it. `out` is then as it was.
#[inline(always)] // in the innermost loop
pub fn encode(kind: &ColumnType, field: &[u8], out: &mut impl ValueOutput) -> Result<(), ValueError> {
    match kind {
        ColumnType::Text { max_chars: None } | ColumnType::Other { .. } => out.put_bytes(text::whole(field)?),
        ColumnType::Text {
            max_chars: Some(max_chars),
        } => out.put_bytes(text::limited(field, *max_chars)?),
        ColumnType::Int2 => out.put(integer::int2(field)?.to_be_bytes()),
        ColumnType::Int4 => out.put(integer::int4(field)?.to_be_bytes()),
        ColumnType::Int8 => out.put(integer::int8(field)?.to_be_bytes()),
        ColumnType::Bool => out.put([u8::from(boolean::parse(field)?)]),
        ColumnType::Float4 => out.put(float::float4(field)?.to_be_bytes()),
        ColumnType::Float8 => out.put(float::float8(field)?.to_be_bytes()),
        ColumnType::Numeric { precision_scale } => {
            out.put_written(|out| numeric::encode(field, *precision_scale, out))?;
        }
        ColumnType::Date => out.put(datetime::date(field)?.to_be_bytes()),
        ColumnType::Timestamp { precision } => out.put(datetime::timestamp(field, *precision)?.to_be_bytes()),
        ColumnType::Timestamptz { precision } => out.put(datetime::timestamptz(field, *precision)?.to_be_bytes()),
        ColumnType::Uuid => out.put(uuid::parse(field)?),
    }
    Ok(())
}

/// As [`encode`], for a database that can hold only some characters.
///
/// # Errors
/// When one of `field` is none of these, or as [`encode`].
pub fn encode_held(
    kind: &ColumnType,
    characters: &Characters,
    field: &[u8],
    out: &mut impl ValueOutput,
) -> Result<(), ValueError> {
    let text = std::str::from_utf8(field).map_err(|_| ValueError::NotUtf8)?;
    if !characters.hold(text) {
        let encoding = characters.encoding();
        return Err(ValueError::NotHeld { encoding });
    }
    encode(kind, field, out)
}

/// C's `isspace`, as Postgres has it; `u8::is_ascii_whitespace` lacks the vertical tab.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[inline]
pub(crate) fn trim(mut field: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = field
        && is_space(*first)
    {
        field = rest;
    }
    while let [rest @ .., last] = field
        && is_space(*last)
    {
        field = rest;
    }
    field
}

/// Whether there was a minus sign, and what follows the optional sign.
#[inline]
fn split_sign(field: &[u8]) -> (bool, &[u8]) {
    match field {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, field),
    }
}

fn leading_digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len())
}
