//! Booleans: true/false, yes/no, on/off, 1/0, and any unambiguous beginning of the words.

use super::{ValueError, trim};

#[inline]
pub(super) fn parse(field: &[u8]) -> Result<bool, ValueError> {
    let word = trim(field);
    let (full, value): (&[u8], _) = match word {
        [b't' | b'T', ..] => (b"true", true),
        [b'f' | b'F', ..] => (b"false", false),
        [b'y' | b'Y', ..] => (b"yes", true),
        [b'n' | b'N', ..] => (b"no", false),
        [b'o' | b'O', b'n' | b'N'] | [b'1'] => (word, true),
        [b'o' | b'O', b'f' | b'F', ..] => (b"off", false),
        [b'0'] => (word, false),
        _ => (b"", false),
    };
    let begins = full
        .get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word));
    if word.is_empty() || !begins {
        return Err(ValueError::Invalid {
            expected: "a boolean (true, false, yes, no, on, off, 1, 0)",
        });
    }
    Ok(value)
}
