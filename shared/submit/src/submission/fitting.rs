//! How a source seems to be written whose header names nothing, for the hint.

use format::csv::read::header_names;
use model::{CsvDialect, Delimiter, FormatSpec};
use target::{FieldNames, MappingRequest, Target, map_fields};

/// How a source is written, where that is not how it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitting {
    /// With this delimiter the header names columns of the table.
    Delimiter(Delimiter),
    /// What should be the header looks like an object.
    JsonLines,
}

/// How a header is written that names columns of the table, where it does not when it is read as somebody said.
pub(super) fn fitting(
    target: &Target,
    header: &[u8],
    format: &FormatSpec,
    request: &MappingRequest,
) -> Option<Fitting> {
    let FormatSpec::Csv(dialect) = format else { return None };
    if looks_like_json(header) {
        return Some(Fitting::JsonLines);
    }
    let fits = usual_delimiters(dialect).find(|(_, dialect)| {
        let names = header_names(header, dialect);
        names.is_ok_and(|names| names.len() > 1 && map_fields(target, FieldNames::OfSource(&names), request).is_ok())
    });
    fits.map(|(delimiter, _)| Fitting::Delimiter(delimiter))
}

/// The delimiters that files often have, but for that of a dialect, and the dialect with each.
pub(super) fn usual_delimiters(dialect: &CsvDialect) -> impl Iterator<Item = (Delimiter, CsvDialect)> {
    let usual = [",", ";", "\t", "|", ", ", "; ", ":"].into_iter();
    let others = usual
        .filter_map(|text| Delimiter::new(text.as_bytes()))
        .filter(|other| *other != dialect.delimiter);
    others.map(|delimiter| {
        let dialect = CsvDialect {
            delimiter,
            ..dialect.clone()
        };
        (delimiter, dialect)
    })
}

/// Whether a record begins as an object does, which no header in CSV is likely to.
pub(super) fn looks_like_json(record: &[u8]) -> bool {
    record.trim_ascii_start().starts_with(b"{\"")
}
