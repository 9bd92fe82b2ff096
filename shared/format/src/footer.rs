//! Holds back the last lines of a stream, which are no records.
//!
//! Knows bytes and line ends; must not know records or quotes: a footer is whatever stands on so many lines.

use std::io::{self, Read};

use memchr::memrchr2;

/// Bytes read at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Lines that are longer than what may be held back.
#[derive(Debug, thiserror::Error)]
#[error("the last {lines} lines cannot be told from the others: they are longer than {limit} bytes")]
pub struct FooterError {
    lines: u64,
    limit: usize,
}

/// Reads a stream without its last lines. Empty lines after them do not count.
///
/// Holds these lines and a block; without a footer it passes on what it reads.
pub struct WithoutFooter<R> {
    reader: R,
    lines: u64,
    /// **Bytes** that may be held back.
    limit: usize,
    held: Vec<u8>,
    /// `held[given..safe]` is no footer and was not given yet.
    given: usize,
    safe: usize,
    ended: bool,
}

impl<R: Read> WithoutFooter<R> {
    /// The last `lines` lines may have `limit` **bytes** together.
    pub fn new(reader: R, lines: u64, limit: usize) -> Self {
        Self {
            reader,
            lines,
            limit,
            held: Vec::new(),
            given: 0,
            safe: 0,
            ended: false,
        }
    }

    /// What the bytes are read from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Gives the reader back.
    pub fn into_reader(self) -> R {
        self.reader
    }

    /// Reads a block, and sees how much before the footer is certain.
    fn fill(&mut self) -> io::Result<()> {
        self.held.drain(..self.given);
        // Reading may be interrupted, and asked for again.
        (self.given, self.safe) = (0, 0);
        let before = self.held.len();
        self.held.resize(before + BLOCK_BYTES, 0);
        let read = self.held.get_mut(before..).map_or(Ok(0), |room| self.reader.read(room));
        self.held.truncate(before + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        self.safe = start_of_last(self.lines, &self.held);
        if self.held.len() - self.safe > self.limit {
            let (lines, limit) = (self.lines, self.limit);
            return Err(io::Error::new(io::ErrorKind::InvalidData, FooterError { lines, limit }));
        }
        Ok(())
    }
}

impl<R: Read> Read for WithoutFooter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.lines == 0 {
            return self.reader.read(buffer);
        }
        while self.given == self.safe && !self.ended {
            self.fill()?;
        }
        let ready = self.held.get(self.given..self.safe).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(ready) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}

/// Where the last `lines` lines of `bytes` begin, when empty ones after them do not count.
fn start_of_last(lines: u64, bytes: &[u8]) -> usize {
    let ends = bytes
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let mut text = bytes.get(..bytes.len() - ends).unwrap_or_default();
    for line in 0..lines {
        let Some(end) = memrchr2(b'\r', b'\n', text) else {
            return 0;
        };
        if line + 1 == lines {
            return end + 1;
        }
        // `\r\n` ends one line.
        let crlf = text.get(end) == Some(&b'\n') && end > 0 && text.get(end - 1) == Some(&b'\r');
        text = text.get(..end - usize::from(crlf)).unwrap_or_default();
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str, lines: u64) -> String {
        let mut all = String::new();
        WithoutFooter::new(input.as_bytes(), lines, 1000)
            .read_to_string(&mut all)
            .unwrap();
        // However it is portioned.
        for size in 1..4 {
            let mut pieces = String::new();
            let mut reader = WithoutFooter::new(Slow(input.as_bytes(), size, false), lines, 1000);
            reader.read_to_string(&mut pieces).unwrap();
            assert_eq!(pieces, all, "{input:?}");
        }
        all
    }

    /// Yields so many bytes at a time, and is interrupted before each.
    struct Slow<'a>(&'a [u8], usize, bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.2 = !self.2;
            if self.2 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = buffer.len().min(self.1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn the_last_lines_are_held_back() {
        for (input, lines, left) in [
            ("a\nb\nc\n", 0, "a\nb\nc\n"),
            ("a\nb\nc\n", 1, "a\nb\n"),
            ("a\nb\nc", 2, "a\n"),
            ("a\r\nb\r\nc\r\n\r\n\r\n", 2, "a\r\n"),
            ("a\rb\rc\r", 1, "a\rb\r"),
            ("a\n\nc\n", 2, "a\n"),
            ("a\nb\n", 2, ""),
            ("a\nb\n", 7, ""),
            ("", 1, ""),
            ("\n\n", 1, ""),
        ] {
            assert_eq!(read(input, lines), left, "{input:?} {lines}");
        }
    }

    #[test]
    fn a_footer_that_is_too_long_is_an_error() {
        let input = "x".repeat(2000);
        let mut reader = WithoutFooter::new(input.as_bytes(), 1, 1000);
        let error = reader.read(&mut [0; 10]).unwrap_err();
        assert!(error.to_string().contains("1000 bytes"), "{error}");
    }
}
