//! How a chunk's bytes are compressed while they wait in the database.

use model::Codec;

/// A payload that is not what was stored.
#[derive(Debug, thiserror::Error)]
#[error("the stored payload cannot be decompressed")]
pub struct CodecError(#[source] lz4_flex::block::DecompressError);

/// Compresses one chunk after the other, each in the room of those before.
#[derive(Debug, Default)]
pub struct Compressor {
    room: Vec<u8>,
}

impl Compressor {
    /// Compresses bytes, and says how.
    pub fn compress(&mut self, bytes: &[u8]) -> (Codec, Vec<u8>) {
        let most = lz4_flex::block::get_maximum_output_size(bytes.len());
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let data = match (
            u32::try_from(bytes.len()),
            lz4_flex::block::compress_into(bytes, &mut self.room),
        ) {
            (Ok(size), Ok(compressed)) => [&size.to_le_bytes(), &self.room[..compressed]].concat(),
            // Nothing needs more room than that, and no chunk is as long.
            _ => lz4_flex::block::compress_prepend_size(bytes),
        };
        (Codec::Lz4, data)
    }
}

/// Gives the bytes back, in place of what is in `room`.
///
/// # Errors
/// [`CodecError`], when they were not compressed like this.
pub fn decompress(codec: Codec, data: &[u8], room: &mut Vec<u8>) -> Result<(), CodecError> {
    match codec {
        Codec::Lz4 => {
            let (size, block) = lz4_flex::block::uncompressed_size(data).map_err(CodecError)?;
            room.resize(size, 0);
            let found = lz4_flex::block::decompress_into(block, room).map_err(CodecError)?;
            room.truncate(found);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_whatever_was_in_the_room_before() {
        let (mut compressor, mut room) = (Compressor::default(), Vec::new());
        let long: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for bytes in [long.as_slice(), b"", b"short", &long[1..9_999], &long] {
            let (codec, data) = compressor.compress(bytes);
            assert_eq!(data, lz4_flex::block::compress_prepend_size(bytes));
            decompress(codec, &data, &mut room).unwrap();
            assert_eq!(room, bytes);
            let cut = decompress(codec, &data[..data.len() / 2], &mut room);
            assert!(cut.is_err() || room.len() < bytes.len(), "{cut:?}");
        }
    }
}
