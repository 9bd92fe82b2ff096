//! Numbers with other separators than a decimal point.

use std::fmt;

use model::ValuesSpec;

use super::FormError;

/// What stands in a number beside its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Separators {
    decimal: char,
    thousands: Option<char>,
}

impl Separators {
    /// `None` when numbers are as Postgres writes them.
    pub(super) fn new(spec: &ValuesSpec) -> Result<Option<Self>, FormError> {
        let (decimal, thousands) = (spec.decimal_separator, spec.thousands_separator);
        for (what, separator) in [("decimal", decimal), ("thousands", thousands)] {
            if separator.is_some_and(|c| c.is_alphanumeric() || matches!(c, '+' | '-')) {
                return Err(FormError::Separator(what));
            }
        }
        let separators = Self {
            decimal: decimal.unwrap_or('.'),
            thousands,
        };
        if thousands == Some(separators.decimal) {
            return Err(FormError::SameSeparator);
        }
        Ok((separators.decimal != '.' || thousands.is_some()).then_some(separators))
    }

    /// Digits in groups of three after the first, if in groups at all; a fraction; an exponent. Words such as NaN pass as they are.
    pub(super) fn rewrite(self, field: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let text = std::str::from_utf8(field).ok()?.trim();
        if text
            .trim_start_matches(['-', '+'])
            .starts_with(|c: char| c.is_ascii_alphabetic())
        {
            out.extend_from_slice(text.as_bytes());
            return Some(());
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned.starts_with(['-', '+']) {
            return None;
        }
        out.extend_from_slice(text.as_bytes().get(..text.len() - unsigned.len())?);
        let (number, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => unsigned.split_at_checked(at)?,
            None => (unsigned, ""),
        };
        let (whole, fraction) = match number.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (number, None),
        };
        self.whole(whole, out)?;
        if let Some(fraction) = fraction {
            if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || fraction.is_empty() && whole.is_empty() {
                return None;
            }
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
        out.extend_from_slice(exponent.as_bytes());
        Some(())
    }

    fn whole(self, whole: &str, out: &mut Vec<u8>) -> Option<()> {
        let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let Some((first, mut rest)) = self.thousands.and_then(|separator| whole.split_once(separator)) else {
            out.extend_from_slice(whole.as_bytes());
            return is_digits(whole).then_some(());
        };
        // A group that begins with 0 is no first one: 0.123 is a fraction, with the other point.
        if !(1..=3).contains(&first.len()) || first.starts_with('0') || !is_digits(first) {
            return None;
        }
        out.extend_from_slice(first.as_bytes());
        loop {
            let (group, next) = match self.thousands.and_then(|separator| rest.split_once(separator)) {
                Some((group, next)) => (group, Some(next)),
                None => (rest, None),
            };
            if group.len() != 3 || !is_digits(group) {
                return None;
            }
            out.extend_from_slice(group.as_bytes());
            match next {
                Some(next) => rest = next,
                None => return Some(()),
            }
        }
    }
}

impl fmt::Display for Separators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the decimal separator '{}'", self.decimal)?;
        match self.thousands {
            Some(thousands) => write!(f, " and the thousands separator '{thousands}'"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separators(decimal: char, thousands: Option<char>) -> Separators {
        Separators { decimal, thousands }
    }

    fn rewritten(separators: Separators, field: &str) -> Option<String> {
        let mut out = Vec::new();
        separators.rewrite(field.as_bytes(), &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn separators_become_those_of_postgres() {
        let german = separators(',', Some('.'));
        for (field, number) in [
            ("1.234.567,89", "1234567.89"),
            ("-12,5", "-12.5"),
            (" +1 ", "+1"),
            ("1234,5", "1234.5"),
            (",5", ".5"),
            ("5,", "5."),
            ("1,5e-3", "1.5e-3"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
        ] {
            assert_eq!(rewritten(german, field).as_deref(), Some(number), "{field}");
        }
        let french = separators(',', Some('\u{a0}'));
        assert_eq!(rewritten(french, "1\u{a0}234,5").as_deref(), Some("1234.5"));
        let english = separators('.', Some(','));
        assert_eq!(rewritten(english, "12,345.6").as_deref(), Some("12345.6"));
    }

    #[test]
    fn what_could_be_another_number_is_none() {
        let german = separators(',', Some('.'));
        for field in [
            "1.23",
            "12.34.5",
            "1..234",
            "1234.567",
            ".234",
            "1,2,3",
            "1.234,5.6",
            "--1",
            ",",
            "1,2.345",
            "1 000",
        ] {
            assert_eq!(rewritten(german, field), None, "{field}");
        }
        let comma = separators(',', None);
        assert_eq!(rewritten(comma, "1.5"), None);
        assert_eq!(rewritten(comma, "1\x00234,5"), None);
    }

    #[test]
    fn separators_must_differ_and_separate() {
        let spec = |decimal, thousands| ValuesSpec {
            decimal_separator: decimal,
            thousands_separator: thousands,
            ..ValuesSpec::default()
        };
        assert_eq!(Separators::new(&spec(None, None)), Ok(None));
        assert_eq!(Separators::new(&spec(Some('.'), None)), Ok(None));
        assert_eq!(Separators::new(&spec(None, Some('.'))), Err(FormError::SameSeparator));
        assert_eq!(
            Separators::new(&spec(Some('1'), None)),
            Err(FormError::Separator("decimal"))
        );
    }
}
