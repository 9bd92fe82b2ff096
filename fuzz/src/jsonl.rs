//! JSON Lines: the splitter, the keys and the reader, beside `serde_json`.

use std::{collections::HashSet, fmt};

use format::{
    csv::split::{Chunk, Position, Splitter, SplitterConfig},
    jsonl::{
        Grammar, KeysError, keys,
        read::{ObjectReader, is_free_of_nul},
        shape::{ObjectShape, Takes},
    },
    record::Records as _,
};
use model::UnknownKeys;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::{BYTE_ORDER_MARK, Knobs, Pieces, line_after};

/// Knobs before the text.
const KNOBS: usize = 5;

pub fn check(data: &[u8]) {
    let (mut knobs, input) = Knobs::new(data, KNOBS);
    let [ignore, fixed_keys, as_json, complete, ..] = knobs.flags();
    let config = SplitterConfig {
        grammar: Grammar::lines(knobs.pick(&[1 << 20, 1 << 20, 10, 50])),
        chunk_rows: knobs.number(5) as u64,
        chunk_bytes: knobs.pick(&[1 << 20, 0, 20, 100]),
    };
    let sizes = knobs.byte();
    let sizes = [usize::from(sizes % 16), usize::from(sizes / 16)];

    let text = input.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input);
    let found_keys = keys(input, complete, input.len());
    // JSON over several lines has no keys, whatever its lines are by themselves.
    let is_of_lines = !matches!(found_keys, Err(KeysError::Array { .. } | KeysError::Unfinished { .. }));
    let found_keys = found_keys.unwrap_or_default();
    if is_of_lines {
        check_keys(text, &found_keys, complete);
    }
    let names = if fixed_keys {
        ["id", "name", "a", ""].map(str::to_owned).to_vec()
    } else {
        found_keys
    };
    let unknown = if ignore {
        UnknownKeys::Ignore
    } else {
        UnknownKeys::Reject
    };
    let shape = ObjectShape::new(&names, unknown).expect("keys differ");
    let shape = if as_json {
        shape.taking(names.iter().map(|_| Takes::Json))
    } else {
        shape
    };

    let whole = read(text, &shape, (input.len() - text.len()) as u64, 1);
    for record in &whole {
        check_record(record, &names, ignore, as_json);
    }
    let has_nul = |record: &Record| record.fields.iter().flatten().any(|(value, _)| value.contains(&0));
    assert!(!is_free_of_nul(text) || !whole.iter().any(has_nul));

    let (chunks, error) = split(input, &config);
    let (pieces, error_in_pieces) = {
        let mut splitter = Splitter::new(Pieces::new(input, sizes), config.clone(), Position::START);
        collect(&mut splitter)
    };
    assert_eq!((&chunks, &error), (&pieces, &error_in_pieces));
    let mut found = Vec::new();
    for chunk in &chunks {
        assert_eq!(chunk.first_line, line_after(&input[..chunk.span.start as usize]));
        let records = read(&chunk.bytes, &shape, chunk.span.start, chunk.first_line);
        assert_eq!(records.len() as u64, chunk.record_count);
        found.extend(records);
    }
    if error.is_some() {
        assert!(whole.starts_with(&found));
    } else {
        assert_eq!(found, whole);
    }
}

fn split(input: &[u8], config: &SplitterConfig) -> (Vec<Chunk>, Option<String>) {
    collect(&mut Splitter::new(input, config.clone(), Position::START))
}

fn collect(splitter: &mut Splitter<impl std::io::Read>) -> (Vec<Chunk>, Option<String>) {
    let mut chunks = Vec::new();
    loop {
        match splitter.next_chunk() {
            Ok(Some(chunk)) => chunks.push(chunk),
            Ok(None) => return (chunks, None),
            Err(error) => return (chunks, Some(error.to_string())),
        }
    }
}

/// What was read of a record.
#[derive(Debug, PartialEq)]
struct Record {
    raw: Vec<u8>,
    byte: Option<u64>,
    line: Option<u64>,
    fields: Result<Vec<(Vec<u8>, bool)>, String>,
}

fn read(bytes: &[u8], shape: &ObjectShape, byte: u64, line: u64) -> Vec<Record> {
    let start = model::Position {
        input: 0,
        record: Some(1),
        byte: Some(byte),
        line: Some(line),
    };
    let mut reader = ObjectReader::new(bytes, shape, start);
    let mut found = Vec::new();
    while reader.advance() {
        let fields = match reader.defect() {
            Some(defect) => Err(defect.reason),
            None => Ok(reader
                .fields()
                .map(|field| (field.value.to_vec(), field.quoted))
                .collect()),
        };
        let place = reader.position();
        found.push(Record {
            raw: reader.raw().to_vec(),
            byte: place.byte,
            line: place.line,
            fields,
        });
    }
    found
}

/// The members of an object in their order, also those with the same key.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = object.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// What is read is JSON, and what `serde_json` reads as an object is read, with the same values.
fn check_record(record: &Record, names: &[String], ignore: bool, as_json: bool) {
    let members = serde_json::from_slice::<Members>(&record.raw).map(|Members(members)| members);
    match (&record.fields, members) {
        (Ok(fields), members) => {
            assert!(serde_json::from_slice::<IgnoredAny>(&record.raw).is_ok());
            assert_eq!(fields.len(), names.len());
            assert!(fields.iter().all(|(value, _)| std::str::from_utf8(value).is_ok()));
            // Numbers beyond those of the machine are none to `serde_json`.
            let Ok(members) = members else { return };
            for (name, (field, quoted)) in names.iter().zip(fields) {
                let mut values = members.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
                let value = values.next().unwrap_or(&Value::Null);
                assert_eq!(values.next(), None, "a key twice");
                let parsed = || serde_json::from_slice::<Value>(field).ok();
                match value {
                    Value::Null => assert!(field.is_empty() && !quoted),
                    Value::Bool(_) | Value::Number(_) => assert!(!quoted && parsed().as_ref() == Some(value)),
                    Value::String(text) if !as_json => assert!(*quoted && field == text.as_bytes()),
                    Value::String(_) | Value::Array(_) | Value::Object(_) => {
                        assert!(*quoted && parsed().as_ref() == Some(value));
                    }
                }
            }
            let known: HashSet<&str> = names.iter().map(String::as_str).collect();
            assert!(ignore || members.iter().all(|(key, _)| known.contains(key.as_str())));
        }
        (Err(fault), Ok(members)) => {
            let is_known = |key: &String| names.contains(key);
            match fault.as_str() {
                unknown if unknown.starts_with("an unknown key") => {
                    assert!(!ignore && members.iter().any(|(key, _)| !is_known(key)));
                }
                "the same key twice" => {
                    let mut seen = HashSet::new();
                    assert!(members.iter().any(|(key, _)| is_known(key) && !seen.insert(key)));
                }
                _ => panic!("an object that is a reject: {fault:?}"),
            }
        }
        (Err(_), Err(_)) => {}
    }
}

/// They differ, and those of the objects that `serde_json` reads are among them.
fn check_keys(text: &[u8], keys: &[String], complete: bool) {
    let known: HashSet<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(known.len(), keys.len());
    let mut lines: Vec<&[u8]> = text.split(|byte| matches!(byte, b'\r' | b'\n')).collect();
    if !complete {
        lines.pop();
    }
    for line in lines.into_iter().take(1000) {
        if let Ok(Members(members)) = serde_json::from_slice::<Members>(line) {
            assert!(members.iter().all(|(key, _)| known.contains(key.as_str())));
        }
    }
}
