//! Dates and times in the form that nearly all have, read by `jiff`.

use jiff::civil::{Date, DateTime, Time};
use target::ColumnType;

use super::{encoded, trimmed};

const SECOND: i64 = 1_000_000;
/// C's `isspace`.
const SPACES: [char; 6] = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];

/// `YYYY-MM-DD HH:MM[:SS[.ffffff]][zone]`.
pub struct Moment {
    time: DateTime,
    pub offset_seconds: Option<i64>,
}

impl Moment {
    /// `None` for a time that is not written so, or that no clock shows.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, rest) = text.split_once(|c| matches!(c, 'T' | 't') || SPACES.contains(&c))?;
        let rest = rest.trim_start_matches(SPACES);
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'))
            .unwrap_or(rest.len());
        let (clock, zone) = rest.split_at(end);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut numbers = clock.split(':').map(|number| number.parse().ok());
        let (hour, minute) = (numbers.next()??, numbers.next()??);
        let second = numbers.next().unwrap_or(Some(0))?;
        if numbers.next().is_some() || fraction.is_empty() || fraction.trim_end_matches('0').len() > 6 {
            return None;
        }
        let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        Some(Self {
            time: parse_day(day)?.to_datetime(Time::new(hour, minute, second, nanos).ok()?),
            offset_seconds: parse_zone(zone.trim_start_matches(SPACES))?,
        })
    }

    /// Since 2000-01-01, in UTC.
    pub fn micros(&self) -> i64 {
        let since = self.time.duration_since(DateTime::constant(2000, 1, 1, 0, 0, 0, 0));
        i64::try_from(since.as_micros()).expect("years of four digits") - self.offset_seconds.unwrap_or(0) * SECOND
    }

    pub fn time(&self) -> DateTime {
        self.time
    }
}

fn parse_day(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || year.len() != 4 || ![year, month, day].into_iter().all(is_number) {
        return None;
    }
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    (date.year() > 0).then_some(date)
}

fn parse_zone(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Some(Some(0));
    }
    let digits: String = text.strip_prefix(['-', '+'])?.split(':').collect();
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i64>().ok());
    let seconds = part(0)? * 3600 + part(2)? * 60 + part(4)?;
    Some(Some(if text.starts_with('-') { -seconds } else { seconds }))
}

fn has_form(field: &[u8], form: &str) -> bool {
    field.len() == form.len()
        && field.iter().zip(form.bytes()).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => *byte == form,
        })
}

pub fn check_date(field: &[u8]) {
    let found = encoded(&ColumnType::Date, field).ok();
    let text = trimmed(field);
    if has_form(text, "dddd-dd-dd") {
        let day = parse_day(std::str::from_utf8(text).expect("digits"));
        let expected = day.map(|day| {
            let since = day.duration_since(Date::constant(2000, 1, 1));
            let days = i32::try_from(since.as_hours() / 24).expect("years of four digits");
            days.to_be_bytes().to_vec()
        });
        assert_eq!(found, expected);
    }
}

pub fn check_timestamp(field: &[u8], precision: Option<u8>) {
    check_moment(field, precision, &ColumnType::Timestamp { precision }, false);
}

pub fn check_timestamptz(field: &[u8], precision: Option<u8>) {
    check_moment(field, precision, &ColumnType::Timestamptz { precision }, true);
}

fn check_moment(field: &[u8], precision: Option<u8>, kind: &ColumnType, takes_zone: bool) {
    const FORMS: [&str; 3] = ["dddd-dd-dd dd:dd", "dddd-dd-ddTdd:dd:dd", "dddd-dd-dd dd:dd:dd.dddddd"];
    const WITH_ZONE: [&str; 2] = ["dddd-dd-dd dd:dd:dd+dd:dd", "dddd-dd-ddTdd:dd:dd.ddd-dddd"];
    let found = encoded(kind, field).ok();
    let text = trimmed(field);
    let is = |forms: &[&str]| forms.iter().any(|form| has_form(text, form));
    let is_usual = is(&FORMS) || takes_zone && is(&WITH_ZONE);
    if !is_usual {
        return;
    }
    let text = std::str::from_utf8(text).expect("digits");
    let Some(moment) = Moment::parse(text) else {
        // A day's last second may be its sixtieth, and midnight its end.
        let odd = text.contains(":60") || text.contains("24:00");
        assert!(found.is_none() || odd, "{text}");
        return;
    };
    // Zones of more than 15 hours are none.
    if moment.offset_seconds.is_some() && found.is_none() {
        return;
    }
    let micros = moment.micros();
    let unit = precision.map_or(1, |precision| 10_i64.pow(6 - u32::from(precision)));
    let rounded = (micros.abs() + unit / 2) / unit * unit * micros.signum();
    assert_eq!(found, Some(rounded.to_be_bytes().to_vec()), "{text}");
}
