//! Times of a time zone, which say nothing of it.

use std::{io::Write as _, sync::LazyLock};

use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::FormError;
use crate::values::local_time;

/// The same on each machine, so that each worker reads the same time.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// After so many **seconds** the Gregorian calendar is as it was, weekdays too: 400 years.
const CYCLE: i64 = 146_097 * 86_400;
/// **Seconds** from 2000-01-01 to 9600-01-01, which the calendar used here still knows.
const LATEST: i64 = 19 * CYCLE;

/// A time zone, with all that its clocks did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// # Errors
    /// [`FormError::TimeZone`], when there is none of this name.
    pub(super) fn new(name: &str) -> Result<Self, FormError> {
        let zone = ZONES.get(name).map_err(|_| FormError::TimeZone(name.to_owned()))?;
        Ok(Self(zone))
    }

    /// Appends the offset from UTC to a time that names none. What is no time stays as it is.
    pub(super) fn complete(&self, time: &mut Vec<u8>) {
        let Some(local) = local_time(time) else { return };
        let Some(offset) = self.offset(local.seconds) else {
            return;
        };
        if !local.has_time {
            time.extend_from_slice(b" 00:00");
        }
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes, seconds) = {
            let offset = offset.unsigned_abs();
            (offset / 3600, offset / 60 % 60, offset % 60)
        };
        // Writing to memory cannot fail.
        let _ = write!(time, "{sign}{hours:02}:{minutes:02}:{seconds:02}");
    }

    /// **Seconds** east of UTC at a local time. One that the clocks passed over is read with the offset before, one that they showed twice
    /// with the offset after, as Postgres does it.
    fn offset(&self, local_seconds: i64) -> Option<i32> {
        let seconds = if local_seconds < LATEST {
            local_seconds
        } else {
            LATEST - CYCLE + (local_seconds - LATEST) % CYCLE
        };
        let time = DateTime::constant(2000, 1, 1, 0, 0, 0, 0)
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()?;
        let offset = match self.0.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        Some(offset.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(zone: &str, time: &str) -> String {
        let mut out = time.as_bytes().to_vec();
        Zone::new(zone).unwrap().complete(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_without_a_zone_gets_the_offset_that_was_valid_then() {
        for (zone, time, expected) in [
            ("Europe/Berlin", "2026-01-31 12:00", "2026-01-31 12:00+01:00:00"),
            (
                "europe/berlin",
                " 2026-07-31T12:00:00.5 ",
                " 2026-07-31T12:00:00.5 +02:00:00",
            ),
            ("Asia/Kolkata", "2026-07-31", "2026-07-31 00:00+05:30:00"),
            ("America/New_York", "1880-01-01 00:00", "1880-01-01 00:00-04:56:02"),
            // Passed over, and shown twice.
            ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 02:30+01:00:00"),
            ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 02:30+01:00:00"),
            ("America/New_York", "2026-03-08 02:30", "2026-03-08 02:30-05:00:00"),
            // Beyond what the calendar of the time zones knows.
            ("Europe/Berlin", "294276-07-31 12:00", "294276-07-31 12:00+02:00:00"),
            ("Europe/Berlin", "10000-01-31 12:00", "10000-01-31 12:00+01:00:00"),
        ] {
            assert_eq!(completed(zone, time), expected, "{zone}");
        }
    }

    #[test]
    fn what_names_its_zone_or_is_no_time_stays_as_it_is() {
        for time in [
            "2026-01-31 12:00Z",
            "2026-01-31 12:00-03:30",
            "infinity",
            "",
            "31.01.2026",
            "2026-02-30",
        ] {
            assert_eq!(completed("Europe/Berlin", time), time);
        }
    }

    #[test]
    fn a_zone_that_nobody_knows_is_refused() {
        for name in ["Berlin", "+02:00", "", "MESZ"] {
            assert_eq!(Zone::new(name).unwrap_err(), FormError::TimeZone(name.to_owned()));
        }
    }
}
