//! Which column is filled by what: a field of a record, or what is known beside them.

use model::{AddedColumn, AddedValue, FieldSpec, MappingSpec};

use super::{Column, ColumnType, Nature, Target, values};

/// The name that stands for no column.
pub const NO_COLUMN: &str = "-";

/// What the fields of records are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldNames<'a> {
    /// Nothing: they are the table's columns in its order.
    None,
    /// As the source itself says.
    OfSource(&'a [String]),
    /// As somebody says, by the columns that they fill; `-` fills none.
    Given(&'a [String]),
}

/// What is asked of a mapping beside names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingRequest {
    /// Columns for fields that the source calls otherwise: field and column.
    pub renamed: Vec<(String, String)>,
    /// Whether fields that no column is called like are passed over.
    pub ignores_extra: bool,
    pub added: Vec<AddedColumn>,
}

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
    #[error(
        "'{field}' (field {position}) is the id of {table}, which is assigned at the import: leave it out, or pass it over with `--columns`, where - is no column"
    )]
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
    #[error("the file has no column '{field}', for which a column of the table was named; it has: {known}")]
    NotInFile { field: String, known: String },
    #[error("the column '{column}' is not one that an import can fill in {table}; it has: {known}")]
    UnknownAdded {
        column: String,
        table: String,
        known: String,
    },
    #[error("the column '{column}' is filled twice: leave it out of the file with --columns, or do not set it")]
    FilledTwice { column: String },
    #[error("the column '{column}' cannot hold {what}: {reason}")]
    Unfit {
        column: String,
        what: String,
        reason: String,
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
            Self::Required { .. }
            | Self::NoColumns { .. }
            | Self::NotInFile { .. }
            | Self::UnknownAdded { .. }
            | Self::FilledTwice { .. }
            | Self::Unfit { .. } => None,
        }
    }
}

/// What fills the target's columns: the fields of these names, and what is asked for beside them. Without names, all columns that nothing
/// else fills are fields, in the table's order.
///
/// Names match exactly, or else without regard to case and to white space round them.
///
/// # Errors
/// [`MappingError`], naming the field or the column.
pub fn map_fields(
    target: &Target,
    names: FieldNames<'_>,
    request: &MappingRequest,
) -> Result<MappingSpec, MappingError> {
    let added = request
        .added
        .iter()
        .map(|added| add(target, added))
        .collect::<Result<Vec<_>, _>>()?;
    let fields = match names {
        FieldNames::None => target
            .columns
            .iter()
            .map(|column| &column.name)
            .filter(|name| !added.iter().any(|added| added.column == **name))
            .map(|name| FieldSpec::Column(name.clone()))
            .collect(),
        FieldNames::OfSource(names) => map_source(target, names, request)?,
        FieldNames::Given(names) => map_given(target, names)?,
    };
    let mapping = MappingSpec {
        fields,
        added,
        given: false,
    };
    let columns = mapping.columns();
    for (position, field) in (1..).zip(&mapping.fields) {
        if let Some(column) = field.column()
            && mapping
                .fields
                .iter()
                .take(position - 1)
                .any(|before| before.column() == Some(column))
        {
            return Err(MappingError::Twice {
                field: column.to_owned(),
                position,
            });
        }
    }
    let twice = mapping
        .added
        .iter()
        .find(|added| columns.iter().filter(|column| **column == added.column).count() > 1);
    if let Some(added) = twice {
        return Err(MappingError::FilledTwice {
            column: added.column.clone(),
        });
    }
    if columns.is_empty() {
        return Err(MappingError::NoColumns {
            table: target.name.clone(),
        });
    }
    match target
        .columns
        .iter()
        .find(|c| !c.optional && !columns.contains(&c.name))
    {
        Some(missing) => Err(MappingError::Required {
            column: missing.name.clone(),
            table: target.name.clone(),
        }),
        None => Ok(mapping),
    }
}

fn map_source(target: &Target, names: &[String], request: &MappingRequest) -> Result<Vec<FieldSpec>, MappingError> {
    for (field, _) in &request.renamed {
        if find_alike(names.iter().map(String::as_str), field).is_empty() {
            let known: Vec<String> = names.iter().map(|name| abbreviate(name)).collect();
            return Err(MappingError::NotInFile {
                field: field.clone(),
                known: known.join(", "),
            });
        }
    }
    let map = |(position, name): (usize, &String)| {
        if let Some((_, column)) = find_renamed(&request.renamed, name) {
            let column = find(target, column.trim(), position)?;
            return Ok(FieldSpec::Renamed {
                field: name.clone(),
                column,
            });
        }
        match find(target, name.trim(), position) {
            Err(MappingError::Unknown { .. }) if request.ignores_extra => Ok(FieldSpec::Ignored(name.clone())),
            found => found.map(FieldSpec::Column),
        }
    };
    (1..).zip(names).map(map).collect()
}

/// The field that a name is, of those that have other columns, with its column.
pub(super) fn find_renamed<'r>(renamed: &'r [(String, String)], name: &str) -> Option<&'r (String, String)> {
    let alike = find_alike(renamed.iter().map(|(field, _)| field.as_str()), name);
    let field = alike.first()?;
    renamed.iter().find(|(renamed, _)| renamed == field)
}

fn map_given(target: &Target, names: &[String]) -> Result<Vec<FieldSpec>, MappingError> {
    let map = |(position, name): (usize, &String)| match name.trim() {
        NO_COLUMN => Ok(FieldSpec::Ignored(NO_COLUMN.to_owned())),
        name => find(target, name, position).map(FieldSpec::Column),
    };
    (1..).zip(names).map(map).collect()
}

/// A column that is filled by something else than a field, by its name in the table.
fn add(target: &Target, asked: &AddedColumn) -> Result<AddedColumn, MappingError> {
    let unknown = || MappingError::UnknownAdded {
        column: asked.column.clone(),
        table: target.name.clone(),
        known: names_of(&target.columns),
    };
    let name = match find(target, asked.column.trim(), 1) {
        Err(MappingError::Unknown { .. } | MappingError::Id { .. }) => return Err(unknown()),
        found => found?,
    };
    let column = target.columns.iter().find(|column| column.name == name);
    let column = column.ok_or_else(unknown)?;
    let unfit = |what: &str, reason: String| MappingError::Unfit {
        column: name.clone(),
        what: what.to_owned(),
        reason,
    };
    let of_type = || format!("it is of {}", column.kind);
    let is_text = matches!(
        column.kind,
        ColumnType::Text { .. }
            | ColumnType::Other {
                nature: Nature::Text,
                ..
            }
    );
    let is_large = is_text || matches!(column.kind, ColumnType::Int8 | ColumnType::Numeric { .. });
    match &asked.value {
        AddedValue::Constant(value) => {
            check_constant(column, value).map_err(|reason| unfit(&format!("'{}'", abbreviate(value)), reason))?;
        }
        AddedValue::File if !is_text => return Err(unfit("the name of a file", of_type())),
        AddedValue::Line if !is_large && column.kind != ColumnType::Int4 => {
            return Err(unfit("the number of a line", of_type()));
        }
        AddedValue::Import if !is_large => return Err(unfit("the id of an import", of_type())),
        AddedValue::File | AddedValue::Line | AddedValue::Import => {}
    }
    Ok(AddedColumn {
        column: name,
        value: asked.value.clone(),
    })
}

/// Whether a column takes a value that somebody wrote, as far as that can be known here; else why not.
fn check_constant(column: &Column, value: &str) -> Result<(), String> {
    if value.is_empty() && !column.kind.is_text() {
        // It is NULL.
        return if column.nullable {
            Ok(())
        } else {
            Err("it is NOT NULL".to_owned())
        };
    }
    let mut room = Vec::new();
    match &column.characters {
        None => values::encode(&column.kind, value.as_bytes(), &mut room),
        Some(characters) => values::encode_held(&column.kind, characters, value.as_bytes(), &mut room),
    }
    .map_err(|error| error.to_string())
}

/// Which of some names are a name: the one that is the same, or else those that are without regard to case and to white space round them.
#[must_use]
pub fn find_alike<'n>(names: impl Iterator<Item = &'n str> + Clone, name: &str) -> Vec<&'n str> {
    let name = name.trim();
    if let Some(exact) = names.clone().find(|known| *known == name) {
        return vec![exact];
    }
    let folded = name.to_lowercase();
    names.filter(|known| known.trim().to_lowercase() == folded).collect()
}

fn names_of(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

fn find(target: &Target, field: &str, position: usize) -> Result<String, MappingError> {
    match find_alike(target.columns.iter().map(|column| column.name.as_str()), field).as_slice() {
        [one] => Ok((*one).to_owned()),
        [] if target
            .identity
            .column()
            .is_some_and(|id| id.to_lowercase() == field.to_lowercase()) =>
        {
            Err(MappingError::Id {
                field: field.to_owned(),
                position,
                table: target.name.clone(),
            })
        }
        [] => Err(MappingError::Unknown {
            field: abbreviate(field),
            position,
            table: target.name.clone(),
            known: names_of(&target.columns),
        }),
        several => Err(MappingError::Ambiguous {
            field: field.to_owned(),
            position,
            candidates: several.join(" or "),
        }),
    }
}

/// A header read with the wrong delimiter, or of a binary file, is one long name; its beginning says enough.
pub(super) fn abbreviate(field: &str) -> String {
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

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn map(columns: &[(&str, bool)], fields: &[&str]) -> Result<Vec<String>, MappingError> {
        let names = strings(fields);
        let request = MappingRequest::default();
        map_fields(&target(columns), FieldNames::OfSource(&names), &request).map(|mapping| mapping.columns())
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
            map_fields(
                &target(&[("b", false), ("a", true)]),
                FieldNames::None,
                &MappingRequest::default()
            )
            .unwrap()
            .columns(),
            ["b", "a"]
        );
    }

    #[test]
    fn fields_may_have_other_names_or_fill_nothing_and_columns_other_values() {
        let target = target(&[("a", false), ("b", true), ("c", true)]);
        let names = strings(&["x", " Unit Price", "B", ""]);
        let mut request = MappingRequest {
            renamed: vec![("unit price ".to_owned(), "A".to_owned())],
            ignores_extra: true,
            added: vec![AddedColumn {
                column: "C".to_owned(),
                value: AddedValue::Line,
            }],
        };
        let mapping = map_fields(&target, FieldNames::OfSource(&names), &request).unwrap();
        assert_eq!(mapping.columns(), ["a", "b", "c"]);
        assert_eq!(mapping.field_names(), ["x", " Unit Price", "b", ""]);
        request.ignores_extra = false;
        assert!(matches!(
            map_fields(&target, FieldNames::OfSource(&names), &request),
            Err(MappingError::Unknown { position: 1, .. })
        ));
        // What is added is no field where nothing is named.
        let mapping = map_fields(&target, FieldNames::None, &request).unwrap();
        assert_eq!(mapping.columns(), ["a", "b", "c"]);
        assert_eq!(mapping.fields.len(), 2);
        let given = strings(&["-", "a", "-"]);
        let mapping = map_fields(&target, FieldNames::Given(&given), &MappingRequest::default()).unwrap();
        assert_eq!((mapping.columns(), mapping.fields.len()), (strings(&["a"]), 3));
    }
}
