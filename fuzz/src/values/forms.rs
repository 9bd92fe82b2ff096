//! Values that are written otherwise, and what they become.

use model::{OnNul, ValuesSpec};
use target::{Column, ColumnType, forms::Form};

use super::{encoded, trimmed};
use crate::Knobs;

const PATTERNS: [&str; 8] = [
    "DD.MM.YYYY",
    "MM/DD/YY",
    "YYYYMMDD",
    "DD Mon YYYY",
    "Month DD, YYYY HH12:MI AM",
    "YYYY-MM-DD HH24:MI:SS.US",
    "DD.MM.YYYY HH24:MI:SS OF",
    "YYYY-MM-DD\"T\"HH24:MITZHTZM",
];
const ZONES: [Option<&str>; 6] = [
    None,
    Some("Europe/Berlin"),
    Some("America/New_York"),
    Some("Pacific/Apia"),
    Some("Africa/Monrovia"),
    Some("Asia/Kolkata"),
];
/// No zone was ever further from UTC, in **microseconds**.
const FARTHEST: i64 = 16 * 3600 * 1_000_000;

/// The field is the input, or what follows a pattern and a NUL in it.
pub fn check(mut knobs: Knobs<'_>, input: &[u8]) {
    let (own, after) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (String::from_utf8_lossy(&input[..at]).into_owned(), &input[at + 1..]),
        None => (String::new(), input),
    };
    let (pattern, field) = match knobs.number(PATTERNS.len() + 2) {
        0 => (None, input),
        1 => (Some(own), after),
        known => (PATTERNS.get(known - 2).map(|pattern| (*pattern).to_owned()), input),
    };
    let choice = knobs.byte();
    let separators = [
        None,
        Some('.'),
        Some(','),
        Some(' '),
        Some('\''),
        Some('\u{a0}'),
        Some('€'),
        Some('0'),
    ];
    let spec = ValuesSpec {
        on_nul: if choice & 1 == 0 { OnNul::Strip } else { OnNul::Reject },
        date_format: pattern.clone(),
        timestamp_format: pattern,
        time_zone: ZONES[usize::from(choice >> 1) % ZONES.len()].map(str::to_owned),
        decimal_separator: separators[usize::from(choice >> 2) % separators.len()],
        thousands_separator: separators[usize::from(choice >> 5) % separators.len()],
        ..ValuesSpec::default()
    };
    for kind in [
        ColumnType::Date,
        ColumnType::Timestamp { precision: None },
        ColumnType::Timestamptz { precision: Some(0) },
        ColumnType::Timestamptz { precision: None },
        ColumnType::Numeric { precision_scale: None },
        ColumnType::Text { max_chars: None },
    ] {
        let Ok(forms) = Form::of_columns(&spec, &[column(kind.clone())]) else {
            continue;
        };
        let Some(form) = &forms[0] else { continue };
        let mut out = Vec::new();
        if form.rewrite(field, &mut out).is_err() {
            continue;
        }
        let value = encoded(&kind, &out);
        match kind {
            ColumnType::Text { .. } => {
                assert!(!out.contains(&0));
                let is_text = std::str::from_utf8(field).is_ok();
                assert_eq!(value.is_ok(), is_text);
            }
            ColumnType::Numeric { .. } => check_number(&spec, field, &out),
            ColumnType::Timestamptz { .. } if spec.timestamp_format.is_none() => check_zone(&kind, field, value.ok()),
            _ => {}
        }
    }
}

fn column(kind: ColumnType) -> Column {
    Column {
        name: "c".to_owned(),
        kind,
        nullable: true,
        optional: true,
        element_oid: Default::default(),
        array_oid: Default::default(),
        characters: None,
    }
}

/// The same characters, but for the separators.
fn check_number(spec: &ValuesSpec, field: &[u8], out: &[u8]) {
    let text = std::str::from_utf8(field).expect("a number").trim();
    let out = std::str::from_utf8(out).expect("a number");
    if text
        .trim_start_matches(['-', '+'])
        .starts_with(|c: char| c.is_ascii_alphabetic())
    {
        assert_eq!(out, text);
        return;
    }
    let decimal = spec.decimal_separator.unwrap_or('.');
    let (number, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    let number: String = number
        .chars()
        .filter(|c| Some(*c) != spec.thousands_separator)
        .map(|c| if c == decimal { '.' } else { c })
        .collect();
    assert_eq!(out, number + exponent);
}

/// A zone moves a time by some hours, and what names one not at all.
fn check_zone(kind: &ColumnType, field: &[u8], in_zone: Option<Vec<u8>>) {
    let in_utc = encoded(kind, field).ok();
    let local = encoded(&ColumnType::Timestamp { precision: None }, field).is_ok();
    let micros = |value: &[u8]| i64::from_be_bytes(value.try_into().expect("eight bytes"));
    match (in_utc, in_zone) {
        (Some(in_utc), Some(in_zone)) if local && !trimmed(field).ends_with(b"y") => {
            let difference = micros(&in_utc).abs_diff(micros(&in_zone));
            assert!(difference <= FARTHEST as u64);
        }
        (in_utc, in_zone) if !local => assert_eq!(in_utc, in_zone),
        // Out of range in one of them.
        _ => {}
    }
}
