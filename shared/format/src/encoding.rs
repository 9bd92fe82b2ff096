//! How text is encoded, as far as its first bytes say.

/// A byte-order mark of an encoding other than UTF-8, and how people call it.
#[must_use]
pub fn foreign_mark(beginning: &[u8]) -> Option<&'static str> {
    // The longer one first: it begins like the shorter.
    const MARKS: [(&[u8], &str); 4] = [
        (b"\xff\xfe\0\0", "UTF-32"),
        (b"\0\0\xfe\xff", "UTF-32"),
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
    ];
    MARKS
        .iter()
        .find(|(mark, _)| beginning.starts_with(mark))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::foreign_mark;

    #[test]
    fn marks_are_told_apart() {
        assert_eq!(foreign_mark(b"\xff\xfea\0"), Some("UTF-16"));
        assert_eq!(foreign_mark(b"\xff\xfe\0\0"), Some("UTF-32"));
        assert_eq!(foreign_mark(b"\xef\xbb\xbfa"), None);
        assert_eq!(foreign_mark(b"a"), None);
    }
}
