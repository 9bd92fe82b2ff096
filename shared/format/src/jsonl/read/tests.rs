use super::super::shape::Takes;
use super::*;
use crate::jsonl::object::MAX_DEPTH;
use model::UnknownKeys;

const START: Position = Position {
    input: 0,
    record: Some(11),
    byte: Some(100),
    line: Some(10),
};

fn shape(names: &[&str]) -> ObjectShape {
    shape_with(names, UnknownKeys::Reject)
}

fn shape_with(names: &[&str], unknown_keys: UnknownKeys) -> ObjectShape {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    ObjectShape::new(&names, unknown_keys).unwrap()
}

/// The fields as text, a quoted one in brackets.
fn shown(reader: &ObjectReader<'_>) -> Vec<String> {
    let text = |field: Field<'_>| {
        let value = std::str::from_utf8(field.value).unwrap();
        if field.quoted {
            format!("[{value}]")
        } else {
            value.to_owned()
        }
    };
    reader.fields().map(text).collect()
}

/// Of each record, its fields, or the key with the fault and the reason.
type Found = Result<Vec<String>, (Option<usize>, String)>;

fn all(bytes: &[u8], shape: &ObjectShape) -> Vec<Found> {
    let mut reader = ObjectReader::new(bytes, shape, START);
    let mut found = Vec::new();
    while reader.advance() {
        found.push(match reader.fault() {
            None => Ok(shown(&reader)),
            Some(fault) => Err((fault.key, fault.to_string())),
        });
    }
    found
}

fn first(line: &str, shape: &ObjectShape) -> Vec<String> {
    all(line.as_bytes(), shape).remove(0).unwrap()
}

fn reason(line: &[u8], shape: &ObjectShape) -> (Option<usize>, String) {
    all(line, shape).remove(0).unwrap_err()
}

#[test]
fn a_value_is_a_field_as_its_kind_says() {
    for (value, field) in [
        (r#""x""#, "[x]"),
        (r#""""#, "[]"),
        (r#""a \"b\" \\ \n \u00e4\ud83d\ude00""#, "[a \"b\" \\ \n ä😀]"),
        (r#""\u0000""#, "[\0]"),
        ("null", ""),
        ("true", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0.0", "-0.0"),
        ("1.10", "1.10"),
        ("1E+400", "1E+400"),
        (
            "123456789012345678901234567890.123456789012345678901234567890",
            "123456789012345678901234567890.123456789012345678901234567890",
        ),
        ("[]", "[[]]"),
        (r#"[1, "\u00e4", {"b" :null}]"#, r#"[[1, "\u00e4", {"b" :null}]]"#),
        (r#"{"x":"}", "x":1.0}"#, r#"[{"x":"}", "x":1.0}]"#),
    ] {
        let line = format!("{{ \"a\" : {value} }}");
        assert_eq!(first(&line, &shape(&["a"])), [field], "{line}");
    }
}

#[test]
fn fields_come_in_the_order_of_the_keys() {
    let shape = shape(&["a", "b", "", "ä\n"]);
    for (line, fields) in [
        (r#"{"a":1,"b":"2","":3,"ä\n":4}"#, ["1", "[2]", "3", "4"]),
        (r#"{"\u00e4\u000a":4,"":3,"b":2,"a":1}"#, ["1", "2", "3", "4"]),
        (r#"{"b":2}"#, ["", "2", "", ""]),
        (r#"{"a":"\t","":"\t\t"}"#, ["[\t]", "", "[\t\t]", ""]),
        ("{}", ["", "", "", ""]),
    ] {
        assert_eq!(first(line, &shape), fields, "{line}");
    }
}

#[test]
fn a_key_wanted_as_json_keeps_its_strings_as_they_stand() {
    let shape = shape(&["a", "b"]).taking([Takes::Text, Takes::Json, Takes::Json]);
    for (line, fields) in [
        (r#"{"a":"x\n","b":"x\n"}"#, ["[x\n]", r#"["x\n"]"#]),
        (r#"{"a":null,"b":null}"#, ["", ""]),
        (r#"{"a":[1],"b": [1] }"#, ["[[1]]", "[[1]]"]),
        (r#"{"a":1,"b":1e2}"#, ["1", "1e2"]),
    ] {
        assert_eq!(first(line, &shape), fields, "{line}");
    }
}

#[test]
fn what_is_wrong_is_said_without_what_stands_there() {
    let shape = shape(&["a", "b"]);
    for (line, key, expected) in [
        (
            "{\"a\":1",
            None,
            "not valid JSON at byte 6 of the record: EOF while parsing an object",
        ),
        (
            "{\"a\":secret}",
            Some(0),
            "not valid JSON at byte 6 of the record: expected value",
        ),
        (
            "{\"a\":1} {\"a\":1}",
            None,
            "not valid JSON at byte 9 of the record: trailing characters",
        ),
        (
            "{\"b\":1,}",
            None,
            "not valid JSON at byte 8 of the record: trailing comma",
        ),
        (
            "{\"b\":01}",
            Some(1),
            "not valid JSON at byte 7 of the record: invalid number",
        ),
        (
            "{\"b\":NaN}",
            Some(1),
            "not valid JSON at byte 6 of the record: expected value",
        ),
        (
            "{'a':1}",
            None,
            "not valid JSON at byte 2 of the record: key must be a string",
        ),
        (
            "{\"a\":\"\u{1}\"}",
            Some(0),
            "not valid JSON at byte 6 of the record: control character (\\u0000-\\u001F) found while parsing a string",
        ),
        (
            "{\"a\":\"\\x\"}",
            Some(0),
            "not valid JSON at byte 8 of the record: invalid escape",
        ),
        ("secret", None, "not valid JSON at byte 1 of the record: expected value"),
        (
            "\u{feff}{}",
            None,
            "not valid JSON at byte 1 of the record: expected value",
        ),
        ("[1]", None, "valid JSON, but not an object"),
        ("\"secret\"", None, "valid JSON, but not an object"),
        ("null ", None, "valid JSON, but not an object"),
        ("{\"c\":1}", None, "an unknown key: \"c\""),
        ("{\"a\":1,\"b\":2,\"a\":1}", Some(0), "the same key twice"),
        ("{\"b\":null,\"\\u0062\":1}", Some(1), "the same key twice"),
        ("{\"a\":\"\\ud800\"}", Some(0), "half of a surrogate pair in a string"),
    ] {
        let found = reason(line.as_bytes(), &shape);
        assert_eq!(found, (key, expected.to_owned()), "{line}");
    }
    let found = reason(b"{\"a\":\"\xc3\"}", &shape);
    assert_eq!(found, (None, "no UTF-8 text at byte 7 of the record".to_owned()));
    assert_eq!(reason(b"\xff", &shape).1, "no UTF-8 text at byte 1 of the record");
}

#[test]
fn the_name_of_an_unknown_key_is_fit_to_be_shown() {
    for (name, shown) in [
        ("\\u001b[31m\\u202e\\u0000", r#""\u{1b}[31m\u{202e}\0""#.to_owned()),
        (&"ä".repeat(100), format!("\"{}\"…", "ä".repeat(60))),
        ("", "\"\"".to_owned()),
    ] {
        let line = format!("{{\"{name}\":1}}");
        let (key, reason) = reason(line.as_bytes(), &shape(&["a"]));
        assert_eq!((key, reason), (None, format!("an unknown key: {shown}")));
    }
}

#[test]
fn unknown_keys_may_be_ignored_with_all_that_is_in_them() {
    let shape = shape_with(&["b"], UnknownKeys::Ignore);
    let line = r#"{"a":{"b":1},"b":2,"c":"\ud800","a":[[]],"d":null}"#;
    assert_eq!(first(line, &shape), ["2"]);
    // But it must be JSON.
    assert_eq!(
        reason(br#"{"a":[1,],"b":2}"#, &shape),
        (
            None,
            "not valid JSON at byte 9 of the record: expected value".to_owned()
        )
    );
    assert!(first("{}", &shape_with(&[], UnknownKeys::Ignore)).is_empty());
}

#[test]
fn depth_is_limited() {
    let shape = shape(&["a"]);
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let deepest = nested(MAX_DEPTH);
    assert_eq!(first(&deepest, &shape)[0].len(), 2 * MAX_DEPTH + 2);
    let reason_of = |line: String| reason(line.as_bytes(), &shape);
    let too_deep = (Some(0), "a value that is nested more than 1000 deep".to_owned());
    assert_eq!(reason_of(nested(MAX_DEPTH + 1)), too_deep);
    assert_eq!(reason_of(nested(1_000_000)), too_deep);
    // Brackets in strings, and those beside one another, count for nothing.
    let wide = format!("{{\"a\":[{}\"\\\"[\\\\\"]}}", "[\"[[{\\\"\"],{},".repeat(5000));
    assert_eq!(first(&wide, &shape)[0].len(), wide.len() - 4);
}

#[test]
fn a_record_has_its_place_and_its_bytes() {
    let shape = shape(&["a"]);
    let bytes = b"\n {\"a\":1} \r\n \t\r\n\r\nbad\n  {\"a\":\"\\n\"}";
    let mut reader = ObjectReader::new(bytes, &shape, START);
    let places = [
        ("{\"a\":1} ", 11, 102, 11),
        ("bad", 12, 118, 14),
        ("{\"a\":\"\\n\"}", 13, 124, 15),
    ];
    for (raw, record, byte, line) in places {
        assert!(reader.advance());
        assert_eq!(reader.raw(), raw.as_bytes());
        let expected = Position {
            input: 0,
            record: Some(record),
            byte: Some(byte),
            line: Some(line),
        };
        assert_eq!(reader.position(), expected);
        assert_eq!(reader.fault().is_some(), raw == "bad");
    }
    assert!(!reader.advance());
    assert_eq!(reader.count(), 3);
}

#[test]
fn a_bad_record_leaves_nothing_to_the_next() {
    let shape = shape(&["a", "b"]);
    let found = all(b"{\"a\":\"\\n\",\"b\":\"\\ud800\"}\n{\"b\":\"\\t\"}\n", &shape);
    assert!(found[0].is_err());
    assert_eq!(found[1], Ok(vec![String::new(), "[\t]".to_owned()]));
}

#[test]
fn only_an_escape_can_spell_a_nul() {
    assert!(is_free_of_nul(br#"{"a":"\u0001"}"#));
    assert!(!is_free_of_nul(br#"{"a":"\u0000"}"#));
    let found = all(b"{\"a\":\"\0\"}", &shape(&["a"]));
    assert!(found[0].is_err());
}

#[test]
fn a_key_can_be_wanted_only_once() {
    let names = ["a", "b", "a"].map(str::to_owned);
    let error = ObjectShape::new(&names, UnknownKeys::Reject).unwrap_err();
    assert_eq!(error.to_string(), "the key \"a\" is wanted twice");
}
