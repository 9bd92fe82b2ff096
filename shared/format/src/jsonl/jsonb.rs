//! What `jsonb` has no room for, though it is JSON: found here, it makes its record a reject; found by the server, it would fail the chunk.

use memchr::memmem;

use super::{fault::FaultKind, object::after_string, text::unescape};

/// **Digits** before the decimal point that a `numeric` has at most.
const DIGITS_BEFORE: i64 = 131_072;
/// **Digits** after it.
const DIGITS_AFTER: i64 = 16_383;

/// Refuses valid JSON that `jsonb` cannot hold.
pub(super) fn check(json: &[u8]) -> Result<(), FaultKind> {
    let has_escapes = memmem::find(json, br"\u").is_some();
    let mut rest = json;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'"' => {
                let next = after_string(after);
                if has_escapes {
                    check_string(after.get(..after.len() - next.len()).unwrap_or_default())?;
                }
                next
            }
            b'-' | b'0'..=b'9' => {
                let is_inside = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let end = rest.iter().position(|byte| !is_inside(byte)).unwrap_or(rest.len());
                let (number, next) = rest.split_at(end);
                if !fits(number) {
                    return Err(FaultKind::NumberTooLarge);
                }
                next
            }
            _ => after,
        };
    }
    Ok(())
}

/// Looks at a string, of which `inside` ends with its last quote.
fn check_string(inside: &[u8]) -> Result<(), FaultKind> {
    let mut text = Vec::new();
    unescape(inside.strip_suffix(b"\"").unwrap_or(inside), &mut text).map_err(|_| FaultKind::LoneSurrogate)?;
    match memchr::memchr(0, &text) {
        Some(_) => Err(FaultKind::NulInJson),
        None => Ok(()),
    }
}

/// Whether a number has no more digits than a `numeric`.
fn fits(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    let is_e = |byte: &u8| matches!(byte, b'e' | b'E');
    let (digits, exponent) = match digits.iter().position(is_e) {
        None => (digits, Some(0)),
        Some(at) => {
            let exponent = digits.get(at + 1..).and_then(|text| std::str::from_utf8(text).ok());
            (
                digits.get(..at).unwrap_or_default(),
                exponent.and_then(|text| text.parse::<i32>().ok()),
            )
        }
    };
    // One that no 32 bits hold is beyond all bounds.
    let Some(exponent) = exponent.map(i64::from) else {
        return false;
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (before, after) = match point {
        Some(at) => (at, digits.len() - at - 1),
        None => (digits.len(), 0),
    };
    let zeros = digits
        .iter()
        .filter(|byte| **byte != b'.')
        .take_while(|byte| **byte == b'0')
        .count();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX / 4);
    count(before) + exponent - count(zeros) <= DIGITS_BEFORE && count(after) - exponent <= DIGITS_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_cannot_hold_is_found_wherever_it_stands() {
        for (json, expected) in [
            (r#""plain""#, Ok(())),
            (r#"{"a":["\u00e4\ud83d\ude00\\u0000",1.5e10,-0.0]}"#, Ok(())),
            (r#""\u0000""#, Err(FaultKind::NulInJson)),
            (r#"{"\u0000":1}"#, Err(FaultKind::NulInJson)),
            (r#"["a\\\u0000"]"#, Err(FaultKind::NulInJson)),
            (r#"[["\ud800"]]"#, Err(FaultKind::LoneSurrogate)),
            ("[1e131071, 1e-16383, 0.00001e131076]", Ok(())),
            ("1e131072", Err(FaultKind::NumberTooLarge)),
            ("-12.5e131071", Err(FaultKind::NumberTooLarge)),
            ("[1e-16384]", Err(FaultKind::NumberTooLarge)),
            ("[1.5e-16383]", Err(FaultKind::NumberTooLarge)),
            ("{\"a\":1e99999999999}", Err(FaultKind::NumberTooLarge)),
            ("true", Ok(())),
        ] {
            assert_eq!(check(json.as_bytes()), expected, "{json}");
        }
    }
}
