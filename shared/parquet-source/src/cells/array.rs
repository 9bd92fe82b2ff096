//! Arrays become cells: each must be of the type that was asked for.

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, FixedSizeBinaryArray, ListArray, MapArray, PrimitiveArray,
    StringViewArray, StructArray, types::*,
};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, TimeUnit};

use super::{Cells, Values};
use crate::{error::Damage, shape::Shape};

impl Cells {
    /// The values of an array of this shape. `second` is the other array, of shapes that are read twice.
    pub(crate) fn new(array: &ArrayRef, second: Option<&ArrayRef>, shape: &Shape) -> Result<Self, Damage> {
        let other = second.unwrap_or(array);
        if other.len() != array.len() {
            let (expected, found) = (array.len() as u64, other.len() as u64);
            return Err(Damage::Rows { expected, found });
        }
        let values = match shape {
            Shape::Null => Values::Null,
            Shape::Boolean => Values::Boolean(of_type::<arrow_array::BooleanArray>(array)?.clone()),
            Shape::Integer { .. } => integers(array)?,
            Shape::Float { .. } => floats(array)?,
            Shape::Decimal { scale, .. } => match array.data_type() {
                DataType::Decimal256(..) => Values::Decimal256(numbers::<Decimal256Type>(array)?, *scale),
                _ => Values::Decimal(numbers::<Decimal128Type>(array)?, *scale),
            },
            Shape::Date => Values::Date(numbers::<Date32Type>(array)?),
            Shape::DateMillis => Values::DateMillis(numbers::<Date64Type>(array)?),
            Shape::Time(unit) => Values::Time(times(array, *unit)?, *unit),
            Shape::Timestamp { unit, with_zone } => Values::Timestamp {
                values: timestamps(array, *unit)?,
                unit: *unit,
                with_zone: *with_zone,
            },
            Shape::Int96 { with_zone } => Values::Int96 {
                seconds: timestamps(array, TimeUnit::Second)?,
                nanos: timestamps(other, TimeUnit::Nanosecond)?,
                with_zone: *with_zone,
            },
            Shape::Duration(unit) => Values::Duration(durations(array, *unit)?, *unit),
            Shape::Interval { signed } => Values::Interval {
                months: numbers::<IntervalYearMonthType>(array)?,
                rest: numbers::<IntervalDayTimeType>(other)?,
                signed: *signed,
            },
            Shape::Text | Shape::Json => Values::Text(views(array)?),
            Shape::Uuid => Values::Uuid(of_type::<FixedSizeBinaryArray>(array)?.clone()),
            Shape::Binary => match array.data_type() {
                DataType::FixedSizeBinary(_) => Values::FixedBinary(of_type::<FixedSizeBinaryArray>(array)?.clone()),
                _ => Values::Binary(views(array)?),
            },
            Shape::List(item) => {
                let (list, second) = (of_type::<ListArray>(array)?, of_type::<ListArray>(other)?);
                let items = Self::new(list.values(), Some(second.values()), item)?;
                Values::List(list.offsets().clone(), Box::new(items))
            }
            Shape::Map(key, value) => {
                let (map, second) = (of_type::<MapArray>(array)?, of_type::<MapArray>(other)?);
                Values::Map {
                    offsets: map.offsets().clone(),
                    keys: Box::new(Self::new(map.keys(), Some(second.keys()), key)?),
                    values: Box::new(Self::new(map.values(), Some(second.values()), value)?),
                }
            }
            Shape::Struct(fields) => {
                let (group, second) = (of_type::<StructArray>(array)?, of_type::<StructArray>(other)?);
                let columns = group.columns().iter().zip(second.columns());
                let cells = fields.iter().zip(columns).map(|((name, shape), (first, second))| {
                    let cells = Self::new(first, Some(second), shape)?;
                    Ok((name.clone(), cells))
                });
                Values::Struct(cells.collect::<Result<_, Damage>>()?)
            }
        };
        let nulls = array.nulls().cloned();
        Ok(Self { nulls, values })
    }
}

fn of_type<T: 'static>(array: &ArrayRef) -> Result<&T, Damage> {
    array.as_any().downcast_ref::<T>().ok_or_else(|| unexpected(array))
}

fn unexpected(array: &ArrayRef) -> Damage {
    Damage::Type(array.data_type().to_string())
}

fn primitives<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&PrimitiveArray<T>, Damage> {
    of_type(array)
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<ScalarBuffer<T::Native>, Damage> {
    primitives::<T>(array).map(|array| array.values().clone())
}

/// The same numbers, in more bits.
fn wider<T, W>(array: &ArrayRef) -> Result<ScalarBuffer<W>, Damage>
where
    T: ArrowPrimitiveType,
    W: From<T::Native> + arrow_buffer::ArrowNativeType,
{
    Ok(numbers::<T>(array)?.iter().map(|number| W::from(*number)).collect())
}

fn integers(array: &ArrayRef) -> Result<Values, Damage> {
    Ok(match array.data_type() {
        DataType::Int8 => Values::Signed(wider::<Int8Type, _>(array)?),
        DataType::Int16 => Values::Signed(wider::<Int16Type, _>(array)?),
        DataType::Int32 => Values::Signed(wider::<Int32Type, _>(array)?),
        DataType::UInt8 => Values::Unsigned(wider::<UInt8Type, _>(array)?),
        DataType::UInt16 => Values::Unsigned(wider::<UInt16Type, _>(array)?),
        DataType::UInt32 => Values::Unsigned(wider::<UInt32Type, _>(array)?),
        DataType::UInt64 => Values::Unsigned(numbers::<UInt64Type>(array)?),
        _ => Values::Signed(numbers::<Int64Type>(array)?),
    })
}

fn floats(array: &ArrayRef) -> Result<Values, Damage> {
    Ok(match array.data_type() {
        DataType::Float16 => Values::Single(wider::<Float16Type, _>(array)?),
        DataType::Float32 => Values::Single(numbers::<Float32Type>(array)?),
        _ => Values::Double(numbers::<Float64Type>(array)?),
    })
}

fn times(array: &ArrayRef, unit: TimeUnit) -> Result<ScalarBuffer<i64>, Damage> {
    match unit {
        TimeUnit::Second => wider::<Time32SecondType, _>(array),
        TimeUnit::Millisecond => wider::<Time32MillisecondType, _>(array),
        TimeUnit::Microsecond => numbers::<Time64MicrosecondType>(array),
        TimeUnit::Nanosecond => numbers::<Time64NanosecondType>(array),
    }
}

fn timestamps(array: &ArrayRef, unit: TimeUnit) -> Result<ScalarBuffer<i64>, Damage> {
    match unit {
        TimeUnit::Second => numbers::<TimestampSecondType>(array),
        TimeUnit::Millisecond => numbers::<TimestampMillisecondType>(array),
        TimeUnit::Microsecond => numbers::<TimestampMicrosecondType>(array),
        TimeUnit::Nanosecond => numbers::<TimestampNanosecondType>(array),
    }
}

fn durations(array: &ArrayRef, unit: TimeUnit) -> Result<ScalarBuffer<i64>, Damage> {
    match unit {
        TimeUnit::Second => numbers::<DurationSecondType>(array),
        TimeUnit::Millisecond => numbers::<DurationMillisecondType>(array),
        TimeUnit::Microsecond => numbers::<DurationMicrosecondType>(array),
        TimeUnit::Nanosecond => numbers::<DurationNanosecondType>(array),
    }
}

/// Text as its bytes: of what is not a STRING nobody has checked that it is text.
fn views(array: &ArrayRef) -> Result<BinaryViewArray, Damage> {
    match array.as_any().downcast_ref::<StringViewArray>() {
        Some(texts) => Ok(texts.clone().to_binary_view()),
        None => of_type::<BinaryViewArray>(array).cloned(),
    }
}
