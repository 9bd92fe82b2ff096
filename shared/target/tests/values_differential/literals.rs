//! Literals to try: nasty ones chosen by hand, and generators that mix well-formed, nearly well-formed and wrecked ones.

use rand::{Rng, RngExt as _};

// Bars separate the literals of a list.

pub const TEXTS: &str = "| |abcde|abcdef|abcde   |abcde\t|äöüßé|äöüßéx|äöüßé  |日本語テキ|日本語テキスト|😀😀😀😀😀 |a\u{301}e\u{301}i|\u{feff}a|\\N|'\
    |\"|     |      ";

pub const INTEGERS: &str = "| |0|-0|+0|+|-|--1|+-1|- 1|1 2|1_000|0x10|0b1|0o7|1.0|1e3|007|\t12\n|\u{b}1\u{b}|\u{a0}1|32767|32768|-32768\
    |-32769|2147483647|2147483648|-2147483648|-2147483649|9223372036854775807|9223372036854775808\
    |-9223372036854775808|-9223372036854775809|18446744073709551615|18446744073709551616\
    |99999999999999999999999999999999|0000000000000000000000000000000005|-0000000000000000000000000000000005\
    |9999999999999999999|-9999999999999999999|１２|1,000|12a|a";

pub const BOOLEANS: &str =
    "| |o|O|on|ON|of|off|offf|t|T|tr|tRuE|truee|  yes\t|y|n|no|nope|1|0|01|2|-1|wahr|\u{b}f\u{c}";

pub const UUIDS: &str = "|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\
    |{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}|{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\
    |a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}|a0eebc999c0b4ef8bb6d6bb9bd380a11\
    |a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11|{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}\
    |a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-|-a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\
    | a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 \
    |a0e-ebc99-9c0b-4ef8-bb6d-6bb9bd380a11|a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11\
    |a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111\
    |g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{}|urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\
    |a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a1-1";

pub const NUMBERS: &str = "| |0|-0|+0|-0.0|0.00|.|-|+|.5|5.|-.5|-5.|+.5e1|5.e3|e5|.e5|1e|1e+|1e-|1e 5|1 e5|1e5 | 1.5\t|\u{b}1.5\u{c}\
    |1.2.3|1..2|1,5|1_000|1_0.5|0x1F|0x1p3|0b11|--1|+-1|- 1|1f|1d|1.5f|NaN|nan|-nan|+nan|nan(1)|NaNs| NaN |inf\
    |-inf|+inf|Infinity|-INFINITY|+infinity|infinit|infinityx|infi|- inf|in|1e308|1.7976931348623157e308\
    |1.7976931348623159e308|-1.8e308|1e309|2.2250738585072011e-308|4.9e-324|2.4703282292062328e-324\
    |2.4703282292062327e-324|1e-324|1e-400|0e-400|0e400|0e99999|0.0e-99999999|3.4028235e38|3.4028236e38\
    |3.4028235677973366e38|1.4e-45|7.1e-46|7.0e-46|1e-46|1.17549429e-38|16777217|0.1|0.30000000000000004\
    |9007199254740993|9999|10000|99999999|100000000|0.0001|0.00001|0.9999|0.99995|0.99994999|9999.5|9999.4999\
    |9999.99|99999999.995|99999999.994|-99999999.995|0.05|0.049|0.5|0.4|0.95|0.949|0.005|0.0049999|-0.005|-0.004\
    |0.000005|0.000004|0.00099|0.000994|0.000995|0.000999|0.00000000099|0.000000000995|0.0000000999|49|50|149\
    |150|99949|99950|-99950|99999|50000|4999999|5000000|999994999999|999995000000|12345678901234567890|1e1000\
    |1e999|1e2000|1e1999|9.99e1999|1e-1000|1e-999|4.9e-1001|5e-1001|5e-1000|1e131071|1e131072|9.9e131071\
    |1e-16383|1e-16384|0e-16383|0e-16384|0e131072|0e200000|1e16384|1.5e-16382|1e1073741822|1e1073741823\
    |0e1073741823|0e1073741822|1e-1073741822|1e-1073741823|0e99999999999999999999|1e-99999999999999999999\
    |1e2147483648|1e00000000000000000000000001|1e-00000000000000000000000001\
    |000000000000000000000000000000000000000000001|0.000000000000000000000000000000000000000000001|00.10|1.10\
    |100|1000000|1e4|1.0e4|1.23456e3|123456e-3|1e-4|12e-5|10000e-4|0.1e1|1.50e+00";

pub const DATETIMES: &str = "| |2024-01-05|2024-1-5|2024-01-5|2024/01/05|2024/1/5|2024-01/05|2024.01.05|20240105|240105|2024-001|2024001\
    |2024-005-01|5/1/2024|05-01-2024|Jan 5 2024|2024-Jan-05| 2024-01-05\t|2024-02-29|2023-02-29|1900-02-29\
    |2000-02-29|2100-02-29|2024-13-01|2024-00-01|2024-01-00|2024-01-32|2024-04-31|0000-01-01|0001-01-01\
    |0099-12-31|00099-12-31|099-12-31|99-12-31|0001-01-01 BC|4714-11-24 BC|9999-12-31|10000-01-01|100000101\
    |1000000101|294276-12-31|294277-01-01|5874897-12-31|5874898-01-01|5874898-05-31|9999999-01-01|12345678-01-01\
    |0002024-01-05|5874897/12/31|294276-12-31 23:59:59.999999|294276-12-31 23:59:59.9999995\
    |294276-12-31 24:00:00|294276-12-31 23:59:59.4|294276-12-31 23:59:60|294277-01-01 00:00:00+01\
    |294277-01-01 04:59:59+05|294276-12-31 23:00:00-01|294277-01-09 04:00:54.775807|294277-01-10 00:00\
    |300000-01-01|0001-01-01 00:00:00+15:59:59|0001-01-01 00:00|infinity|-infinity|+infinity|Infinity|-INFINITY\
    | infinity |inf|-inf|- infinity|infinity 00:00|epoch|now|today|tomorrow|yesterday|allballs\
    |2024-01-05 allballs|2024-01-05 00:00:00|2024-01-05T00:00|2024-01-05 00:00:00.000|2024-01-05 0:00\
    |2024-01-05 00:00:00Z|2024-01-05 00:00:01|2024-01-05 24:00:00|2024-01-05 24:00|2024-01-05 24:00:01\
    |2024-01-05 24:00:00.1|2024-01-05 24:01|2024-01-05 25:00|2024-01-05 00:60|2024-01-05 12:60:00\
    |2024-01-05 12:00:60|2024-01-05 12:00:60.5|2024-01-05 12:59:60.999999|2024-01-05 23:59:60.5\
    |2024-01-05 23:59:60.0000001|2024-01-05 23:59:60.0000006|2024-01-05 24:00:00.0000001\
    |2024-01-05 24:00:00.0000006|2024-01-05 00:00:00.0000005|2024-01-05 00:00:00.0000006\
    |2024-01-05 00:00:00.0000004999|2024-01-05 00:00:60|2024-01-05 12:00:61|2024-01-05 23:59:60\
    |2024-01-05 24:00:60|2024-01-05 23:59:60.999999|2024-12-31 23:59:60|2024-01-05 23:59:59.9999999\
    |2024-01-05 12:00:00.1234565|2024-01-05 12:00:00.0000005|2024-01-05 12:00:00.0000015\
    |2024-01-05 12:00:00.0000025|2024-01-05 12:00:00.123456500|2024-01-05 12:00:00.123455500\
    |2024-01-05 12:00:00.999999499|2024-01-05 12:00:00.9999995|2024-01-05 12:00:00.12345678901234567890\
    |2024-01-05 12:00:00.|2024-01-05 12:00:.5|2024-01-05 12:00.5|2024-01-05 12:00:00,5|1999-12-31 23:59:59.5\
    |1999-12-31 23:59:59.4|1999-12-31 23:59:58.5|1999-12-31 23:59:59.9995|1999-12-31 23:59:59.9985\
    |2000-01-01 00:00:00.0005|2000-01-01 00:00:00.5|1969-12-31 23:59:59.000005|1999-12-31 23:59:59.000005\
    |2024-01-05T12:34:56Z|2024-01-05t12:34:56z|2024-01-05T12:34:56 Z|2024-01-05 12:34:56 UTC\
    |2024-01-05 12:34:56UTC|2024-01-05 12:34:56 utc|2024-01-05 12:34:56 GMT|2024-01-05 12:34:56 CET\
    |2024-01-05 12:34:56 Europe/Oslo|2024-01-05 12:34:56+02|2024-01-05 12:34:56 +0200|2024-01-05 12:34:56-02:30\
    |2024-01-05 12:34:56+02:30:15|2024-01-05 12:34:56+2|2024-01-05 12:34:56+023|2024-01-05 12:34:56+023015\
    |2024-01-05 12:34:56+15:59:59|2024-01-05 12:34:56+16|2024-01-05 12:34:56-15:59|2024-01-05 12:34:56-1600\
    |2024-01-05 12:34:56+02:60|2024-01-05 12:34:56+0260|2024-01-05 12:34:56+02:00:60|2024-01-05 12:34:56+\
    |2024-01-05 12:34:56 -|2024-01-05 12:34:56+ 02|2024-01-05 12:34:56 + 02|2024-01-05 12:34:56Z+02\
    |2024-01-05 12:34:56+02Z|2024-01-05 12:34:56+02 UTC|2024-01-05 12:34:56 UTC+2|2024-01-05 12:34+02\
    |2024-01-05T12:34Z|2024-01-05 12:34:56.5+02|2024-01-05 12:34:56.123456789Z|2024-01-05 12:34:56.5 +02:00\
    |2024-01-05+02|2024-01-05Z|2024-01-05 Z|2024-01-05 UTC|2024-01-05 +02|2024-01-05-02|2024-01-05T\
    |2024-01-05 T12:00|2024-01-05T 12:00|2024-01-05   12:00|2024-01-05\n12:00|2024-01-0512:00|2024-01-05_12:00\
    |2024-01-05-12:00|2024-01-05 12|2024-01-05T12|2024-01-05 1200|2024-01-05T1200|2024-01-05T123456\
    |20240105T123456|20240105T123456Z|20240105T12:34:56|20240105t12:34:56|20240105 12:34:56|20240105 1:02\
    |2024-1-5T1:02|2024-1-5 1:02|2024-01-05 1:02:03|2024-01-05 1:2:3|2024-01-05 12:3|2024-01-05 001:02\
    |2024-01-05 12:034|2024-01-05 12:00 PM|2024-01-05 12:00:00 AM|2024-01-05 12:00:00pm|12:00 2024-01-05\
    |2024/01/05 12:00|2024/1/5T12:00Z|12345-01-05 12:00:00Z|J2451545|y2024m01d05|2024-W01-5\
    |2024-01-05 12:00:00 BC|2024-01-05 12:00:00 AD|2024-01-05 12:00:00\u{a0}Z|Fri 2024-01-05|2024-01-05 Fri\
    |2024-01-05 12:00:00 Fri|2024-01-05,12:00|2024-01-05 (12:00)|2024--01-05|2024-01--05|-2024-01-05|+2024-01-05\
    |2024-01-05-|2024-01-";

pub fn text(rng: &mut impl Rng) -> String {
    let length = rng.random_range(0..9);
    let body: String = (0..length)
        .map(|_| pick(rng, &["a", "b", " ", "ä", "日", "😀", "\t", "\\", "\u{301}"]))
        .collect();
    let spaces = pick(rng, &["", "", " ", "   "]);
    format!("{body}{spaces}")
}

pub fn integer(rng: &mut impl Rng) -> String {
    let bits = rng.random_range(0..67_u32);
    let magnitude = rng.random::<u128>() & ((1 << bits) - 1);
    let near = [i128::from(i16::MAX), i128::from(i32::MAX), i128::from(i64::MAX)][rng.random_range(0..3)];
    let value = if rng.random_bool(0.2) {
        near + rng.random_range(-3..=3)
    } else {
        magnitude.cast_signed()
    };
    let literal = format!(
        "{}{}{value}",
        pick(rng, &["", "", "+", "-"]),
        pick(rng, &["", "", "", "0", "000000000000"])
    );
    finish(rng, literal, "0123456789+- .e_x")
}

pub fn boolean(rng: &mut impl Rng) -> String {
    let word = pick(rng, &["true", "false", "yes", "no", "on", "off", "1", "0"]);
    let length = rng.random_range(0..=word.len());
    let literal: String = word[..length]
        .chars()
        .map(|c| if rng.random() { c.to_ascii_uppercase() } else { c })
        .collect();
    finish(rng, literal, "truefalsynoOFF01 ")
}

pub fn uuid(rng: &mut impl Rng) -> String {
    let mut literal = String::new();
    let hyphens = rng.random_range(0.0..1.0);
    for group in 0..8 {
        if group > 0 && rng.random_bool(hyphens) {
            literal.push('-');
        }
        let digits: u16 = rng.random();
        literal += &if rng.random() {
            format!("{digits:04x}")
        } else {
            format!("{digits:04X}")
        };
    }
    if rng.random_bool(0.2) {
        literal = format!("{{{literal}}}");
    }
    if rng.random_bool(0.2) {
        wreck(rng, literal, "0123456789abcdefABCDEFg-{} ")
    } else {
        literal
    }
}

pub fn number(rng: &mut impl Rng) -> String {
    let longest = pick(rng, &[3, 6, 12, 30]);
    let mut literal = pick(rng, &["", "", "+", "-"]).to_owned();
    literal += &digits(rng, longest);
    if rng.random_bool(0.7) {
        literal.push('.');
        literal += &digits(rng, longest);
    }
    if rng.random_bool(0.35) {
        let reach = pick(rng, &[4, 12, 45, 330, 1010, 17000, 140_000]);
        literal += &format!(
            "{}{}{}",
            pick(rng, &["e", "E"]),
            pick(rng, &["", "+", "-"]),
            rng.random_range(0..reach)
        );
    }
    finish(rng, literal, "0123456789.eE+- nafix_")
}

pub fn datetime(rng: &mut impl Rng) -> String {
    let separator = pick(rng, &["-", "-", "-", "/"]);
    let year = match rng.random_range(0..10) {
        0 => rng.random_range(0..6_000_000),
        1 => rng.random_range(294_000..294_300),
        2 | 3 => rng.random_range(0..10_000),
        _ => rng.random_range(1890..2110),
    };
    let (months, days) = if rng.random_bool(0.05) {
        (0..14, 0..33)
    } else {
        (1..13, 1..30)
    };
    let (month, day) = (rng.random_range(months), rng.random_range(days));
    let mut literal = match rng.random_range(0..6) {
        0 => format!("{year}{separator}{month}{separator}{day}"),
        1 => format!("{year:04}{month:02}{day:02}"),
        _ => format!("{year:04}{separator}{month:02}{separator}{day:02}"),
    };
    if rng.random_bool(0.8) {
        let midnight = rng.random_bool(0.15);
        let mut part = |end: u32| if midnight { 0 } else { rng.random_range(0..end) };
        let (hour, minute, second) = (part(25), part(61), part(62));
        literal += pick(rng, &["T", " ", " ", "  ", "t"]);
        literal += &if rng.random_bool(0.1) {
            format!("{hour}:{minute:02}")
        } else {
            format!("{hour:02}:{minute:02}")
        };
        if rng.random_bool(0.85) {
            literal += &format!(":{second:02}");
            if rng.random() {
                literal.push('.');
                let length = rng.random_range(1..14);
                literal.extend((0..length).map(|_| {
                    if midnight {
                        "0"
                    } else {
                        pick(rng, &["0", "4", "5", "5", "9", "9", "1"])
                    }
                }));
            }
        }
        if rng.random_bool(0.4) {
            literal += pick(rng, &["", "", " "]);
            let (hours, minutes) = (rng.random_range(0..17), rng.random_range(0..61));
            literal += &match rng.random_range(0..6) {
                0 => pick(rng, &["Z", "z", "UTC"]).to_owned(),
                1 => format!("{}{hours:02}", pick(rng, &["+", "-"])),
                2 => format!("{}{hours:02}{minutes:02}", pick(rng, &["+", "-"])),
                3 => format!(
                    "{}{hours:02}:{minutes:02}:{:02}",
                    pick(rng, &["+", "-"]),
                    rng.random_range(0..61)
                ),
                _ => format!("{}{hours:02}:{minutes:02}", pick(rng, &["+", "-"])),
            };
        }
    }
    finish(rng, literal, "0123456789-/:.+TZ UTC")
}

/// Often zeros, nines and fives: where rounding and carrying happen.
fn digits(rng: &mut impl Rng, longest: usize) -> String {
    let alphabet = pick(rng, &["0", "9", "0123456789", "0123456789", "49", "05", "00001"]).as_bytes();
    let length = rng.random_range(0..=longest);
    (0..length)
        .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
        .collect()
}

/// Sometimes puts spaces around, sometimes breaks it.
fn finish(rng: &mut impl Rng, literal: String, alphabet: &str) -> String {
    match rng.random_range(0..10) {
        0 => format!(
            "{}{literal}{}",
            pick(rng, &["", " ", "\t \n"]),
            pick(rng, &["", " ", "\u{b}\u{c}\r"])
        ),
        1 | 2 => wreck(rng, literal, alphabet),
        _ => literal,
    }
}

fn wreck(rng: &mut impl Rng, literal: String, alphabet: &str) -> String {
    let mut chars: Vec<char> = literal.chars().collect();
    for _ in 0..rng.random_range(1..3) {
        let at = rng.random_range(0..=chars.len());
        let letter = char::from(alphabet.as_bytes()[rng.random_range(0..alphabet.len())]);
        match rng.random_range(0..3) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars[at] = letter,
            _ => chars.insert(at, letter),
        }
    }
    chars.into_iter().collect()
}

fn pick<T: Copy>(rng: &mut impl Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}
