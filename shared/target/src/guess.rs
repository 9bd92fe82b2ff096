//! Which type a column could have, by values of it.
//!
//! A type never changes a value: what would be written otherwise by the type is text. A number with a leading zero, a sign or an exponent stays text,
//! as what is an id often looks so; an integer beyond bigint is numeric; nothing is a float.

use crate::{ColumnType, values};

/// What a column could be, after some of its values.
#[derive(Debug, Clone)]
pub struct TypeGuess {
    /// Which of [`TYPES`] hold all values so far.
    possible: [bool; TYPES.len()],
    /// Whether there was a value.
    any: bool,
    /// The line of the value by which the answer became what it is.
    decided_on: Option<u64>,
    room: Vec<u8>,
}

/// The first that holds all values is the answer.
const TYPES: [(&str, ColumnType); 7] = [
    ("bigint", ColumnType::Int8),
    ("numeric", ColumnType::Numeric { precision_scale: None }),
    ("boolean", ColumnType::Bool),
    ("uuid", ColumnType::Uuid),
    ("date", ColumnType::Date),
    ("timestamp", ColumnType::Timestamp { precision: None }),
    ("timestamptz", ColumnType::Timestamptz { precision: None }),
];

/// Digits of a second that Postgres keeps.
const MICROSECOND_DIGITS: usize = 6;

impl Default for TypeGuess {
    fn default() -> Self {
        Self {
            possible: [true; TYPES.len()],
            any: false,
            decided_on: None,
            room: Vec::new(),
        }
    }
}

impl TypeGuess {
    /// Takes a value that is not NULL, on a line.
    pub fn add(&mut self, value: &[u8], line: u64) {
        let before = self.any.then(|| self.name());
        for (possible, (_, kind)) in self.possible.iter_mut().zip(&TYPES) {
            *possible = *possible && keeps(kind, value, &mut self.room);
        }
        self.any = true;
        if before != Some(self.name()) {
            self.decided_on = Some(line);
        }
    }

    /// The type, by its name in SQL.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let mut possible = self.possible.iter().zip(&TYPES);
        match possible.find(|(possible, _)| **possible) {
            Some((_, (name, _))) if self.any => name,
            _ => "text",
        }
    }

    /// The line of the value that decided; `None` without any value.
    #[must_use]
    pub fn decided_on(&self) -> Option<u64> {
        self.decided_on
    }
}

/// Whether a value looks like one of a type other than text, or like a day or a time, however it is written.
#[must_use]
pub fn is_typed(value: &[u8]) -> bool {
    let mut room = Vec::new();
    is_day_or_time(value) || TYPES.iter().any(|(_, kind)| keeps(kind, value, &mut room))
}

/// Whether a value is three numbers between points, strokes or hyphens, or two or three between colons.
fn is_day_or_time(value: &[u8]) -> bool {
    let parts = |separator: u8| {
        let mut parts = value.split(|byte| *byte == separator);
        let are_numbers = parts.all(|part| (1..=4).contains(&part.len()) && part.iter().all(u8::is_ascii_digit));
        let count = value.iter().filter(|byte| **byte == separator).count() + 1;
        if are_numbers { count } else { 0 }
    };
    b"./-".iter().any(|separator| parts(*separator) == 3) || matches!(parts(b':'), 2 | 3)
}

/// Whether a type holds a value and writes it as it stands here.
fn keeps(kind: &ColumnType, value: &[u8], room: &mut Vec<u8>) -> bool {
    let written_so = match kind {
        ColumnType::Int8 | ColumnType::Numeric { .. } => {
            let digits = value.strip_prefix(b"-").unwrap_or(value);
            let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let leading_zero = whole > 1 && digits.first() == Some(&b'0');
            whole > 0
                && !leading_zero
                && digits.last().is_some_and(u8::is_ascii_digit)
                && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
                && !(value.starts_with(b"-") && digits.iter().all(|byte| b"0.".contains(byte)))
        }
        ColumnType::Bool => [&b"true"[..], b"false"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word)),
        ColumnType::Uuid => {
            let hyphens = value.iter().enumerate().filter(|(_, byte)| **byte == b'-');
            value.len() == 36 && hyphens.map(|(at, _)| at).eq([8, 13, 18, 23])
        }
        ColumnType::Date => value.len() == 10 && value.get(4) == Some(&b'-') && value.get(7) == Some(&b'-'),
        _ => value.len() > 10 && value.get(4) == Some(&b'-') && is_shown_by_clocks(value),
    };
    room.clear();
    // A time without a zone is another one in each.
    let zoned = !matches!(kind, ColumnType::Timestamptz { .. }) || values::local_time(value).is_none();
    let spaced = values::trim(value).len() < value.len();
    written_so && !spaced && zoned && values::encode(kind, value, room).is_ok()
}

/// Whether a time is kept as it is: not the end of a day or a leap second, which become the beginning of the next day or minute, nor one that is
/// rounded.
fn is_shown_by_clocks(value: &[u8]) -> bool {
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let (Some(before), Some(_), after) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let fraction = value.iter().skip_while(|byte| **byte != b'.').skip(1);
    !before.ends_with(b"24")
        && !after.is_some_and(|seconds| seconds.starts_with(b"60"))
        && fraction.take_while(|byte| byte.is_ascii_digit()).count() <= MICROSECOND_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> (&'static str, Option<u64>) {
        let mut guess = TypeGuess::default();
        for (line, value) in (1..).zip(values) {
            guess.add(value.as_bytes(), line);
        }
        (guess.name(), guess.decided_on())
    }

    #[test]
    fn a_type_holds_every_value_and_the_line_that_decided_is_known() {
        for (values, name, line) in [
            (&["1", "-20", "0"][..], "bigint", Some(1)),
            (&["1", "2", "1.50"], "numeric", Some(3)),
            (&["1", "9223372036854775808"], "numeric", Some(2)),
            (&["1", "007"], "text", Some(2)),
            (&["0.5", "1e5"], "text", Some(2)),
            (&["+1"], "text", Some(1)),
            (&["-0"], "text", Some(1)),
            (&["-0.0"], "text", Some(1)),
            (&["1.", "2"], "text", Some(1)),
            (&["NaN"], "text", Some(1)),
            (&["true", "FALSE"], "boolean", Some(1)),
            (&["t", "f"], "text", Some(1)),
            (&["1", "true"], "text", Some(2)),
            (&["2026-01-31"], "date", Some(1)),
            (&["2026-01-31", "2026-02-30"], "text", Some(2)),
            (&["31.01.2026"], "text", Some(1)),
            (&["20260131"], "bigint", Some(1)),
            (&["2026-01-31 12:00", "2026-01-31T12:00:00.5"], "timestamp", Some(1)),
            (&["2026-01-31 12:00+02"], "timestamptz", Some(1)),
            (&["2026-01-31 12:00Z", "2026-01-31 12:00"], "text", Some(2)),
            (&["2026-01-31", "2026-01-31 12:00"], "text", Some(2)),
            (&["0189aaaa-bbbb-7ccc-8ddd-eeeeffff0000"], "uuid", Some(1)),
            (&["12026-1-31"], "text", Some(1)),
            (&[" 2026-1-31"], "text", Some(1)),
            (&["2026-01-5 "], "text", Some(1)),
            (&["2026-01-31 24:00"], "text", Some(1)),
            (&["2026-01-31 23:59:60Z"], "text", Some(1)),
            (&["2026-01-31 12:00 "], "text", Some(1)),
            (&["2026-01-31 12:00:00.123456"], "timestamp", Some(1)),
            (&["2026-01-31 12:00:00.1234567"], "text", Some(1)),
            (&["2026-01-31 12:00:24"], "timestamp", Some(1)),
            // An id of other groups is no UUID to whoever wrote it.
            (&["0189-aaaa-bbbb-7ccc-8dddeeeeffff0000"], "text", Some(1)),
            (&["{0189aaaabbbb-7ccc-8dddeeeeffff0000}"], "text", Some(1)),
            (&[""], "text", Some(1)),
            (&[], "text", None),
        ] {
            assert_eq!(guess(values), (name, line), "{values:?}");
        }
    }

    #[test]
    fn names_are_no_values() {
        assert!(!is_typed(b"name") && !is_typed(b"") && !is_typed(b"2nd"));
        assert!(!is_typed(b"2016/17") && !is_typed(b"1.2.3.4") && !is_typed(b"a:1") && !is_typed(b"//"));
        assert!(is_typed(b"12") && is_typed(b"2026-01-31") && is_typed(b"true"));
        assert!(is_typed(b"28/02/2008") && is_typed(b"1.2.08") && is_typed(b"0:10:00") && is_typed(b"9:30"));
    }
}
