//! What is said of tests that need more than every machine has.

use std::{
    env,
    io::{self, Write as _},
    thread,
};

/// Says that this test, or a part of it, is skipped, and why: to standard error itself, for of a test that passes nothing is shown that it printed.
pub fn skipped(why: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    drop(writeln!(io::stderr(), "SKIPPED {test}: {why}"));
}

/// Says that for what this machine lacks.
///
/// # Panics
/// Where the variable `required` is set: there it has to be.
pub fn skipped_unless(required: &str, why: &str) {
    assert!(env::var_os(required).is_none(), "{required} is set, and {why}");
    skipped(why);
}
