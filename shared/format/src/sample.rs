//! The beginning of a stream, by which its format is known. Knows lines; must not know what is in them.

use memchr::memrchr2;

use crate::csv::BYTE_ORDER_MARK;

/// **Bytes** of a sample that are looked at.
pub const SAMPLE_BYTES: usize = 1 << 20;

/// What a sample is of so many bytes or more: as many, however many came with them. The same stream gives the same sample.
#[must_use]
pub fn clip(sample: &[u8], complete: bool, most: usize) -> (&[u8], bool) {
    match sample.get(..most) {
        Some(clipped) if clipped.len() < sample.len() => (clipped, false),
        _ => (sample, complete),
    }
}

/// The lines of a sample that are there to their ends, without a byte-order mark. `complete`, if nothing comes after the sample: else its last
/// line counts only if it has an end.
#[must_use]
pub fn whole_lines(sample: &[u8], complete: bool) -> &[u8] {
    let sample = without_mark(sample);
    if complete {
        return sample;
    }
    let end = memrchr2(b'\r', b'\n', sample).map_or(0, |last| last + 1);
    sample.get(..end).unwrap_or_default()
}

/// The bytes after a byte-order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}
