//! Each type, with the ends of its range and NULL.

use std::sync::Arc;

use arrow_array::{types::*, *};
use arrow_buffer::{IntervalDayTime, i256};
use arrow_schema::DataType;
use parquet_source::Kind;

use crate::support::column;

#[track_caller]
fn reads_as(array: impl Array + 'static, kind: Kind, expected: &[&str]) {
    let array: ArrayRef = Arc::new(array);
    assert_eq!(
        column(array, false),
        (kind, expected.iter().map(ToString::to_string).collect())
    );
}

/// The same, whether the file has a schema of Arrow or not.
#[track_caller]
fn always_reads_as(array: impl Array + Clone + 'static, kind: Kind, expected: &[&str]) {
    reads_as(array.clone(), kind, expected);
    let array: ArrayRef = Arc::new(array);
    assert_eq!(
        column(array, true),
        (kind, expected.iter().map(ToString::to_string).collect())
    );
}

#[test]
fn booleans_and_nothing() {
    let array = BooleanArray::from(vec![Some(true), None, Some(false)]);
    always_reads_as(array, Kind::Boolean, &["true", r"\N", "false"]);
    always_reads_as(NullArray::new(3), Kind::Null, &[r"\N"; 3]);
}

#[test]
fn integers_of_every_width() {
    let signed = |bits| Kind::Integer { bits, signed: true };
    let unsigned = |bits| Kind::Integer { bits, signed: false };
    always_reads_as(
        Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)]),
        signed(8),
        &["-128", r"\N", "127"],
    );
    always_reads_as(
        Int16Array::from(vec![i16::MIN, i16::MAX]),
        signed(16),
        &["-32768", "32767"],
    );
    always_reads_as(
        Int32Array::from(vec![i32::MIN, i32::MAX]),
        signed(32),
        &["-2147483648", "2147483647"],
    );
    let ends = ["-9223372036854775808", "9223372036854775807"];
    always_reads_as(Int64Array::from(vec![i64::MIN, i64::MAX]), signed(64), &ends);
    always_reads_as(UInt8Array::from(vec![0, u8::MAX]), unsigned(8), &["0", "255"]);
    always_reads_as(UInt16Array::from(vec![u16::MAX]), unsigned(16), &["65535"]);
    always_reads_as(UInt32Array::from(vec![u32::MAX]), unsigned(32), &["4294967295"]);
    always_reads_as(
        UInt64Array::from(vec![Some(u64::MAX), None]),
        unsigned(64),
        &["18446744073709551615", r"\N"],
    );
}

#[test]
fn floats_of_every_width() {
    let half = |number| <Float16Type as ArrowPrimitiveType>::Native::from_f32(number);
    let array = Float16Array::from(vec![Some(half(0.5)), None, Some(half(65504.0)), Some(half(f32::NAN))]);
    always_reads_as(array, Kind::Float { bits: 16 }, &["0.5", r"\N", "65504", "NaN"]);
    let array = Float32Array::from(vec![0.1, f32::MAX, f32::MIN_POSITIVE, -0.0, f32::INFINITY]);
    let expected = [
        "0.10000000149011612",
        "3.4028234663852886e38",
        "1.1754943508222875e-38",
        "-0",
        "Infinity",
    ];
    always_reads_as(array, Kind::Float { bits: 32 }, &expected);
    let array = Float64Array::from(vec![0.1, f64::MAX, 5e-324, 1e16, f64::NEG_INFINITY, f64::NAN]);
    let expected = [
        "0.1",
        "1.7976931348623157e308",
        "5e-324",
        "10000000000000000",
        "-Infinity",
        "NaN",
    ];
    always_reads_as(array, Kind::Float { bits: 64 }, &expected);
}

#[test]
fn decimals_of_every_width() {
    let kind = |precision, scale| Kind::Decimal { precision, scale };
    let array = Decimal32Array::from(vec![Some(-150), None, Some(999)])
        .with_precision_and_scale(5, 2)
        .unwrap();
    always_reads_as(array, kind(5, 2), &["-1.50", r"\N", "9.99"]);
    let array = Decimal64Array::from(vec![1]).with_precision_and_scale(18, 18).unwrap();
    always_reads_as(array, kind(18, 18), &["0.000000000000000001"]);
    let most = 10_i128.pow(38) - 1;
    let array = Decimal128Array::from(vec![most, -most, 0])
        .with_precision_and_scale(38, 0)
        .unwrap();
    let nines = "9".repeat(38);
    always_reads_as(array, kind(38, 0), &[&nines, &format!("-{nines}"), "0"]);
    let array = Decimal256Array::from(vec![i256::from_string(&"9".repeat(76)).unwrap(), i256::MINUS_ONE]);
    let array = array.with_precision_and_scale(76, 10).unwrap();
    let expected = [
        format!("{}.{}", "9".repeat(66), "9".repeat(10)),
        "-0.0000000001".to_owned(),
    ];
    always_reads_as(array, kind(76, 10), &expected.each_ref().map(String::as_str));
    // Narrow numbers that Arrow holds in wide ones.
    let array = Decimal256Array::from(vec![i256::from_i128(-12345)])
        .with_precision_and_scale(20, 3)
        .unwrap();
    always_reads_as(array, kind(20, 3), &["-12.345"]);
}

#[test]
fn dates_of_all_eras() {
    let array = Date32Array::from(vec![
        Some(0),
        None,
        Some(-735_160),
        Some(2_932_897),
        Some(i32::MAX),
        Some(i32::MIN),
    ]);
    let expected = [
        "1970-01-01",
        r"\N",
        "0044-03-15 BC",
        "10000-01-01",
        "5881580-07-11",
        "5877642-06-23 BC",
    ];
    always_reads_as(array, Kind::Date, &expected);
    // Without the schema of Arrow these are Parquet's integers.
    reads_as(
        Date64Array::from(vec![-86_400_000, 1]),
        Kind::Date,
        &["1969-12-31", "1970-01-01 00:00:00.001"],
    );
}

#[test]
fn times_of_day() {
    let array = Time32MillisecondArray::from(vec![Some(0), None, Some(86_399_999), Some(86_400_000)]);
    always_reads_as(array, Kind::Time, &["00:00:00", r"\N", "23:59:59.999", "24:00:00"]);
    reads_as(Time32SecondArray::from(vec![3661]), Kind::Time, &["01:01:01"]);
    always_reads_as(Time64MicrosecondArray::from(vec![1]), Kind::Time, &["00:00:00.000001"]);
    let array = Time64NanosecondArray::from(vec![1_000, 1_001]);
    always_reads_as(array, Kind::Time, &["00:00:00.000001", "00:00:00.000001001"]);
    // There is no such time; the server says so.
    always_reads_as(
        Time64MicrosecondArray::from(vec![-1, 90_000_000_000]),
        Kind::Time,
        &["-00:00:00.000001", "25:00:00"],
    );
}

#[test]
fn timestamps_of_every_unit() {
    let kind = Kind::Timestamp { with_zone: false };
    let zoned = Kind::Timestamp { with_zone: true };
    reads_as(
        TimestampSecondArray::from(vec![-62_135_596_801]),
        kind,
        &["0001-12-31 23:59:59 BC"],
    );
    let array = TimestampMillisecondArray::from(vec![Some(-1), None, Some(253_402_300_800_000)]);
    always_reads_as(array, kind, &["1969-12-31 23:59:59.999", r"\N", "10000-01-01 00:00:00"]);
    let array = TimestampMicrosecondArray::from(vec![i64::MIN, 1, 1_000]).with_timezone("+02:00");
    let expected = [
        "290309-12-21 19:59:05.224192+00 BC",
        "1970-01-01 00:00:00.000001+00",
        "1970-01-01 00:00:00.001+00",
    ];
    always_reads_as(array, zoned, &expected);
    let array = TimestampNanosecondArray::from(vec![1_000, 1_001]);
    always_reads_as(
        array,
        kind,
        &["1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000001001"],
    );
}

#[test]
fn spans_of_time() {
    let array = DurationMicrosecondArray::from(vec![Some(93_784_000_001), None, Some(-1_000_000)]);
    reads_as(array, Kind::Interval, &["26:03:04.000001", r"\N", "-00:00:01"]);
    let array = IntervalYearMonthArray::from(vec![Some(14), None, Some(-1)]);
    reads_as(
        array.clone(),
        Kind::Interval,
        &["14 mons 0 days 00:00:00", r"\N", "-1 mons 0 days 00:00:00"],
    );
    // Without the schema of Arrow they are Parquet's, which are never negative.
    let expected = ["14 mons 0 days 00:00:00", r"\N", "4294967295 mons 0 days 00:00:00"];
    let array: ArrayRef = Arc::new(array);
    assert_eq!(
        column(array, true),
        (Kind::Interval, expected.map(str::to_owned).into())
    );
    let array = IntervalDayTimeArray::from(vec![IntervalDayTime::new(3, 1500)]);
    always_reads_as(array, Kind::Interval, &["0 mons 3 days 00:00:01.500"]);
}

#[test]
fn text_of_every_array() {
    let texts = ["", r"\N", "a \"quoted\", text\r\nof\0 é", "NULL"];
    always_reads_as(StringArray::from(texts.to_vec()), Kind::Text, &texts);
    always_reads_as(LargeStringArray::from(texts.to_vec()), Kind::Text, &texts);
    always_reads_as(StringViewArray::from(texts.to_vec()), Kind::Text, &texts);
    let array: DictionaryArray<Int8Type> = vec![Some("red"), None, Some("red"), Some("a text beyond twelve bytes")]
        .into_iter()
        .collect();
    always_reads_as(array, Kind::Text, &["red", r"\N", "red", "a text beyond twelve bytes"]);
}

#[test]
fn bytes_of_every_array() {
    let bytes: [&[u8]; 3] = [b"", b"\0\xff\"", b"more than twelve bytes"];
    let expected = [r"\x", r"\x00ff22", r"\x6d6f7265207468616e207477656c7665206279746573"];
    always_reads_as(BinaryArray::from(bytes.to_vec()), Kind::Binary, &expected);
    always_reads_as(LargeBinaryArray::from(bytes.to_vec()), Kind::Binary, &expected);
    always_reads_as(BinaryViewArray::from(bytes.to_vec()), Kind::Binary, &expected);
    let array = FixedSizeBinaryArray::try_from_iter([b"abc", b"\0\x01\x02"].into_iter()).unwrap();
    always_reads_as(array, Kind::Binary, &[r"\x616263", r"\x000102"]);
    let keys = Int8Array::from(vec![Some(0), None]);
    let values: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x01"[..]]));
    let array = DictionaryArray::new(keys, values);
    assert_eq!(
        *array.data_type(),
        DataType::Dictionary(DataType::Int8.into(), DataType::Binary.into())
    );
    always_reads_as(array, Kind::Binary, &[r"\x01", r"\N"]);
}
