//! Dates, times and spans of time.
//!
//! In the proleptic Gregorian calendar, as in PostgreSQL. What PostgreSQL has no room for is written all the same: it is for the server to
//! refuse.

use arrow_schema::TimeUnit;

use super::push;

const DAY_SECONDS: i64 = 86_400;
const DAY_MILLIS: i64 = 1000 * DAY_SECONDS;
/// 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// 400 years.
const ERA_DAYS: i64 = 146_097;

/// How many make a second.
fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Appends the day that is so many days after 1970-01-01.
pub(crate) fn date(out: &mut Vec<u8>, days: i64) {
    let year = day(out, days);
    era(out, year);
}

/// Appends the day that is so many milliseconds after 1970-01-01, and the time of day if that is not midnight.
pub(crate) fn date_of_millis(out: &mut Vec<u8>, millis: i64) {
    if millis.rem_euclid(DAY_MILLIS) == 0 {
        date(out, millis.div_euclid(DAY_MILLIS));
    } else {
        timestamp(out, millis, TimeUnit::Millisecond, false);
    }
}

/// Appends the time of day that is so long after midnight. One that no day has reads like one.
pub(crate) fn time_of_day(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    duration(out, value, unit);
}

/// Appends a span of time in hours, minutes and seconds.
pub(crate) fn duration(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    if value < 0 {
        out.push(b'-');
    }
    let per_second = per_second(unit).unsigned_abs();
    let value = value.unsigned_abs();
    clock(
        out,
        value / per_second,
        value % per_second * (1_000_000_000 / per_second),
    );
}

/// Appends the time that is so long after 1970-01-01 00:00.
pub(crate) fn timestamp(out: &mut Vec<u8>, value: i64, unit: TimeUnit, with_zone: bool) {
    let per_second = per_second(unit);
    let fraction = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    moment(out, value.div_euclid(per_second), fraction, with_zone);
}

/// Appends the time that is `seconds` after 1970-01-01 00:00, and a part of the next. `nanos` is all of it in nanoseconds, less what does
/// not fit: it wraps round.
pub(crate) fn int96(out: &mut Vec<u8>, seconds: i64, nanos: i64, with_zone: bool) {
    let part = nanos.wrapping_sub(seconds.wrapping_mul(1_000_000_000));
    moment(out, seconds, part.rem_euclid(1_000_000_000), with_zone);
}

/// An interval of Parquet.
pub(crate) struct Interval {
    pub(crate) months: i64,
    pub(crate) days: i64,
    pub(crate) millis: i64,
}

/// Appends an interval, with all its parts.
pub(crate) fn interval(out: &mut Vec<u8>, interval: &Interval) {
    let Interval { months, days, millis } = interval;
    push(out, format_args!("{months} mons {days} days "));
    duration(out, *millis, TimeUnit::Millisecond);
}

fn moment(out: &mut Vec<u8>, seconds: i64, nanos: i64, with_zone: bool) {
    let year = day(out, seconds.div_euclid(DAY_SECONDS));
    out.push(b' ');
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    clock(out, of_day.unsigned_abs(), nanos.unsigned_abs());
    if with_zone {
        out.extend_from_slice(b"+00");
    }
    era(out, year);
}

/// Hours, minutes, seconds, and a fraction with no more digits than it takes.
fn clock(out: &mut Vec<u8>, seconds: u64, nanos: u64) {
    let hours = seconds / 3600;
    match u8::try_from(hours) {
        Ok(hours @ 0..100) => two_digits(out, hours.into()),
        _ => push(out, format_args!("{hours}")),
    }
    out.push(b':');
    two_digits(out, seconds / 60 % 60);
    out.push(b':');
    two_digits(out, seconds % 60);
    if nanos == 0 {
    } else if nanos.is_multiple_of(1_000_000) {
        push(out, format_args!(".{:03}", nanos / 1_000_000));
    } else if nanos.is_multiple_of(1000) {
        push(out, format_args!(".{:06}", nanos / 1000));
    } else {
        push(out, format_args!(".{nanos:09}"));
    }
}

/// Appends the day without its era, and gives the year; year 0 is the one before year 1.
///
/// Years begin in March here, so that the leap day is the last of its year.
fn day(out: &mut Vec<u8>, days: i64) -> i64 {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = 400 * era + year_of_era + i64::from(month <= 2);

    let counted = if year > 0 { year } else { 1 - year };
    match counted {
        0..10_000 => {
            two_digits(out, counted.unsigned_abs() / 100);
            two_digits(out, counted.unsigned_abs() % 100);
        }
        _ => push(out, format_args!("{counted}")),
    }
    out.push(b'-');
    two_digits(out, month.unsigned_abs());
    out.push(b'-');
    two_digits(out, day.unsigned_abs());
    year
}

fn era(out: &mut Vec<u8>, year: i64) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

fn two_digits(out: &mut Vec<u8>, number: u64) {
    out.extend([number / 10, number % 10].map(|digit| b'0' + u8::try_from(digit % 10).unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |days| text(|out| date(out, days));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(11_017), "2000-03-01");
        assert_eq!(day(-719_162), "0001-01-01");
        assert_eq!(day(-719_163), "0001-12-31 BC");
        assert_eq!(day(-719_528), "0001-01-01 BC");
        assert_eq!(day(-719_529), "0002-12-31 BC");
        assert_eq!(day(-735_160), "0044-03-15 BC");
        assert_eq!(day(2_932_896), "9999-12-31");
        assert_eq!(day(2_932_897), "10000-01-01");
        assert_eq!(day(i32::MAX.into()), "5881580-07-11");
        assert_eq!(day(i32::MIN.into()), "5877642-06-23 BC");
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (-800, 1, 1);
        for days in -1_011_722..1_500_000 {
            let counted = if year > 0 { year } else { 1 - year };
            let era = if year > 0 { "" } else { " BC" };
            let expected = format!("{counted:04}-{month:02}-{day:02}{era}");
            assert_eq!(text(|out| date(out, days)), expected);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + i32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == last => (year, month + 1, 1),
                (_, day) => (year, month, day + 1),
            };
        }
        assert_eq!(year, 6076);
    }

    #[test]
    fn a_fraction_has_the_digits_that_it_needs() {
        let at = |value, unit| text(|out| timestamp(out, value, unit, true));
        assert_eq!(at(0, TimeUnit::Second), "1970-01-01 00:00:00+00");
        assert_eq!(at(-1, TimeUnit::Millisecond), "1969-12-31 23:59:59.999+00");
        assert_eq!(at(1, TimeUnit::Microsecond), "1970-01-01 00:00:00.000001+00");
        assert_eq!(at(1, TimeUnit::Nanosecond), "1970-01-01 00:00:00.000000001+00");
        assert_eq!(at(-62_167_219_201, TimeUnit::Second), "0002-12-31 23:59:59+00 BC");
        assert_eq!(at(i64::MAX, TimeUnit::Nanosecond), "2262-04-11 23:47:16.854775807+00");
        assert_eq!(
            at(i64::MIN, TimeUnit::Microsecond),
            "290309-12-21 19:59:05.224192+00 BC"
        );
        assert_eq!(at(i64::MAX, TimeUnit::Second), "292277026596-12-04 15:30:07+00");
        assert_eq!(at(i64::MIN, TimeUnit::Second), "292277022658-01-27 08:29:52+00 BC");
    }

    #[test]
    fn an_int96_has_its_year_and_its_nanoseconds() {
        let int96_of = |days: i64, nanos: i64| {
            let seconds = days * DAY_SECONDS + nanos / 1_000_000_000;
            let wrapped = (days * DAY_SECONDS).wrapping_mul(1_000_000_000).wrapping_add(nanos);
            text(|out| int96(out, seconds, wrapped, false))
        };
        assert_eq!(int96_of(0, 1), "1970-01-01 00:00:00.000000001");
        assert_eq!(int96_of(-719_162, 86_399_999_999_999), "0001-01-01 23:59:59.999999999");
        assert_eq!(int96_of(2_932_896, 1_000), "9999-12-31 00:00:00.000001");
        assert_eq!(int96_of(i32::MAX.into(), 0), "5881580-07-11 00:00:00");
    }

    #[test]
    fn spans_have_signs() {
        let span = |value, unit| text(|out| duration(out, value, unit));
        assert_eq!(span(93_784_000_001, TimeUnit::Microsecond), "26:03:04.000001");
        assert_eq!(span(-1500, TimeUnit::Millisecond), "-00:00:01.500");
        assert_eq!(span(i64::MIN, TimeUnit::Nanosecond), "-2562047:47:16.854775808");
        let parts = Interval {
            months: -14,
            days: 3,
            millis: -1,
        };
        assert_eq!(text(|out| interval(out, &parts)), "-14 mons 3 days -00:00:00.001");
        assert_eq!(text(|out| date_of_millis(out, -DAY_MILLIS)), "1969-12-31");
        assert_eq!(text(|out| date_of_millis(out, 1)), "1970-01-01 00:00:00.001");
    }
}
