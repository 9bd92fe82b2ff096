//! Values that are not written as Postgres writes them, rewritten so that they are.
//!
//! Owns patterns of dates and timestamps, time zones and separators of numbers; what a rewritten value is, and whether there is such a day, is decided by
//! [`values`](crate::values). A field must have exactly the form that was given for it, else it is no value: nothing is guessed, and
//! nothing is carried over into the next month as `to_date` does it.

mod number;
mod pattern;
mod zone;

use std::collections::HashSet;

use model::{OnNul, ValuesSpec};

use crate::{Column, ColumnType};
use number::Separators;
use pattern::Pattern;
use zone::Zone;

/// A form that cannot be read, or that its column has no use for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("the pattern '{pattern}': {what}")]
    Pattern { pattern: String, what: String },
    #[error("the column '{column}' has a pattern, but is not filled by the file; it fills: {known}")]
    NotFilled { column: String, known: String },
    #[error("the column '{column}' has a pattern, but is no date or timestamp")]
    NoDate { column: String },
    #[error("there is no time zone '{0}': expected a name of the IANA database, such as Europe/Berlin")]
    TimeZone(String),
    #[error("the decimal and the thousands separator are the same")]
    SameSeparator,
    #[error("the {0} separator cannot be a digit, a sign or a letter")]
    Separator(&'static str),
}

/// A field that does not have its column's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOfForm {
    #[error("not of the form {0}")]
    Pattern(String),
    #[error("not a number with {0}")]
    Number(String),
    #[error("not valid UTF-8")]
    NotUtf8,
}

/// How the values of a column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Time {
        pattern: Option<Pattern>,
        zone: Option<Zone>,
    },
    Number(Separators),
    /// Text without its NUL bytes.
    WithoutNul,
}

impl Form {
    /// The form of each column; `None` where values are as Postgres writes them.
    ///
    /// # Errors
    /// [`FormError`], naming the pattern or the column.
    pub fn of_columns(spec: &ValuesSpec, columns: &[Column]) -> Result<Vec<Option<Self>>, FormError> {
        for column in spec.column_formats.keys() {
            if !columns.iter().any(|known| known.name == *column) {
                let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                return Err(FormError::NotFilled {
                    column: column.clone(),
                    known: known.join(", "),
                });
            }
        }
        let separators = Separators::new(spec)?;
        let zone = spec.time_zone.as_deref().map(Zone::new).transpose()?;
        columns
            .iter()
            .map(|column| Self::of_column(spec, &column.name, &column.kind, separators, zone.as_ref()))
            .collect()
    }

    /// Those that a column of this name would have if it were of each of some types; `None` for one that a pattern is not for.
    ///
    /// # Errors
    /// [`FormError`], naming a pattern that is for none of them, or what else cannot be read.
    pub(crate) fn of_kinds<'k>(
        spec: &ValuesSpec,
        name: &str,
        kinds: impl Iterator<Item = &'k ColumnType>,
    ) -> Result<Vec<Option<Option<Self>>>, FormError> {
        let separators = Separators::new(spec)?;
        let zone = spec.time_zone.as_deref().map(Zone::new).transpose()?;
        let mut read = HashSet::new();
        let mut wrong = Vec::new();
        let mut forms = Vec::new();
        for kind in kinds {
            match Self::of_column(spec, name, kind, separators, zone.as_ref()) {
                Ok(form) => {
                    if let Some(Self(Kind::Time {
                        pattern: Some(pattern), ..
                    })) = &form
                    {
                        read.insert(pattern.text().to_owned());
                    }
                    forms.push(Some(form));
                }
                Err(FormError::NoDate { .. }) => forms.push(None),
                Err(FormError::Pattern { pattern, what }) => {
                    wrong.push((pattern, what));
                    forms.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        match wrong.into_iter().find(|(pattern, _)| !read.contains(pattern)) {
            Some((pattern, what)) => Err(FormError::Pattern { pattern, what }),
            None => Ok(forms),
        }
    }

    fn of_column(
        spec: &ValuesSpec,
        name: &str,
        kind: &ColumnType,
        separators: Option<Separators>,
        zone: Option<&Zone>,
    ) -> Result<Option<Self>, FormError> {
        let own = spec.column_formats.get(name);
        let (usual, has_time, has_zone) = match kind {
            ColumnType::Date => (spec.date_format.as_ref(), false, false),
            ColumnType::Timestamp { .. } => (spec.timestamp_format.as_ref(), true, false),
            ColumnType::Timestamptz { .. } => (spec.timestamp_format.as_ref(), true, true),
            _ if own.is_some() => {
                return Err(FormError::NoDate {
                    column: name.to_owned(),
                });
            }
            ColumnType::Int2
            | ColumnType::Int4
            | ColumnType::Int8
            | ColumnType::Float4
            | ColumnType::Float8
            | ColumnType::Numeric { .. } => return Ok(separators.map(|separators| Self(Kind::Number(separators)))),
            ColumnType::Text { .. } | ColumnType::Other { .. } if spec.on_nul == OnNul::Strip => {
                return Ok(Some(Self(Kind::WithoutNul)));
            }
            _ => return Ok(None),
        };
        let compile = |text: &String| {
            Pattern::compile(text, has_time, has_zone).map_err(|what| FormError::Pattern {
                pattern: text.clone(),
                what,
            })
        };
        let pattern = own.or(usual).map(compile).transpose()?;
        let zone = zone.filter(|_| has_zone).cloned();
        Ok((pattern.is_some() || zone.is_some()).then_some(Self(Kind::Time { pattern, zone })))
    }

    /// Whether what it leaves of a field says anew whether that is NULL.
    #[must_use]
    pub fn leaves_a_field(&self) -> bool {
        self.0 == Kind::WithoutNul
    }

    /// Whether it says where the parts of a time stand.
    pub(crate) fn has_pattern(&self) -> bool {
        matches!(self.0, Kind::Time { pattern: Some(_), .. })
    }

    /// Whether it says how numbers are written.
    #[must_use]
    pub fn is_of_numbers(&self) -> bool {
        matches!(self.0, Kind::Number(_))
    }

    /// Appends the field to `out`, which is empty, as Postgres writes it.
    ///
    /// # Errors
    /// [`NotOfForm`], naming the form and nothing of the field.
    pub fn rewrite(&self, field: &[u8], out: &mut Vec<u8>) -> Result<(), NotOfForm> {
        match &self.0 {
            Kind::WithoutNul => {
                // Without what stood between them, bytes could become a character that nobody wrote.
                if field.contains(&0) && std::str::from_utf8(field).is_err() {
                    return Err(NotOfForm::NotUtf8);
                }
                out.extend(field.iter().filter(|byte| **byte != 0));
                Ok(())
            }
            Kind::Time { pattern, zone } => {
                match pattern {
                    Some(pattern) => pattern
                        .rewrite(field, out)
                        .ok_or_else(|| NotOfForm::Pattern(pattern.text().to_owned()))?,
                    None => out.extend_from_slice(field),
                }
                if let Some(zone) = zone {
                    zone.complete(out);
                }
                Ok(())
            }
            Kind::Number(separators) => separators
                .rewrite(field, out)
                .ok_or_else(|| NotOfForm::Number(separators.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_does_not_become_text_without_its_nul_bytes() {
        let form = Form(Kind::WithoutNul);
        let stripped = |field: &[u8]| {
            let mut out = Vec::new();
            form.rewrite(field, &mut out).map(|()| out)
        };
        assert_eq!(stripped("\0ä\0b".as_bytes()), Ok("äb".as_bytes().to_vec()));
        assert_eq!(stripped(b"\xc3\0\xa4"), Err(NotOfForm::NotUtf8));
    }
}
