//! Text: UTF-8 without NUL, as long as the column allows.

use super::ValueError;

#[inline]
pub(super) fn encode(field: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    checked(field)?;
    out.extend_from_slice(field);
    Ok(())
}

/// As [`encode`], for `varchar(max_chars)`: spaces past the limit are dropped, as the SQL standard has it, and anything
/// else past it is an error.
#[inline]
pub(super) fn encode_limited(field: &[u8], max_chars: u32, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let text = checked(field)?;
    let max = max_chars as usize;
    let kept = if text.len() <= max {
        text.len()
    } else {
        end_of_char(text, max)
    };
    if text.as_bytes()[kept..].iter().any(|&byte| byte != b' ') {
        return Err(ValueError::TooLong { max_chars });
    }
    out.extend_from_slice(&text.as_bytes()[..kept]);
    Ok(())
}

fn end_of_char(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

#[inline]
fn checked(field: &[u8]) -> Result<&str, ValueError> {
    if field.contains(&0) {
        return Err(ValueError::NulByte);
    }
    std::str::from_utf8(field).map_err(|_| ValueError::NotUtf8)
}
