//! Single values as text that PostgreSQL reads as exactly these.

mod bytes;
mod number;
mod time;

pub(crate) use bytes::{hexadecimal, uuid};
pub(crate) use number::{decimal, decimal_256, double, integer};
pub(crate) use time::{Interval, date, date_of_millis, duration, int96, interval, time_of_day, timestamp};

use std::{fmt, io::Write as _};

/// Appends what would be printed.
fn push(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}
