//! What a column holds, as far as somebody must know who chooses a column of a table for it.

use std::fmt;

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As it stands in the file: it may be empty, and another column may have the same.
    pub name: String,
    pub kind: Kind,
    /// Whether its values may be NULL.
    pub nullable: bool,
}

/// What the values of a column are, and so how they are written.
///
/// The types are those of Parquet. Types that only Arrow has are known by the schema that its writers store in the file; without it their
/// values are what Parquet says they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `UNKNOWN`: every value is NULL.
    Null,
    /// `BOOLEAN`: `true` and `false`.
    Boolean,
    /// `INT32`, `INT64` and `INT`: decimal digits. Unsigned ones of 32 **bits** need a `bigint`, those of 64 a `numeric(20)`.
    Integer { bits: u8, signed: bool },
    /// `FLOAT16`, `FLOAT`, `DOUBLE`, of so many **bits**: the shortest decimal that reads as the same number in double precision, and so as
    /// the same in single precision too; `NaN`, `Infinity`, `-Infinity`.
    Float { bits: u8 },
    /// `DECIMAL`: with as many digits after the point as `scale` says.
    Decimal { precision: u8, scale: i8 },
    /// `DATE`: `2026-01-31`, `0044-03-15 BC`, `10000-01-01`. Also Arrow's dates in milliseconds, which have a time of day if they are no
    /// whole days.
    Date,
    /// `TIME`: `12:30:00.5`, with 3, 6 or 9 digits of a fraction. Whether it is of UTC is not looked at: many writers say so of every time.
    Time,
    /// `TIMESTAMP` and `INT96`: a date, a space and a time. With a zone, if it counts from an instant: it is in UTC then, and `+00` follows.
    /// Nine digits of a fraction where it is not one of whole microseconds.
    Timestamp { with_zone: bool },
    /// `INTERVAL`, and Arrow's durations: `14 mons 3 days 00:00:01.500`, `26:00:00`.
    Interval,
    /// `STRING`, `ENUM`, and bytes that Arrow's schema calls text. Text that is not UTF-8 ends the stream if it is a `STRING`, and is passed
    /// on as it is if it is not.
    Text,
    /// `JSON`, as it stands there; and groups, `LIST`, `MAP` and repeated fields as JSON. In it numbers have all their digits; NaN and
    /// infinities, times, UUIDs and bytes are strings that read as they would in a column of their own; keys of a map are strings, in the
    /// order of the file, even if one comes twice.
    Json,
    /// `UUID`: in the usual form.
    Uuid,
    /// `BYTE_ARRAY` and `FIXED_LEN_BYTE_ARRAY` that are none of the above, `BSON`, `GEOMETRY`, `GEOGRAPHY`: `\x` and hexadecimal digits.
    Binary,
}

/// As in a sentence: 'a column of 32-bit integers'.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing but NULL"),
            Self::Boolean => f.write_str("truth values"),
            Self::Integer { bits, signed: true } => write!(f, "{bits}-bit integers"),
            Self::Integer { bits, signed: false } => write!(f, "unsigned {bits}-bit integers"),
            Self::Float { bits } => write!(f, "{bits}-bit floating-point numbers"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale}) numbers"),
            Self::Date => f.write_str("dates"),
            Self::Time => f.write_str("times of day"),
            Self::Timestamp { with_zone: false } => f.write_str("timestamps without a time zone"),
            Self::Timestamp { with_zone: true } => f.write_str("timestamps with a time zone"),
            Self::Interval => f.write_str("intervals"),
            Self::Text => f.write_str("text"),
            Self::Json => f.write_str("JSON"),
            Self::Uuid => f.write_str("UUIDs"),
            Self::Binary => f.write_str("bytes"),
        }
    }
}
