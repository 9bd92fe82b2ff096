//! From the bytes of a source to UTF-8 text: decompression and decoding, cut anywhere.

use std::io::{self, Read, Write as _};

use encoding_rs::{Encoding, UTF_8};
use model::{BadBytes, TextSpec};
use source::{Compression, ExpansionLimit, MARK_BYTES, OpenedSource, encoding_name, marked_encoding};

use crate::{Knobs, Pieces};

/// Knobs before the bytes.
const KNOBS: usize = 6;
/// Low enough for a bomb of some hundred bytes.
const LIMIT: ExpansionLimit = ExpansionLimit {
    ratio: 100,
    after: 64 << 10,
};
/// All but the one that replaces everything. UTF-16 comes twice: it can be cut between units and between the two of a character.
const ENCODINGS: [&Encoding; 40] = [
    encoding_rs::UTF_8,
    encoding_rs::UTF_16LE,
    encoding_rs::UTF_16BE,
    encoding_rs::WINDOWS_1252,
    encoding_rs::SHIFT_JIS,
    encoding_rs::GB18030,
    encoding_rs::ISO_2022_JP,
    encoding_rs::BIG5,
    encoding_rs::EUC_JP,
    encoding_rs::EUC_KR,
    encoding_rs::GBK,
    encoding_rs::X_USER_DEFINED,
    encoding_rs::UTF_16LE,
    encoding_rs::IBM866,
    encoding_rs::ISO_8859_2,
    encoding_rs::ISO_8859_3,
    encoding_rs::ISO_8859_4,
    encoding_rs::ISO_8859_5,
    encoding_rs::ISO_8859_6,
    encoding_rs::ISO_8859_7,
    encoding_rs::ISO_8859_8,
    encoding_rs::ISO_8859_8_I,
    encoding_rs::ISO_8859_10,
    encoding_rs::ISO_8859_13,
    encoding_rs::ISO_8859_14,
    encoding_rs::ISO_8859_15,
    encoding_rs::ISO_8859_16,
    encoding_rs::KOI8_R,
    encoding_rs::KOI8_U,
    encoding_rs::MACINTOSH,
    encoding_rs::WINDOWS_1250,
    encoding_rs::WINDOWS_1251,
    encoding_rs::WINDOWS_1253,
    encoding_rs::WINDOWS_1254,
    encoding_rs::WINDOWS_1255,
    encoding_rs::WINDOWS_1256,
    encoding_rs::WINDOWS_1257,
    encoding_rs::WINDOWS_1258,
    encoding_rs::WINDOWS_874,
    encoding_rs::X_MAC_CYRILLIC,
];
const COMPRESSIONS: [Compression; 5] = [
    Compression::Gzip,
    Compression::Zstd,
    Compression::Bzip2,
    Compression::Xz,
    Compression::Lz4,
];

/// How the text is read.
struct Reading {
    text: TextSpec,
    encoding: &'static Encoding,
    sizes: [usize; 2],
}

pub fn check(data: &[u8]) {
    let (mut knobs, bytes) = Knobs::new(data, KNOBS);
    let what = knobs.number(6);
    let encoding = knobs.pick(&ENCODINGS);
    let [replace, second, ..] = knobs.flags();
    let sizes = knobs.byte();
    let compression = knobs.pick(&COMPRESSIONS);
    let place = usize::from(knobs.byte());
    let reading = Reading {
        text: TextSpec {
            encoding: Some(encoding.name().to_owned()),
            on_bad_bytes: if replace { BadBytes::Replace } else { BadBytes::Reject },
            ..TextSpec::default()
        },
        encoding,
        sizes: [usize::from(sizes % 16), usize::from(sizes / 16)],
    };
    check_marks(bytes);
    let packed = || {
        let mut packed = compress(compression, bytes);
        let border = packed.len();
        if second {
            packed.extend(compress(compression, &bytes[bytes.len() / 2..]));
        }
        (packed, border)
    };
    match what {
        0 => reading.check_text(bytes),
        1 => {
            let text = [bytes, if second { &bytes[bytes.len() / 2..] } else { b"" }].concat();
            reading.check_packed(&packed().0, &text);
        }
        2 => {
            let (packed, border) = packed();
            let cut = place * packed.len() / 256;
            if cut != border && Compression::recognise(&packed[..cut]) == Some(compression) {
                assert!(reading.read(&packed[..cut]).is_err(), "{compression} cut off at {cut}");
            }
        }
        3 => {
            let (mut packed, _) = packed();
            let at = place * packed.len() / 256;
            packed[at] ^= bytes.first().copied().unwrap_or(1);
            reading.check_any(&packed);
        }
        4 => {
            let garbage = &bytes[..bytes.len().min(1 + place % 40)];
            let (packed, _) = packed();
            // With which tapes are filled up, and whole frames of zstd and LZ4 that hold nothing.
            if garbage.iter().any(|byte| *byte != 0) && Compression::recognise(garbage).is_none() {
                let followed = [packed.as_slice(), garbage].concat();
                assert!(reading.read(&followed).is_err(), "{compression} and {garbage:?}");
            }
        }
        _ => {
            let mark: &[u8] = match compression {
                Compression::Gzip => b"\x1f\x8b\x08",
                Compression::Zstd => b"\x28\xb5\x2f\xfd",
                Compression::Bzip2 => b"BZh91AY&SY",
                Compression::Xz => b"\xfd7zXZ\0",
                Compression::Lz4 => b"\x04\x22\x4d\x18",
            };
            reading.check_any(&[mark, bytes].concat());
        }
    }
    if place == 255 {
        reading.check_bomb(compression, bytes);
    }
}

fn check_marks(bytes: &[u8]) {
    let _ = Compression::recognise(bytes);
    let _ = marked_encoding(&bytes[..bytes.len().min(MARK_BYTES)]);
    let label = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
    if let Ok(name) = encoding_name(&label) {
        assert_eq!(encoding_name(name), Ok(name));
    }
}

fn compress(compression: Compression, text: &[u8]) -> Vec<u8> {
    let finished: io::Result<Vec<u8>> = (|| match compression {
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(text)?;
            out.finish()
        }
        Compression::Zstd => zstd::encode_all(text, 1),
        Compression::Bzip2 => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(text)?;
            out.finish()
        }
        Compression::Xz => {
            let mut out = liblzma::write::XzEncoder::new(Vec::new(), 0);
            out.write_all(text)?;
            out.finish()
        }
        Compression::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(text)?;
            out.finish().map_err(io::Error::other)
        }
    })();
    finished.expect("memory can be written")
}

impl Reading {
    /// What comes out, in pieces. It must be no more than the limit allows, and the source must have been read to its end.
    fn read(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.read_in(bytes, self.sizes)
    }

    fn read_in(&self, bytes: &[u8], sizes: [usize; 2]) -> io::Result<Vec<u8>> {
        let source = OpenedSource::new(Box::new(Pieces::new(bytes.to_vec(), sizes)), LIMIT)?;
        let mut reader = source.decode(&self.text).expect("a known encoding");
        let mut out = Vec::new();
        // What is read at once may pass the limit, and a byte may become a character of three.
        let most = 3 * (2 * (LIMIT.after as usize).max(LIMIT.ratio as usize * bytes.len()) + (1 << 20));
        reader.by_ref().take(most as u64).read_to_end(&mut out)?;
        assert!(out.len() < most, "more than the limit allows");
        assert_eq!(reader.raw_bytes(), bytes.len() as u64);
        assert_eq!(reader.drain()?.size, bytes.len() as u64);
        Ok(out)
    }

    /// The bytes are no compressed ones, or made to look like it.
    fn check_text(&self, bytes: &[u8]) {
        if Compression::recognise(bytes).is_some() {
            return self.check_any(bytes);
        }
        let found = self.read(bytes).expect("memory can be read");
        assert_eq!(found, self.decoded(bytes), "{}", self.encoding.name());
    }

    fn check_packed(&self, packed: &[u8], text: &[u8]) {
        match self.read(packed) {
            Ok(found) => assert_eq!(found, self.decoded(text), "{}", self.encoding.name()),
            // What was read of the source by then may be far less than all.
            Err(error) => assert!(text.len() as u64 > LIMIT.after, "{error}"),
        }
    }

    /// Whatever the bytes are, how they come makes no difference.
    fn check_any(&self, bytes: &[u8]) {
        let whole = self.read_in(bytes, [1 << 20; 2]);
        let pieces = self.read(bytes);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
            (Err(_), Err(_)) => {}
            (Ok(whole), Err(error)) => assert!(whole.len() as u64 > LIMIT.after, "{error}"),
            (Err(error), Ok(_)) => panic!("only as a whole: {error}"),
        }
    }

    fn check_bomb(&self, compression: Compression, bytes: &[u8]) {
        let text = bytes.iter().take(16).copied().collect::<Vec<_>>().repeat(1 << 13);
        let packed = compress(compression, &text);
        let allowed = (packed.len() as u64 + 1) * LIMIT.ratio;
        if text.len() as u64 > allowed.max(LIMIT.after) {
            assert!(self.read(&packed).is_err());
        }
    }

    /// What `encoding_rs` makes of all of the text at once.
    fn decoded(&self, text: &[u8]) -> Vec<u8> {
        let replace = self.text.on_bad_bytes == BadBytes::Replace;
        if self.encoding == UTF_8 {
            return if replace {
                UTF_8.decode_without_bom_handling(text).0.into_owned().into_bytes()
            } else {
                text.to_vec()
            };
        }
        if replace {
            return self.encoding.decode_with_bom_removal(text).0.into_owned().into_bytes();
        }
        let mut decoder = self.encoding.new_decoder_with_bom_removal();
        let mut out = Vec::new();
        let mut rest = text;
        loop {
            let room = decoder.max_utf8_buffer_length_without_replacement(rest.len());
            let mut text = String::with_capacity(room.expect("a short text"));
            let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
            out.extend(text.into_bytes());
            rest = &rest[read..];
            match result {
                encoding_rs::DecoderResult::InputEmpty => return out,
                encoding_rs::DecoderResult::Malformed(..) => out.push(0xff),
                encoding_rs::DecoderResult::OutputFull => unreachable!("there is room"),
            }
        }
    }
}
