//! Values with parts are JSON.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{builder::*, types::*, *};
use arrow_schema::{DataType, Field, Fields};
use parquet_source::Kind;

use crate::support::{batch, bytes, column, open, read};

#[track_caller]
fn reads_as(array: impl Array + 'static, expected: &[&str]) {
    let array: ArrayRef = Arc::new(array);
    let expected = (Kind::Json, expected.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(column(Arc::clone(&array), false), expected);
    assert_eq!(column(array, true), expected);
}

#[test]
fn a_list_keeps_its_numbers_and_its_nulls() {
    let list = |items: Vec<Option<i64>>| Some(items);
    let array = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        list(vec![]),
        None,
        list(vec![Some(9_007_199_254_740_993), None, Some(i64::MIN)]),
    ]);
    reads_as(array, &["[]", r"\N", "[9007199254740993,null,-9223372036854775808]"]);
    let array = LargeListArray::from_iter_primitive::<Float64Type, _, _>(vec![Some(vec![
        Some(0.1),
        Some(f64::NAN),
        Some(f64::NEG_INFINITY),
        Some(1e300),
    ])]);
    reads_as(array, &[r#"[0.1,"NaN","-Infinity",1e300]"#]);
    let array = FixedSizeListArray::from_iter_primitive::<UInt64Type, _, _>(vec![Some([Some(u64::MAX), None])], 2);
    reads_as(array, &["[18446744073709551615,null]"]);
}

#[test]
fn a_list_of_lists_is_one() {
    let mut lists = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    lists.values().append_value([Some("a\"b"), None]);
    lists.values().append_null();
    lists.values().append_value(Vec::<Option<&str>>::new());
    lists.append(true);
    lists.append(false);
    lists.append(true);
    reads_as(lists.finish(), &[r#"[["a\"b",null],null,[]]"#, r"\N", "[]"]);
}

#[test]
fn a_group_has_all_its_fields() {
    let fields = Fields::from(vec![
        Field::new("n", DataType::Decimal128(20, 2), true),
        Field::new("b", DataType::Binary, true),
        Field::new("a \"name\"", DataType::Date32, true),
        Field::new("n", DataType::Boolean, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            Decimal128Array::from(vec![Some(-110), None, None])
                .with_precision_and_scale(20, 2)
                .unwrap(),
        ),
        Arc::new(BinaryArray::from(vec![Some(&b"\x01\xff"[..]), None, None])),
        Arc::new(Date32Array::from(vec![Some(-1), None, None])),
        Arc::new(BooleanArray::from(vec![Some(true), None, None])),
    ];
    let array = StructArray::new(fields, columns, Some(vec![true, true, false].into()));
    let first = r#"{"n":-1.10,"b":"\\x01ff","a \"name\"":"1969-12-31","n":true}"#;
    reads_as(
        array,
        &[first, r#"{"n":null,"b":null,"a \"name\"":null,"n":null}"#, r"\N"],
    );
}

#[test]
fn a_map_has_its_keys_in_their_order() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("b\n");
    map.values().append_value(1);
    map.keys().append_value("a");
    map.values().append_null();
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    reads_as(map.finish(), &[r#"{"b\n":1,"a":null}"#, r"\N", "{}"]);

    let mut map = MapBuilder::new(None, TimestampMicrosecondBuilder::new(), UInt64Builder::new());
    map.keys().append_value(0);
    map.values().append_value(u64::MAX);
    map.append(true).unwrap();
    reads_as(map.finish(), &[r#"{"1970-01-01 00:00:00":18446744073709551615}"#]);

    let mut map = MapBuilder::new(None, Int64Builder::new(), BinaryBuilder::new());
    map.keys().append_value(-7);
    map.values().append_value(b"");
    map.append(true).unwrap();
    reads_as(map.finish(), &[r#"{"-7":"\\x"}"#]);
}

#[test]
fn intervals_in_a_list_have_their_months_and_their_days() {
    // Arrow's own intervals have one of the two.
    let mut lists = ListBuilder::new(IntervalYearMonthBuilder::new());
    lists.append_value([Some(-5), None, Some(1)]);
    let array: ArrayRef = Arc::new(lists.finish());
    let expected = r#"["-5 mons 0 days 00:00:00",null,"1 mons 0 days 00:00:00"]"#;
    assert_eq!(column(array, false), (Kind::Json, vec![expected.to_owned()]));
}

#[test]
fn json_is_quoted_as_any_text_is() {
    let array = ListArray::from_iter_primitive::<Int8Type, _, _>(vec![Some(vec![Some(1), Some(2)])]);
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_value([Some("é\t\0")]);
    let data = bytes(
        &[batch(vec![Arc::new(array), Arc::new(texts.finish())])],
        Default::default(),
    );
    assert_eq!(
        read(&data).unwrap(),
        "\"a\",\"b\"\n\"[1,2]\",\"[\"\"é\\t\\u0000\"\"]\"\n"
    );
}

#[test]
fn ids_of_fields_make_no_difference() {
    let id = |id: &str| HashMap::from([("PARQUET:field_id".to_owned(), id.to_owned())]);
    let item = Field::new("element", DataType::Int32, true).with_metadata(id("3"));
    let list = Field::new("list", DataType::List(Arc::new(item)), true).with_metadata(id("2"));
    let fields = vec![Field::new("text", DataType::Utf8, true).with_metadata(id("1")), list];
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| new_null_array(field.data_type(), 1))
        .collect();
    let data = bytes(&[RecordBatch::try_new(schema, columns).unwrap()], Default::default());
    assert_eq!(open(&data).unwrap().columns().len(), 2);
    assert_eq!(read(&data).unwrap(), "\"text\",\"list\"\n\\N,\\N\n");
}
