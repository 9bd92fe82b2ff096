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

/// A column whose values are of other kinds in one file than in another, so that no type holds all of them as they are.
#[derive(Debug, thiserror::Error)]
#[error("its column '{name}' holds {kind}, and that of other files something else: no type holds both as they are")]
pub struct MixedColumn {
    name: String,
    kind: Kind,
}

/// The types that hold what the columns have in each file, of those columns that are wanted.
pub(super) fn new_columns(inputs: &[Input], fields: &[FieldSpec]) -> Result<Vec<ColumnType>, InputError> {
    let mut types = Vec::new();
    for (number, _) in (0..).zip(fields).filter(|(_, field)| field.column().is_some()) {
        let mut in_each = inputs
            .iter()
            .filter_map(|input| Some((input, input.columns.as_ref()?.get(number)?)));
        let kinds: Vec<Kind> = in_each.clone().map(|(_, column)| column.kind).collect();
        match common_type(&kinds) {
            Some(found) => types.push(found),
            None => {
                if let Some((input, column)) = in_each.next_back() {
                    let source = Box::new(MixedColumn {
                        name: column.name.clone(),
                        kind: column.kind,
                    });
                    let origin = input.origin.clone();
                    return Err(InputError::Mixed { origin, source });
                }
            }
        }
    }
    Ok(types)
}

/// A type that holds values of all these kinds as they are; of one kind, its own.
fn common_type(kinds: &[Kind]) -> Option<ColumnType> {
    // A column without any value says nothing, and text may read like anything.
    let said = || kinds.iter().filter(|kind| **kind != Kind::Null);
    if said().next().is_none() {
        return Some(column_type("text"));
    }
    let any_text = said().any(|kind| *kind == Kind::Text);
    let own = said().map(|kind| sql_type(*kind)).filter(|_| !any_text);
    let more = ["numeric", "text"]
        .into_iter()
        .filter(|name| !any_text || *name == "text");
    let mut candidates = own.chain(more).map(column_type);
    candidates.find(|to| said().all(|kind| holds(to, *kind, false)))
}

/// What is known of a type that has a name in SQL.
fn column_type(name: &str) -> ColumnType {
    let other = |type_name: &str, nature| ColumnType::Other {
        type_name: type_name.to_owned(),
        sql_name: format!("pg_catalog.{name}"),
        nature,
    };
    match name {
        "boolean" => ColumnType::Bool,
        "integer" => ColumnType::Int4,
        "bigint" => ColumnType::Int8,
        "numeric" => ColumnType::Numeric { precision_scale: None },
        "real" => ColumnType::Float4,
        "double precision" => ColumnType::Float8,
        "date" => ColumnType::Date,
        "timestamp" => ColumnType::Timestamp { precision: None },
        "timestamptz" => ColumnType::Timestamptz { precision: None },
        "uuid" => ColumnType::Uuid,
        "jsonb" => other(name, Nature::Jsonb),
        "bytea" => other(name, Nature::Bytes),
        "time" => other("time without time zone", Nature::Other),
        "interval" => other(name, Nature::Other),
        _ => ColumnType::Text { max_chars: None },
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
    fn what_several_files_have_is_held_by_one_type() {
        let (int, long) = (
            Kind::Integer { bits: 32, signed: true },
            Kind::Integer { bits: 64, signed: true },
        );
        let double = Kind::Float { bits: 64 };
        for (kinds, name) in [
            (&[int, int][..], Some("integer")),
            (&[int, long, Kind::Null], Some("integer")),
            (&[long, double], Some("numeric")),
            (&[Kind::Float { bits: 32 }, double], Some("double precision")),
            (&[int, Kind::Text], Some("text")),
            (&[Kind::Date, Kind::Boolean], Some("text")),
            (&[Kind::Null], Some("text")),
            (&[Kind::Text, Kind::Binary], None),
            (&[Kind::Binary], Some("bytea")),
            (&[Kind::Time], Some("time without time zone")),
        ] {
            let found = common_type(kinds).map(|found| found.to_string());
            assert_eq!(found.as_deref(), name, "{kinds:?}");
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
