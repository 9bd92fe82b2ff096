//! Takes one layer of compression off a stream, recognised by its first bytes.
//!
//! A stream may be several compressed ones after another, as `cat a.gz b.gz` makes it. Must not know what the bytes mean.

mod lz4;

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use lz4::Lz4;

/// **Bytes** of the source that are read at once.
const BLOCK_BYTES: usize = 128 << 10;
/// **Bytes** that the window of an .xz file may have; its largest preset needs a quarter of it.
const XZ_MEMORY: u64 = 256 << 20;
/// Continue with the next stream of an .xz file: `LZMA_CONCATENATED`.
const XZ_CONCATENATED: u32 = liblzma::stream::CONCATENATED;

/// How a source is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Lz4,
}

/// A compressed source that cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("the {compression} data is damaged or cut off, after {read} bytes of text")]
pub struct DecompressError {
    compression: Compression,
    /// **Bytes** that came out before.
    read: u64,
    #[source]
    source: io::Error,
}

impl Compression {
    /// **Bytes** that tell.
    pub const MARK_BYTES: usize = 6;

    /// The compression whose mark a source begins with.
    #[must_use]
    pub fn recognise(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // A frame, or one to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72] => {
                Some(Self::Bzip2)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Some(Self::Xz),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Reads what was compressed.
    ///
    /// # Errors
    /// From the library, when it cannot begin.
    pub(crate) fn reader(self, source: impl Read + Send + 'static) -> io::Result<impl Read + Send> {
        let source = BufReader::with_capacity(BLOCK_BYTES, source);
        let inner: Box<dyn Read + Send> = match self {
            Self::Gzip => Box::new(Gzip::new(source)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, XZ_CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(source, stream))
            }
            Self::Lz4 => Box::new(Lz4::new(source)),
        };
        Ok(Reader {
            compression: self,
            inner,
            read: 0,
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        })
    }
}

/// Says what is wrong, and where.
struct Reader {
    compression: Compression,
    inner: Box<dyn Read + Send>,
    read: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.read += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(source) => {
                let (compression, read) = (self.compression, self.read);
                let error = DecompressError {
                    compression,
                    read,
                    source,
                };
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }
}

/// Several members, and zeros after the last one, with which tapes are filled up.
struct Gzip<R: BufRead> {
    member: Option<flate2::bufread::GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    fn new(source: R) -> Self {
        Self {
            member: Some(flate2::bufread::GzDecoder::new(source)),
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            let Some(member) = &mut self.member else { return Ok(0) };
            let read = member.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let Some(mut source) = self.member.take().map(flate2::bufread::GzDecoder::into_inner) else {
                return Ok(0);
            };
            if !skip_zeros(&mut source)? {
                self.member = Some(flate2::bufread::GzDecoder::new(source));
            }
        }
        Ok(0)
    }
}

/// Passes zeros; whether the source ends behind them.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let seen = source.fill_buf()?;
        let zeros = seen.iter().take_while(|byte| **byte == 0).count();
        let (ends, other) = (seen.is_empty(), zeros < seen.len());
        source.consume(zeros);
        if ends || other {
            return Ok(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const ALL: [Compression; 5] = [
        Compression::Gzip,
        Compression::Zstd,
        Compression::Bzip2,
        Compression::Xz,
        Compression::Lz4,
    ];

    fn compress(compression: Compression, text: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(text, 3).unwrap(),
            Compression::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            Compression::Xz => {
                let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
            Compression::Lz4 => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(text).unwrap();
                out.finish().unwrap()
            }
        }
    }

    fn read(compression: Compression, data: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        compression
            .reader(io::Cursor::new(data.to_vec()))?
            .read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn several_streams_are_one() {
        for compression in ALL {
            let mut data = compress(compression, b"a;b\n1;2\n");
            assert_eq!(Compression::recognise(&data[..6]), Some(compression));
            data.extend(compress(compression, b""));
            data.extend(compress(compression, b"3;4\n"));
            assert_eq!(read(compression, &data).unwrap(), b"a;b\n1;2\n3;4\n", "{compression}");
        }
        let mut padded = compress(Compression::Gzip, b"a\n");
        padded.extend([0; 1000]);
        assert_eq!(read(Compression::Gzip, &padded).unwrap(), b"a\n");
        assert_eq!(Compression::recognise(b"a;b;c\n"), None);
        assert_eq!(Compression::recognise(b"BZhat;b"), None);
    }

    #[test]
    fn what_is_cut_off_or_followed_by_something_else_is_an_error() {
        let text: Vec<u8> = (0..2000_u32)
            .flat_map(|n| format!("{n};{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for compression in ALL {
            let data = compress(compression, &text);
            assert_eq!(read(compression, &data).unwrap(), text);
            for cut in (1..data.len())
                .step_by(97)
                .chain(data.len().saturating_sub(12)..data.len())
            {
                let Err(error) = read(compression, &data[..cut]) else {
                    panic!("{compression} {cut}")
                };
                assert!(
                    error
                        .to_string()
                        .contains(&format!("the {compression} data is damaged or cut off")),
                    "{error}"
                );
            }
            let mut garbage = data.clone();
            garbage.extend(b"garbage, and more of it");
            assert!(read(compression, &garbage).is_err(), "{compression}");
            let mut damaged = data;
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0xff;
            assert!(
                read(compression, &damaged).map_or(true, |out| out != text),
                "{compression}"
            );
        }
    }

    #[test]
    fn an_lz4_frame_that_is_cut_off_after_a_block_of_zeros_is_an_error() {
        const BLOCK: u32 = 64 << 10;
        // Blocks that cannot be compressed, and end like a frame.
        let text: Vec<u8> = (0..2 * BLOCK)
            .map(|at| match at % BLOCK {
                last if last >= BLOCK - 4 => 0,
                _ => (at.wrapping_mul(at).wrapping_mul(2_654_435_761) >> 24) as u8,
            })
            .collect();
        let data = compress(Compression::Lz4, &text);
        assert_eq!(read(Compression::Lz4, &data).unwrap(), text);
        let header_and_block = 7 + 4 + BLOCK as usize;
        assert_eq!(&data[header_and_block - 4..header_and_block], [0; 4]);
        assert!(read(Compression::Lz4, &data[..header_and_block]).is_err());

        let mut info = lz4_flex::frame::FrameInfo::new();
        info.block_checksums = true;
        info.content_checksum = true;
        info.content_size = Some(text.len() as u64);
        let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        out.write_all(&text).unwrap();
        let data = out.finish().unwrap();
        assert_eq!(
            read(Compression::Lz4, &[data.clone(), data.clone()].concat()).unwrap(),
            [&text[..], &text].concat()
        );
        for cut in 1..10 {
            assert!(read(Compression::Lz4, &data[..data.len() - cut]).is_err(), "{cut}");
        }
    }
}
