//! Which columns of a table can hold what a Parquet file has. Said before anything is stored: a value that changes on its way, or that no
//! row of the column could have, is not found out row by row.

use model::FieldSpec;
use source::Kind;
use target::{Column, ColumnType, Nature};

use super::{input_error::InputError, inputs::Input};

/// A column of a file whose values its column of the table cannot hold as they are.
#[derive(Debug, thiserror::Error)]
#[error(
    "its column '{name}' holds {kind}, and the table's column {column} is of {type_name}, which would change or refuse them: give the table a column that holds them as they are"
)]
pub struct UnfitColumn {
    name: String,
    kind: Kind,
    column: String,
    type_name: String,
}

/// Refuses a file with a column that not every value of which its column of the table can hold as it is. What a single value decides (its
/// length, its size) is left to the load, where it is a reject.
///
/// `fields` are those of each input, and `filled` the columns of those that fill one. `has_zone`: whether a time zone was named for times without one.
pub(super) fn check_types(
    inputs: &[Input],
    fields: &[FieldSpec],
    filled: &[Column],
    has_zone: bool,
) -> Result<(), InputError> {
    for input in inputs {
        let found = std::iter::zip(input.columns.iter().flatten(), fields);
        let found = found.filter_map(|(found, field)| field.column().map(|_| found));
        for (found, column) in found.zip(filled) {
            if !holds(&column.kind, found.kind, has_zone) {
                let source = Box::new(UnfitColumn {
                    name: found.name.clone(),
                    kind: found.kind,
                    column: column.name.clone(),
                    type_name: column.kind.to_string(),
                });
                let origin = input.origin.clone();
                return Err(InputError::Type { origin, source });
            }
        }
    }
    Ok(())
}

/// Whether a column of the table can hold such values as they are.
fn holds(column: &ColumnType, kind: Kind, has_zone: bool) -> bool {
    use ColumnType as To;
    /// **Bits** of the whole numbers that each of these has.
    const DOUBLE_BITS: u8 = 32;
    const SINGLE_BITS: u8 = 16;
    match (column, kind) {
        (_, Kind::Null) => true,
        // Bytes would be the digits that they are written with.
        (To::Text { .. }, kind) => kind != Kind::Binary,
        // The server says what it makes of a text, as it does for CSV.
        (To::Other { nature, type_name, .. }, kind) => match (nature, kind) {
            (Nature::Bytes, Kind::Binary) => true,
            (Nature::Bytes, kind) => kind == Kind::Text,
            (_, Kind::Binary) => false,
            (Nature::Text, _) | (_, Kind::Text) => true,
            (Nature::Json | Nature::Jsonb, Kind::Json) => true,
            (Nature::Other, Kind::Time) => type_name == "time without time zone",
            (Nature::Other, Kind::Interval) => type_name == "interval",
            _ => false,
        },
        // It is read as it would be from CSV.
        (_, Kind::Text) => true,
        (To::Bool, kind) => kind == Kind::Boolean,
        (To::Int2 | To::Int4 | To::Int8, Kind::Integer { .. } | Kind::Decimal { scale: ..=0, .. }) => true,
        (To::Numeric { .. }, Kind::Integer { .. } | Kind::Decimal { .. } | Kind::Float { .. }) => true,
        (To::Float4, Kind::Float { bits: ..=32 }) | (To::Float8, Kind::Float { .. }) => true,
        (
            To::Float4,
            Kind::Integer {
                bits: ..=SINGLE_BITS, ..
            },
        ) => true,
        (
            To::Float8,
            Kind::Integer {
                bits: ..=DOUBLE_BITS, ..
            },
        ) => true,
        (To::Date, kind) => kind == Kind::Date,
        (To::Timestamp { .. }, Kind::Date | Kind::Timestamp { with_zone: false }) => true,
        (To::Timestamptz { .. }, Kind::Timestamp { with_zone }) => with_zone || has_zone,
        (To::Uuid, kind) => kind == Kind::Uuid,
        _ => false,
    }
}

/// The type of a column that holds all such values, in the words of SQL.
pub(crate) fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Integer {
            bits: 64..,
            signed: false,
        } => "numeric",
        Kind::Integer { bits: 64.., .. }
        | Kind::Integer {
            bits: 32..,
            signed: false,
        } => "bigint",
        Kind::Integer { .. } => "integer",
        Kind::Float { bits: ..=32 } => "real",
        Kind::Float { .. } => "double precision",
        Kind::Decimal { .. } => "numeric",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Timestamp { with_zone: false } => "timestamp",
        Kind::Timestamp { with_zone: true } => "timestamptz",
        Kind::Interval => "interval",
        Kind::Null | Kind::Text => "text",
        Kind::Json => "jsonb",
        Kind::Uuid => "uuid",
        Kind::Binary => "bytea",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(nature: Nature, type_name: &str) -> ColumnType {
        ColumnType::Other {
            type_name: type_name.to_owned(),
            sql_name: type_name.to_owned(),
            nature,
        }
    }

    #[test]
    fn a_column_holds_what_it_does_not_change() {
        let (signed, with_zone) = (true, true);
        for (column, kind, expected) in [
            (ColumnType::Int2, Kind::Integer { bits: 64, signed }, true),
            (ColumnType::Int8, Kind::Float { bits: 64 }, false),
            (ColumnType::Int8, Kind::Decimal { precision: 9, scale: 0 }, true),
            (ColumnType::Int8, Kind::Decimal { precision: 9, scale: 2 }, false),
            (ColumnType::Float8, Kind::Integer { bits: 64, signed }, false),
            (ColumnType::Float8, Kind::Integer { bits: 32, signed }, true),
            (ColumnType::Float4, Kind::Float { bits: 64 }, false),
            (ColumnType::Bool, Kind::Integer { bits: 8, signed }, false),
            (ColumnType::Date, Kind::Timestamp { with_zone: false }, false),
            (
                ColumnType::Timestamp { precision: None },
                Kind::Timestamp { with_zone },
                false,
            ),
            (
                ColumnType::Timestamptz { precision: None },
                Kind::Timestamp { with_zone: false },
                false,
            ),
            (
                ColumnType::Timestamptz { precision: None },
                Kind::Timestamp { with_zone },
                true,
            ),
            (ColumnType::Text { max_chars: None }, Kind::Float { bits: 64 }, true),
            (ColumnType::Text { max_chars: None }, Kind::Binary, false),
            (ColumnType::Date, Kind::Text, true),
            (other(Nature::Bytes, "bytea"), Kind::Binary, true),
            (other(Nature::Jsonb, "jsonb"), Kind::Json, true),
            (other(Nature::Other, "integer[]"), Kind::Json, false),
            (other(Nature::Other, "inet"), Kind::Text, true),
            (other(Nature::Other, "interval"), Kind::Interval, true),
            (other(Nature::Other, "interval"), Kind::Time, false),
        ] {
            assert_eq!(holds(&column, kind, false), expected, "{kind:?} into {column:?}");
        }
        let timestamptz = ColumnType::Timestamptz { precision: None };
        assert!(holds(&timestamptz, Kind::Timestamp { with_zone: false }, true));
    }
}
