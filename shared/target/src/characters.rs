//! Which characters a database can hold, whose encoding has a byte for each.

use sqlx::{PgConnection, Row as _};

use super::TargetError;

/// The encodings of one byte for each character that a server can have, but SQL_ASCII, which holds whatever it is sent.
const SINGLE_BYTE: [&str; 27] = [
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "KOI8R",
    "KOI8U",
    "LATIN1",
    "LATIN10",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "WIN1250",
    "WIN1251",
    "WIN1252",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1256",
    "WIN1257",
    "WIN1258",
    "WIN866",
    "WIN874",
];

/// What an encoding of one byte for each character has beside ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Characters {
    encoding: &'static str,
    /// In ascending order.
    beyond_ascii: Vec<char>,
}

/// Asks the server, which converts each byte there and back. What it says is that of its own tables, for all of its versions.
const QUESTION: &str = r"
    DO $$
    DECLARE
        byte pg_catalog.bytea;
        character pg_catalog.bytea;
        found pg_catalog.text := '';
    BEGIN
        FOR code IN 128..255 LOOP
            BEGIN
                byte := pg_catalog.set_byte('\x00'::pg_catalog.bytea, 0, code);
                character := pg_catalog.convert(byte, pg_catalog.getdatabaseencoding(), 'UTF8');
                IF pg_catalog.convert(character, 'UTF8', pg_catalog.getdatabaseencoding()) = byte THEN
                    found := pg_catalog.concat(found, ' ', pg_catalog.encode(character, 'hex'));
                END IF;
            EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN
                -- The encoding has none for this byte.
            END;
        END LOOP;
        PERFORM pg_catalog.set_config('pgimport.characters', found, true);
    END $$;
    SELECT pg_catalog.current_setting('pgimport.characters')";

impl Characters {
    /// Those of a database's encoding; `None` where any character of UTF-8 can be held, or where it is not known.
    ///
    /// # Errors
    /// From the database.
    pub(super) async fn find(conn: &mut PgConnection, encoding: &str) -> Result<Option<Self>, TargetError> {
        let Some(encoding) = SINGLE_BYTE.into_iter().find(|&known| known == encoding) else {
            return Ok(None);
        };
        let row = sqlx::raw_sql(QUESTION)
            .fetch_one(conn)
            .await
            .map_err(TargetError::Catalog)?;
        let found: String = row.try_get(0).map_err(TargetError::Catalog)?;
        Ok(Some(Self::new(
            encoding,
            found.split_ascii_whitespace().filter_map(character),
        )))
    }

    #[must_use]
    pub fn new(encoding: &'static str, beyond_ascii: impl IntoIterator<Item = char>) -> Self {
        let mut beyond_ascii: Vec<char> = beyond_ascii.into_iter().collect();
        beyond_ascii.sort_unstable();
        Self { encoding, beyond_ascii }
    }

    /// The encoding's name.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        self.encoding
    }

    /// Whether all of a text can be held.
    #[must_use]
    pub fn hold(&self, text: &str) -> bool {
        text.is_ascii()
            || text
                .chars()
                .all(|c| c.is_ascii() || self.beyond_ascii.binary_search(&c).is_ok())
    }
}

/// A character from the hexadecimal digits of its UTF-8.
fn character(digits: &str) -> Option<char> {
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_read_from_its_bytes() {
        assert_eq!(character("c3a9"), Some('é'));
        assert_eq!(character("e282ac"), Some('€'));
        assert_eq!(character("c3"), None);
        assert_eq!(character("xy"), None);
    }

    #[test]
    fn a_text_is_held_when_each_of_its_characters_is() {
        let characters = Characters::new("LATIN9", ['é', '€', 'à']);
        for (text, held) in [
            ("", true),
            ("abc", true),
            ("café à 1 €", true),
            ("Łódź", false),
            ("a☃", false),
        ] {
            assert_eq!(characters.hold(text), held, "{text}");
        }
    }
}
