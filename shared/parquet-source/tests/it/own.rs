//! Types that are Parquet's own: what no writer of Arrow arrays makes.

use std::sync::Arc;

use parquet::{
    data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArrayType, Int32Type, Int96, Int96Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use parquet_source::{Kind, ParquetError};

use crate::support::{open, read, records};

/// A file of one row group and one leaf: values with their levels of definition and repetition.
fn file<T: DataType>(column: &str, values: &[T::T], definition: &[i16], repetition: &[i16]) -> Vec<u8> {
    let schema = parse_message_type(&format!("message rows {{ {column} }}")).unwrap();
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut leaf = group.next_column().unwrap().unwrap();
    let repetition = (!repetition.is_empty()).then_some(repetition);
    leaf.typed::<T>()
        .write_batch(values, Some(definition), repetition)
        .unwrap();
    leaf.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn kind(bytes: &[u8]) -> Kind {
    open(bytes).unwrap().columns()[0].kind
}

fn fields(bytes: &[u8]) -> Vec<String> {
    records(&read(bytes).unwrap()).concat()
}

#[test]
fn int96_reaches_further_than_64_bits_of_nanoseconds() {
    const EPOCH: i64 = 2_440_588;
    let int96 = |days: i64, nanos: u64| {
        let mut value = Int96::new();
        let day = i32::try_from(EPOCH + days).unwrap().cast_unsigned();
        value.set_data((nanos & 0xffff_ffff) as u32, (nanos >> 32) as u32, day);
        value
    };
    let last = 86_399_999_999_999;
    let values = [
        int96(-719_162, last),
        int96(2_932_896, 1_001),
        int96(0, 0),
        int96(100_000_000, 1_000),
    ];
    let data = file::<Int96Type>("optional int96 at;", &values, &[1, 1, 0, 1, 1], &[]);
    assert_eq!(kind(&data), Kind::Timestamp { with_zone: false });
    let expected = [
        "0001-01-01 23:59:59.999999999",
        "9999-12-31 00:00:00.000001001",
        r"\N",
        "1970-01-01 00:00:00",
        "275760-09-13 00:00:00.000001",
    ];
    assert_eq!(fields(&data), expected);
}

#[test]
fn an_interval_has_months_days_and_milliseconds() {
    let interval = |months: u32, days: u32, millis: u32| {
        let parts = [months, days, millis].map(u32::to_le_bytes).concat();
        ByteArray::from(parts).into()
    };
    let values = [interval(14, 3, 1_500), interval(0, 0, 0), interval(0, u32::MAX, 0)];
    let column = "optional fixed_len_byte_array(12) span (INTERVAL);";
    let data = file::<FixedLenByteArrayType>(column, &values, &[1, 0, 1, 1], &[]);
    assert_eq!(kind(&data), Kind::Interval);
    let expected = [
        "14 mons 3 days 00:00:01.500",
        r"\N",
        "0 mons 0 days 00:00:00",
        "0 mons 4294967295 days 00:00:00",
    ];
    assert_eq!(fields(&data), expected);
}

#[test]
fn intervals_in_a_list_are_whole() {
    let values = [ByteArray::from([1, 2, 3].map(u32::to_le_bytes).concat()).into()];
    let column =
        "optional group spans (LIST) { repeated group list { optional fixed_len_byte_array(12) element (INTERVAL); } }";
    let data = file::<FixedLenByteArrayType>(column, &values, &[3, 2, 1, 0], &[0, 1, 0, 0]);
    assert_eq!(kind(&data), Kind::Json);
    assert_eq!(fields(&data), [r#"["1 mons 2 days 00:00:00.003",null]"#, "[]", r"\N"]);
}

#[test]
fn text_has_several_names() {
    let values = ["{\"a\": 1}", "b"].map(ByteArray::from);
    let of = |annotation| file::<ByteArrayType>(&format!("optional binary a {annotation};"), &values, &[1, 0, 1], &[]);
    for (annotation, expected) in [
        ("(STRING)", Kind::Text),
        ("(UTF8)", Kind::Text),
        ("(ENUM)", Kind::Text),
        ("(JSON)", Kind::Json),
    ] {
        let data = of(annotation);
        assert_eq!(kind(&data), expected);
        assert_eq!(fields(&data), ["{\"a\": 1}", r"\N", "b"]);
    }
    for annotation in ["", "(BSON)"] {
        let data = of(annotation);
        assert_eq!(kind(&data), Kind::Binary);
        assert_eq!(fields(&data), [r"\x7b2261223a20317d", r"\N", r"\x62"]);
    }
}

#[test]
fn what_is_called_text_and_is_not_is_never_changed() {
    let values = [ByteArray::from(b"\xff\xfe".to_vec())];
    // A string is checked; of others the bytes are passed on, for whoever loads them to refuse.
    let text = file::<ByteArrayType>("optional binary a (STRING);", &values, &[1], &[]);
    let error = read(&text).unwrap_err();
    assert!(matches!(error_of(&error), ParquetError::Damaged { .. }), "{error}");
    for annotation in ["(ENUM)", "(JSON)"] {
        let data = file::<ByteArrayType>(&format!("optional binary a {annotation};"), &values, &[1], &[]);
        let mut out = Vec::new();
        std::io::copy(&mut open(&data).unwrap().into_csv(), &mut out).unwrap();
        assert_eq!(out, b"\"a\"\n\"\xff\xfe\"\n");
    }
}

fn error_of(error: &std::io::Error) -> &ParquetError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

#[test]
fn a_decimal_in_bytes_has_its_sign() {
    let values = [ByteArray::from(vec![0xff, 0x6a]), ByteArray::from(vec![0x00, 0x96])];
    let data = file::<ByteArrayType>("optional binary a (DECIMAL(9,2));", &values, &[1, 1], &[]);
    assert_eq!(kind(&data), Kind::Decimal { precision: 9, scale: 2 });
    assert_eq!(fields(&data), ["-1.50", "1.50"]);
}

#[test]
fn a_repeated_field_is_a_list() {
    let data = file::<Int32Type>("repeated int32 a;", &[1, 2, 3], &[1, 1, 0, 1], &[0, 1, 0, 0]);
    assert_eq!(kind(&data), Kind::Json);
    assert_eq!(fields(&data), ["[1,2]", "[]", "[3]"]);
}

/// A file with this column and no rows.
fn empty(column: &str) -> Vec<u8> {
    let schema = parse_message_type(&format!("message rows {{ {column} }}")).unwrap();
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), properties).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn columns_that_cannot_be_read_are_refused() {
    let key = "required group key { required int32 a; }";
    let map = format!("optional group m (MAP) {{ repeated group key_value {{ {key} optional int32 value; }} }}");
    let deep = format!(
        "{} required int32 a; {}",
        "required group m {".repeat(250),
        "}".repeat(250)
    );
    let variant = "optional group m (VARIANT) { required binary metadata; required binary value; }";
    for (column, expected) in [
        (
            map.as_str(),
            "has a map whose keys are lists or groups, which JSON has no keys for",
        ),
        (&deep, "has parts within parts on more than 200 levels"),
        (
            variant,
            "holds VARIANT values, which cannot be read: write them as JSON",
        ),
    ] {
        let error = open(&empty(column)).unwrap_err();
        assert_eq!(error.to_string(), format!("column \"m\" {expected}"));
    }
}
