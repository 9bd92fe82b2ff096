//! Where lines begin, found from anywhere: `\n`, `\r\n` and a lone `\r` end one.

use std::io::{self, BufRead};

use memchr::memchr2;

/// How many **bytes** lie before the first line that begins behind a line end; `None` where there is no line end.
///
/// # Errors
/// From the reader.
pub fn first_start(mut reader: impl BufRead) -> io::Result<Option<u64>> {
    let mut passed = 0_u64;
    let mut after_return = false;
    loop {
        let bytes = reader.fill_buf()?;
        if after_return {
            return Ok(Some(passed + u64::from(bytes.starts_with(b"\n"))));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let (length, found) = match memchr2(b'\r', b'\n', bytes) {
            Some(at) => (at + 1, bytes.get(at).copied()),
            None => (bytes.len(), None),
        };
        passed += length as u64;
        reader.consume(length);
        match found {
            Some(b'\n') => return Ok(Some(passed)),
            // What follows decides.
            Some(_) => after_return = true,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_line_begins_behind_whatever_ends_the_one_before() {
        for (text, start) in [
            ("", None),
            ("abc", None),
            ("abc\nd", Some(4)),
            ("abc\r\nd", Some(5)),
            ("abc\rd", Some(4)),
            ("\r\r\n", Some(1)),
            ("\nabc\n", Some(1)),
            ("abc\r", Some(4)),
            ("abc\n", Some(4)),
        ] {
            for capacity in [1, 2, 3, 64] {
                let reader = BufReader::with_capacity(capacity, text.as_bytes());
                assert_eq!(first_start(reader).unwrap(), start, "{text:?}");
            }
        }
    }
}
