//! Holds the reader of JSON Lines against values that are known, and the splitter against the reader, on objects and on arbitrary bytes.

use std::io::{self, Read};

use format::csv::split::{Chunk, Position, Splitter, SplitterConfig};
use format::jsonl::read::{ObjectReader, is_free_of_nul};
use format::jsonl::shape::{ObjectShape, Takes};
use format::jsonl::{Grammar, keys};
use format::record::Records as _;
use model::UnknownKeys;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};

const KEYS: [&str; 6] = ["id", "name", "", "ä \" \\ \n", "id ", "\u{1f600}"];

/// A value with one way of writing it, and the field that should be read.
#[derive(Debug, Clone)]
struct Written {
    json: String,
    field: (Vec<u8>, bool),
}

/// A number as a file may have it, of any size and precision.
fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?",
        1 => prop::sample::select(vec!["1e400", "-0.0", "1.10", "9223372036854775808", "0E-0"]).prop_map(str::to_owned),
    ]
}

/// Text with all that must be escaped and much that may be.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>(),
        2 => prop::sample::select(vec!['"', '\\', '/', '\n', '\r', '\t', '\0', '\u{7f}', 'u', 'n', ' ']),
        1 => prop::sample::select(vec!['\u{ffff}', '\u{2028}', '\u{feff}', '\u{10000}', '\u{10ffff}', '\u{d7ff}']),
    ];
    vec(piece, 0..12).prop_map(String::from_iter)
}

/// A string whose characters are written in any of the ways that JSON has.
fn written_string(text: &str, ways: &[u8]) -> String {
    let mut json = String::from("\"");
    let mut ways = ways.iter().cycle();
    for character in text.chars() {
        let way = ways.next().copied().unwrap_or(0);
        let must = matches!(character, '"' | '\\' | '\0'..='\x1f');
        if way % 4 == 0 || must && way % 4 == 1 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                json += &if way % 8 < 4 {
                    format!("\\u{unit:04x}")
                } else {
                    format!("\\u{unit:04X}")
                };
            }
        } else if character == '/' && way % 4 == 2 {
            json += "\\/";
        } else {
            let plain = serde_json::to_string(&character.to_string()).expect("text");
            json += plain
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .expect("quotes");
        }
    }
    json + "\""
}

fn strings() -> impl Strategy<Value = (String, String)> {
    (texts(), vec(any::<u8>(), 1..6)).prop_map(|(text, ways)| (written_string(&text, &ways), text))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " ", "\t", "  "])
}

/// Any JSON, written in any way on one line.
fn nested() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        numbers(),
        strings().prop_map(|(json, _)| json),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let member =
            (strings(), inner.clone(), space()).prop_map(|((key, _), value, space)| format!("{key}{space}:{value}"));
        prop_oneof![
            (vec(inner, 0..4), space())
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},")))),
            (vec(member, 0..4), space())
                .prop_map(|(items, space)| format!("{{{}{space}}}", items.join(&format!(",{space}")))),
        ]
    })
}

fn values() -> impl Strategy<Value = Written> {
    let same = |json: String, quoted| Written {
        field: (json.clone().into_bytes(), quoted),
        json,
    };
    prop_oneof![
        1 => Just(Written { json: "null".to_owned(), field: (Vec::new(), false) }),
        1 => any::<bool>().prop_map(move |value| same(value.to_string(), false)),
        3 => numbers().prop_map(move |number| same(number, false)),
        4 => strings().prop_map(|(json, text)| Written { json, field: (text.into_bytes(), true) }),
        3 => nested().prop_map(move |json| same(json.clone(), json.starts_with(['[', '{'])))
            .prop_filter("of its own kind", |written| written.json.starts_with(['[', '{'])),
    ]
}

type Fields = Vec<(Vec<u8>, bool)>;

/// A line, and its fields in the order of the keys.
fn lines() -> impl Strategy<Value = (String, Fields)> {
    let order = Just((0..KEYS.len()).collect::<Vec<_>>()).prop_shuffle();
    let members = vec(prop::option::weighted(0.8, values()), KEYS.len());
    let ways = vec(any::<u8>(), 1..6);
    (order, members, ways, space(), space()).prop_map(|(order, members, ways, before, after)| {
        let mut fields = vec![(Vec::new(), false); KEYS.len()];
        let mut written = Vec::new();
        for index in order {
            if let Some(value) = &members[index] {
                fields[index] = value.field.clone();
                let key = written_string(KEYS[index], &ways);
                written.push(format!("{key}{before}:{after}{}{before}", value.json));
            }
        }
        (format!("{before}{{{after}{}}}{after}", written.join(",")), fields)
    })
}

fn shape(unknown_keys: UnknownKeys) -> ObjectShape {
    ObjectShape::new(&KEYS.map(str::to_owned), unknown_keys).expect("keys differ")
}

/// Of each record, what it looked like, its place, and its fields or what is wrong.
type Record = (Vec<u8>, model::Position, Result<Fields, String>);

fn read(bytes: &[u8], shape: &ObjectShape, start: model::Position) -> Vec<Record> {
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
        found.push((reader.raw().to_vec(), reader.position(), fields));
    }
    assert_eq!(reader.count(), found.len() as u64);
    found
}

fn start(record: u64, byte: u64, line: u64) -> model::Position {
    model::Position {
        input: 0,
        record: Some(record),
        byte: Some(byte),
        line: Some(line),
    }
}

/// Yields its bytes in pieces of the given sizes, over and over.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.sizes.next().copied().unwrap_or(1));
        self.bytes.read(&mut buffer[..length])
    }
}

fn split(bytes: &[u8], sizes: &[usize], chunk_rows: u64, chunk_bytes: usize) -> Vec<Chunk> {
    let config = SplitterConfig {
        grammar: Grammar::lines(1 << 20),
        chunk_rows,
        chunk_bytes,
    };
    let sizes = sizes.iter().cycle();
    let mut splitter = Splitter::new(Pieces { bytes, sizes }, config, Position::START);
    std::iter::from_fn(|| splitter.next_chunk().expect("short records")).collect()
}

/// Bytes that are nearly JSON Lines.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let marks: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b" ",
        b"\t",
        b"null",
        b"1",
        b"-",
        b"e",
        b"\"id\":",
        b"\"name\":",
        b"\"x\":1,",
        b"{}",
        b"\xef\xbb\xbf",
        b"\xc3",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(marks).prop_map(<[u8]>::to_vec),
        4 => prop::sample::select(vec!["\n", "\r\n", "\r", "\n \n"]).prop_map(|end| end.as_bytes().to_vec()),
        4 => lines().prop_map(|(line, _)| line.into_bytes()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Values that `serde_json` makes, which knows no number beyond those of the machine.
fn maps() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let members = vec((texts(), inner.clone()), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    vec((texts(), value), 0..6).prop_map(|members| members.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: default_cases(), ..ProptestConfig::default() })]

    #[test]
    fn fields_are_what_was_written(lines in vec(lines(), 1..6), end in prop::sample::select(vec!["\n", "\r\n", "\n\n", "\n \t\n"])) {
        let text: String = lines.iter().map(|(line, _)| format!("{line}{end}")).collect();
        let found = read(text.as_bytes(), &shape(UnknownKeys::Reject), start(1, 0, 1));
        let found: Vec<_> = found.into_iter().map(|(_, _, fields)| fields).collect();
        let expected: Vec<_> = lines.iter().map(|(_, fields)| Ok(fields.clone())).collect();
        prop_assert_eq!(found, expected);
        let spelled = lines.iter().flat_map(|(_, fields)| fields).any(|(value, _)| value.contains(&0));
        prop_assert!(!spelled || !is_free_of_nul(text.as_bytes()));
    }

    #[test]
    fn what_serde_json_writes_is_read_back(maps in vec(maps(), 1..5)) {
        let text: String = maps.iter().map(|map| serde_json::to_string(map).expect("a map") + "\n").collect();
        let names = match keys(text.as_bytes(), true, text.len()) {
            Ok(names) => names,
            Err(error) => {
                prop_assert!(maps.iter().all(Map::is_empty), "{error}");
                return Ok(());
            }
        };
        prop_assert!(maps.iter().flat_map(Map::keys).all(|key| names.contains(key)));
        let shape = ObjectShape::new(&names, UnknownKeys::Reject).expect("keys differ");
        let as_json = shape.clone().taking(names.iter().map(|_| Takes::Json));
        let mut all_json = ObjectReader::new(text.as_bytes(), &as_json, start(1, 0, 1));
        let found = read(text.as_bytes(), &shape, start(1, 0, 1));
        prop_assert_eq!(found.len(), maps.len());
        for (map, (_, _, fields)) in maps.iter().zip(found) {
            let fields = fields.expect("a good record");
            prop_assert!(all_json.advance() && all_json.defect().is_none());
            prop_assert_eq!((fields.len(), all_json.fields().len()), (names.len(), names.len()));
            for ((name, (text, quoted)), json) in names.iter().zip(fields).zip(all_json.fields()) {
                let value = map.get(name).unwrap_or(&Value::Null);
                let (expected, json_text) = match value {
                    Value::Null => ((String::new(), false), String::new()),
                    Value::Bool(_) | Value::Number(_) => ((value.to_string(), false), value.to_string()),
                    Value::String(text) => ((text.clone(), true), value.to_string()),
                    Value::Array(_) | Value::Object(_) => ((value.to_string(), true), value.to_string()),
                };
                prop_assert_eq!((String::from_utf8(text)?, quoted), expected);
                prop_assert_eq!(json.value, json_text.as_bytes());
            }
        }
    }

    #[test]
    fn chunks_read_as_the_whole_input_does(
        input in inputs(),
        sizes in vec(1..40_usize, 1..5),
        chunk_rows in 1..4_u64,
        chunk_bytes in prop_oneof![Just(1_usize << 20), 1..80_usize],
        ignore in any::<bool>(),
    ) {
        let shape = shape(if ignore { UnknownKeys::Ignore } else { UnknownKeys::Reject });
        let mark = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let whole = read(&input[mark..], &shape, start(1, mark as u64, 1));
        let chunks = split(&input, &sizes, chunk_rows, chunk_bytes);
        prop_assert_eq!(&chunks, &split(&input, &[1 << 20], chunk_rows, chunk_bytes));
        let mut found = Vec::new();
        for chunk in chunks {
            let begin = start(found.len() as u64 + 1, chunk.span.start, chunk.first_line);
            let records = read(&chunk.bytes, &shape, begin);
            prop_assert_eq!(records.len() as u64, chunk.record_count);
            prop_assert!(chunk.record_count >= 1 && chunk.record_count <= chunk_rows);
            found.extend(records);
        }
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn no_bytes_are_too_odd(input in prop_oneof![vec(any::<u8>(), 0..200), inputs()], complete in any::<bool>()) {
        for unknown in [UnknownKeys::Reject, UnknownKeys::Ignore] {
            for (raw, _, fields) in read(&input, &shape(unknown), start(1, 0, 1)) {
                // What is taken for an object is one.
                if let Ok(fields) = fields {
                    prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&raw).is_ok());
                    prop_assert!(fields.iter().all(|(value, _)| std::str::from_utf8(value).is_ok()));
                }
            }
        }
        let _ = keys(&input, complete, input.len());
    }
}

fn default_cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(500)
}
