//! A reader that yields its bytes in pieces.

use std::io::{self, Read};

/// Yields bytes in pieces of two sizes in turn, with an interruption before each second one.
pub struct Pieces<B> {
    bytes: io::Cursor<B>,
    sizes: [usize; 2],
    turn: usize,
}

impl<B: AsRef<[u8]>> Pieces<B> {
    /// A size of 0 counts as 1.
    pub fn new(bytes: B, sizes: [usize; 2]) -> Self {
        Self {
            bytes: io::Cursor::new(bytes),
            sizes: sizes.map(|size| size.max(1)),
            turn: 0,
        }
    }
}

impl<B: AsRef<[u8]>> Read for Pieces<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = buffer.len().min(self.sizes[self.turn % 2]);
        self.bytes.read(&mut buffer[..length])
    }
}
