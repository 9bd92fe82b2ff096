//! What the fuzz targets share: knobs that are read off an input's beginning, and readers that yield bytes in pieces.
//!
//! Each check lives in a module here, for the fuzz target and for whoever runs it over one input.

mod knobs;
mod pieces;

pub mod csv;
pub mod decoder;
pub mod jsonl;
pub mod sniffer;
pub mod values;

use knobs::Knobs;
use pieces::Pieces;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The line of the byte after `before`, counted the slow way.
fn line_after(before: &[u8]) -> u64 {
    let mut line = 1;
    for (at, byte) in before.iter().enumerate() {
        if *byte == b'\n' || *byte == b'\r' && before.get(at + 1) != Some(&b'\n') {
            line += 1;
        }
    }
    line
}
