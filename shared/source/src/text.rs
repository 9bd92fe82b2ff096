//! Reads text of any encoding as UTF-8.
//!
//! A malformed sequence becomes the byte 0xFF, which no UTF-8 text has: whoever reads the field refuses it, and its record. Or it becomes
//! U+FFFD, the replacement character, where that was asked for. Must not know records.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, DecoderResult, Encoding, UTF_8};
use model::{BadBytes, TextSpec};

/// **Bytes** that are decoded at once.
const BLOCK_BYTES: usize = 64 << 10;
/// What no UTF-8 text has.
const MALFORMED: u8 = 0xff;

/// An encoding that nobody knows, or that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    #[error(
        "there is no encoding '{0}'; those of the WHATWG standard have labels such as utf-8, utf-16le, windows-1252, latin1, shift_jis"
    )]
    Unknown(String),
    #[error("this is {0} text, by its byte-order mark, and cannot be read: convert it, as with iconv -f {0} -t UTF-8")]
    NotReadable(&'static str),
}

/// The name in the WHATWG standard of the encoding with this label.
///
/// # Errors
/// [`EncodingError::Unknown`].
pub fn encoding_name(label: &str) -> Result<&'static str, EncodingError> {
    let encoding = Encoding::for_label_no_replacement(label.as_bytes());
    encoding
        .map(Encoding::name)
        .ok_or_else(|| EncodingError::Unknown(label.to_owned()))
}

/// **Bytes** at the beginning of a text that may be a byte-order mark.
pub const MARK_BYTES: usize = 4;

/// The encoding that a byte-order mark names; `None` for UTF-8 and without a mark.
///
/// # Errors
/// [`EncodingError::NotReadable`].
pub fn marked_encoding(beginning: &[u8]) -> Result<Option<&'static str>, EncodingError> {
    match beginning {
        // The longer ones first: they begin like the shorter.
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err(EncodingError::NotReadable("UTF-32")),
        [0xff, 0xfe, ..] => Ok(Some(encoding_rs::UTF_16LE.name())),
        [0xfe, 0xff, ..] => Ok(Some(encoding_rs::UTF_16BE.name())),
        _ => Ok(None),
    }
}

/// Reads text as `spec` says; UTF-8 whose bad bytes are refused later is passed on as it is.
///
/// # Errors
/// [`EncodingError::Unknown`].
pub(crate) fn reader(source: Box<dyn Read + Send>, spec: &TextSpec) -> Result<Box<dyn Read + Send>, EncodingError> {
    let encoding = match &spec.encoding {
        None => UTF_8,
        Some(name) => Encoding::for_label(name.as_bytes()).ok_or_else(|| EncodingError::Unknown(name.clone()))?,
    };
    if encoding == UTF_8 && spec.on_bad_bytes == BadBytes::Reject {
        return Ok(source);
    }
    Ok(Box::new(Utf8Reader::new(source, encoding, spec.on_bad_bytes)))
}

/// Decodes what it reads.
struct Utf8Reader<R> {
    source: R,
    decoder: Decoder,
    on_bad_bytes: BadBytes,
    /// `encoded[taken..filled]` is not decoded yet.
    encoded: Box<[u8]>,
    taken: usize,
    filled: usize,
    ended: bool,
    /// `text[given..written]` was not given yet.
    text: Box<[u8]>,
    given: usize,
    written: usize,
    /// Whether the decoder has said its last.
    finished: bool,
}

impl<R: Read> Utf8Reader<R> {
    fn new(source: R, encoding: &'static Encoding, on_bad_bytes: BadBytes) -> Self {
        Self {
            source,
            // Its own mark is no text; that of UTF-8 is left to whoever reads records.
            decoder: if encoding == UTF_8 {
                encoding.new_decoder_without_bom_handling()
            } else {
                encoding.new_decoder_with_bom_removal()
            },
            on_bad_bytes,
            encoded: vec![0; BLOCK_BYTES].into_boxed_slice(),
            taken: 0,
            filled: 0,
            ended: false,
            text: vec![0; BLOCK_BYTES].into_boxed_slice(),
            given: 0,
            written: 0,
            finished: false,
        }
    }

    /// Decodes some more, once all text was given.
    fn decode(&mut self) -> io::Result<()> {
        (self.given, self.written) = (0, 0);
        while self.written == 0 && !self.finished {
            if self.taken == self.filled && !self.ended {
                self.filled = self.source.read(&mut self.encoded)?;
                self.taken = 0;
                self.ended = self.filled == 0;
            }
            let from = self.encoded.get(self.taken..self.filled).unwrap_or_default();
            match self.on_bad_bytes {
                BadBytes::Replace => {
                    let (result, read, written, _) = self.decoder.decode_to_utf8(from, &mut self.text, self.ended);
                    self.taken += read;
                    self.written = written;
                    self.finished = self.ended && result == CoderResult::InputEmpty;
                }
                BadBytes::Reject => {
                    // Room for the byte that marks.
                    let room = self.text.len() - 1;
                    let Some(text) = self.text.get_mut(..room) else {
                        return Ok(());
                    };
                    let (result, read, written) =
                        self.decoder.decode_to_utf8_without_replacement(from, text, self.ended);
                    self.taken += read;
                    self.written = written;
                    match result {
                        DecoderResult::InputEmpty => self.finished = self.ended,
                        DecoderResult::OutputFull => {}
                        DecoderResult::Malformed(..) => {
                            if let Some(mark) = self.text.get_mut(written) {
                                *mark = MALFORMED;
                                self.written += 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.written {
            self.decode()?;
        }
        let ready = self.text.get(self.given..self.written).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Slow(Vec<u8>, usize, usize);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.2).min(self.0.len() - self.1);
            buffer[..length].copy_from_slice(&self.0[self.1..self.1 + length]);
            self.1 += length;
            Ok(length)
        }
    }

    fn decode(bytes: &[u8], encoding: Option<&str>, on_bad_bytes: BadBytes, step: usize) -> Vec<u8> {
        let spec = TextSpec {
            encoding: encoding.map(str::to_owned),
            on_bad_bytes,
            ..TextSpec::default()
        };
        let mut out = Vec::new();
        let source = Box::new(Slow(bytes.to_vec(), 0, step));
        reader(source, &spec).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn text_of_other_encodings_is_read() {
        let text = "é;☃;𝄞\n";
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for step in 1..5 {
            assert_eq!(
                decode(&utf16, Some("UTF-16LE"), BadBytes::Reject, step),
                text.as_bytes()
            );
            let marked = [b"\xff\xfe".as_slice(), &utf16].concat();
            assert_eq!(
                decode(&marked, Some("UTF-16LE"), BadBytes::Reject, step),
                text.as_bytes()
            );
        }
        assert_eq!(
            decode(b"\x80\xe9", Some("windows-1252"), BadBytes::Reject, 9),
            "€é".as_bytes()
        );
        assert_eq!(
            decode(b"\x82\xa0", Some("Shift_JIS"), BadBytes::Reject, 1),
            "あ".as_bytes()
        );
        assert_eq!(decode("é".as_bytes(), None, BadBytes::Replace, 1), "é".as_bytes());
    }

    #[test]
    fn bad_bytes_are_marked_or_replaced() {
        for (bytes, encoding) in [
            (b"a\xff;b".as_slice(), None),
            (b"a\x80\x40;b", Some("EUC-KR")),
            (b"a\0\0\xd8;\0b\0", Some("UTF-16LE")),
        ] {
            let marked = decode(bytes, encoding, BadBytes::Reject, 1);
            assert!(
                std::str::from_utf8(&marked).is_err() && marked.ends_with(b";b"),
                "{marked:?}"
            );
            let replaced = String::from_utf8(decode(bytes, encoding, BadBytes::Replace, 1)).unwrap();
            assert!(
                replaced.starts_with('a') && replaced.contains('\u{fffd}'),
                "{replaced:?}"
            );
        }
        // The end is in the middle of a character.
        assert_eq!(decode(b"a\0b", Some("UTF-16LE"), BadBytes::Reject, 1), b"a\xff");
    }

    #[test]
    fn encodings_have_names_and_marks() {
        assert_eq!(encoding_name("latin1"), Ok("windows-1252"));
        assert_eq!(
            encoding_name("nothing"),
            Err(EncodingError::Unknown("nothing".to_owned()))
        );
        assert_eq!(marked_encoding(b"\xff\xfea\0"), Ok(Some("UTF-16LE")));
        assert_eq!(marked_encoding(b"\xef\xbb\xbfa"), Ok(None));
        assert_eq!(
            marked_encoding(b"\xff\xfe\0\0"),
            Err(EncodingError::NotReadable("UTF-32"))
        );
        assert_eq!(marked_encoding(b"a"), Ok(None));
    }

    proptest! {
        #[test]
        fn how_bytes_are_portioned_makes_no_difference(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(0), Just(0xd8)], 0..60),
            step in 1..7_usize,
            replace in any::<bool>(),
            encoding in prop::sample::select(vec!["UTF-16LE", "UTF-16BE", "UTF-8", "Shift_JIS", "gb18030", "windows-1252"]),
        ) {
            let on_bad_bytes = if replace { BadBytes::Replace } else { BadBytes::Reject };
            let whole = decode(&bytes, Some(encoding), on_bad_bytes, bytes.len().max(1));
            prop_assert_eq!(&decode(&bytes, Some(encoding), on_bad_bytes, step), &whole);
            if replace {
                prop_assert!(std::str::from_utf8(&whole).is_ok());
            }
        }
    }
}
