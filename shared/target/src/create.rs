//! A table that is not there yet: where it would be, which columns it would have, and the statement that makes it.
//!
//! Knows names and types; which values decide the types is asked elsewhere.

use std::{collections::HashSet, fmt::Write as _};

use model::AddedValue;
use sqlx::{AssertSqlSafe, PgConnection, postgres::types::Oid};

use super::{
    Column, ColumnType, FieldNames, Identity, MappingRequest, NO_COLUMN, Target, TargetError, catalog, find_alike,
    mapping::{abbreviate, find_renamed},
    quote_identifier,
};

/// Columns that a table can have.
const MOST_COLUMNS: usize = 1600;
/// **Bytes** that a name can have.
const NAME_BYTES: usize = 63;
/// Names that every table has for something else.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

/// Why no table can be made for a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewTableError {
    #[error("nothing in it says what the columns are called: name them with --columns")]
    NoNames,
    #[error(
        "its header has one field, '{name}', which with another delimiter would be several: say which with -d, or name the column with --columns"
    )]
    OneName { name: String },
    #[error("field {position} has no name: name the columns with --columns, where - passes a field over")]
    Empty { position: usize },
    #[error(
        "the name of field {position}, '{name}', has {bytes} bytes, and a column's name can have {NAME_BYTES}: give it another with --map or --columns"
    )]
    TooLong {
        name: String,
        position: usize,
        bytes: usize,
    },
    #[error("the name '{name}' of the table has more than {NAME_BYTES} bytes")]
    LongTable { name: String },
    #[error(
        "field {position} cannot be a column called '{name}': {reason}; give it another name with --map or --columns"
    )]
    Unusable {
        name: String,
        position: usize,
        reason: &'static str,
    },
    #[error(
        "there would be {count} columns, and a table can have {MOST_COLUMNS}: pass fields over with --columns, where - is no column"
    )]
    TooMany { count: usize },
    #[error("the primary key names '{column}', which is no column of the table; it would have: {known}")]
    UnknownKey { column: String, known: String },
    #[error("the primary key names the column '{column}' twice")]
    KeyTwice { column: String },
}

/// Where a table would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    schema_oid: Oid,
    /// As SQL writes it.
    schema: String,
    /// Schema-qualified, quoted where SQL needs it.
    name: String,
}

/// A column that a table would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewColumn {
    pub name: String,
    pub kind: ColumnType,
}

/// A table that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    place: Place,
    columns: Vec<NewColumn>,
    primary_key: Vec<String>,
}

impl Place {
    /// Where SQL would make a table of this name in this session: in the schema that it names, or else in the first of the search path.
    ///
    /// # Errors
    /// [`TargetError`], when there is no such schema, or the name is none.
    pub async fn find(conn: &mut PgConnection, name: &str) -> Result<Self, TargetError> {
        catalog::find_place(conn, name).await
    }

    pub(super) fn new(schema_oid: Oid, schema: String, name: String) -> Self {
        Self {
            schema_oid,
            schema,
            name,
        }
    }

    /// Schema-qualified, quoted where SQL needs it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that this session's role may make a table there.
    ///
    /// # Errors
    /// [`TargetError::Privilege`], naming the GRANT; [`TargetError::Catalog`].
    pub async fn check_may_create(&self, conn: &mut PgConnection) -> Result<(), TargetError> {
        catalog::check_may_create(conn, self.schema_oid, &self.schema).await
    }
}

impl NewColumn {
    /// A column whose values can be anything.
    fn text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: ColumnType::Text { max_chars: None },
        }
    }
}

/// The columns that a table has which is made for fields of these names, all of text, and behind them those that no field fills. Names are taken
/// as they are, but for white space round them.
///
/// # Errors
/// [`NewTableError`], naming the field. Names that are there twice are the mapping's to refuse.
pub fn name_columns(names: FieldNames<'_>, request: &MappingRequest) -> Result<Vec<NewColumn>, NewTableError> {
    let mut columns = Vec::new();
    let (names, given) = match names {
        FieldNames::None => return Err(NewTableError::NoNames),
        FieldNames::OfSource(names) => (names, false),
        FieldNames::Given(names) => (names, true),
    };
    for (position, name) in (1..).zip(names) {
        if given && name.trim() == NO_COLUMN {
            continue;
        }
        let renamed = find_renamed(&request.renamed, name).filter(|_| !given);
        let name = renamed.map_or(name, |(_, column)| column).trim();
        check_name(name, position)?;
        columns.push(NewColumn::text(name));
    }
    for (position, added) in (columns.len() + 1..).zip(&request.added) {
        let name = added.column.trim();
        check_name(name, position)?;
        columns.push(NewColumn {
            kind: match added.value {
                AddedValue::Constant(_) | AddedValue::File => ColumnType::Text { max_chars: None },
                AddedValue::Line | AddedValue::Import => ColumnType::Int8,
            },
            ..NewColumn::text(name)
        });
    }
    if columns.len() > MOST_COLUMNS {
        return Err(NewTableError::TooMany { count: columns.len() });
    }
    Ok(columns)
}

fn check_name(name: &str, position: usize) -> Result<(), NewTableError> {
    let unusable = |reason| NewTableError::Unusable {
        name: abbreviate(name),
        position,
        reason,
    };
    if name.is_empty() {
        Err(NewTableError::Empty { position })
    } else if name.len() > NAME_BYTES {
        Err(NewTableError::TooLong {
            name: abbreviate(name),
            position,
            bytes: name.len(),
        })
    } else if name.contains('\0') {
        Err(unusable("a name has no NUL byte"))
    } else if SYSTEM_COLUMNS.contains(&name) {
        Err(unusable("the server has a column of this name in every table"))
    } else {
        Ok(())
    }
}

impl NewTable {
    /// A table with these columns, of which some are its primary key.
    ///
    /// # Errors
    /// [`NewTableError`], naming the column that is not there.
    pub fn new(place: Place, columns: Vec<NewColumn>, primary_key: &[String]) -> Result<Self, NewTableError> {
        let names = || columns.iter().map(|column| column.name.as_str());
        let mut key = Vec::new();
        let mut seen = HashSet::new();
        for wanted in primary_key {
            let found = match find_alike(names(), wanted).as_slice() {
                [column] => (*column).to_owned(),
                _ => {
                    return Err(NewTableError::UnknownKey {
                        column: abbreviate(wanted),
                        known: names().collect::<Vec<_>>().join(", "),
                    });
                }
            };
            if !seen.insert(found.clone()) {
                return Err(NewTableError::KeyTwice { column: found });
            }
            key.push(found);
        }
        Ok(Self {
            place,
            columns,
            primary_key: key,
        })
    }

    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The statement that makes it, without an end.
    #[must_use]
    pub fn sql(&self) -> String {
        let mut sql = format!("CREATE TABLE {} (", self.place.name);
        let mut separator = "\n";
        for column in &self.columns {
            // Writing to memory cannot fail.
            let _ = write!(sql, "{separator}    {} {}", quote_identifier(&column.name), column.kind);
            separator = ",\n";
        }
        if !self.primary_key.is_empty() {
            let key: Vec<String> = self.primary_key.iter().map(|name| quote_identifier(name)).collect();
            let _ = write!(sql, "{separator}    PRIMARY KEY ({})", key.join(", "));
        }
        sql.push_str("\n)");
        sql
    }

    /// What an import would find if the table were there.
    #[must_use]
    pub fn imagined(&self) -> Target {
        let name = self.place.name.clone();
        let column = |column: &NewColumn| {
            let nullable = !self.primary_key.contains(&column.name);
            Column {
                name: column.name.clone(),
                kind: column.kind.clone(),
                nullable,
                optional: nullable,
                // Nothing is sent.
                element_oid: Oid(0),
                array_oid: Oid(0),
                characters: None,
            }
        };
        Target {
            oid: Oid(0),
            from: format!("ONLY {name}"),
            name,
            identity: Identity::Transaction,
            columns: self.columns.iter().map(column).collect(),
            has_triggers: false,
            copy_obstacle: Some(catalog::NO_PLACES_FROM_COPY.to_owned()),
        }
    }

    /// Makes the table within the caller's transaction, and says under which oid; `None` when there is one of this name by now. This waits for a
    /// rival who is just making it. After an error the transaction is over.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create(&self, conn: &mut PgConnection) -> Result<Option<Oid>, sqlx::Error> {
        if catalog::look_up(conn, &self.place.name).await?.is_some() {
            return Ok(None);
        }
        // Every name in it is quoted.
        match sqlx::raw_sql(AssertSqlSafe(self.sql())).execute(&mut *conn).await {
            Ok(_) => catalog::look_up(conn, &self.place.name).await,
            Err(error) if is_there_by_now(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether somebody else made the same table in this moment: it is seen as the table, or as its name in the catalog's own index.
fn is_there_by_now(error: &sqlx::Error) -> bool {
    const DUPLICATE_TABLE: &str = "42P07";
    const UNIQUE_VIOLATION: &str = "23505";
    session::sqlstate(error).is_some_and(|code| code == DUPLICATE_TABLE || code == UNIQUE_VIOLATION)
}

/// Checks a table's own name.
pub(super) fn check_table_name(name: &str) -> Result<(), NewTableError> {
    if name.len() > NAME_BYTES {
        return Err(NewTableError::LongTable { name: abbreviate(name) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::AddedColumn;

    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn named(names: &[&str]) -> Result<Vec<String>, NewTableError> {
        let columns = name_columns(FieldNames::OfSource(&strings(names)), &MappingRequest::default())?;
        Ok(columns.into_iter().map(|column| column.name).collect())
    }

    #[test]
    fn names_are_taken_as_they_are_but_for_what_no_column_can_be_called() {
        assert_eq!(
            named(&[" Unit Price ", "a\"b", "select"]).unwrap(),
            ["Unit Price", "a\"b", "select"]
        );
        for (names, said) in [
            (&["a", " "][..], "field 2 has no name"),
            (&["a", "xmin"], "'xmin': the server has"),
            (&["a\0"], "NUL"),
            (&["ä".repeat(32).as_str()], "has 64 bytes"),
            (&["a"; 1601], "1601 columns"),
        ] {
            let error = named(names).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(
            name_columns(FieldNames::None, &MappingRequest::default()),
            Err(NewTableError::NoNames)
        );
    }

    #[test]
    fn fields_may_be_renamed_or_passed_over_and_columns_added() {
        let request = MappingRequest {
            renamed: vec![("B".to_owned(), "c".to_owned())],
            ignores_extra: true,
            added: vec![AddedColumn {
                column: "line".to_owned(),
                value: AddedValue::Line,
            }],
        };
        let of_source = name_columns(FieldNames::OfSource(&strings(&["a", "b"])), &request).unwrap();
        let columns: Vec<_> = of_source
            .iter()
            .map(|c| (c.name.as_str(), c.kind.to_string()))
            .collect();
        let text = || "text".to_owned();
        assert_eq!(columns, [("a", text()), ("c", text()), ("line", "bigint".to_owned())]);
        let given = name_columns(
            FieldNames::Given(&strings(&["-", "x", " - "])),
            &MappingRequest::default(),
        );
        assert_eq!(given.unwrap(), [NewColumn::text("x")]);
    }

    #[test]
    fn a_primary_key_is_of_columns_of_the_table() {
        let place = || Place::new(Oid(1), "public".to_owned(), "public.t".to_owned());
        let columns = || vec![NewColumn::text("Id"), NewColumn::text("b\"")];
        let table = NewTable::new(place(), columns(), &strings(&["b\"", "id"])).unwrap();
        assert_eq!(
            table.sql(),
            "CREATE TABLE public.t (\n    \"Id\" text,\n    \"b\"\"\" text,\n    PRIMARY KEY (\"b\"\"\", \"Id\")\n)"
        );
        let error = NewTable::new(place(), columns(), &strings(&["c"])).unwrap_err();
        assert!(error.to_string().contains("it would have: Id, b\""), "{error}");
        assert!(matches!(
            NewTable::new(place(), columns(), &strings(&["Id", "id"])),
            Err(NewTableError::KeyTwice { .. })
        ));
    }
}
