//! Numbers and names as people read them.

/// Text from outside, as it may be shown: what would steer a terminal, or turn the reading direction round, is written as an
/// escape.
#[must_use]
pub fn escape(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A number with its digits in groups of three.
#[must_use]
pub fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Things one after the other, with commas.
#[must_use]
pub fn list(things: &[impl ToString]) -> String {
    let words: Vec<String> = things.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// A time in two units at most: `3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is held within bounds"
    )]
    let whole = seconds.clamp(0.0, 1e12).round() as u64;
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let first = UNITS.iter().position(|(unit, _)| whole >= *unit).unwrap_or(3);
    let (unit, name) = UNITS[first];
    let mut text = format!("{} {name}", whole / unit);
    if let Some((smaller, smaller_name)) = UNITS.get(first + 1) {
        let rest = whole % unit / smaller;
        if rest > 0 {
            text.push_str(&format!(" {rest} {smaller_name}"));
        }
    }
    text
}

/// A speed, or a dash where nothing moves.
#[must_use]
pub fn rate(rows_per_s: f64) -> String {
    if rows_per_s < 0.5 {
        return "–".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is held within bounds"
    )]
    let rounded = rows_per_s.clamp(0.0, 1e15).round() as u64;
    group(rounded)
}

/// **Bytes**, in the largest unit of which there is one.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "it is shown with one digit behind the point")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_the_terminal_is_escaped() {
        assert_eq!(escape("/data/ä → b.csv"), "/data/ä → b.csv");
        assert_eq!(
            escape("a\n\u{1b}]0;title\u{7}\u{202e}b"),
            "a\\n\\u{1b}]0;title\\u{7}\\u{202e}b"
        );
    }

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!([0, 999, 1000, 1_469_307].map(group), ["0", "999", "1,000", "1,469,307"]);
    }

    #[test]
    fn figures_are_short() {
        let durations = [0.04, 9.96, 59.6, 250.0, 7_500.0, 273_600.0].map(duration);
        assert_eq!(
            durations,
            ["0.0 s", "10.0 s", "1 min", "4 min 10 s", "2 h 5 min", "3 d 4 h"]
        );
        assert_eq!(
            [0, 1023, 1536, 1 << 31].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "2.0 GiB"]
        );
        assert_eq!([0.2, 12_345.6].map(rate), ["–", "12,346"]);
    }
}
