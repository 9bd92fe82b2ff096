//! Decimal numbers as strings of digits: slow, and easy to see through.

/// Exponents beyond this are left out.
const MOST: i64 = 2000;

pub struct Decimal {
    negative: bool,
    /// Digits before and after the point.
    whole: Vec<u8>,
    fraction: Vec<u8>,
}

impl Decimal {
    /// `None` for what is no number, and for one whose exponent is large.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((number, exponent)) => {
                let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                (number, exponent.parse::<i64>().ok().filter(|_| is_number)?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 || exponent.abs() > MOST {
            return None;
        }
        let mut whole: Vec<u8> = whole.bytes().collect();
        let mut fraction: Vec<u8> = fraction.bytes().collect();
        for _ in 0..exponent {
            whole.push(if fraction.is_empty() { b'0' } else { fraction.remove(0) });
        }
        for _ in exponent..0 {
            fraction.insert(0, whole.pop().unwrap_or(b'0'));
        }
        Some(Self {
            negative: text.starts_with('-'),
            whole,
            fraction,
        })
    }

    /// With all of its digits.
    pub fn text(&self) -> Option<String> {
        let digits = [self.whole.as_slice(), &self.fraction].concat();
        let significant = self.whole.iter().skip_while(|digit| **digit == b'0').count();
        (self.fraction.len() <= 16_383 && significant <= 131_072).then(|| self.write(&digits, self.fraction.len()))
    }

    /// Halves away from zero; `None` when it is too large then.
    pub fn rounded(&self, precision: usize, scale: i64) -> Option<String> {
        let mut digits = [self.whole.as_slice(), &self.fraction].concat();
        // All digits but those of the fraction beyond the scale.
        let kept = self.whole.len() as i64 + scale;
        let up = usize::try_from(kept)
            .ok()
            .and_then(|kept| digits.get(kept))
            .is_some_and(|digit| *digit >= b'5');
        digits.resize(usize::try_from(kept).unwrap_or(0), b'0');
        if up {
            add_one(&mut digits);
        }
        let significant = digits.iter().skip_while(|digit| **digit == b'0').count();
        if significant > precision {
            return None;
        }
        let fraction = usize::try_from(scale).unwrap_or(0);
        digits.resize(digits.len() + usize::try_from(-scale).unwrap_or(0), b'0');
        Some(self.write(&digits, fraction))
    }

    /// Digits of which the last `fraction` ones are after the point.
    fn write(&self, digits: &[u8], fraction: usize) -> String {
        let padded = [vec![b'0'; fraction + 1], digits.to_vec()].concat();
        let (whole, fraction) = padded.split_at(padded.len() - fraction);
        let whole = String::from_utf8_lossy(whole);
        let whole = whole.trim_start_matches('0');
        let is_zero = padded.iter().all(|digit| *digit == b'0');
        let mut text = String::from(if self.negative && !is_zero { "-" } else { "" });
        text += if whole.is_empty() { "0" } else { whole };
        if !fraction.is_empty() {
            text += ".";
            text += &String::from_utf8_lossy(fraction);
        }
        text
    }
}

fn add_one(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}
