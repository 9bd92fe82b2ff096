//! Errors of the database: which of them pass by themselves, and how they are told.

/// An error with its sources, in one line.
#[must_use]
pub fn describe_error(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = message(error);
    let mut source = error.source();
    while let Some(error) = source {
        let message = message(error);
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}

/// What one error says. To what the server says sqlx adds a line of the server's own source, which tells nobody anything.
fn message(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<Box<dyn sqlx::error::DatabaseError>>() {
        return error.message().to_owned();
    }
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((before, line)) if before.contains(FROM_DATABASE) && line.bytes().all(|byte| byte.is_ascii_digit()) => {
            before.to_owned()
        }
        _ => text,
    }
}

/// The code of the server's error that an error comes of, if it comes of one.
#[must_use]
pub fn sqlstate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
            return error.code().map(std::borrow::Cow::into_owned);
        }
        next = error.source();
    }
    None
}

/// What sqlx puts before the words of the server, and others repeat who show their source with themselves.
const FROM_DATABASE: &str = "error returned from database: ";

/// Whether a database error passes by itself: a lost connection, a conflict with another session, a full disk, a shutdown.
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Classes: 08 connection, 40 rollback (serialization, deadlock), 53 resources (disk full, memory, connections),
        // 55 object state (lock timeout), 25006 read-only (a failover), 57 operator intervention (shutdown, cancel), 58 system error (I/O).
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58"))
                || matches!(code.as_ref(), "55P03" | "55006" | "25P03" | "25006")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Says(&'static str);

    #[test]
    fn only_what_the_server_says_loses_its_line() {
        for (error, described) in [
            (
                "error returned from database: made to fail at line 3947",
                "error returned from database: made to fail",
            ),
            (
                "poll: error returned from database: bad at line 3 at line 12",
                "poll: error returned from database: bad at line 3",
            ),
            ("the record at line 3", "the record at line 3"),
            (
                "error returned from database: at line x",
                "error returned from database: at line x",
            ),
        ] {
            assert_eq!(describe_error(&Says(error)), described);
        }
    }
}
