//! How a chunk's bytes are compressed while they wait in the database.

use model::Codec;

/// A payload that is not what was stored.
#[derive(Debug, thiserror::Error)]
#[error("the stored payload cannot be decompressed")]
pub struct CodecError(#[source] lz4_flex::block::DecompressError);

/// Compresses bytes, and says how.
#[must_use]
pub fn compress(bytes: &[u8]) -> (Codec, Vec<u8>) {
    (Codec::Lz4, lz4_flex::block::compress_prepend_size(bytes))
}

/// Gives the bytes back.
///
/// # Errors
/// [`CodecError`], when they were not compressed like this.
pub fn decompress(codec: Codec, data: &[u8]) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::Lz4 => lz4_flex::block::decompress_size_prepended(data).map_err(CodecError),
    }
}
