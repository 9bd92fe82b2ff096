//! Which type a column could have, by values of it.
//!
//! A type never changes a value: what would be written otherwise by the type is text. A number with a leading zero, a sign or an exponent stays text,
//! as what is an id often looks so; an integer beyond bigint is numeric; nothing is a float.

use model::ValuesSpec;

use crate::{
    ColumnType,
    forms::{Form, FormError},
    values,
};

/// What a column could be, after some of its values.
#[derive(Debug, Clone)]
pub struct TypeGuess {
    /// Which of [`TYPES`] hold all values so far.
    possible: [bool; TYPES.len()],
    /// How the values of each are written, if not as Postgres writes them.
    forms: [Option<Form>; TYPES.len()],
    /// Whether somebody said how the values are written, and so which type it is.
    said: bool,
    /// Whether there was a value.
    any: bool,
    /// The line of the value by which the answer became what it is.
    decided_on: Option<u64>,
    room: Vec<u8>,
    rewritten: Vec<u8>,
}

/// How a format itself tells a value of one kind from those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// It does not.
    Text,
    /// A string, which is no number, however it reads.
    String,
    /// What is no string, and written as the format writes it.
    Bare,
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
            forms: [const { None }; TYPES.len()],
            said: false,
            any: false,
            decided_on: None,
            room: Vec::new(),
            rewritten: Vec::new(),
        }
    }
}

impl TypeGuess {
    /// Of a column whose values are written as `spec` says: what is kept is what they are rewritten as. A column with a pattern of its own has the
    /// type that the pattern is for, whatever its values; times without a zone are instants where a zone is named for them.
    ///
    /// # Errors
    /// [`FormError`], when a pattern is for no type, or a separator or a zone is none.
    pub fn of_column(name: &str, spec: &ValuesSpec) -> Result<Self, FormError> {
        let mut guess = Self {
            said: spec.column_formats.contains_key(name),
            ..Self::default()
        };
        let forms = Form::of_kinds(spec, name, TYPES.iter().map(|(_, kind)| kind))?;
        let places = guess.forms.iter_mut().zip(&mut guess.possible);
        for ((form, possible), (found, (_, kind))) in places.zip(forms.into_iter().zip(&TYPES)) {
            let is_local = matches!(kind, ColumnType::Timestamp { .. }) && spec.time_zone.is_some();
            *possible = found.is_some() && !is_local;
            *form = found.flatten();
        }
        Ok(guess)
    }

    /// Takes a value that is not NULL, on a line.
    pub fn add(&mut self, value: &[u8], line: u64) {
        self.take(value, Nature::Text, line);
    }

    /// The same of a string, in a format that has other values beside strings: it is no number and no truth value, however it reads.
    pub fn add_string(&mut self, value: &[u8]) {
        self.take(value, Nature::String, 0);
    }

    /// The same of a value that is no string, in such a format: it is written as the format writes it.
    pub fn add_bare(&mut self, value: &[u8]) {
        self.take(value, Nature::Bare, 0);
    }

    fn take(&mut self, value: &[u8], nature: Nature, line: u64) {
        let before = (self.any || self.said).then(|| self.position());
        self.any = true;
        if !self.said {
            self.narrow(value, nature);
        }
        if before != Some(self.position()) {
            self.decided_on = Some(line);
        }
    }

    /// Leaves the types that hold one more value.
    fn narrow(&mut self, value: &[u8], nature: Nature) {
        // A bigint is always a numeric too, so that the second need not be tried.
        let mut holds_integer = false;
        let candidates = self.possible.iter_mut().zip(&self.forms);
        for ((possible, form), (_, kind)) in candidates.zip(&TYPES) {
            if !*possible || holds_integer && matches!(kind, ColumnType::Numeric { .. }) {
                continue;
            }
            let is_bare = matches!(kind, ColumnType::Int8 | ColumnType::Numeric { .. } | ColumnType::Bool);
            *possible = match (form, nature) {
                (_, Nature::String) if is_bare => false,
                (Some(form), Nature::Text | Nature::String) => {
                    self.rewritten.clear();
                    values::trim(value).len() == value.len()
                        // A day is no time, where a zone would make it one.
                        && (form.has_pattern() || !matches!(kind, ColumnType::Timestamptz { .. }) || is_longer_than_a_day(value))
                        && form.rewrite(value, &mut self.rewritten).is_ok()
                        && keeps(kind, &self.rewritten, &mut self.room)
                }
                _ => keeps(kind, value, &mut self.room),
            };
            holds_integer |= *possible && *kind == ColumnType::Int8;
        }
    }

    /// Which of [`TYPES`] it is; none for text.
    fn position(&self) -> Option<usize> {
        self.possible
            .iter()
            .position(|possible| *possible)
            .filter(|_| self.any || self.said)
    }

    /// The type, by its name in SQL.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.position()
            .and_then(|position| TYPES.get(position))
            .map_or("text", |(name, _)| name)
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> ColumnType {
        self.position()
            .and_then(|position| TYPES.get(position))
            .map_or(ColumnType::Text { max_chars: None }, |(_, kind)| kind.clone())
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
        _ => is_longer_than_a_day(value) && value.get(4) == Some(&b'-') && is_shown_by_clocks(value),
    };
    room.clear();
    // A time without a zone is another one in each.
    let zoned = !matches!(kind, ColumnType::Timestamptz { .. }) || values::local_time(value).is_none();
    let spaced = values::trim(value).len() < value.len();
    written_so && !spaced && zoned && values::encode(kind, value, room).is_ok()
}

/// Whether there is more than the ten characters of a day.
fn is_longer_than_a_day(value: &[u8]) -> bool {
    value.len() > 10
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
    fn values_are_looked_at_as_they_are_rewritten() {
        let spec = ValuesSpec {
            date_format: Some("DD.MM.YYYY".to_owned()),
            decimal_separator: Some(','),
            thousands_separator: Some('.'),
            time_zone: Some("Europe/Berlin".to_owned()),
            column_formats: [("own".to_owned(), "YYYYMMDD".to_owned())].into(),
            ..ValuesSpec::default()
        };
        for (column, values, name) in [
            ("a", &["31.01.2026"][..], "date"),
            ("a", &["31.01.2026", "31.02.2026"], "text"),
            ("a", &["2026-01-31"], "text"),
            ("a", &["1.234", "5"], "bigint"),
            ("a", &["1.234,50"], "numeric"),
            ("a", &["1.23"], "text"),
            ("a", &[" 1,5"], "text"),
            ("a", &["007"], "text"),
            ("a", &["NaN"], "text"),
            ("a", &["2026-01-31 12:00", "2026-01-31 12:00Z"], "timestamptz"),
            ("a", &["2026-01-31 12:00", "2026-01-31"], "text"),
            ("a", &[], "text"),
            ("own", &[], "date"),
            ("own", &["20260131", "soon"], "date"),
        ] {
            let mut guess = TypeGuess::of_column(column, &spec).unwrap();
            values.iter().for_each(|value| guess.add(value.as_bytes(), 1));
            assert_eq!(guess.name(), name, "{column} {values:?}");
        }
        let without = |spec: ValuesSpec| TypeGuess::of_column("a", &spec).map(|guess| guess.name());
        let wrong = ValuesSpec {
            timestamp_format: Some("DD.MM.".to_owned()),
            ..ValuesSpec::default()
        };
        assert!(matches!(without(wrong), Err(FormError::Pattern { .. })));
        // Without a zone in it, a pattern is for one of the two; with one, for the other.
        let zoned = ValuesSpec {
            timestamp_format: Some("YYYY-MM-DD HH24:MI OF".to_owned()),
            ..ValuesSpec::default()
        };
        let mut guess = TypeGuess::of_column("a", &zoned).unwrap();
        guess.add(b"2026-01-31 12:00 +02", 1);
        assert_eq!(guess.name(), "timestamptz");
    }

    #[test]
    fn strings_are_no_numbers_where_a_format_tells_them_apart() {
        let separated = ValuesSpec {
            decimal_separator: Some(','),
            ..ValuesSpec::default()
        };
        for (strings, bare, name) in [
            (&["12"][..], &[][..], "text"),
            (&["true"], &[], "text"),
            (&["2026-01-31"], &[], "date"),
            (&["0189aaaa-bbbb-7ccc-8ddd-eeeeffff0000"], &[], "uuid"),
            (&[""], &["1"], "text"),
            (&["12"], &["12"], "text"),
            (&[], &["12", "1.5"], "numeric"),
            (&[], &["true", "false"], "boolean"),
            (&[], &["1e5"], "text"),
        ] {
            let mut guess = TypeGuess::of_column("a", &separated).unwrap();
            strings.iter().for_each(|value| guess.add_string(value.as_bytes()));
            bare.iter().for_each(|value| guess.add_bare(value.as_bytes()));
            assert_eq!(guess.name(), name, "{strings:?} {bare:?}");
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
