//! Bytes and UUIDs.

/// Appends `\x` and two digits a byte, which is what a `bytea` reads.
pub(crate) fn hexadecimal(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(2 + 2 * bytes.len());
    out.extend_from_slice(br"\x");
    digits(out, bytes);
}

/// Appends the usual form, with hyphens.
pub(crate) fn uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        digits(out, &[*byte]);
    }
}

fn digits(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        let mut out = Vec::new();
        hexadecimal(&mut out, &[]);
        hexadecimal(&mut out, &[0, 9, 0x0a, 0xff]);
        assert_eq!(out, br"\x\x00090aff");
        out.clear();
        uuid(&mut out, &[0x12; 16]);
        assert_eq!(out, b"12121212-1212-1212-1212-121212121212");
    }
}
