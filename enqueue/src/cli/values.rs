//! How values are written: the arguments that say it, and the part of the spec that they make.

use clap::{Args, ValueEnum};
use model::{OnNul, ValuesSpec};

#[derive(Debug, Args)]
#[command(next_help_heading = "Values")]
pub struct ValuesArgs {
    /// How dates are written, in the words of to_char; of one column as COLUMN=PATTERN; may be repeated: --date-format DD.MM.YYYY
    #[arg(long, value_name = "PATTERN", value_parser = parse_format)]
    pub date_format: Vec<ColumnFormat>,
    /// The same of timestamps: --timestamp-format 'DD.MM.YYYY HH24:MI'
    #[arg(long, value_name = "PATTERN", value_parser = parse_format)]
    pub timestamp_format: Vec<ColumnFormat>,
    /// The time zone of times that name none, in columns of timestamptz: --time-zone Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME")]
    pub time_zone: Option<String>,
    /// What stands before the fraction of a number: --decimal-separator ','
    #[arg(long, value_name = "CHAR")]
    pub decimal_separator: Option<char>,
    /// What stands between groups of three digits: --thousands-separator '.'
    #[arg(long, value_name = "CHAR")]
    pub thousands_separator: Option<char>,
    /// What becomes of a NUL byte in text, which no column holds: --on-nul strip
    #[arg(long, value_enum, default_value_t = Nul::Reject)]
    pub on_nul: Nul,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Nul {
    /// Its record is rejected
    Reject,
    /// It is dropped
    Strip,
}

/// A pattern, and the column that it is for if it is for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFormat {
    column: Option<String>,
    pattern: String,
}

impl ValuesArgs {
    /// Whether they say how dates or numbers are written, which only text leaves open.
    #[cfg(feature = "parquet")]
    pub fn say_how_text_is_written(&self) -> bool {
        let ValuesSpec {
            on_nul: _,
            time_zone: _,
            date_format,
            timestamp_format,
            column_formats,
            decimal_separator,
            thousands_separator,
        } = self.values();
        date_format.is_some()
            || timestamp_format.is_some()
            || !column_formats.is_empty()
            || decimal_separator.is_some()
            || thousands_separator.is_some()
    }

    /// How values are written, as it was asked for.
    pub fn values(&self) -> ValuesSpec {
        let of_all = |formats: &[ColumnFormat]| {
            let last = formats.iter().rev().find(|format| format.column.is_none());
            last.map(|format| format.pattern.clone())
        };
        let all = self.date_format.iter().chain(&self.timestamp_format);
        ValuesSpec {
            on_nul: match self.on_nul {
                Nul::Reject => OnNul::Reject,
                Nul::Strip => OnNul::Strip,
            },
            date_format: of_all(&self.date_format),
            timestamp_format: of_all(&self.timestamp_format),
            column_formats: all
                .filter_map(|format| Some((format.column.clone()?, format.pattern.clone())))
                .collect(),
            time_zone: self.time_zone.clone(),
            decimal_separator: self.decimal_separator,
            thousands_separator: self.thousands_separator,
        }
    }
}

/// A pattern has text in double quotes, so that a column's name ends at the first equals sign outside.
fn parse_format(text: &str) -> Result<ColumnFormat, String> {
    let (column, pattern) = match text.split_once('=') {
        Some((column, pattern)) if !column.contains('"') => (Some(column.to_owned()), pattern),
        _ => (None, text),
    };
    if pattern.trim().is_empty() || column.as_ref().is_some_and(String::is_empty) {
        return Err("expected a pattern such as DD.MM.YYYY, or COLUMN=PATTERN".to_owned());
    }
    Ok(ColumnFormat {
        column,
        pattern: pattern.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_may_be_for_one_column() {
        let format = |column: Option<&str>, pattern: &str| {
            Ok(ColumnFormat {
                column: column.map(str::to_owned),
                pattern: pattern.to_owned(),
            })
        };
        assert_eq!(parse_format("DD.MM.YYYY"), format(None, "DD.MM.YYYY"));
        assert_eq!(parse_format("born=YY/MM/DD"), format(Some("born"), "YY/MM/DD"));
        assert_eq!(parse_format("YYYY\"=\"MM"), format(None, "YYYY\"=\"MM"));
        assert!(parse_format("").is_err() && parse_format("a=").is_err() && parse_format("=DD").is_err());
    }
}
