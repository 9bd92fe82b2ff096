//! UUIDs: 32 hexadecimal digits, a hyphen or none after each four, in braces or not.

use super::ValueError;

const NOT_A_UUID: ValueError = ValueError::Invalid { expected: "a uuid" };

/// The value of each byte as a hexadecimal digit, 0xff for the others. Random digits defeat a branch on their kind.
const HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

#[inline]
pub(super) fn parse(field: &[u8]) -> Result<[u8; 16], ValueError> {
    let mut rest = match field {
        [b'{', inner @ .., b'}'] => inner,
        _ => field,
    };
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else {
            return Err(NOT_A_UUID);
        };
        let (high, low) = (HEX[usize::from(*high)], HEX[usize::from(*low)]);
        if (high | low) > 0xf {
            return Err(NOT_A_UUID);
        }
        *byte = high << 4 | low;
        rest = match tail {
            [b'-', tail @ ..] if at % 2 == 1 && at < 15 => tail,
            _ => tail,
        };
    }
    if rest.is_empty() { Ok(bytes) } else { Err(NOT_A_UUID) }
}
