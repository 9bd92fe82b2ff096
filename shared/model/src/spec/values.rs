//! How values are written, where it is not as Postgres writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::is_default;

/// How values are written. What it does not say is as Postgres reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesSpec {
    /// What becomes of a NUL byte in text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_nul: OnNul,
    /// The pattern of dates, in the words of `to_char`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
    /// The pattern of timestamps, with or without time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_format: Option<String>,
    /// The patterns of single columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub column_formats: BTreeMap<String, String>,
    /// The time zone of times with time zone that name none, by its name in the IANA database; UTC without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What stands before the fraction of a number, in place of the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_separator: Option<char>,
    /// What stands between groups of three digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands_separator: Option<char>,
}

/// What becomes of a NUL byte in text, which no type of Postgres holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNul {
    /// Its record is a reject.
    #[default]
    Reject,
    /// It is dropped.
    Strip,
}
