//! Counts and offsets as the database has them, which knows no unsigned numbers.

use crate::LedgerError;

/// A number that the ledger never writes below zero.
pub(crate) fn unsigned<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T, LedgerError> {
    T::try_from(value).map_err(|_| LedgerError::Inconsistent { what, value })
}

/// The same of one that may be missing.
pub(crate) fn unsigned_option<T: TryFrom<i64>>(
    what: &'static str,
    value: Option<i64>,
) -> Result<Option<T>, LedgerError> {
    value.map(|value| unsigned(what, value)).transpose()
}

/// What rows have in one column.
pub(crate) fn column<R, T>(rows: &[R], value: impl Fn(&R) -> Result<T, LedgerError>) -> Result<Vec<T>, LedgerError> {
    rows.iter().map(value).collect()
}

/// A number that fits into a column, unless something is very wrong with it.
pub(crate) fn signed<N, T>(what: &'static str, value: N) -> Result<T, LedgerError>
where
    N: Copy + Into<u64>,
    T: TryFrom<u64>,
{
    T::try_from(value.into()).map_err(|_| LedgerError::TooLarge {
        what,
        value: value.into(),
    })
}
