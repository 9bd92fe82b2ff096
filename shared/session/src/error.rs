//! Errors of the database: which of them pass by themselves, and how they are told.

/// An error with its sources, in one line.
#[must_use]
pub fn describe_error(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}

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
