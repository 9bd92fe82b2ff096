//! Inputs of which no bytes are stored: where workers read them, and the parts that workers cut into chunks.

use std::ops::Range;

use ledger::{references::Reference, segments::NewSegment};
use model::ImportSpec;
use source::Source;

use super::inputs::Input;

/// **Bytes** of a segment, at least: fewer would be more small chunks than help.
const LEAST_BYTES: u64 = 4 << 20;
/// **Bytes** of a segment, at most: what is read again when a worker dies.
const MOST_BYTES: u64 = 32 << 20;
/// Into how many a source is cut that is neither small nor large: for so many workers that begin at once.
const SEGMENTS: u64 = 16;

/// Where each of the inputs is; those that are no objects were refused when they were opened.
pub(super) fn references(inputs: &[Input]) -> Vec<Reference> {
    let objects = inputs.iter().filter_map(|input| match &input.source {
        Source::Object(object) => Some(object),
        _ => None,
    });
    objects
        .map(|object| {
            let pin = object.pin();
            Reference {
                address: object.address().to_string(),
                size: pin.size,
                etag: pin.etag.clone(),
                modified: pin.modified,
            }
        })
        .collect()
}

/// The segments that workers split; `None` where record ends cannot be found from the middle.
pub(super) fn segments(inputs: &[Input], spec: &ImportSpec) -> Option<Vec<NewSegment>> {
    if !spec.source.by_reference || spec.format.ends_with_lines().is_err() {
        return None;
    }
    let sized = inputs.iter().map(|input| {
        let size = input.fingerprint.as_ref().map_or(0, |known| known.size);
        (input, input.begins.byte.min(size)..size)
    });
    let parts = sized.flat_map(|(input, whole)| {
        let first_line = input.begins.line;
        cut(whole).enumerate().map(move |(at, range)| NewSegment {
            input: input.number,
            range,
            first_line: (at == 0).then_some(first_line),
        })
    });
    Some(parts.collect())
}

/// Even parts of a range; one of an empty one.
fn cut(whole: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let bytes = (whole.end - whole.start)
        .div_ceil(SEGMENTS)
        .clamp(LEAST_BYTES, MOST_BYTES);
    let starts = std::iter::successors(Some(whole.start), move |start| start.checked_add(bytes));
    let end = whole.end;
    let begins_within = move |&start: &u64| start < end || start == whole.start;
    starts
        .take_while(begins_within)
        .map(move |start| start..start.saturating_add(bytes).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_lie_side_by_side() {
        for (whole, count) in [
            (7..7, 1),
            (0..1, 1),
            (20..20 + LEAST_BYTES, 1),
            (20..21 + LEAST_BYTES, 2),
            (20..16 * LEAST_BYTES + 21, 16),
            (0..100 * MOST_BYTES, 100),
        ] {
            let parts: Vec<Range<u64>> = cut(whole.clone()).collect();
            assert_eq!(parts.len(), count, "{whole:?}");
            assert_eq!((parts[0].start, parts[count - 1].end), (whole.start, whole.end));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
