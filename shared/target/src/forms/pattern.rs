//! Patterns of dates and timestamps, in the words of Postgres' `to_char`.

use std::io::Write as _;

use crate::values::trim;

/// A pattern, made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    /// Of two digits: 1970 to 2069.
    ShortYear,
    Month,
    MonthName,
    ShortMonthName,
    Day,
    Hour,
    /// From 1 to 12.
    HalfDayHour,
    Minute,
    Second,
    /// Digits after the seconds' point, at most so many.
    Fraction(usize),
    /// AM or PM, or with dots.
    HalfDay {
        dotted: bool,
    },
    ZoneHour,
    ZoneMinute,
    /// Hours, and minutes if there are any.
    Offset,
    Literal(char),
}

/// In the order in which a longer word comes before the shorter one that begins it.
const WORDS: [(&str, Part); 20] = [
    ("YYYY", Part::Year),
    ("YY", Part::ShortYear),
    ("MONTH", Part::MonthName),
    ("MON", Part::ShortMonthName),
    ("MM", Part::Month),
    ("DD", Part::Day),
    ("HH24", Part::Hour),
    ("HH12", Part::HalfDayHour),
    ("HH", Part::HalfDayHour),
    ("MI", Part::Minute),
    ("SS", Part::Second),
    ("MS", Part::Fraction(3)),
    ("US", Part::Fraction(6)),
    ("AM", Part::HalfDay { dotted: false }),
    ("PM", Part::HalfDay { dotted: false }),
    ("A.M.", Part::HalfDay { dotted: true }),
    ("P.M.", Part::HalfDay { dotted: true }),
    ("TZH", Part::ZoneHour),
    ("TZM", Part::ZoneMinute),
    ("OF", Part::Offset),
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// What was read so far.
#[derive(Default)]
struct Moment {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    /// Millionths.
    fraction: u32,
    zone: Option<(bool, u32, u32)>,
}

impl Pattern {
    /// Reads a pattern for a type that has a time of day, or a time zone, or neither.
    pub(super) fn compile(text: &str, has_time: bool, has_zone: bool) -> Result<Self, String> {
        let parts = parse(text)?;
        let counts = |wanted: &[Part]| parts.iter().filter(|part| wanted.contains(part)).count();
        for (what, kinds) in [
            ("a year (YYYY or YY)", &[Part::Year, Part::ShortYear][..]),
            (
                "a month (MM, Mon or Month)",
                &[Part::Month, Part::ShortMonthName, Part::MonthName],
            ),
            ("a day (DD)", &[Part::Day]),
        ] {
            if counts(kinds) != 1 {
                return Err(format!("it must have {what} once"));
            }
        }
        for kinds in [
            &[Part::Hour, Part::HalfDayHour][..],
            &[Part::Minute],
            &[Part::Second],
            &[Part::Fraction(3), Part::Fraction(6)],
            &[Part::HalfDay { dotted: false }, Part::HalfDay { dotted: true }],
            &[Part::ZoneHour, Part::Offset],
            &[Part::ZoneMinute],
        ] {
            if counts(kinds) > 1 {
                return Err("it has a part twice".to_owned());
            }
        }
        let half_day = counts(&[Part::HalfDay { dotted: false }, Part::HalfDay { dotted: true }]);
        if counts(&[Part::HalfDayHour]) != half_day {
            return Err(
                "HH and HH12 need AM or PM, and AM and PM need one of them; hours from 0 to 23 are HH24".to_owned(),
            );
        }
        let zone = counts(&[Part::ZoneHour, Part::ZoneMinute, Part::Offset]) > 0;
        let place = |wanted: Part| parts.iter().position(|part| *part == wanted);
        if place(Part::ZoneMinute).is_some_and(|minute| place(Part::ZoneHour).is_none_or(|hour| hour > minute)) {
            return Err("TZM needs TZH before it".to_owned());
        }
        let [hours, minutes, seconds, fractions] = [
            counts(&[Part::Hour, Part::HalfDayHour]),
            counts(&[Part::Minute]),
            counts(&[Part::Second]),
            counts(&[Part::Fraction(3), Part::Fraction(6)]),
        ];
        if minutes > hours || seconds > minutes || fractions > seconds {
            return Err("MI needs an hour, SS needs MI, and MS and US need SS".to_owned());
        }
        let time = counts(&[
            Part::Hour,
            Part::HalfDayHour,
            Part::Minute,
            Part::Second,
            Part::Fraction(3),
            Part::Fraction(6),
        ]) > 0;
        if !has_time && (time || zone) {
            return Err("a date has no time of day".to_owned());
        }
        if !has_zone && zone {
            return Err("a timestamp without time zone has no time zone".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// As it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Writes the field in ISO 8601; `None` when it does not have this form.
    pub(super) fn rewrite(&self, field: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut rest = std::str::from_utf8(trim(field)).ok()?;
        let mut moment = Moment::default();
        for (index, part) in self.parts.iter().enumerate() {
            let is_number = |part: Option<&Part>| part.is_some_and(Part::is_number);
            let before = index.checked_sub(1).and_then(|index| self.parts.get(index));
            // In a run of numbers each has all of its digits.
            let fixed = is_number(before) || is_number(self.parts.get(index + 1));
            rest = moment.read(*part, fixed, rest)?;
        }
        // A number that is longer is another one.
        rest.is_empty().then(|| moment.write(out))?
    }
}

impl Part {
    fn is_number(&self) -> bool {
        match self {
            Self::Literal(c) => c.is_ascii_digit(),
            Self::MonthName | Self::ShortMonthName | Self::HalfDay { .. } | Self::ZoneHour | Self::Offset => false,
            _ => true,
        }
    }
}

fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let at = text.len() - rest.len() + 1;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (literal, after) = quoted
                .split_once('"')
                .ok_or_else(|| format!("the quote at character {at} is not closed"))?;
            parts.extend(literal.chars().map(Part::Literal));
            rest = after;
            continue;
        }
        // Without leading zeros and spaces, as numbers may be read anyway.
        if rest.get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case("FM")) {
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        let word = WORDS.iter().find(|(word, _)| {
            rest.get(..word.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        });
        if let Some((word, part)) = word {
            parts.push(*part);
            rest = rest.get(word.len()..).unwrap_or_default();
        } else if next.is_alphanumeric() {
            return Err(format!(
                "'{next}' at character {at} begins no word that is known (YYYY, YY, MM, Mon, Month, DD, HH24, HH12, MI, SS, MS, US, AM, TZH, TZM, OF); \
                 put text in double quotes"
            ));
        } else {
            parts.push(Part::Literal(next));
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(parts)
}

/// A number of so many digits, and what follows it.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let found = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(found)?;
    (found >= least)
        .then(|| number.parse().ok())
        .flatten()
        .map(|number| (number, rest))
}

impl Moment {
    /// Takes a part off the text; a number of `fixed` length has all of its digits.
    fn read<'t>(&mut self, part: Part, fixed: bool, text: &'t str) -> Option<&'t str> {
        let least = if fixed { 2 } else { 1 };
        let mut number = |to: fn(&mut Self) -> &mut u32| {
            let (found, rest) = digits(text, least, 2)?;
            *to(self) = found;
            Some(rest)
        };
        match part {
            Part::Month => number(|moment| &mut moment.month),
            Part::Day => number(|moment| &mut moment.day),
            Part::Hour => number(|moment| &mut moment.hour),
            Part::Minute => number(|moment| &mut moment.minute),
            Part::Second => number(|moment| &mut moment.second),
            Part::HalfDayHour => {
                let rest = number(|moment| &mut moment.hour)?;
                (1..=12).contains(&self.hour).then_some(rest)
            }
            Part::Year => {
                let (year, rest) = digits(text, 4, 4)?;
                self.year = year;
                Some(rest)
            }
            Part::ShortYear => {
                let (year, rest) = digits(text, 2, 2)?;
                self.year = if year < 70 { 2000 + year } else { 1900 + year };
                Some(rest)
            }
            Part::MonthName | Part::ShortMonthName => self.read_month(text, part == Part::ShortMonthName),
            Part::Fraction(most) => {
                let (fraction, rest) = digits(text, 1, most)?;
                let count = u32::try_from(text.len() - rest.len()).ok()?;
                self.fraction = fraction * 10_u32.checked_pow(6_u32.checked_sub(count)?)?;
                Some(rest)
            }
            Part::HalfDay { dotted } => {
                let (morning, afternoon) = if dotted { ("a.m.", "p.m.") } else { ("am", "pm") };
                let (word, rest) = text.split_at_checked(morning.len())?;
                self.afternoon = Some(word.eq_ignore_ascii_case(afternoon));
                (word.eq_ignore_ascii_case(morning) || word.eq_ignore_ascii_case(afternoon)).then_some(rest)
            }
            Part::ZoneHour | Part::Offset => {
                let west = text.starts_with('-');
                let (hours, mut rest) = digits(text.strip_prefix(['+', '-'])?, 2, 2)?;
                let mut minutes = 0;
                if part == Part::Offset
                    && let Some(after) = rest.strip_prefix(':')
                {
                    (minutes, rest) = digits(after, 2, 2)?;
                }
                self.zone = Some((west, hours, minutes));
                Some(rest)
            }
            Part::ZoneMinute => {
                let (minutes, rest) = digits(text, 2, 2)?;
                let (west, hours, _) = self.zone?;
                self.zone = Some((west, hours, minutes));
                Some(rest)
            }
            Part::Literal(c) => text.strip_prefix(c),
        }
    }

    fn read_month<'t>(&mut self, text: &'t str, short: bool) -> Option<&'t str> {
        for (index, name) in MONTHS.iter().enumerate() {
            let name = if short { name.get(..3)? } else { name };
            if let Some((word, rest)) = text.split_at_checked(name.len())
                && word.eq_ignore_ascii_case(name)
            {
                self.month = u32::try_from(index).ok()? + 1;
                return Some(rest);
            }
        }
        None
    }

    fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        // Whether there are such a day, minute and zone is looked at where the value is read. That would carry these into the next day
        // and minute.
        if hour > 23 || self.second > 59 {
            return None;
        }
        let Self {
            year,
            month,
            day,
            minute,
            second,
            fraction,
            ..
        } = self;
        write!(out, "{year:04}-{month:02}-{day:02}").ok()?;
        if (hour, *minute, *second, *fraction) != (0, 0, 0, 0) || self.zone.is_some() {
            write!(out, " {hour:02}:{minute:02}:{second:02}.{fraction:06}").ok()?;
        }
        if let Some((west, hours, minutes)) = self.zone {
            write!(out, "{}{hours:02}:{minutes:02}", if west { '-' } else { '+' }).ok()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(pattern: &str, field: &str) -> Option<String> {
        let pattern = Pattern::compile(pattern, true, true).unwrap();
        let mut out = Vec::new();
        pattern.rewrite(field.as_bytes(), &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_date_is_rewritten_in_iso_8601() {
        for (pattern, field, iso) in [
            ("DD.MM.YYYY", "31.01.2026", "2026-01-31"),
            ("DD.MM.YYYY", " 1.2.2026 ", "2026-02-01"),
            ("MM/DD/YY", "12/31/69", "2069-12-31"),
            ("mm/dd/yy", "12/31/70", "1970-12-31"),
            ("YYYYMMDD", "20260131", "2026-01-31"),
            ("DD Mon YYYY", "3 mar 2026", "2026-03-03"),
            ("FMDD.fmMM.YYYY", "3.4.2026", "2026-04-03"),
            ("Month DD, YYYY", "May 5, 2026", "2026-05-05"),
            (
                "YYYY-MM-DD\"T\"HH24:MI:SS.US",
                "2026-01-31T23:59:58.5",
                "2026-01-31 23:59:58.500000",
            ),
            (
                "DD.MM.YYYY HH12:MI PM",
                "31.01.2026 12:05 am",
                "2026-01-31 00:05:00.000000",
            ),
            (
                "DD.MM.YYYY HH:MI a.m.",
                "31.01.2026 1:05 P.M.",
                "2026-01-31 13:05:00.000000",
            ),
            (
                "YYYY-MM-DD HH24 OF",
                "2026-01-31 05 -03:30",
                "2026-01-31 05:00:00.000000-03:30",
            ),
            (
                "YYYY-MM-DD HH24:MITZHTZM",
                "2026-01-31 05:06+0200",
                "2026-01-31 05:06:00.000000+02:00",
            ),
        ] {
            assert_eq!(rewritten(pattern, field).as_deref(), Some(iso), "{pattern} {field}");
        }
    }

    #[test]
    fn what_does_not_have_the_form_exactly_is_no_date() {
        for (pattern, field) in [
            ("DD.MM.YYYY", "31-01-2026"),
            ("DD.MM.YYYY", "31.01.26"),
            ("DD.MM.YYYY", "31.01.20261"),
            ("DD.MM.YYYY", "31.01.2026 ".repeat(2).as_str()),
            ("DD.MM.YYYY", "131.01.2026"),
            ("DD.MM.YYYY", "2026-01-31"),
            ("YYYYMMDD", "2026131"),
            ("DD Mon YYYY", "3 mrz 2026"),
            ("DD.MM.YYYY HH12:MI AM", "31.01.2026 13:05 AM"),
            ("DD.MM.YYYY HH24:MI", "31.01.2026 24:00"),
            ("DD.MM.YYYY HH24:MI:SS", "31.01.2026 23:59:60"),
            ("DD.MM.YYYY", "\u{a0}31.01.2026"),
            ("DD.MM.YYYY", "infinity"),
            ("DD.MM.YYYY", ""),
        ] {
            assert_eq!(rewritten(pattern, field), None, "{pattern} {field}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused() {
        for (pattern, has_time, has_zone, what) in [
            ("MM/YYYY", true, true, "a day (DD) once"),
            ("DD.MM.YYYY YY", true, true, "a year"),
            ("DD.MM.YYYY Q", true, true, "'Q' at character 12"),
            ("DD.MM.YYYY \"x", true, true, "not closed"),
            ("DD.MM.YYYY HH:MI", true, true, "HH24"),
            ("DD.MM.YYYY HH24:MI", false, false, "no time of day"),
            ("DD.MM.YYYY OF", true, false, "no time zone"),
            ("DD.MM.YYYY MI MI", true, true, "twice"),
            ("DD.MM.YYYY HH24:MI:MS", true, true, "need SS"),
            ("DD.MM.YYYY MI", true, true, "MI needs an hour"),
            ("DD.MM.YYYY HH24 TZMTZH", true, true, "TZM needs TZH"),
        ] {
            let error = Pattern::compile(pattern, has_time, has_zone).unwrap_err();
            assert!(error.contains(what), "{pattern}: {error}");
        }
    }
}
