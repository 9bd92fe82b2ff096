//! From a JSON string to the text it stands for. Knows no object and no record.

use memchr::memchr;

/// Half of a surrogate pair, which stands for no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoneSurrogate;

/// The text of a string that stands there as valid JSON, without what is round it; `None` where it is no string, or has half of a surrogate pair.
/// `room` is for one with escapes.
#[must_use]
pub fn text_of<'j>(json: &'j [u8], room: &'j mut Vec<u8>) -> Option<&'j [u8]> {
    let [b'"', inside @ .., b'"'] = json else {
        return None;
    };
    if memchr(b'\\', inside).is_none() {
        return Some(inside);
    }
    room.clear();
    unescape(inside, room).ok()?;
    Some(room)
}

/// Adds to `out` the text of a string without its quotes, whose escapes are known to be well formed.
pub(super) fn unescape(mut rest: &[u8], out: &mut Vec<u8>) -> Result<(), LoneSurrogate> {
    while let Some(at) = memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match escape {
            [_, b'u', ..] => character(escape, out)?,
            [_, byte, after @ ..] => {
                out.push(match byte {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    // The quote, the backslash and the slash.
                    itself => *itself,
                });
                after
            }
            _ => &[],
        };
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Adds the character that `escape` begins with, in UTF-8; returns what follows it.
fn character<'t>(escape: &'t [u8], out: &mut Vec<u8>) -> Result<&'t [u8], LoneSurrogate> {
    let (first, after) = unit(escape).ok_or(LoneSurrogate)?;
    let (code, rest) = match first {
        0xd800..=0xdbff => match unit(after) {
            Some((second @ 0xdc00..=0xdfff, rest)) => (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), rest),
            _ => return Err(LoneSurrogate),
        },
        _ => (first, after),
    };
    let character = char::from_u32(code).ok_or(LoneSurrogate)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(rest)
}

/// A `\uXXXX` at the beginning, and what follows it.
fn unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let digits = bytes.strip_prefix(br"\u")?;
    let (digits, rest) = digits.split_at_checked(4)?;
    let value = |value: u32, digit: &u8| Some(value << 4 | char::from(*digit).to_digit(16)?);
    Some((digits.iter().try_fold(0, value)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(inside: &str) -> Result<String, LoneSurrogate> {
        let mut out = Vec::new();
        unescape(inside.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn escapes_are_what_they_stand_for() {
        for (inside, expected) in [
            ("", ""),
            ("plain ä", "plain ä"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"a\u0041\u00e4\u20AC\uFFFFz", "aA\u{e4}\u{20ac}\u{ffff}z"),
            (r"\ud83d\uDE00\uD800\uDC00\udbff\udfff", "\u{1f600}\u{10000}\u{10ffff}"),
            (r"\u0000\\u0041", "\0\\u0041"),
        ] {
            assert_eq!(text(inside).as_deref(), Ok(expected), "{inside}");
        }
    }

    #[test]
    fn half_a_pair_is_no_text() {
        for inside in [
            r"\ud83d",
            r"\ude00",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\u0041",
            r"\ud83d\ud83d\ude00",
            r"\ude00\ud83d",
        ] {
            assert_eq!(text(inside), Err(LoneSurrogate), "{inside}");
        }
    }

    #[test]
    fn the_text_of_a_string_is_what_is_between_its_quotes() {
        let mut room = Vec::new();
        for (json, expected) in [
            (r#""a""#, Some("a")),
            (r#""""#, Some("")),
            (r#""a\"b""#, Some("a\"b")),
            (r#""\ud800""#, None),
            ("12", None),
            ("[\"a\"]", None),
        ] {
            let found = text_of(json.as_bytes(), &mut room);
            assert_eq!(found, expected.map(str::as_bytes), "{json}");
        }
    }
}
