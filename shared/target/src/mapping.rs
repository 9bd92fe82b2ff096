//! Which field of a record fills which column.

use super::Target;

/// Why the fields of a file cannot be matched to the target's columns.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("the file's column '{field}' (field {position}) is not a column of {table}; it has: {known}")]
    Unknown {
        field: String,
        position: usize,
        table: String,
        known: String,
    },
    #[error("the column '{field}' is named twice (field {position})")]
    Twice { field: String, position: usize },
    #[error("the file has no column '{column}', which {table} requires (it is NOT NULL and has no default)")]
    Required { column: String, table: String },
    #[error("'{field}' (field {position}) is the id of {table}, which is assigned at the import: leave it out")]
    Id {
        field: String,
        position: usize,
        table: String,
    },
    #[error("the column '{field}' (field {position}) could mean {candidates}: write it exactly as the table does")]
    Ambiguous {
        field: String,
        position: usize,
        candidates: String,
    },
    #[error("{table} has no column that a file could fill")]
    NoColumns { table: String },
}

impl MappingError {
    /// The number of the field at fault, from 0, if it is about one.
    #[must_use]
    pub fn field(&self) -> Option<usize> {
        match self {
            Self::Unknown { position, .. }
            | Self::Twice { position, .. }
            | Self::Id { position, .. }
            | Self::Ambiguous { position, .. } => position.checked_sub(1),
            Self::Required { .. } | Self::NoColumns { .. } => None,
        }
    }
}

/// The target's column for each field, by the names that a header or `--columns` gives; without names, all columns in the table's order.
///
/// Names match exactly, or else without regard to case and to white space round them.
///
/// # Errors
/// [`MappingError`], naming the field or the column.
pub fn map_fields(target: &Target, fields: Option<&[String]>) -> Result<Vec<String>, MappingError> {
    let table = || target.name.clone();
    let Some(fields) = fields else {
        if target.columns.is_empty() {
            return Err(MappingError::NoColumns { table: table() });
        }
        return Ok(target.columns.iter().map(|c| c.name.clone()).collect());
    };
    let mut mapped: Vec<String> = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let (field, position) = (field.trim(), index + 1);
        let column = find(target, field, position)?;
        if mapped.contains(&column) {
            return Err(MappingError::Twice {
                field: column,
                position,
            });
        }
        mapped.push(column);
    }
    match target.columns.iter().find(|c| !c.optional && !mapped.contains(&c.name)) {
        Some(missing) => Err(MappingError::Required {
            column: missing.name.clone(),
            table: table(),
        }),
        None => Ok(mapped),
    }
}

fn find(target: &Target, field: &str, position: usize) -> Result<String, MappingError> {
    if let Some(exact) = target.columns.iter().find(|c| c.name == field) {
        return Ok(exact.name.clone());
    }
    let folded = field.to_lowercase();
    let candidates: Vec<&str> = target
        .columns
        .iter()
        .map(|c| c.name.as_str())
        .filter(|name| name.to_lowercase() == folded)
        .collect();
    match candidates.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] if target.identity.column().to_lowercase() == folded => Err(MappingError::Id {
            field: field.to_owned(),
            position,
            table: target.name.clone(),
        }),
        [] => Err(MappingError::Unknown {
            field: abbreviate(field),
            position,
            table: target.name.clone(),
            known: target
                .columns
                .iter()
                .map(|c| c.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        }),
        several => Err(MappingError::Ambiguous {
            field: field.to_owned(),
            position,
            candidates: several.join(" or "),
        }),
    }
}

/// A header read with the wrong delimiter, or of a binary file, is one long name; its beginning says enough.
fn abbreviate(field: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = field
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if field.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::types::Oid;

    use super::*;
    use crate::{Column, ColumnType, Identity, SequenceIdentity};

    fn target(columns: &[(&str, bool)]) -> Target {
        Target {
            oid: Oid(1),
            name: "public.t".to_owned(),
            from: "ONLY public.t".to_owned(),
            identity: Identity::Sequence(SequenceIdentity {
                column: "id".to_owned(),
                width: 8,
                sequence_oid: Oid(2),
                sequence: "t_id_seq".to_owned(),
                cache: 1,
            }),
            columns: columns
                .iter()
                .map(|&(name, optional)| Column {
                    name: name.to_owned(),
                    kind: ColumnType::Int4,
                    nullable: optional,
                    optional,
                    element_oid: Oid(23),
                    array_oid: Oid(1007),
                    characters: None,
                })
                .collect(),
            has_triggers: false,
            copy_obstacle: None,
        }
    }

    fn map(columns: &[(&str, bool)], fields: &[&str]) -> Result<Vec<String>, MappingError> {
        let fields: Vec<String> = fields.iter().map(|&f| f.to_owned()).collect();
        map_fields(&target(columns), Some(&fields))
    }

    #[test]
    fn names_match_without_regard_to_case_and_in_any_order() {
        assert_eq!(
            map(&[("Date", false), ("Stock", false)], &["stock", " DATE "]).unwrap(),
            ["Stock", "Date"]
        );
    }

    #[test]
    fn an_exact_name_wins_over_a_folded_one_and_two_folded_ones_are_ambiguous() {
        assert_eq!(map(&[("a", true), ("A", true)], &["A"]).unwrap(), ["A"]);
        assert!(matches!(
            map(&[("aB", true), ("Ab", true)], &["ab"]),
            Err(MappingError::Ambiguous { .. })
        ));
    }

    #[test]
    fn unknown_repeated_and_missing_columns_are_errors_that_name_them() {
        let error = map(&[("a", false)], &["b"]).unwrap_err();
        assert!(error.to_string().contains("'b' (field 1)"), "{error}");
        assert!(matches!(
            map(&[("a", false)], &["a", "A"]),
            Err(MappingError::Twice { position: 2, .. })
        ));
        assert!(matches!(
            map(&[("a", false), ("b", false)], &["a"]),
            Err(MappingError::Required { .. })
        ));
        assert_eq!(map(&[("a", false), ("b", true)], &["a"]).unwrap(), ["a"]);
        assert!(matches!(
            map(&[("a", false)], &["a", "ID"]),
            Err(MappingError::Id { position: 2, .. })
        ));
    }

    #[test]
    fn without_names_the_tables_order_counts() {
        assert_eq!(
            map_fields(&target(&[("b", false), ("a", true)]), None).unwrap(),
            ["b", "a"]
        );
    }
}
