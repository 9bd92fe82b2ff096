//! How the values of a column are built up: what decides their text.

use arrow_schema::TimeUnit;

use crate::Kind;

/// A type, with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Boolean,
    Integer {
        bits: u8,
        signed: bool,
    },
    Float {
        bits: u8,
    },
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    /// A date that is counted in milliseconds.
    DateMillis,
    Time(TimeUnit),
    Timestamp {
        unit: TimeUnit,
        with_zone: bool,
    },
    Int96 {
        with_zone: bool,
    },
    Duration(TimeUnit),
    Interval {
        /// Whether its numbers may be negative: those that Arrow wrote are.
        signed: bool,
    },
    Text,
    /// Text that is JSON.
    Json,
    Uuid,
    Binary,
    List(Box<Shape>),
    Map(Box<Shape>, Box<Shape>),
    Struct(Vec<(String, Shape)>),
}

impl Shape {
    pub(crate) fn kind(&self) -> Kind {
        match *self {
            Self::Null => Kind::Null,
            Self::Boolean => Kind::Boolean,
            Self::Integer { bits, signed } => Kind::Integer { bits, signed },
            Self::Float { bits } => Kind::Float { bits },
            Self::Decimal { precision, scale } => Kind::Decimal { precision, scale },
            Self::Date | Self::DateMillis => Kind::Date,
            Self::Time(_) => Kind::Time,
            Self::Timestamp { with_zone, .. } | Self::Int96 { with_zone } => Kind::Timestamp { with_zone },
            Self::Duration(_) | Self::Interval { .. } => Kind::Interval,
            Self::Text => Kind::Text,
            Self::Json | Self::List(_) | Self::Map(..) | Self::Struct(_) => Kind::Json,
            Self::Uuid => Kind::Uuid,
            Self::Binary => Kind::Binary,
        }
    }

    /// Whether one array does not hold all of a value: of an INT96 either the years that do not fit 64 bits of nanoseconds, or the
    /// nanoseconds; of an interval either the months, or the rest. Such columns are read twice, in both ways.
    pub(crate) fn is_read_twice(&self) -> bool {
        match self {
            Self::Int96 { .. } | Self::Interval { .. } => true,
            Self::List(item) => item.is_read_twice(),
            Self::Map(key, value) => key.is_read_twice() || value.is_read_twice(),
            Self::Struct(fields) => fields.iter().any(|(_, shape)| shape.is_read_twice()),
            _ => false,
        }
    }

    pub(crate) fn has_parts(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(..) | Self::Struct(_))
    }
}
