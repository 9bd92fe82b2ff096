//! Reads one object into the cells of its keys. The syntax is `serde_json`'s; which key is which, and what a value is, is decided here.
//!
//! No value becomes a number on its way: what is not a string stays as it stands. Knows one record; must not know lines or chunks.

use std::fmt;

use memchr::memchr2;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    array,
    fault::{FaultKind, RecordFault, ShownKey},
    jsonb,
    shape::{ObjectShape, Takes},
    text::unescape,
};

/// Arrays and objects in one another, at most, below the record itself: deeper than anybody means, and less than what Postgres takes with
/// its usual stack, where one more would fail a whole chunk.
pub(super) const MAX_DEPTH: usize = 1000;

/// A key's value. Its bytes lie in the source, or in the room for text.
#[derive(Debug, Clone, Copy)]
enum Cell<'b> {
    /// The object does not have the key.
    Missing,
    Null,
    /// A number, true or false.
    Bare(&'b str),
    /// The text of a string, an array, or an object.
    Value(&'b str),
    /// The text of a string with escapes, or of an array as Postgres writes it.
    Rewritten {
        start: usize,
        end: usize,
    },
}

/// The cells of one record. Kept from record to record, for its room.
#[derive(Debug, Default)]
pub(super) struct Cells<'b> {
    cells: Vec<Cell<'b>>,
    rewritten: Vec<u8>,
}

impl<'b> Cells<'b> {
    /// Reads an object; the cells of one with a fault are not to be relied on.
    pub(super) fn read(&mut self, line: &'b [u8], shape: &ObjectShape) -> Result<(), RecordFault> {
        self.cells.clear();
        self.cells.resize(shape.count(), Cell::Missing);
        self.rewritten.clear();
        let mut progress = Progress::default();
        let object = Object {
            shape,
            cells: self,
            progress: &mut progress,
        };
        read_object(line, object).map_err(|kind| RecordFault {
            key: progress.key,
            kind: progress.fault.unwrap_or(kind),
        })
    }

    /// Each key's value, and whether it is one even if it is empty.
    #[inline]
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = (&[u8], bool)> {
        self.cells.iter().map(|cell| match *cell {
            Cell::Missing | Cell::Null => (&[][..], false),
            Cell::Bare(text) => (text.as_bytes(), false),
            Cell::Value(text) => (text.as_bytes(), true),
            Cell::Rewritten { start, end } => (self.rewritten.get(start..end).unwrap_or_default(), true),
        })
    }

    /// The cell of a value that is known to be valid JSON.
    fn cell(&mut self, json: &'b str, takes: Takes) -> Result<Cell<'b>, FaultKind> {
        if takes == Takes::Jsonb {
            jsonb::check(json.as_bytes())?;
        }
        Ok(match json.as_bytes() {
            [b'n', ..] => Cell::Null,
            [b'"', inside @ .., b'"'] if matches!(takes, Takes::Scalars | Takes::Array(_) | Takes::Text) => {
                if memchr::memchr(b'\\', inside).is_none() {
                    return Ok(Cell::Value(json.get(1..json.len() - 1).unwrap_or_default()));
                }
                let start = self.rewritten.len();
                unescape(inside, &mut self.rewritten).map_err(|_| FaultKind::LoneSurrogate)?;
                Cell::Rewritten {
                    start,
                    end: self.rewritten.len(),
                }
            }
            [b'[' | b'{', ..] if takes == Takes::Scalars => return Err(FaultKind::Nested),
            [b'{', ..] if matches!(takes, Takes::Array(_)) => return Err(FaultKind::ObjectForArray),
            [b'[' | b'{', ..] if is_too_deep(json.as_bytes()) => return Err(FaultKind::TooDeep),
            [b'[', ..] if let Takes::Array(elements) = takes => {
                let start = self.rewritten.len();
                array::write(json, elements, &mut self.rewritten)?;
                Cell::Rewritten {
                    start,
                    end: self.rewritten.len(),
                }
            }
            [b'[' | b'{' | b'"', ..] => Cell::Value(json),
            _ => Cell::Bare(json),
        })
    }
}

/// Reads a line that should be an object, and begins with no space.
pub(super) fn read_object<'b, V: Visitor<'b>>(line: &'b [u8], visitor: V) -> Result<V::Value, FaultKind> {
    let line = std::str::from_utf8(line).map_err(|error| FaultKind::NotText {
        byte: error.valid_up_to() + 1,
    })?;
    if !line.starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(line) {
            Ok(_) => FaultKind::NotAnObject,
            Err(error) => FaultKind::syntax(&error),
        });
    }
    let mut json = serde_json::Deserializer::from_str(line);
    let value = json.deserialize_map(visitor);
    value
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| FaultKind::syntax(&error))
}

/// How far an object was read, for whom it ends early.
#[derive(Debug, Default)]
struct Progress {
    /// The key whose value is being read.
    key: Option<usize>,
    /// What is wrong beside the syntax.
    fault: Option<FaultKind>,
}

impl Progress {
    /// Ends the reading.
    fn fail<E: serde::de::Error>(&mut self, fault: FaultKind) -> E {
        self.fault = Some(fault);
        E::custom("")
    }
}

struct Object<'a, 'b> {
    shape: &'a ObjectShape,
    cells: &'a mut Cells<'b>,
    progress: &'a mut Progress,
}

impl<'b> Visitor<'b> for Object<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut object: A) -> Result<(), A::Error> {
        // Keys mostly come in the order of the shape.
        let mut likely = 0;
        loop {
            let key = object.next_key_seed(KeyIn {
                shape: self.shape,
                likely,
                progress: self.progress,
            })?;
            match key {
                None => return Ok(()),
                Some(None) => {
                    object.next_value::<IgnoredAny>()?;
                }
                Some(Some(index)) => {
                    self.progress.key = Some(index);
                    if !matches!(self.cells.cells.get(index), Some(Cell::Missing)) {
                        return Err(self.progress.fail(FaultKind::RepeatedKey));
                    }
                    let json = object.next_value::<&RawValue>()?.get();
                    let cell = self.cells.cell(json, self.shape.takes(index));
                    let cell = cell.map_err(|fault| self.progress.fail::<A::Error>(fault))?;
                    if let Some(place) = self.cells.cells.get_mut(index) {
                        *place = cell;
                    }
                    self.progress.key = None;
                    likely = index + 1;
                }
            }
        }
    }
}

/// Finds a key without keeping its name; `None` for one that is ignored.
struct KeyIn<'a> {
    shape: &'a ObjectShape,
    likely: usize,
    progress: &'a mut Progress,
}

impl<'b> DeserializeSeed<'b> for KeyIn<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'b>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIn<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        match self.shape.find(name, self.likely) {
            None if !self.shape.ignores_unknown() => {
                Err(self.progress.fail(FaultKind::UnknownKey(ShownKey::new(name))))
            }
            found => Ok(found),
        }
    }
}

/// Whether valid JSON has more arrays and objects in one another than it may.
fn is_too_deep(json: &[u8]) -> bool {
    // Each takes two bytes.
    if json.len() <= 2 * MAX_DEPTH {
        return false;
    }
    let (mut rest, mut depth) = (json, 0_usize);
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => rest = after_string(after),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// What follows a string, from after its first quote.
pub(super) fn after_string(mut inside: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', inside) {
        let escaped = inside.get(at) == Some(&b'\\');
        inside = inside.get(at + 1 + usize::from(escaped)..).unwrap_or_default();
        if !escaped {
            return inside;
        }
    }
    &[]
}
