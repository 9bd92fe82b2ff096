//! What the values of each column are.
//!
//! Parquet's own schema says it. The schema of Arrow that some writers add is heard only where Parquet has no word for what was meant: a
//! file whose Arrow schema is wrong reads as if it had none.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use parquet::{
    basic::{ConvertedType, LogicalType, Type as PhysicalType},
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};

use crate::{ParquetError, shape::Shape};

/// What a value is, and the arrays it is read into.
pub(super) struct Reading {
    pub(super) first: DataType,
    /// The other array, if one does not hold all; else the same.
    pub(super) second: DataType,
    pub(super) shape: Shape,
}

impl Reading {
    fn once(array: DataType, shape: Shape) -> Self {
        Self {
            second: array.clone(),
            first: array,
            shape,
        }
    }
}

/// What the columns are. `base` is what Parquet's schema says; `arrow` what the `parquet` crate makes of both.
pub(super) fn columns<'b>(
    descriptor: &SchemaDescriptor,
    base: &'b Fields,
    arrow: Option<&Fields>,
) -> Result<Vec<(&'b Field, Reading)>, ParquetError> {
    let mut leaves = descriptor.columns().iter();
    let mut columns = Vec::new();
    for (at, field) in base.iter().enumerate() {
        let arrow = arrow.and_then(|arrow| arrow.get(at)).map(|field| field.data_type());
        let mut walk = Walk { leaves: &mut leaves };
        let reading = walk.value(field.data_type(), arrow);
        let column = || field.name().clone();
        let reading = reading.map_err(|problem| ParquetError::Column {
            column: column(),
            problem,
        })?;
        columns.push((field.as_ref(), reading));
    }
    Ok(columns)
}

/// Goes through the parts of a column in their order, which is that of the leaves.
struct Walk<'w, L> {
    leaves: &'w mut L,
}

impl<'d, L: Iterator<Item = &'d Arc<ColumnDescriptor>>> Walk<'_, L> {
    fn value(&mut self, base: &DataType, arrow: Option<&DataType>) -> Result<Reading, &'static str> {
        let arrow = arrow.map(decoded);
        match base {
            DataType::Struct(fields) => {
                let arrow = match arrow {
                    Some(DataType::Struct(arrow)) => Some(arrow),
                    _ => None,
                };
                self.group(fields, arrow)
            }
            DataType::List(item) => {
                let arrow = match arrow {
                    Some(
                        DataType::List(item)
                        | DataType::LargeList(item)
                        | DataType::ListView(item)
                        | DataType::LargeListView(item)
                        | DataType::FixedSizeList(item, _),
                    ) => Some(item.data_type()),
                    _ => None,
                };
                let reading = self.value(item.data_type(), arrow)?;
                let list = |array| DataType::List(of(item, array));
                Ok(Reading {
                    first: list(reading.first),
                    second: list(reading.second),
                    shape: Shape::List(Box::new(reading.shape)),
                })
            }
            DataType::Map(entries, sorted) => {
                let arrow = match arrow {
                    Some(DataType::Map(entries, _)) => Some(entries.data_type()),
                    _ => None,
                };
                let reading = self.value(entries.data_type(), arrow)?;
                let map = |array| DataType::Map(of(entries, array), *sorted);
                Ok(Reading {
                    first: map(reading.first),
                    second: map(reading.second),
                    shape: map_of(reading.shape)?,
                })
            }
            _ => {
                let leaf = self.leaves.next().ok_or("is not in the schema of the file")?;
                leaf_reading(base, arrow, leaf)
            }
        }
    }

    fn group(&mut self, fields: &Fields, arrow: Option<&Fields>) -> Result<Reading, &'static str> {
        let mut parts = Vec::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (at, field) in fields.iter().enumerate() {
            let arrow = arrow.and_then(|arrow| arrow.get(at)).map(|field| field.data_type());
            let reading = self.value(field.data_type(), arrow)?;
            first.push(of(field, reading.first));
            second.push(of(field, reading.second));
            parts.push((field.name().clone(), reading.shape));
        }
        Ok(Reading {
            first: DataType::Struct(first.into()),
            second: DataType::Struct(second.into()),
            shape: Shape::Struct(parts),
        })
    }
}

fn of(field: &Field, array: DataType) -> FieldRef {
    Arc::new(field.clone().with_data_type(array))
}

fn map_of(entries: Shape) -> Result<Shape, &'static str> {
    let Shape::Struct(parts) = entries else {
        return Err("has a map whose entries are no pairs");
    };
    let parts: Result<[_; 2], _> = parts.try_into();
    let [(_, key), (_, value)] = parts.map_err(|_| "has a map whose entries are no pairs")?;
    if key.has_parts() {
        return Err("has a map whose keys are lists or groups, which JSON has no keys for");
    }
    Ok(Shape::Map(Box::new(key), Box::new(value)))
}

/// The type of the values, however they are encoded.
fn decoded(mut array: &DataType) -> &DataType {
    loop {
        match array {
            DataType::Dictionary(_, values) => array = values,
            DataType::RunEndEncoded(_, values) => array = values.data_type(),
            other => return other,
        }
    }
}

fn leaf_reading(base: &DataType, arrow: Option<&DataType>, leaf: &ColumnDescriptor) -> Result<Reading, &'static str> {
    if leaf.physical_type() == PhysicalType::INT96 && !matches!(base, DataType::Null) {
        let with_zone = matches!(arrow, Some(DataType::Timestamp(_, Some(_))));
        return Ok(Reading {
            first: DataType::Timestamp(TimeUnit::Second, None),
            second: DataType::Timestamp(TimeUnit::Nanosecond, None),
            shape: Shape::Int96 { with_zone },
        });
    }
    if let Some(meant) = arrow.and_then(|arrow| meant(base, arrow)) {
        return Ok(meant);
    }
    let logical = leaf.logical_type_ref();
    let integer = |bits, signed| Shape::Integer { bits, signed };
    let shape = match base {
        DataType::Null => Shape::Null,
        DataType::Boolean => Shape::Boolean,
        DataType::Int8 => integer(8, true),
        DataType::Int16 => integer(16, true),
        DataType::Int32 => integer(32, true),
        DataType::Int64 => integer(64, true),
        DataType::UInt8 => integer(8, false),
        DataType::UInt16 => integer(16, false),
        DataType::UInt32 => integer(32, false),
        DataType::UInt64 => integer(64, false),
        DataType::Float16 => Shape::Float { bits: 16 },
        DataType::Float32 => Shape::Float { bits: 32 },
        DataType::Float64 => Shape::Float { bits: 64 },
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => Shape::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Date32 => Shape::Date,
        DataType::Time32(unit) | DataType::Time64(unit) => Shape::Time(*unit),
        DataType::Timestamp(unit, zone) => Shape::Timestamp {
            unit: *unit,
            with_zone: zone.is_some(),
        },
        DataType::Interval(_) => {
            return Ok(Reading {
                first: DataType::Interval(IntervalUnit::YearMonth),
                second: DataType::Interval(IntervalUnit::DayTime),
                shape: Shape::Interval {
                    signed: matches!(arrow, Some(DataType::Interval(_))),
                },
            });
        }
        DataType::Utf8 => {
            let is_json = matches!(logical, Some(LogicalType::Json)) || leaf.converted_type() == ConvertedType::JSON;
            let shape = if is_json { Shape::Json } else { Shape::Text };
            return Ok(Reading::once(DataType::Utf8View, shape));
        }
        DataType::Binary => {
            let is_enum = matches!(logical, Some(LogicalType::Enum)) || leaf.converted_type() == ConvertedType::ENUM;
            let shape = if is_enum { Shape::Text } else { Shape::Binary };
            return Ok(Reading::once(DataType::BinaryView, shape));
        }
        DataType::FixedSizeBinary(16) if matches!(logical, Some(LogicalType::Uuid)) => Shape::Uuid,
        DataType::FixedSizeBinary(_) => Shape::Binary,
        _ => return Err("holds values of a type that cannot be read"),
    };
    Ok(Reading::once(base.clone(), shape))
}

/// What only Arrow's schema can say of a value.
fn meant(base: &DataType, arrow: &DataType) -> Option<Reading> {
    let (array, shape) = match (base, arrow) {
        (DataType::Int64, DataType::Duration(unit)) => (arrow, Shape::Duration(*unit)),
        (DataType::Int64, DataType::Date64) => (arrow, Shape::DateMillis),
        (DataType::Int32, DataType::Time32(unit)) | (DataType::Int64, DataType::Time64(unit)) => {
            (arrow, Shape::Time(*unit))
        }
        (DataType::Int32 | DataType::Int64, DataType::Timestamp(unit, zone)) => {
            let with_zone = zone.is_some();
            (arrow, Shape::Timestamp { unit: *unit, with_zone })
        }
        (DataType::Timestamp(unit, None), DataType::Timestamp(same, Some(_))) if unit == same => {
            let with_zone = true;
            (arrow, Shape::Timestamp { unit: *unit, with_zone })
        }
        (DataType::Binary, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            (&DataType::BinaryView, Shape::Text)
        }
        _ => return None,
    };
    Some(Reading::once(array.clone(), shape))
}
