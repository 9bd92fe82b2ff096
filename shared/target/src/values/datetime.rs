//! Dates and timestamps: ISO 8601 forms, the year first.
//!
//! Days and microseconds are counted from 2000-01-01 in the proleptic Gregorian calendar, as Postgres counts them. A
//! time without a zone in a `timestamptz` is in UTC, which the sessions that load it must have as their time zone.

use super::{ValueError, leading_digits, trim};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The last year a `date` holds.
const MAX_DATE_YEAR: u32 = 5_874_897;
/// 4714-11-24 BC, the first day a `date` holds.
const MIN_DATE: i32 = -2_451_545;
/// 4714-11-24 BC, where Julian days begin.
const MIN_TIMESTAMP: i64 = -211_813_488_000_000_000;
/// 294277-01-01, the first that is too late.
const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;
const MAX_OFFSET_HOURS: u32 = 15;
const FRACTION_DIGITS: usize = 6;

const NOT_A_DATE: ValueError = ValueError::Invalid {
    expected: "a date (YYYY-MM-DD)",
};
const NOT_A_TIMESTAMP: ValueError = ValueError::Invalid {
    expected: "a timestamp (YYYY-MM-DD HH:MM:SS)",
};
const DATE_OUT_OF_RANGE: ValueError = ValueError::OutOfRange {
    what: "date",
    limits: "holds 4714-11-24 BC to 5874897-12-31",
};
const TIMESTAMP_OUT_OF_RANGE: ValueError = ValueError::OutOfRange {
    what: "timestamp",
    limits: "holds 4714-11-24 BC to 294276-12-31",
};

/// Days since 2000-01-01.
#[inline]
pub(super) fn date(field: &[u8]) -> Result<i32, ValueError> {
    // As nearly all of them are written.
    if let Ok(day) = <[u8; 10]>::try_from(field)
        && let Some((year, month, day)) = iso_date(day)
    {
        return days_from_civil(year, month, day);
    }
    unusual_date(field)
}

#[inline(never)]
fn unusual_date(field: &[u8]) -> Result<i32, ValueError> {
    let field = trim(field);
    if let Some(late) = infinity(field) {
        return Ok(if late { i32::MAX } else { i32::MIN });
    }
    let moment = Moment::parse(field, NOT_A_DATE)?;
    if moment.offset_seconds.is_some() || moment.micros_of_day != 0 {
        return Err(ValueError::TimeInDate);
    }
    Ok(moment.days)
}

/// Microseconds since 2000-01-01 00:00.
#[inline(never)]
pub(super) fn timestamp(field: &[u8], precision: Option<u8>) -> Result<i64, ValueError> {
    let field = trim(field);
    if let Some(late) = infinity(field) {
        return Ok(if late { i64::MAX } else { i64::MIN });
    }
    let moment = Moment::parse(field, NOT_A_TIMESTAMP)?;
    if moment.offset_seconds.is_some() {
        return Err(ValueError::UnexpectedTimeZone);
    }
    moment.micros(precision)
}

/// Microseconds since 2000-01-01 00:00 UTC.
#[inline(never)]
pub(super) fn timestamptz(field: &[u8], precision: Option<u8>) -> Result<i64, ValueError> {
    let field = trim(field);
    if let Some(late) = infinity(field) {
        return Ok(if late { i64::MAX } else { i64::MIN });
    }
    Moment::parse(field, NOT_A_TIMESTAMP)?.micros(precision)
}

/// A time of day on a day of the calendar, wherever that is.
pub(crate) struct LocalTime {
    /// **Whole seconds** since 2000-01-01 00:00 there.
    pub seconds: i64,
    /// Whether the time of day was named.
    pub has_time: bool,
}

/// The time that a field names without a zone; `None` when it names one, or no time.
pub(crate) fn local_time(field: &[u8]) -> Option<LocalTime> {
    let field = trim(field);
    let moment = Moment::parse(field, NOT_A_TIMESTAMP).ok()?;
    (moment.offset_seconds.is_none()).then(|| LocalTime {
        seconds: (i64::from(moment.days) * (DAY / SECOND)) + moment.micros_of_day / SECOND,
        has_time: field.contains(&b':'),
    })
}

fn infinity(field: &[u8]) -> Option<bool> {
    if !matches!(field.first(), Some(b'i' | b'I' | b'-')) {
        None
    } else if field.eq_ignore_ascii_case(b"infinity") {
        Some(true)
    } else {
        field.eq_ignore_ascii_case(b"-infinity").then_some(false)
    }
}

struct Moment {
    days: i32,
    /// A whole day for 24:00:00 and for a leap second before midnight.
    micros_of_day: i64,
    /// East of UTC.
    offset_seconds: Option<i64>,
}

impl Moment {
    fn parse(field: &[u8], malformed: ValueError) -> Result<Self, ValueError> {
        let (rest, before_christ) = split_era(field);
        let mut cursor = Cursor {
            rest,
            malformed,
            before_christ,
        };
        let days = cursor.calendar_day()?;
        let mut moment = Self {
            days,
            micros_of_day: 0,
            offset_seconds: None,
        };
        if !cursor.rest.is_empty() {
            if !cursor.eat(b'T') && !cursor.eat(b't') && !cursor.eat_spaces() {
                return Err(malformed);
            }
            moment.micros_of_day = cursor.time_of_day()?;
            cursor.eat_spaces();
            moment.offset_seconds = cursor.offset()?;
        }
        Ok(moment)
    }

    fn micros(&self, precision: Option<u8>) -> Result<i64, ValueError> {
        let offset = self.offset_seconds.unwrap_or(0) * SECOND;
        i64::from(self.days)
            .checked_mul(DAY)
            .and_then(|midnight| midnight.checked_add(self.micros_of_day - offset))
            .filter(|micros| (MIN_TIMESTAMP..END_TIMESTAMP).contains(micros))
            .map(|micros| round_to(micros, precision))
            // Rounding up may pass the end, which Postgres would store but not read back.
            .filter(|micros| *micros < END_TIMESTAMP)
            .ok_or(TIMESTAMP_OUT_OF_RANGE)
    }
}

/// Rounds to `precision` decimal digits of a second, halves away from 2000-01-01, as Postgres does.
fn round_to(micros: i64, precision: Option<u8>) -> i64 {
    let unit = match precision {
        Some(precision @ 0..=5) => 10_i64.pow(6 - u32::from(precision)),
        _ => return micros,
    };
    (micros + micros.signum() * (unit / 2)) / unit * unit
}

/// A field without the letters BC at its end, and whether they stand there.
fn split_era(field: &[u8]) -> (&[u8], bool) {
    match field {
        [before @ .., b'b' | b'B', b'c' | b'C'] if before.last().is_some_and(|byte| super::is_space(*byte)) => {
            (trim(before), true)
        }
        _ => (field, false),
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
    malformed: ValueError,
    /// Whether years are counted backwards.
    before_christ: bool,
}

impl Cursor<'_> {
    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn eat_spaces(&mut self) -> bool {
        let before = self.rest.len();
        while let [first, rest @ ..] = self.rest
            && super::is_space(*first)
        {
            self.rest = rest;
        }
        self.rest.len() < before
    }

    fn expect(&mut self, byte: u8) -> Result<(), ValueError> {
        if self.eat(byte) { Ok(()) } else { Err(self.malformed) }
    }

    /// Takes all digits that come next, which must be `shortest` to `longest` (at most 9).
    #[inline]
    fn number(&mut self, shortest: usize, longest: usize) -> Result<u32, ValueError> {
        let mut value = 0;
        let mut count = 0;
        while let [byte @ b'0'..=b'9', rest @ ..] = self.rest {
            if count == longest {
                return Err(self.malformed);
            }
            value = value * 10 + u32::from(byte - b'0');
            count += 1;
            self.rest = rest;
        }
        if count < shortest {
            Err(self.malformed)
        } else {
            Ok(value)
        }
    }

    #[inline]
    fn calendar_day(&mut self) -> Result<i32, ValueError> {
        if let Some((head, rest)) = self.rest.split_first_chunk::<10>()
            && !matches!(rest.first(), Some(b'0'..=b'9'))
            && let Some((year, month, day)) = iso_date(*head)
        {
            self.rest = rest;
            return self.days(year, month, day);
        }
        let compact = leading_digits(self.rest) == 8 && self.rest.get(8).is_none_or(|byte| !b"-/".contains(byte));
        let (year, month, day) = if compact {
            let digits = self.number(8, 8)?;
            (digits / 10_000, digits / 100 % 100, digits % 100)
        } else {
            let year = self.number(4, 7)?;
            let separator = if self.rest.starts_with(b"/") { b'/' } else { b'-' };
            self.expect(separator)?;
            let month = self.number(1, 2)?;
            self.expect(separator)?;
            (year, month, self.number(1, 2)?)
        };
        self.days(year, month, day)
    }

    #[inline]
    fn days(&self, year: u32, month: u32, day: u32) -> Result<i32, ValueError> {
        if self.before_christ {
            days_before_christ(year, month, day)
        } else {
            days_from_civil(year, month, day)
        }
    }

    /// HH:MM[:SS[.fraction]] in microseconds.
    fn time_of_day(&mut self) -> Result<i64, ValueError> {
        let hour = self.number(1, 2)?;
        self.expect(b':')?;
        let minute = self.number(2, 2)?;
        let mut second = 0;
        let mut fraction = 0;
        if self.eat(b':') {
            second = self.number(2, 2)?;
            if self.rest.starts_with(b".") {
                fraction = self.fraction()?;
            }
        }
        let of_hour = i64::from(minute) * MINUTE + i64::from(second) * SECOND + fraction;
        let of_day = i64::from(hour) * HOUR + of_hour;
        if minute > 59 || second > 60 || of_day > DAY {
            return Err(ValueError::NoSuchTime);
        }
        Ok(of_day)
    }

    /// The point and the digits after it, in microseconds.
    fn fraction(&mut self) -> Result<i64, ValueError> {
        let digits = leading_digits(&self.rest[1..]);
        let (fraction, rest) = self.rest.split_at(1 + digits);
        self.rest = rest;
        if digits <= FRACTION_DIGITS {
            let padded = fraction[1..]
                .iter()
                .chain(std::iter::repeat(&b'0'))
                .take(FRACTION_DIGITS);
            let micros = padded.fold(0, |micros, byte| micros * 10 + i64::from(byte - b'0'));
            return if digits == 0 { Err(self.malformed) } else { Ok(micros) };
        }
        // Postgres rounds the product of doubles, so a decimal half may go either way: do the same.
        let fraction = std::str::from_utf8(fraction)
            .ok()
            .and_then(|fraction| fraction.parse::<f64>().ok());
        let micros = (fraction.ok_or(self.malformed)? * 1e6).round_ties_even();
        #[allow(clippy::cast_possible_truncation)] // 0 to 1 000 000
        Ok(micros as i64)
    }

    /// What follows the time: nothing, `Z`, `UTC` or an offset from it.
    fn offset(&mut self) -> Result<Option<i64>, ValueError> {
        let east = match self.rest {
            [] => return Ok(None),
            zone if zone.eq_ignore_ascii_case(b"z") || zone.eq_ignore_ascii_case(b"utc") => return Ok(Some(0)),
            [b'+', ..] => 1,
            [b'-', ..] => -1,
            _ => return Err(self.malformed),
        };
        self.rest = &self.rest[1..];
        let (hours, minutes, seconds) = if leading_digits(self.rest) == 4 {
            let compact = self.number(4, 4)?;
            (compact / 100, compact % 100, 0)
        } else {
            let hours = self.number(2, 2)?;
            let minutes = if self.eat(b':') { Some(self.number(2, 2)?) } else { None };
            let seconds = if minutes.is_some() && self.eat(b':') {
                self.number(2, 2)?
            } else {
                0
            };
            (hours, minutes.unwrap_or(0), seconds)
        };
        if !self.rest.is_empty() {
            return Err(self.malformed);
        }
        if hours > MAX_OFFSET_HOURS || minutes > 59 || seconds > 59 {
            return Err(ValueError::NoSuchOffset);
        }
        Ok(Some(
            east * (i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)),
        ))
    }
}

/// The parts of exactly `dddd-dd-dd`, which nearly every date is.
#[inline]
fn iso_date(bytes: [u8; 10]) -> Option<(u32, u32, u32)> {
    let [y0, y1, y2, y3, dash, m0, m1, second_dash, d0, d1] = bytes;
    let digits = [y0, y1, y2, y3, m0, m1, d0, d1].map(|byte| byte.wrapping_sub(b'0'));
    let largest = digits.into_iter().fold(0, u8::max);
    (largest < 10 && dash == b'-' && second_dash == b'-').then(|| {
        let [y0, y1, y2, y3, m0, m1, d0, d1] = digits.map(u32::from);
        (y0 * 1000 + y1 * 100 + y2 * 10 + y3, m0 * 10 + m1, d0 * 10 + d1)
    })
}

/// Days since 2000-01-01 of a day before the year 1, whose predecessor is the year 1 BC.
fn days_before_christ(year: u32, month: u32, day: u32) -> Result<i32, ValueError> {
    const CYCLE_YEARS: u32 = 400;
    const CYCLE_DAYS: i32 = 146_097;
    /// Enough to come after the year 1 from the first year.
    const CYCLES: u32 = 12;
    if year == 0 || year >= CYCLES * CYCLE_YEARS {
        return Err(DATE_OUT_OF_RANGE);
    }
    // Days come again after each cycle.
    let days = days_from_civil(CYCLES * CYCLE_YEARS + 1 - year, month, day)? - CYCLES.cast_signed() * CYCLE_DAYS;
    if days < MIN_DATE {
        return Err(DATE_OUT_OF_RANGE);
    }
    Ok(days)
}

/// Days since 2000-01-01. Years begin in March here, so that the leap day is the last of its year.
#[inline]
fn days_from_civil(year: u32, month: u32, day: u32) -> Result<i32, ValueError> {
    /// 0000-03-01 to 2000-01-01.
    const EPOCH: i32 = 730_425;
    /// By month; no month 0.
    const DAYS: [u32; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if year == 0 || year > MAX_DATE_YEAR {
        return Err(DATE_OUT_OF_RANGE);
    }
    let century = year / 100;
    let leap = year.is_multiple_of(4) && (year != century * 100 || century.is_multiple_of(4));
    let leap_day = u32::from(leap && month == 2);
    let last = DAYS.get(month as usize).map_or(0, |days| days + leap_day);
    if day == 0 || day > last {
        return Err(ValueError::NoSuchDay);
    }
    let march_year = year - u32::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year;
    // At most 2 145 762 373, in the last year: an i32 holds it.
    Ok(days.cast_signed() - EPOCH)
}
