//! LZ4 frames, read to their ends.

use std::io::{self, BufRead, Read};

/// Several frames, each with its end: the library takes a frame that is cut off between two blocks for a whole one.
pub(super) struct Lz4<R: BufRead> {
    frame: Option<lz4_flex::frame::FrameDecoder<Frame<R>>>,
}

impl<R: BufRead> Lz4<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            frame: Some(lz4_flex::frame::FrameDecoder::new(Frame::new(source))),
        }
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let read = frame.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let Some(mut source) = self.frame.take().map(lz4_flex::frame::FrameDecoder::into_inner) else {
                return Ok(0);
            };
            if !source.has_ended() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !source.inner.fill_buf()?.is_empty() {
                self.frame = Some(lz4_flex::frame::FrameDecoder::new(Frame::new(source.inner)));
            }
        }
        Ok(0)
    }
}

/// Follows an LZ4 frame from block to block, to know whether its end mark was read. What stands at its end does not tell: a block may end in
/// zeros too.
struct Frame<R> {
    inner: R,
    part: FramePart,
    flags: u8,
}

/// What of a frame comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FramePart {
    /// The magic number and the flags, of which so many bytes were read.
    Start { read: usize },
    /// So many **bytes** that say nothing of the frame's end, before a block's size.
    Passed { left: usize },
    /// The size of a block, or the end mark, of which so many bytes were read.
    Size { read: usize, size: u32 },
    /// Nothing but a checksum, which the library reads.
    End,
}

impl<R> Frame<R> {
    const HAS_DICTIONARY_ID: u8 = 1;
    const HAS_CONTENT_SIZE: u8 = 1 << 3;
    const HAS_BLOCK_CHECKSUMS: u8 = 1 << 4;
    /// A block that is not compressed.
    const AS_IT_IS: u32 = 1 << 31;

    fn new(inner: R) -> Self {
        Self {
            inner,
            part: FramePart::Start { read: 0 },
            flags: 0,
        }
    }

    fn has_ended(&self) -> bool {
        self.part == FramePart::End
    }

    /// **Bytes** that are there where the flags say so.
    fn optional(&self, flag: u8, bytes: usize) -> usize {
        if self.flags & flag == 0 { 0 } else { bytes }
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            self.part = match self.part {
                FramePart::Start { read: 4 } => {
                    self.flags = *byte;
                    let ids = self.optional(Self::HAS_CONTENT_SIZE, 8) + self.optional(Self::HAS_DICTIONARY_ID, 4);
                    // With the sizes of blocks, and a checksum.
                    FramePart::Passed { left: 2 + ids }
                }
                FramePart::Start { read } => FramePart::Start { read: read + 1 },
                FramePart::Passed { left } if left > bytes.len() => {
                    self.part = FramePart::Passed {
                        left: left - bytes.len(),
                    };
                    return;
                }
                FramePart::Passed { left } => {
                    bytes = bytes.get(left..).unwrap_or_default();
                    self.part = FramePart::Size { read: 0, size: 0 };
                    continue;
                }
                FramePart::Size { read, size } => {
                    let size = size | u32::from(*byte) << (8 * read);
                    match (read, size) {
                        (3, 0) => FramePart::End,
                        (3, size) => FramePart::Passed {
                            left: (size & !Self::AS_IT_IS) as usize + self.optional(Self::HAS_BLOCK_CHECKSUMS, 4),
                        },
                        _ => FramePart::Size { read: read + 1, size },
                    }
                }
                FramePart::End => return,
            };
            bytes = rest;
        }
    }
}

impl<R: Read> Read for Frame<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.follow(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
