//! Text: UTF-8 without NUL, as long as the column allows.

use super::ValueError;

#[inline]
pub(super) fn whole(field: &[u8]) -> Result<&[u8], ValueError> {
    checked(field).map(str::as_bytes)
}

/// As [`whole`], for `varchar(max_chars)`: spaces past the limit are dropped, as the SQL standard has it, and anything
/// else past it is an error.
#[inline]
pub(super) fn limited(field: &[u8], max_chars: u32) -> Result<&[u8], ValueError> {
    let text = checked(field)?;
    let max = max_chars as usize;
    let end = if text.len() <= max {
        text.len()
    } else {
        end_of_char(text, max)
    };
    let (kept, rest) = text.as_bytes().split_at(end);
    if rest.iter().any(|&byte| byte != b' ') {
        return Err(ValueError::TooLong { max_chars });
    }
    Ok(kept)
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
