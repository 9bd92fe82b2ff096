//! The words of JSON that hold others.

/// Appends the comma before any part but the first.
pub(crate) fn separate(out: &mut Vec<u8>, part: usize) {
    if part > 0 {
        out.push(b',');
    }
}

/// Appends text as a string.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut plain = text;
    while let Some(at) = plain.iter().position(|byte| needs_escape(*byte)) {
        let (before, after) = plain.split_at(at);
        out.extend_from_slice(before);
        plain = match after {
            [byte, rest @ ..] => {
                escape(out, *byte);
                rest
            }
            [] => after,
        };
    }
    out.extend_from_slice(plain);
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
            out.extend_from_slice(b"\\u00");
            out.extend([digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend([b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_reads_as_the_text_it_was() {
        let mut out = Vec::new();
        string(&mut out, "a\"b\\c\n\r\t\0\u{1f}é".as_bytes());
        assert_eq!(
            out,
            br#""a\"b\\c\n\r\t\u0000\u001f"#.iter().copied().chain("é\"".bytes()).collect::<Vec<_>>()
        );
    }
}
