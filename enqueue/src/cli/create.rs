//! Whether the table is made for the file, and how.

use clap::Args;

use super::mapping::{Names, parse_columns};

#[derive(Debug, Args)]
#[command(next_help_heading = "A new table")]
pub struct CreateArgs {
    /// Make the table if it is not there, with a column for each field and the types that hold every value of the file as it is; a stream is
    /// decided by its beginning
    #[arg(long, conflicts_with = "check")]
    pub create_table: bool,
    /// Its primary key: --primary-key product,day
    #[arg(long, value_name = "A,B,…", value_parser = parse_columns, requires = "create_table")]
    pub primary_key: Option<Names>,
    /// Make nothing and store nothing: print the SQL that would make the table
    #[arg(long, requires = "create_table", conflicts_with_all = ["wait", "json", "each"])]
    pub dry_run: bool,
}
