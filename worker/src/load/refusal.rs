//! What the server says when it refuses rows: whether that is about a row, and in which words.

use ledger::rejects::Refusal;
use sqlx::postgres::PgDatabaseError;

/// **Characters** of a reason that are kept: the server may repeat a value, however long.
const MAX_REASON: usize = 2_000;

/// The classes of codes that the server itself has. What is of none of them was made up by whoever wrote a trigger.
const SERVER_CLASSES: [&str; 43] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21", "22", "23", "24", "25", "26",
    "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53", "54", "55", "57", "58",
    "72", "F0", "HV", "P0", "XX",
];

/// Why the server refused a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The column that it names, if it does.
    pub column: Option<String>,
    pub reason: String,
    pub refusal: Refusal,
}

impl Refused {
    /// `None` of an error that is not the server's.
    pub(super) fn new(error: &sqlx::Error) -> Option<Self> {
        let server = of_server(error)?;
        let mut reason = words(error)?;
        if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
            reason.truncate(end);
            reason.push('…');
        }
        Some(Self {
            column: server.column().map(str::to_owned),
            reason,
            refusal: Refusal {
                sqlstate: server.code().to_owned(),
                constraint: server.constraint().map(str::to_owned),
            },
        })
    }

    /// Whether other rows of the same load may be what the record lacks.
    pub(super) fn may_depend_on_others(&self) -> bool {
        self.refusal.sqlstate == "23503" || is_raised(&self.refusal.sqlstate)
    }
}

/// Whether the server refused a statement, or its transaction, for what a row is. Everything else is about the table, the session or the
/// server, or passes by itself.
#[must_use]
pub fn is_of_a_row(error: &sqlx::Error) -> bool {
    let Some(error) = of_server(error) else { return false };
    let code = error.code();
    match code.get(..2).unwrap_or_default() {
        // Of values; a sequence at its end is not.
        "22" => code != "2200H",
        // Of constraints, and what a view's CHECK OPTION forbids.
        "23" | "44" => true,
        // A row or an entry of an index that is too large, and a value that is nested too deep.
        "54" => matches!(code, "54000" | "54001"),
        // By code that is not the server's own, such as a trigger's.
        _ => is_raised(code) && error.r#where().is_some(),
    }
}

/// Whether a value of a type that the server casts may be at fault: some are read as a piece of a language, or are names of what there is.
#[must_use]
pub(super) fn may_be_of_a_value(error: &sqlx::Error) -> bool {
    of_server(error).is_some_and(|error| {
        matches!(
            error.code(),
            "42601" | "42602" | "42703" | "42704" | "42883" | "42P01" | "3F000" | "0A000" | "XX000"
        )
    })
}

/// What RAISE, or a function in another language, gives as a code.
fn is_raised(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "P0" | "38") || !SERVER_CLASSES.contains(&class)
}

/// The server's words for a person: its message, what it names, and its hint. They may hold data, which does not belong into a log.
#[must_use]
pub fn words(error: &sqlx::Error) -> Option<String> {
    let error = of_server(error)?;
    let mut text = error.message().to_owned();
    for part in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(part);
    }
    Some(text)
}

/// The server's error, if it is one.
pub(super) fn of_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_has_no_class_for_was_raised() {
        for code in ["P0001", "38000", "45000", "U0001", "PT409"] {
            assert!(is_raised(code), "{code}");
        }
        for code in [
            "40001", "40P01", "42501", "42P01", "55P03", "57014", "25006", "08006", "XX000", "53100",
        ] {
            assert!(!is_raised(code), "{code}");
        }
    }
}
