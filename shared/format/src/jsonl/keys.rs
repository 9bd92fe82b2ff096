//! Which keys the objects at the beginning of a file have, for the mapping to columns. Knows no value.

use std::{collections::HashSet, fmt};

use model::Position;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::{Grammar, fault::FaultKind, object::read_object};
use crate::{
    record::Places,
    sample::{clip, whole_lines, without_mark},
};

/// Objects of a sample that are looked at.
const SAMPLE_OBJECTS: usize = 1000;

/// Why no keys are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("there is no record: every line is empty")]
    NoRecord,
    #[error("the first record is longer than {0} bytes: is each object on one line?")]
    LongLine(usize),
    #[error("line {line} ends within its JSON: JSON Lines has each object on one line (`jq -c .` writes that)")]
    Unfinished { line: u64 },
    #[error("no line is a JSON object; line {line} is {kind}")]
    BadLine { line: u64, kind: FaultKind },
    #[error(
        "line {line} begins an array: JSON Lines has an object on each line, without brackets and commas round them (`jq -c '.[]'` writes that)"
    )]
    Array { line: u64 },
    #[error("the objects have no keys")]
    NoKeys,
}

/// The keys of the objects that a file begins with, in the order in which they first appear.
///
/// `sample` is the beginning of the decompressed file, of which `most` bytes are looked at, and at most 1,000 objects; `complete`, if nothing
/// comes after it: else its last line counts only if it has an end. Lines that are no objects are passed, for they will be rejects; but a first
/// one that goes on where it ends says that this is JSON of another form, of which single lines would be read as what they are not.
///
/// # Errors
/// [`KeysError`], when no line is an object with a key.
pub fn keys(sample: &[u8], complete: bool, most: usize) -> Result<Vec<String>, KeysError> {
    let (sample, complete) = clip(sample, complete, most);
    let whole = whole_lines(sample, complete);
    let grammar = Grammar::lines(whole.len());
    let mut places = Places::new(Position::of_line(1));
    let mut union = Names::default();
    let mut bad = None;
    let (mut objects, mut at) = (0, 0);
    while objects < SAMPLE_OBJECTS {
        let Some((begin, end, next)) = grammar.next_line(whole, at) else {
            break;
        };
        at = next;
        let record = whole.get(begin..end).unwrap_or_default();
        match read_object(record, Names::default()) {
            Err(kind) if objects == 0 && bad.is_none() && kind.is_unfinished() => {
                let line = places.line_of(whole, begin);
                return Err(match record {
                    [b'[', ..] => KeysError::Array { line },
                    _ => KeysError::Unfinished { line },
                });
            }
            Ok(names) => {
                objects += 1;
                names.in_order.into_iter().for_each(|name| union.add(name));
            }
            Err(kind) if bad.is_none() => {
                let line = places.line_of(whole, begin);
                bad = Some(KeysError::BadLine { line, kind });
            }
            Err(_) => {}
        }
    }
    if objects > 0 {
        return if union.in_order.is_empty() {
            Err(KeysError::NoKeys)
        } else {
            Ok(union.in_order)
        };
    }
    let cut_off = without_mark(sample).len() - whole.len();
    Err(match bad {
        Some(bad) => bad,
        None if cut_off > 0 => KeysError::LongLine(cut_off),
        None => KeysError::NoRecord,
    })
}

/// Names that differ, as they came.
#[derive(Default)]
struct Names {
    in_order: Vec<String>,
    known: HashSet<String>,
}

impl Names {
    fn add(&mut self, name: String) {
        if !self.known.contains(&name) {
            self.known.insert(name.clone());
            self.in_order.push(name);
        }
    }
}

impl<'b> Visitor<'b> for Names {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(mut self, mut object: A) -> Result<Self, A::Error> {
        while let Some((name, IgnoredAny)) = object.next_entry::<String, IgnoredAny>()? {
            self.add(name);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SAMPLE_BYTES;

    fn found(sample: &str, complete: bool) -> Result<Vec<String>, String> {
        keys(sample.as_bytes(), complete, SAMPLE_BYTES).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_in_the_order_in_which_they_first_appear() {
        for (sample, expected) in [
            ("{\"b\":1,\"a\":2}\n", vec!["b", "a"]),
            (
                "\u{feff}\n \n{\"a\":1}\r\n{\"c\":[{\"x\":1}],\"a\":2,\"b\":null}",
                vec!["a", "c", "b"],
            ),
            ("{\"a\":1,\"a\":2,\"\\u0062\":\"\\ud800\"}", vec!["a", "b"]),
            // Of a bad line nothing is taken.
            ("{\"x\":}\n[2]\n{\"a\":1}\n{\"y\":1,}\n{}\n", vec!["a"]),
        ] {
            assert_eq!(found(sample, true).unwrap(), expected, "{sample:?}");
        }
    }

    #[test]
    fn a_line_that_may_go_on_says_nothing() {
        let sample = "{\"a\":1}\n{\"b\":1}";
        assert_eq!(found(sample, false).unwrap(), ["a"]);
        assert_eq!(found(sample, true).unwrap(), ["a", "b"]);
        assert_eq!(
            found("\n{\"a\":", false).unwrap_err(),
            "the first record is longer than 5 bytes: is each object on one line?"
        );
    }

    #[test]
    fn what_is_wrong_is_named_when_nothing_is_right() {
        for (sample, reason) in [
            ("", "there is no record: every line is empty"),
            (" \r\n\n", "there is no record: every line is empty"),
            ("{}\n{}\n", "the objects have no keys"),
            (
                "\n\r\n 1\nx\n",
                "no line is a JSON object; line 3 is valid JSON, but not an object",
            ),
            (
                "\n [\n{\"a\":1}\n]\n",
                "line 2 begins an array: JSON Lines has an object on each line, without brackets and commas round them (`jq -c '.[]'` writes that)",
            ),
            (
                "{\n  \"a\": 1\n}\n",
                "line 1 ends within its JSON: JSON Lines has each object on one line (`jq -c .` writes that)",
            ),
            (
                "{\"type\": \"x\", \"all\": [\n{\"a\":1},\n{\"a\":2}\n]}\n",
                "line 1 ends within its JSON: JSON Lines has each object on one line (`jq -c .` writes that)",
            ),
            (
                "[1, 2]\n",
                "no line is a JSON object; line 1 is valid JSON, but not an object",
            ),
            (
                "\u{feff}a;b\n1;2\n",
                "no line is a JSON object; line 1 is not valid JSON at byte 1 of the record: expected value",
            ),
        ] {
            assert_eq!(found(sample, true).unwrap_err(), reason, "{sample:?}");
        }
    }

    #[test]
    fn no_more_than_a_sample_is_looked_at() {
        let many = "{\"a\":1}\n".repeat(SAMPLE_OBJECTS) + "{\"b\":1}\n";
        assert_eq!(found(&many, true).unwrap(), ["a"]);
        let long = format!("{{\"a\":\"{}\"}}\n{{\"b\":1}}\n", "x".repeat(SAMPLE_BYTES));
        assert_eq!(
            found(&long, true).unwrap_err(),
            "the first record is longer than 1048576 bytes: is each object on one line?"
        );
        assert_eq!(keys(long.as_bytes(), true, 2 * SAMPLE_BYTES).unwrap(), ["a", "b"]);
        // However much came with it.
        let short = "{\"a\":1}\n".repeat(SAMPLE_BYTES / 8) + "{\"b\":1}\n";
        let clipped = &short[..SAMPLE_BYTES + 5];
        assert_eq!(found(clipped, false), found(&short, true));
        let bad = "x\n".repeat(SAMPLE_BYTES) + "{\"b\":1}\n";
        assert!(found(&bad, true).is_err());
    }
}
