use crate::ColumnType;

use super::{bytes, reason};
use crate::values::{ValueError, encode};

const TIMESTAMP: ColumnType = ColumnType::Timestamp { precision: None };
const TIMESTAMPTZ: ColumnType = ColumnType::Timestamptz { precision: None };
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn int8(kind: &ColumnType, field: &str) -> i64 {
    i64::from_be_bytes(bytes(kind, field).try_into().expect("eight bytes"))
}

fn days(field: &str) -> i32 {
    i32::from_be_bytes(bytes(&ColumnType::Date, field).try_into().expect("four bytes"))
}

#[test]
fn dates_are_counted_from_the_year_2000() {
    assert_eq!(days("2000-01-01"), 0);
    assert_eq!(days(" 1999-12-31 "), -1);
    assert_eq!(days("2024-02-29"), 8825);
    assert_eq!(days("5874897-12-31"), 2_145_031_948);
    assert_eq!(days("0001-12-31 BC"), days("0001-01-01") - 1);
    assert_eq!(days("0005-02-29 bc"), days("0005-03-01 BC") - 1);
    assert_eq!(days("4714-11-24 BC"), -2_451_545);
    assert_eq!(days("infinity"), i32::MAX);
    assert_eq!(days("-Infinity"), i32::MIN);
    for same in [
        "2024-1-5",
        "2024/01/05",
        "20240105",
        "2024-01-05T00:00",
        "2024-01-05 00:00:00.000",
    ] {
        assert_eq!(days(same), days("2024-01-05"), "{same}");
    }
}

#[test]
fn every_day_follows_the_one_before() {
    let mut expected = days("1890-01-01");
    for year in 1890..=2110 {
        for month in 1..=12 {
            for day in 1..=31 {
                let field = format!("{year}-{month:02}-{day:02}");
                match encode(&ColumnType::Date, field.as_bytes(), &mut Vec::new()) {
                    Ok(()) => {
                        assert_eq!(days(&field), expected, "{field}");
                        expected += 1;
                    }
                    Err(error) => assert_eq!(error, ValueError::NoSuchDay, "{field}"),
                }
            }
        }
    }
    assert_eq!(expected, days("2111-01-01"));
}

#[test]
fn ambiguous_or_lossy_dates_are_rejected() {
    for field in [
        "",
        "5/1/2024",
        "05-01-2024",
        "240105",
        "99-12-31",
        "2024-001",
        "2024-01/05",
        "2024-01-05BC",
        "2024-01-05 BC 00:00",
        "BC",
        "today",
        "2024-01-055",
    ] {
        assert_eq!(
            reason(&ColumnType::Date, field.as_bytes()),
            "not a date (YYYY-MM-DD)",
            "{field:?}"
        );
    }
    for field in ["2024-01-05 00:00:01", "2024-01-05 24:00", "2024-01-05 00:00Z"] {
        assert!(
            reason(&ColumnType::Date, field.as_bytes()).starts_with("a date holds no time zone"),
            "{field:?}"
        );
    }
    for field in [
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "20240431",
    ] {
        assert_eq!(
            reason(&ColumnType::Date, field.as_bytes()),
            "no such day in the calendar",
            "{field:?}"
        );
    }
    for field in [
        &b"0000-01-01"[..],
        b"5874898-01-01",
        b"4714-11-23 BC",
        b"4801-01-01 BC",
        b"0000-01-01 BC",
    ] {
        assert_eq!(
            reason(&ColumnType::Date, field),
            "date out of range (holds 4714-11-24 BC to 5874897-12-31)"
        );
    }
}

#[test]
fn timestamps_count_microseconds() {
    assert_eq!(int8(&TIMESTAMP, "2000-01-02"), DAY);
    assert_eq!(int8(&TIMESTAMP, "2000-01-01T00:01"), 60 * SECOND);
    assert_eq!(int8(&TIMESTAMP, "1999-12-31  23:59:59.25"), -750_000);
    assert_eq!(int8(&TIMESTAMP, "2000-01-01 24:00:00"), DAY);
    assert_eq!(int8(&TIMESTAMP, "2000-01-01 23:59:60"), DAY);
    assert_eq!(int8(&TIMESTAMP, "20000101t1:00:00.000001"), 3600 * SECOND + 1);
    assert_eq!(int8(&TIMESTAMP, "2000-01-01 00:00:00.123456789"), 123_457);
    assert_eq!(int8(&TIMESTAMP, "infinity"), i64::MAX);
    assert_eq!(int8(&TIMESTAMP, "-infinity"), i64::MIN);
}

#[test]
fn timestamps_are_rounded_to_the_precision() {
    let precision = |precision| ColumnType::Timestamp {
        precision: Some(precision),
    };
    assert_eq!(int8(&precision(0), "2000-01-01 00:00:00.5"), SECOND);
    assert_eq!(int8(&precision(0), "1999-12-31 23:59:58.5"), -2 * SECOND);
    assert_eq!(
        int8(&precision(3), "2000-01-01 00:00:00.0004999"),
        1000,
        "twice: to a microsecond, then to the precision"
    );
    assert_eq!(int8(&precision(6), "2000-01-01 00:00:00.000001"), 1);
    assert!(reason(&precision(0), b"294276-12-31 23:59:59.9").starts_with("timestamp out of range"));
}

#[test]
fn offsets_are_turned_into_utc() {
    for field in [
        "01:00:00Z",
        "01:00 UTC",
        "01:00:00utc",
        "03:00:00+02",
        "03:00:00 +0200",
        "22:30-02:30",
        "01:00:15+00:00:15",
    ] {
        let midnight = if field.starts_with("22") { -DAY } else { 0 };
        let day = if midnight < 0 { "1999-12-31" } else { "2000-01-01" };
        assert_eq!(int8(&TIMESTAMPTZ, &format!("{day} {field}")), 3600 * SECOND, "{field}");
    }
    assert_eq!(
        int8(&TIMESTAMPTZ, "2000-01-01 01:00"),
        3600 * SECOND,
        "UTC when nothing is said"
    );
    assert_eq!(
        reason(&TIMESTAMPTZ, b"2000-01-01 01:00+16"),
        "time zone offset out of range (-15:59:59 to +15:59:59)"
    );
    assert_eq!(
        reason(&TIMESTAMP, b"2000-01-01 01:00Z"),
        "a time zone does not fit timestamp without time zone"
    );
}

#[test]
fn times_that_do_not_exist_are_rejected() {
    for field in ["24:00:01", "25:00", "12:60", "12:00:61", "23:59:60.5"] {
        let reason = reason(&TIMESTAMP, format!("2024-01-05 {field}").as_bytes());
        assert_eq!(reason, "no such time of day (00:00:00 to 24:00:00)", "{field}");
    }
    for field in [
        "12",
        "12:3",
        "1200",
        "12:00:00.",
        "12:00.5",
        "12:00 PM",
        "12:00:00 CET",
        "T12:00",
        "",
    ] {
        let reason = reason(&TIMESTAMPTZ, format!("2024-01-05T{field}").as_bytes());
        assert_eq!(reason, "not a timestamp (YYYY-MM-DD HH:MM:SS)", "{field:?}");
    }
    assert!(reason(&TIMESTAMP, b"294277-01-01").starts_with("timestamp out of range"));
}
