//! How many of something are not too many.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many of something are not too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    #[serde(rename = "records")]
    Count(u64),
    /// Of all, once their number is known: so many in a million.
    Millionths(u32),
}

/// In a percent.
const MILLIONTHS: u32 = 10_000;

impl Limit {
    /// Whether these are more. The number of all is `None` as long as it is not known.
    #[must_use]
    pub fn is_exceeded(self, count: u64, all: Option<u64>) -> bool {
        match (self, all) {
            (Self::Count(max), _) => count > max,
            (Self::Millionths(max), Some(all)) => u128::from(count) * 1_000_000 > u128::from(all) * u128::from(max),
            (Self::Millionths(_), None) => false,
        }
    }
}

/// As a person writes it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
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

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a number, such as 100, or a part of all, such as 0.5%";
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let Some(percent) = text.strip_suffix('%') else {
            let count = text.parse().ok().filter(|_| is_number(text));
            return count.map(Self::Count).ok_or_else(|| EXPECTED.to_owned());
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
            ("0", Limit::Count(0)),
            ("100", Limit::Count(100)),
            ("0%", Limit::Millionths(0)),
            ("0.5%", Limit::Millionths(5_000)),
            ("12.0001%", Limit::Millionths(120_001)),
            ("100%", Limit::Millionths(1_000_000)),
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
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn more_than_the_limit_are_too_many() {
        assert!(!Limit::Count(1).is_exceeded(1, Some(1)) && Limit::Count(1).is_exceeded(2, None));
        let percent = Limit::Millionths(10_000);
        assert!(!percent.is_exceeded(1, Some(100)) && percent.is_exceeded(1, Some(99)));
        assert!(!percent.is_exceeded(u64::MAX, None));
        assert!(Limit::Millionths(0).is_exceeded(1, Some(u64::MAX)));
    }
}
