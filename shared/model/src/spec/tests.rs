use serde_json::{Value, json};

use super::*;

/// Each part says something, so that each is stored.
fn dialect() -> CsvDialect {
    CsvDialect {
        delimiter: Delimiter::new(b"; ").unwrap(),
        header: true,
        null: vec!["-".to_owned(), "?".to_owned()],
        quote: Quote(Some(b'\'')),
        escape: Escape::Byte(b'\\'),
        comment: Some("#".to_owned()),
        trim: true,
        skip_lines: 1,
        skip_footer: 2,
        header_above: 3,
        stop_at_header: true,
        quoted_fields: QuotedFields::AreValues,
        force_null: ColumnChoice::These(vec!["a".to_owned()]),
        force_not_null: ColumnChoice::All,
        short_rows: ShortRows::Pad,
        long_rows: LongRows::Join,
        stray_quotes: StrayQuotes::Keep,
    }
}

fn with(dialect: CsvDialect) -> ImportSpec {
    ImportSpec {
        text: TextSpec::default(),
        values: ValuesSpec::default(),
        format: FormatSpec::Csv(dialect),
        ..spec()
    }
}

fn plain() -> CsvDialect {
    CsvDialect {
        null: vec!["-".to_owned()],
        ..CsvDialect::plain(b';', true)
    }
}

fn spec() -> ImportSpec {
    ImportSpec {
        source: SourceSpec {
            kind: SourceKind::File,
            by_reference: false,
        },
        text: TextSpec {
            container: Container::Parquet,
            encoding: Some("UTF-16LE".to_owned()),
            on_bad_bytes: BadBytes::Replace,
        },
        format: FormatSpec::Csv(dialect()),
        mapping: MappingSpec::of_columns(vec!["a".to_owned(), "b".to_owned()]),
        values: ValuesSpec {
            on_nul: OnNul::Strip,
            date_format: Some("DD.MM.YYYY".to_owned()),
            time_zone: Some("Europe/Berlin".to_owned()),
            timestamp_format: Some("YYYYMMDD".to_owned()),
            column_formats: [("a".to_owned(), "YYYY/MM/DD".to_owned())].into(),
            decimal_separator: Some(','),
            thousands_separator: Some('.'),
        },
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
        rejects: RejectsSpec::default(),
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
        json!("reject"),
        json!("none"),
        json!("as_unquoted"),
        json!("plain"),
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
    assert_eq!(all.len(), 41, "{all:?}");
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
        "/text",
        "/format",
        "/mapping",
        "/values",
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
fn earlier_versions_say_the_same_of_what_they_could_say() {
    let before = Version1::of(&with(plain())).unwrap();
    assert_eq!(ImportSpec::from(before.clone()), with(plain()));
    assert_eq!(
        before.options.row_changing(),
        r#"delimiter=59 header=true null=Some("-")"#
    );
    // A command that says no more than it could say then is the same command.
    let strict = CsvDialect {
        null: plain().null,
        ..CsvDialect::strict(plain().delimiter, true)
    };
    assert_eq!(with(strict.clone()).before(), Some(with(plain())));
    assert_eq!(Version1::of(&with(strict.clone())), Some(before));
    let trimmed = CsvDialect { trim: true, ..strict };
    assert_eq!(with(trimmed).before(), None);
    assert_eq!(Version1::of(&spec()), None);
}

#[test]
fn the_canonical_form_stays_as_it_is() {
    // Keys of imports in databases were made of it.
    assert_eq!(
        String::from_utf8(with(plain()).row_changing().unwrap()).unwrap(),
        r#"{"format":{"kind":"csv","delimiter":59,"header":true,"null":"-"},"mapping":{"fields":[{"column":"a"},{"column":"b"}]},"conflict":"fail"}"#
    );
}

#[test]
fn a_dialect_whose_parts_cannot_be_told_apart_is_refused() {
    let usual = CsvDialect::strict(Delimiter::new(b",").unwrap(), true);
    assert_eq!(usual.check(), Ok(()));
    for (wrong, error) in [
        (
            CsvDialect {
                quote: Quote(Some(b',')),
                ..usual.clone()
            },
            DialectError::Same("delimiter", "quote"),
        ),
        (
            CsvDialect {
                escape: Escape::Byte(b'\n'),
                ..usual.clone()
            },
            DialectError::LineEnd("escape"),
        ),
        (
            CsvDialect {
                comment: Some(String::new()),
                ..usual
            },
            DialectError::Empty("comment"),
        ),
    ] {
        assert_eq!(wrong.check(), Err(error));
    }
    for bytes in [b"".as_slice(), b"12345", b"\n", b"a\r"] {
        assert_eq!(Delimiter::new(bytes), None);
    }
}

#[test]
fn record_ends_are_found_from_the_middle_where_lines_are_records() {
    let quoted = CsvDialect::strict(Delimiter::new(b";").unwrap(), true);
    let lines = CsvDialect {
        quote: Quote(None),
        ..quoted.clone()
    };
    let ends_with_lines = |dialect: CsvDialect| FormatSpec::Csv(dialect).ends_with_lines().is_ok();
    assert!(ends_with_lines(lines.clone()) && !ends_with_lines(quoted));
    for cut_otherwise in [
        CsvDialect {
            escape: Escape::Byte(b'\\'),
            ..lines.clone()
        },
        CsvDialect {
            skip_footer: 1,
            ..lines.clone()
        },
        CsvDialect {
            stop_at_header: true,
            ..lines
        },
    ] {
        assert!(!ends_with_lines(cut_otherwise));
    }
}

#[test]
fn only_what_needs_a_newer_version_has_it() {
    let plain = spec();
    assert_eq!(plain.version(), 3);
    let with = |mapping: MappingSpec| ImportSpec {
        mapping,
        ..plain.clone()
    };
    let added = |value: AddedValue| MappingSpec {
        added: vec![AddedColumn {
            column: "c".to_owned(),
            value,
        }],
        ..plain.mapping.clone()
    };
    let fields = |field: FieldSpec| MappingSpec {
        fields: vec![FieldSpec::Column("a".to_owned()), field],
        ..plain.mapping.clone()
    };
    let given = with(MappingSpec {
        given: true,
        ..plain.mapping.clone()
    });
    assert_eq!(given.version(), 4);
    assert_eq!(given.row_changing().unwrap(), plain.row_changing().unwrap());
    let referenced = ImportSpec {
        source: SourceSpec {
            by_reference: true,
            ..plain.source
        },
        ..plain.clone()
    };
    assert_eq!(referenced.version(), 6);
    assert_eq!(referenced.row_changing().unwrap(), plain.row_changing().unwrap());
    let renamed = FieldSpec::Renamed {
        field: "B".to_owned(),
        column: "b".to_owned(),
    };
    let mut keys = vec![plain.row_changing().unwrap()];
    for mapping in [
        fields(FieldSpec::Ignored("b".to_owned())),
        fields(renamed),
        added(AddedValue::Constant("x".to_owned())),
        added(AddedValue::File),
        added(AddedValue::Line),
        added(AddedValue::Import),
    ] {
        let spec = with(mapping);
        assert_eq!(spec.version(), 4);
        assert_eq!((spec.before(), Version1::of(&spec)), (None, None));
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ImportSpec>(&json).unwrap(), spec);
        keys.push(spec.row_changing().unwrap());
    }
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all);
}
