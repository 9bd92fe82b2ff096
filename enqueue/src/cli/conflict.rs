//! What becomes of rows that are there already: the arguments that say it, and the request that they make.

use clap::{Args, ValueEnum};
use model::Limit;
use target::{ConflictChoice, ConflictRequest};

use super::{
    Method, RowIdentity,
    mapping::{Names, parse_columns},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Rows that are there already")]
pub struct ConflictArgs {
    /// What becomes of a record whose key the table has already: --on-conflict update
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnConflict::Error)]
    pub on_conflict: OnConflict,
    /// The columns of a unique key, in place of the primary key's: --conflict-columns shop,product
    #[arg(long, value_name = "A,B,…", value_parser = parse_columns)]
    pub conflict_columns: Option<Names>,
    /// The columns that are updated, in place of all that the file has: --update-columns price,stock
    #[arg(long, value_name = "A,B,…", value_parser = parse_columns)]
    pub update_columns: Option<Names>,
    /// With --on-conflict update: when all is loaded, delete the rows whose key the file does not have. Undo puts them back
    #[arg(long, conflicts_with = "each")]
    pub delete_missing: bool,
    /// If more would be deleted, none is, and the import fails: --max-deletes 100 or --max-deletes 0.5% of the table's rows
    #[arg(long, value_name = "N|N%")]
    pub max_deletes: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// It is rejected
    Error,
    /// It is skipped, and the row stays as it is
    Ignore,
    /// The row gets its values; of several records with the same key the last one counts. Undo gives the former values back
    Update,
}

impl ConflictArgs {
    pub fn request(&self) -> ConflictRequest {
        ConflictRequest {
            choice: match self.on_conflict {
                OnConflict::Error => ConflictChoice::Error,
                OnConflict::Ignore => ConflictChoice::Ignore,
                OnConflict::Update => ConflictChoice::Update,
            },
            key: self.conflict_columns.clone().map(|names| names.0),
            columns: self.update_columns.clone().map(|names| names.0),
            max_deletes: self.max_deletes,
        }
    }

    /// Says which arguments do not fit one another.
    pub fn check(&self, method: Method, identity: RowIdentity, replace: bool) -> Result<(), &'static str> {
        match (self.delete_missing, self.max_deletes) {
            (true, None) => return Err("--delete-missing needs --max-deletes, such as 100 or 0.5%"),
            (false, Some(_)) => return Err("--max-deletes needs --delete-missing"),
            _ => {}
        }
        if self.delete_missing && self.on_conflict != OnConflict::Update {
            return Err("--delete-missing needs --on-conflict update");
        }
        if self.on_conflict == OnConflict::Error {
            return match (&self.conflict_columns, &self.update_columns) {
                (None, None) => Ok(()),
                (Some(_), _) => Err("--conflict-columns needs --on-conflict ignore or update"),
                (None, Some(_)) => Err("--update-columns needs --on-conflict update"),
            };
        }
        if self.on_conflict == OnConflict::Ignore && self.update_columns.is_some() {
            return Err("--update-columns needs --on-conflict update");
        }
        if replace {
            return Err(
                "--on-conflict cannot be used with --replace: rows that are there already would go with the import that had put them there",
            );
        }
        if method == Method::Copy {
            return Err(
                "--on-conflict cannot be used with --load-method copy: COPY knows no rows that are there already",
            );
        }
        if identity == RowIdentity::Sequence {
            return Err(
                "--on-conflict cannot be used with --identity sequence: rows that are there already keep the ids that they have",
            );
        }
        Ok(())
    }
}
