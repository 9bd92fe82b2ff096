//! Choices that an input makes with its first bytes. What follows them is text, so that seeds can be made of real files.

/// Bytes that are taken one after the other; zeros when there are no more.
pub struct Knobs<'d> {
    rest: &'d [u8],
}

impl<'d> Knobs<'d> {
    /// The first `count` bytes are knobs; what follows is returned as it is.
    pub fn new(data: &'d [u8], count: usize) -> (Self, &'d [u8]) {
        let (rest, text) = data.split_at(count.min(data.len()));
        (Self { rest }, text)
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    /// 0 to `below`, exclusive.
    pub fn number(&mut self, below: usize) -> usize {
        usize::from(self.byte()) % below
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.number(of.len())]
    }

    /// Eight of them.
    pub fn flags(&mut self) -> [bool; 8] {
        let byte = self.byte();
        std::array::from_fn(|bit| byte >> bit & 1 == 1)
    }
}
