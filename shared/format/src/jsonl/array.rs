//! From a JSON array to the text of an array as Postgres reads it. Knows no object and no record.

use serde_json::value::RawValue;

use super::{fault::FaultKind, text::unescape};

/// What the elements of an array are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elements {
    /// What strings, numbers and truth values stand for; an array within is a dimension more, an object is its JSON.
    Values,
    /// JSON, each as it stands.
    Json,
}

/// Adds to `out` an array that is known to be valid JSON.
pub(super) fn write(json: &str, elements: Elements, out: &mut Vec<u8>) -> Result<(), FaultKind> {
    let each: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| FaultKind::syntax(&error))?;
    out.push(b'{');
    for (index, element) in each.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let element = element.get();
        match (element.as_bytes(), elements) {
            ([b'n', ..], _) => out.extend_from_slice(b"NULL"),
            ([b'[', ..], Elements::Values) => write(element, elements, out)?,
            ([b'"', inside @ .., b'"'], Elements::Values) => {
                let mut text = Vec::with_capacity(inside.len());
                unescape(inside, &mut text).map_err(|_| FaultKind::LoneSurrogate)?;
                quote(&text, out);
            }
            ([b'{', ..], _) | (_, Elements::Json) => quote(element.as_bytes(), out),
            _ => out.extend_from_slice(element.as_bytes()),
        }
    }
    out.push(b'}');
    Ok(())
}

/// An element that is no NULL, no number and no array, whatever it says.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::{Elements, FaultKind, write};

    fn written(json: &str, elements: Elements) -> Result<String, FaultKind> {
        let mut out = Vec::new();
        write(json, elements, &mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn elements_keep_what_they_are() {
        for (json, expected) in [
            ("[]", "{}"),
            ("[1, -2.50e3,true , null]", "{1,-2.50e3,true,NULL}"),
            (
                r#"["", "NULL", "a,b", " x ", "q\"\\u{}", "\u00e4"]"#,
                r#"{"","NULL","a,b"," x ","q\"\\u{}","ä"}"#,
            ),
            ("[[1,2],[null,4]]", "{{1,2},{NULL,4}}"),
            (r#"[{"a": "b"}]"#, r#"{"{\"a\": \"b\"}"}"#),
        ] {
            assert_eq!(written(json, Elements::Values).as_deref(), Ok(expected), "{json}");
        }
        assert_eq!(
            written(r#"[1, "a\n", [2, {}], null]"#, Elements::Json).as_deref(),
            Ok(r#"{"1","\"a\\n\"","[2, {}]",NULL}"#)
        );
        assert_eq!(
            written(r#"["\ud800"]"#, Elements::Values),
            Err(FaultKind::LoneSurrogate)
        );
    }
}
