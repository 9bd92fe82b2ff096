//! From binary values back to how Postgres writes them.

use jiff::{
    SignedDuration,
    civil::{DateTime, date},
};
use target::ColumnType;

use super::times::Moment;

/// What a `numeric` is written as.
pub fn numeric(binary: &[u8]) -> String {
    let words: Vec<u16> = binary
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let [count, weight, sign, scale, groups @ ..] = words.as_slice() else {
        panic!("no header: {binary:?}")
    };
    assert_eq!(usize::from(*count), groups.len());
    assert!(groups.iter().all(|group| *group < 10_000));
    assert!(
        groups.first() != Some(&0) && groups.last() != Some(&0),
        "zeros round it: {groups:?}"
    );
    match sign {
        0xc000 => return "NaN".to_owned(),
        0xd000 => return "Infinity".to_owned(),
        0xf000 => return "-Infinity".to_owned(),
        _ => assert!(*sign == 0 || *sign == 0x4000),
    }
    let (weight, scale) = (i64::from(*weight as i16), usize::from(*scale));
    let group = |index: i64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let whole: String = (0..=weight).map(|index| format!("{:04}", group(index))).collect();
    let after = (scale as i64).div_euclid(4) + 1;
    let mut fraction: String = (1..=after)
        .map(|index| format!("{:04}", group(weight + index)))
        .collect();
    assert!(groups.len() as i64 <= weight + after + 1, "digits beyond the scale");
    assert!(
        fraction[scale..].bytes().all(|digit| digit == b'0'),
        "digits beyond the scale"
    );
    fraction.truncate(scale);
    let whole = whole.trim_start_matches('0');
    let sign = if *sign == 0 { "" } else { "-" };
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole })
}

/// Whether a value is what stands in the text: letters of either case, and times with or without their seconds.
pub fn is_same(kind: &ColumnType, binary: &[u8], text: &str) -> bool {
    match kind {
        ColumnType::Int8 => integer(binary).to_string() == text,
        ColumnType::Numeric { .. } => numeric(binary) == text,
        ColumnType::Bool => text.eq_ignore_ascii_case(if binary == [1] { "true" } else { "false" }),
        ColumnType::Uuid => {
            let hex: String = binary.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            text.eq_ignore_ascii_case(&parts.join("-"))
        }
        ColumnType::Date => {
            let days = i32::from_be_bytes(binary.try_into().expect("four bytes"));
            let day = date(2000, 1, 1).checked_add(SignedDuration::from_hours(24 * i64::from(days)));
            day.is_ok_and(|day| day.to_string() == text)
        }
        ColumnType::Timestamp { .. } => Moment::parse(text).is_some_and(|moment| {
            moment.offset_seconds.is_none() && moment.micros() == integer(binary) && moment.time() == time(binary)
        }),
        ColumnType::Timestamptz { .. } => Moment::parse(text)
            .is_some_and(|moment| moment.offset_seconds.is_some() && moment.micros() == integer(binary)),
        _ => false,
    }
}

fn integer(binary: &[u8]) -> i64 {
    i64::from_be_bytes(binary.try_into().expect("eight bytes"))
}

fn time(binary: &[u8]) -> DateTime {
    let time = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
    time.checked_add(SignedDuration::from_micros(integer(binary)))
        .expect("a year of four digits")
}
