//! The values of one column in one batch, and the text of each.

mod array;

use arrow_array::{BinaryViewArray, BooleanArray, FixedSizeBinaryArray};
use arrow_buffer::{IntervalDayTime, NullBuffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::TimeUnit;

use crate::{csv, error::Damage, json, text};

/// The values of a column, or of a part of one.
#[derive(Debug)]
pub(crate) struct Cells {
    nulls: Option<NullBuffer>,
    values: Values,
}

/// What [`Shape`](crate::shape::Shape) says, with the values.
#[derive(Debug)]
enum Values {
    Null,
    Boolean(BooleanArray),
    Signed(ScalarBuffer<i64>),
    Unsigned(ScalarBuffer<u64>),
    Single(ScalarBuffer<f32>),
    Double(ScalarBuffer<f64>),
    Decimal(ScalarBuffer<i128>, i8),
    Decimal256(ScalarBuffer<i256>, i8),
    Date(ScalarBuffer<i32>),
    DateMillis(ScalarBuffer<i64>),
    Time(ScalarBuffer<i64>, TimeUnit),
    Timestamp {
        values: ScalarBuffer<i64>,
        unit: TimeUnit,
        with_zone: bool,
    },
    Int96 {
        seconds: ScalarBuffer<i64>,
        nanos: ScalarBuffer<i64>,
        with_zone: bool,
    },
    Duration(ScalarBuffer<i64>, TimeUnit),
    Interval {
        months: ScalarBuffer<i32>,
        rest: ScalarBuffer<IntervalDayTime>,
        signed: bool,
    },
    Text(BinaryViewArray),
    Binary(BinaryViewArray),
    Uuid(FixedSizeBinaryArray),
    FixedBinary(FixedSizeBinaryArray),
    List(OffsetBuffer<i32>, Box<Cells>),
    Map {
        offsets: OffsetBuffer<i32>,
        keys: Box<Cells>,
        values: Box<Cells>,
    },
    Struct(Vec<(String, Cells)>),
}

impl Cells {
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a value as a field of CSV. `room` is for what is written before it is put in quotes.
    pub(crate) fn field(&self, row: usize, out: &mut Vec<u8>, room: &mut Vec<u8>) -> Result<(), Damage> {
        if self.is_null(row) {
            out.extend_from_slice(csv::NULL.as_bytes());
            return Ok(());
        }
        match &self.values {
            Values::Text(texts) => csv::quoted(out, texts.value(row)),
            Values::List(..) | Values::Map { .. } | Values::Struct(_) => {
                room.clear();
                self.json(row, room)?;
                csv::quoted(out, room);
            }
            Values::Uuid(_) | Values::Binary(_) | Values::FixedBinary(_) => {
                // Neither of these has a quote in its text.
                out.push(b'"');
                self.text(row, out);
                out.push(b'"');
            }
            _ => self.text(row, out),
        }
        Ok(())
    }

    /// Appends a value as JSON.
    pub(crate) fn json(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::List(offsets, items) => {
                out.push(b'[');
                for (at, item) in span(offsets, row).enumerate() {
                    json::separate(out, at);
                    items.json(item, out)?;
                }
                out.push(b']');
            }
            Values::Map { offsets, keys, values } => {
                out.push(b'{');
                for (at, entry) in span(offsets, row).enumerate() {
                    json::separate(out, at);
                    keys.key(entry, out)?;
                    out.push(b':');
                    values.json(entry, out)?;
                }
                out.push(b'}');
            }
            Values::Struct(fields) => {
                out.push(b'{');
                for (at, (name, cells)) in fields.iter().enumerate() {
                    json::separate(out, at);
                    json::string(out, name.as_bytes());
                    out.push(b':');
                    cells.json(row, out)?;
                }
                out.push(b'}');
            }
            _ if self.is_json_as_it_is(row) => self.text(row, out),
            _ => self.json_string(row, out),
        }
        Ok(())
    }

    /// Appends a key of a map.
    fn key(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
        if self.is_null(row) {
            return Err(Damage::NullKey);
        }
        self.json_string(row, out);
        Ok(())
    }

    fn json_string(&self, row: usize, out: &mut Vec<u8>) {
        if let Values::Text(texts) = &self.values {
            return json::string(out, texts.value(row));
        }
        out.push(b'"');
        if matches!(self.values, Values::Binary(_) | Values::FixedBinary(_)) {
            // The backslash of `\x` is to be one in the string.
            out.push(b'\\');
        }
        self.text(row, out);
        out.push(b'"');
    }

    /// Whether the text of a value is JSON as it is.
    fn is_json_as_it_is(&self, row: usize) -> bool {
        match &self.values {
            Values::Boolean(_)
            | Values::Signed(_)
            | Values::Unsigned(_)
            | Values::Decimal(..)
            | Values::Decimal256(..) => true,
            Values::Single(values) => values[row].is_finite(),
            Values::Double(values) => values[row].is_finite(),
            _ => false,
        }
    }

    /// Appends a value that has no parts and is not NULL.
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Signed(values) => text::integer(out, values[row]),
            Values::Unsigned(values) => text::integer(out, values[row]),
            // As a wider number: with fewer digits it would be another one there.
            Values::Single(values) => text::double(out, values[row].into()),
            Values::Double(values) => text::double(out, values[row]),
            Values::Decimal(values, scale) => text::decimal(out, values[row], *scale),
            Values::Decimal256(values, scale) => text::decimal_256(out, values[row], *scale),
            Values::Date(values) => text::date(out, values[row].into()),
            Values::DateMillis(values) => text::date_of_millis(out, values[row]),
            Values::Time(values, unit) => text::time_of_day(out, values[row], *unit),
            Values::Timestamp {
                values,
                unit,
                with_zone,
            } => text::timestamp(out, values[row], *unit, *with_zone),
            Values::Int96 {
                seconds,
                nanos,
                with_zone,
            } => text::int96(out, seconds[row], nanos[row], *with_zone),
            Values::Duration(values, unit) => text::duration(out, values[row], *unit),
            Values::Interval { months, rest, signed } => {
                text::interval(out, &interval(months[row], rest[row], *signed));
            }
            Values::Text(values) => out.extend_from_slice(values.value(row)),
            Values::Binary(values) => text::hexadecimal(out, values.value(row)),
            Values::FixedBinary(values) => text::hexadecimal(out, values.value(row)),
            Values::Uuid(values) => text::uuid(out, values.value(row)),
            Values::Null | Values::List(..) | Values::Map { .. } | Values::Struct(_) => {}
        }
    }
}

/// Where the parts of a value lie.
fn span(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| usize::try_from(offsets[row]).unwrap_or_default();
    at(row)..at(row + 1)
}

/// The numbers are unsigned in Parquet, and signed in Arrow.
fn interval(months: i32, rest: IntervalDayTime, signed: bool) -> text::Interval {
    let number = |number: i32| {
        if signed {
            i64::from(number)
        } else {
            i64::from(number.cast_unsigned())
        }
    };
    text::Interval {
        months: number(months),
        days: number(rest.days),
        millis: number(rest.milliseconds),
    }
}
