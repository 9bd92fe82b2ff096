//! Which column is filled by what: the arguments that say it, and the request that they make.

use clap::{Args, ValueEnum};
use model::{AddedColumn, AddedValue};
use target::MappingRequest;

#[derive(Debug, Args)]
#[command(next_help_heading = "Columns")]
pub struct MappingArgs {
    /// The table's column for each field, in place of the header's names; - passes a field over: --columns product,-,pieces
    #[arg(long, value_name = "A,B,…", value_parser = parse_columns, allow_hyphen_values = true)]
    pub columns: Option<Names>,
    /// Columns for fields that the header names otherwise; double quotes round a name with a comma or =: --map 'Unit Price=price,Qty=pieces'
    #[arg(long, value_name = "FIELD=COLUMN,…", value_parser = parse_map, conflicts_with_all = ["columns", "no_header"])]
    pub map: Vec<Renamed>,
    /// What becomes of fields that no column of the table is called like: --extra-columns ignore
    #[arg(long, value_enum, default_value_t = Extra::Error, conflicts_with_all = ["columns", "no_header"])]
    pub extra_columns: Extra,
    /// The same value for a column in every row; may be repeated: --set shop=Berlin --set checked=false
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = parse_set)]
    pub set: Vec<AddedColumn>,
    /// A column for the name of the file that a row comes from: --file-column source
    #[arg(long, value_name = "COLUMN")]
    pub file_column: Option<String>,
    /// A column for the line on which its record begins; in Parquet its number: --line-column line
    #[arg(long, value_name = "COLUMN")]
    pub line_column: Option<String>,
    /// A column for the import's id, which also lets an undo find edited rows: --import-column import_id
    #[arg(long, value_name = "COLUMN")]
    pub import_column: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Extra {
    /// The file is refused
    Error,
    /// They are passed over
    Ignore,
}

/// The names of one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

/// The fields and their columns of one `--map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed(Vec<(String, String)>);

impl MappingArgs {
    /// Whether they say which fields fill which columns.
    pub fn says_fields(&self) -> bool {
        self.columns.is_some() || !self.map.is_empty() || self.extra_columns != Extra::Error
    }

    /// What is asked of the mapping beside names.
    pub fn request(&self) -> MappingRequest {
        let named = [
            (&self.file_column, AddedValue::File),
            (&self.line_column, AddedValue::Line),
            (&self.import_column, AddedValue::Import),
        ];
        let named = named.into_iter().filter_map(|(column, value)| {
            let column = column.clone()?;
            Some(AddedColumn { column, value })
        });
        MappingRequest {
            renamed: self.map.iter().flat_map(|renamed| renamed.0.clone()).collect(),
            ignores_extra: self.extra_columns == Extra::Ignore,
            added: self.set.iter().cloned().chain(named).collect(),
        }
    }
}

pub(super) fn parse_columns(text: &str) -> Result<Names, String> {
    let mut names = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (column, after) = name(text, ',')?;
        if column.is_empty() {
            return Err("expected names of columns, such as product,-,pieces".to_owned());
        }
        names.push(column);
        rest = after;
    }
    Ok(Names(names))
}

fn parse_set(text: &str) -> Result<AddedColumn, String> {
    let (column, value) = text
        .split_once('=')
        .filter(|(column, _)| !column.trim().is_empty())
        .ok_or("expected COLUMN=VALUE, such as shop=Berlin")?;
    Ok(AddedColumn {
        column: column.to_owned(),
        value: AddedValue::Constant(value.to_owned()),
    })
}

fn parse_map(text: &str) -> Result<Renamed, String> {
    const EXPECTED: &str = "expected FIELD=COLUMN, such as 'Unit Price=price,Qty=pieces'";
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = name(rest, '=')?;
        let Some(after) = after else {
            return Err(EXPECTED.to_owned());
        };
        let (column, after) = name(after, ',')?;
        if field.is_empty() || column.is_empty() {
            return Err(EXPECTED.to_owned());
        }
        pairs.push((field, column));
        match after {
            Some(after) => rest = after,
            None => return Ok(Renamed(pairs)),
        }
    }
}

/// The name at the beginning, as it is or in double quotes, and what comes after the `end` of it, if that is there.
fn name(text: &str, end: char) -> Result<(String, Option<&str>), String> {
    let Some(inside) = text.trim_start().strip_prefix('"') else {
        return Ok(match text.split_once(end) {
            Some((name, after)) => (name.trim().to_owned(), Some(after)),
            None => (text.trim().to_owned(), None),
        });
    };
    let mut name = String::new();
    let mut rest = inside;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quote is not closed")?;
        name.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            name.push('"');
            rest = after;
            continue;
        }
        let after = after.trim_start();
        return match after.strip_prefix(end) {
            Some(after) => Ok((name, Some(after))),
            None if after.is_empty() => Ok((name, None)),
            None => Err(format!("expected {end} after the closing quote")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_columns_are_told_apart() {
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(field, column)| ((*field).to_owned(), (*column).to_owned()));
            Ok(Renamed(owned.collect()))
        };
        assert_eq!(
            parse_map("Unit Price = price, Qty=pieces"),
            pairs(&[("Unit Price", "price"), ("Qty", "pieces")])
        );
        assert_eq!(parse_map(r#""a,b=""c""" ="p,q""#), pairs(&[("a,b=\"c\"", "p,q")]));
        for bad in ["", "a", "=a", "a=", "a=b,", r#""a=b"#, r#""a"b=c"#] {
            assert!(parse_map(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn columns_are_told_apart() {
        let names = |names: &[&str]| Ok(Names(names.iter().map(|&name| name.to_owned()).collect()));
        assert_eq!(parse_columns("a, b c ,-"), names(&["a", "b c", "-"]));
        assert_eq!(parse_columns(r#""a,""b""","-x""#), names(&["a,\"b\"", "-x"]));
        for bad in ["", "a,,b", "a,", "\"a"] {
            assert!(parse_columns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_may_have_anything_in_it() {
        let set = |column: &str, value: &str| {
            Ok(AddedColumn {
                column: column.to_owned(),
                value: AddedValue::Constant(value.to_owned()),
            })
        };
        assert_eq!(parse_set("a=b=c, d"), set("a", "b=c, d"));
        assert_eq!(parse_set("a="), set("a", ""));
        assert!(parse_set("a").is_err() && parse_set("=a").is_err());
    }
}
