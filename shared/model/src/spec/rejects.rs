//! How many rejects an import may have, and what becomes of it when it fails.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::is_default;

/// How many rejects an import may have, and what becomes of it when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectsSpec {
    /// With more it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<MaxRejects>,
    /// Whether what was loaded is undone when it fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub all_or_nothing: bool,
}

/// How many rejects are not too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxRejects {
    Records(u64),
    /// Of all records, once their number is known: so many in a million.
    Millionths(u32),
}

/// In a percent.
const MILLIONTHS: u32 = 10_000;

impl MaxRejects {
    /// Whether these are more. The number of all records is `None` as long as it is not known.
    #[must_use]
    pub fn is_exceeded(self, rejected: u64, records: Option<u64>) -> bool {
        match (self, records) {
            (Self::Records(max), _) => rejected > max,
            (Self::Millionths(max), Some(records)) => {
                u128::from(rejected) * 1_000_000 > u128::from(records) * u128::from(max)
            }
            (Self::Millionths(_), None) => false,
        }
    }
}

/// As a person writes it.
impl fmt::Display for MaxRejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(records) => write!(f, "{records}"),
            Self::Millionths(millionths) => {
                write!(f, "{}", millionths / MILLIONTHS)?;
                let digits = format!("{:04}", millionths % MILLIONTHS);
                match digits.trim_end_matches('0') {
                    "" => write!(f, "%"),
                    fraction => write!(f, ".{fraction}%"),
                }
            }
        }
    }
}

impl FromStr for MaxRejects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a number of records, such as 100, or a part of them, such as 0.5%";
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let Some(percent) = text.strip_suffix('%') else {
            let records = text.parse().ok().filter(|_| is_number(text));
            return records.map(Self::Records).ok_or_else(|| EXPECTED.to_owned());
        };
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 4 {
            return Err(EXPECTED.to_owned());
        }
        let fraction: u32 = format!("{fraction:0<4}").parse().map_err(|_| EXPECTED.to_owned())?;
        let whole: u32 = whole.parse().map_err(|_| EXPECTED.to_owned())?;
        let millionths = whole
            .checked_mul(MILLIONTHS)
            .and_then(|whole| whole.checked_add(fraction));
        millionths
            .filter(|millionths| *millionths <= 100 * MILLIONTHS)
            .map(Self::Millionths)
            .ok_or_else(|| "there are no more than 100%".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_as_it_is_written() {
        for (text, expected) in [
            ("0", MaxRejects::Records(0)),
            ("100", MaxRejects::Records(100)),
            ("0%", MaxRejects::Millionths(0)),
            ("0.5%", MaxRejects::Millionths(5_000)),
            ("12.0001%", MaxRejects::Millionths(120_001)),
            ("100%", MaxRejects::Millionths(1_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(expected));
            assert_eq!(expected.to_string(), text);
        }
        for bad in [
            "",
            "-1",
            "%",
            "1.%",
            ".5%",
            "0.00001%",
            "101%",
            "1e3",
            "+1",
            "99999999999%",
        ] {
            assert!(bad.parse::<MaxRejects>().is_err(), "{bad}");
        }
    }

    #[test]
    fn more_than_the_limit_are_too_many() {
        assert!(!MaxRejects::Records(1).is_exceeded(1, Some(1)) && MaxRejects::Records(1).is_exceeded(2, None));
        let percent = MaxRejects::Millionths(10_000);
        assert!(!percent.is_exceeded(1, Some(100)) && percent.is_exceeded(1, Some(99)));
        assert!(!percent.is_exceeded(u64::MAX, None));
        assert!(MaxRejects::Millionths(0).is_exceeded(1, Some(u64::MAX)));
    }
}
