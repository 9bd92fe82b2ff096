//! What to do about an error, in this program's own terms: the libraries do not know its flags.

use std::{borrow::Cow, error::Error};

use format::csv::split::SplitError;
use submit::submission::{Fitting, InputError, SubmitError};
use target::{MappingError, TargetError};

use crate::output;

/// What went wrong, and what to do about it, in one text.
#[must_use]
pub fn told(error: &(dyn Error + 'static)) -> String {
    let words = session::describe_error(error);
    match hint(error) {
        Some(hint) => format!("{words}; hint: {hint}"),
        None => words,
    }
}

/// Says what went wrong, and what to do about it.
pub fn complain(error: &(dyn Error + 'static)) {
    output::complain(&session::describe_error(error));
    if let Some(hint) = hint(error) {
        output::say(&format!("hint: {hint}"));
    }
}

/// What to do about an error whose own words do not say it.
#[must_use]
fn hint(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(SubmitError::NewTable { fits: Some(fits), .. }) = error.downcast_ref() {
            return Some(of_new_table(fits));
        }
        if let Some(
            SubmitError::Mapping { fits: Some(fits), .. }
            | SubmitError::Input(InputError::Names { fits: Some(fits), .. }),
        ) = error.downcast_ref()
        {
            return Some(of_fitting(fits));
        }
        let hint = match error.downcast_ref::<SubmitError>() {
            Some(SubmitError::Input(InputError::Parquet { .. })) => Some("--format parquet reads it"),
            // It shows its source as itself.
            Some(SubmitError::Target(source)) => of_target(source),
            _ => of_one(error),
        };
        if let Some(hint) = hint {
            return Some(hint.into());
        }
        next = error.source();
    }
    of_server(error).map(Cow::from)
}

fn of_fitting(fits: &Fitting) -> Cow<'static, str> {
    match fits {
        Fitting::JsonLines => "if each line is a JSON object, --format jsonl reads it".into(),
        Fitting::Delimiter(other) => {
            let delimiter = output::delimiter(*other);
            format!("with -d {delimiter} the header names columns of the table").into()
        }
    }
}

fn of_new_table(fits: &Fitting) -> Cow<'static, str> {
    match fits {
        Fitting::JsonLines => of_fitting(fits),
        Fitting::Delimiter(other) => format!("with -d {} it has several", output::delimiter(*other)).into(),
    }
}

fn of_one(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref() {
        return of_target(error);
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(MappingError::Unknown { .. }), _) => Some(
            "correct the header, name the columns with --columns or --map, pass over what the table does not have with --extra-columns ignore, or check -d/--delimiter",
        ),
        (_, Some(SplitError::RecordTooLong { .. })) => {
            Some("if the record is as long as that, submit it again with a larger --max-record")
        }
        (_, Some(SplitError::GapTooLong { .. })) => {
            Some("if there are as many empty lines, submit it again with a larger --max-record")
        }
        _ => None,
    }
}

fn of_target(error: &TargetError) -> Option<&'static str> {
    match error {
        TargetError::Missing { .. } => {
            Some("create it, have it made with --create-table, or name another with --table schema.table")
        }
        TargetError::Copy { .. } => Some("use --load-method insert"),
        TargetError::Cascades { .. } => Some("--cascade allows it"),
        _ => None,
    }
}

fn of_server(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match session::sqlstate(error)?.as_str() {
        "42501" => Some("docs/PRIVILEGES.md has the GRANTs that each role needs"),
        "55P03" => Some(
            "another session holds a lock that this needs: a chunk that is being loaded, a process that froze, or somebody's open transaction; docs/RELIABILITY.md says how to find it",
        ),
        "25006" => Some("the server takes no changes: it is a standby, or default_transaction_read_only is on"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_found_behind_whatever_hides_it() {
        let copy = || TargetError::Copy {
            name: "t".to_owned(),
            obstacle: "o".to_owned(),
        };
        for error in [
            anyhow::Error::from(SubmitError::from(copy())),
            anyhow::Error::from(submit::requests::RequestError::Target(copy())),
        ] {
            assert_eq!(hint(error.as_ref()).as_deref(), Some("use --load-method insert"));
        }
        assert_eq!(hint(&std::io::Error::other("x")), None);
    }
}
