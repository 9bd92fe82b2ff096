//! How a chunk's bytes are compressed while they wait in the database.

use lz4_flex::block::DecompressError;
use model::Codec;

/// A payload that is not what was stored.
#[derive(Debug, thiserror::Error)]
#[error("the stored payload cannot be decompressed")]
pub struct CodecError(#[source] DecompressError);

/// How many **bytes** can come out of one that was compressed.
const MOST_FOLD: usize = 255;

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
            // No room is made for what cannot come out.
            if size > block.len().saturating_mul(MOST_FOLD) {
                return Err(CodecError(DecompressError::ExpectedAnotherByte));
            }
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
        let zeros = vec![0; 1 << 20];
        for bytes in [long.as_slice(), &zeros, b"", b"short", &long[1..9_999], &long] {
            let (codec, data) = compressor.compress(bytes);
            assert_eq!(data, lz4_flex::block::compress_prepend_size(bytes));
            decompress(codec, &data, &mut room).unwrap();
            assert_eq!(room, bytes);
            let cut = decompress(codec, &data[..data.len() / 2], &mut room);
            assert!(cut.is_err() || room.len() < bytes.len(), "{cut:?}");
        }
    }

    #[test]
    fn no_room_is_made_for_more_than_can_come_out() {
        let mut room = Vec::new();
        decompress(Codec::Lz4, &[255, 255, 255, 255, 0], &mut room).unwrap_err();
        assert_eq!(room.capacity(), 0);
    }
}
