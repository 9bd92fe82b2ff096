use serde_json::{Value, json};

use super::*;

fn spec() -> ImportSpec {
    ImportSpec {
        source: SourceSpec { kind: SourceKind::File },
        format: FormatSpec::Csv(CsvDialect {
            delimiter: b';',
            header: true,
            null: Some("-".to_owned()),
        }),
        mapping: MappingSpec::of_columns(vec!["a".to_owned(), "b".to_owned()]),
        split: SplitSpec {
            chunk_rows: 7,
            chunk_bytes: 8,
            max_record: 9,
        },
        load: LoadSpec {
            method: LoadMethod::Insert,
        },
        identity: IdentitySpec::Sequence {
            column: "id".to_owned(),
        },
        conflict: ConflictSpec::Fail,
        completion: CompletionSpec {
            replace: Replace::WithoutRejects,
        },
    }
}

/// Every leaf of a JSON value, as its pointer.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| leaves(value, &format!("{at}/{index}"), found)),
        _ => found.push(at.to_owned()),
    }
}

/// Other values that a leaf may take; those that do not fit its type are no specs.
fn others(value: &Value) -> Vec<Value> {
    let mut others = vec![
        json!("another"),
        json!("copy"),
        json!("never"),
        json!("stream"),
        Value::Null,
    ];
    others.extend(value.as_bool().map(|value| json!(!value)));
    others.extend(value.as_u64().map(|value| json!(value + 1)));
    others.retain(|other| other != value);
    others
}

#[test]
fn every_field_is_in_the_key_or_known_to_change_no_row() {
    const CHANGES_NO_ROW: [&str; 7] = [
        "/source/kind",
        "/split/chunk_rows",
        "/split/chunk_bytes",
        "/split/max_record",
        "/load/method",
        "/identity/column",
        "/completion/replace",
    ];
    // Kinds of which there is only one yet.
    const CLOSED: [&str; 3] = ["/format/kind", "/identity/kind", "/conflict"];
    let json = serde_json::to_value(spec()).unwrap();
    let mut all = Vec::new();
    leaves(&json, "", &mut all);
    assert_eq!(all.len(), 15, "{all:?}");
    for leaf in all {
        let changed: Vec<ImportSpec> = others(json.pointer(&leaf).unwrap())
            .into_iter()
            .filter_map(|other| {
                let mut json = json.clone();
                *json.pointer_mut(&leaf).unwrap() = other;
                serde_json::from_value(json).ok()
            })
            .collect();
        assert_eq!(changed.is_empty(), CLOSED.contains(&leaf.as_str()), "{leaf}");
        for changed in changed {
            assert_ne!(changed, spec(), "{leaf}");
            let same_rows = changed.row_changing().unwrap() == spec().row_changing().unwrap();
            assert_eq!(same_rows, CHANGES_NO_ROW.contains(&leaf.as_str()), "{leaf}");
        }
    }
}

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    let json = serde_json::to_value(spec()).unwrap();
    assert_eq!(serde_json::from_value::<ImportSpec>(json.clone()).unwrap(), spec());
    for place in [
        "",
        "/source",
        "/format",
        "/mapping",
        "/split",
        "/load",
        "/identity",
        "/completion",
    ] {
        let mut json = json.clone();
        let object = json.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        object.insert("new".to_owned(), json!(1));
        assert!(serde_json::from_value::<ImportSpec>(json).is_err(), "{place}");
    }
}

#[test]
fn the_first_version_says_the_same() {
    let before = Version1::from(&spec());
    assert_eq!(ImportSpec::from(before.clone()), spec());
    assert_eq!(
        before.options.row_changing(),
        r#"delimiter=59 header=true null=Some("-")"#
    );
}

#[test]
fn the_canonical_form_stays_as_it_is() {
    // Keys of imports in databases were made of it.
    assert_eq!(
        String::from_utf8(spec().row_changing().unwrap()).unwrap(),
        r#"{"format":{"kind":"csv","delimiter":59,"header":true,"null":"-"},"mapping":{"fields":[{"column":"a"},{"column":"b"}]},"conflict":"fail"}"#
    );
}
