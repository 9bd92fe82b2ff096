use model::{Delimiter, Escape, Quote, StrayQuotes};

use super::*;

const START: Position = Position {
    input: 0,
    record: Some(11),
    byte: Some(100),
    line: Some(10),
};

fn plain() -> CsvDialect {
    CsvDialect::plain(b';', false)
}

fn strict() -> CsvDialect {
    CsvDialect::strict(Delimiter::new(b";").unwrap(), false)
}

fn keeping() -> CsvDialect {
    CsvDialect {
        stray_quotes: StrayQuotes::Keep,
        ..strict()
    }
}

fn reader<'b>(bytes: &'b [u8], dialect: &CsvDialect, fields: Option<usize>) -> RecordReader<'b> {
    let mut reader = RecordReader::new(bytes, Grammar::new(dialect, fields, 1000), START);
    assert!(reader.advance());
    reader
}

/// The fields as text, a quoted one in brackets, and what is wrong with the record.
fn shown(reader: &RecordReader<'_>) -> (Vec<String>, Option<StrayQuoteKind>) {
    let text = |field: Field<'_>| {
        let value = String::from_utf8_lossy(field.value);
        if field.quoted {
            format!("[{value}]")
        } else {
            value.into_owned()
        }
    };
    let fields = reader.fields().map(text).collect();
    (fields, reader.stray_quote().map(|stray| stray.kind))
}

fn all(bytes: &str, dialect: &CsvDialect, fields: Option<usize>) -> Vec<(Vec<String>, Option<StrayQuoteKind>)> {
    let mut reader = RecordReader::new(bytes.as_bytes(), Grammar::new(dialect, fields, 1000), START);
    let mut found = Vec::new();
    while reader.advance() {
        found.push(shown(&reader));
    }
    found
}

fn first(bytes: &str, dialect: &CsvDialect) -> Vec<String> {
    let (fields, stray) = shown(&reader(bytes.as_bytes(), dialect, None));
    assert_eq!(stray, None, "{bytes:?}");
    fields
}

#[test]
fn a_record_has_its_place_and_its_bytes() {
    let mut reader = reader(b"a;1\r\n\r\n\"c\nd\";2\r\ne;3", &plain(), None);
    assert_eq!((reader.position(), reader.raw()), (START, b"a;1".as_slice()));
    assert!(reader.advance());
    let position = reader.position();
    assert_eq!(
        (position.record, position.byte, position.line),
        (Some(12), Some(107), Some(12))
    );
    assert_eq!(reader.raw(), b"\"c\nd\";2");
    assert!(reader.advance());
    assert_eq!(reader.position().line, Some(14));
    assert!(!reader.advance());
    assert_eq!(reader.count(), 3);
}

#[test]
fn a_byte_order_mark_within_a_stream_is_data() {
    let reader = reader(b"\xef\xbb\xbfa;b\n", &plain(), None);
    assert_eq!(reader.fields().next().unwrap().value, b"\xef\xbb\xbfa");
    assert_eq!(reader.raw(), b"\xef\xbb\xbfa;b");
}

#[test]
fn each_field_says_whether_it_was_quoted() {
    assert_eq!(first("a;\"b\";;\"\"\n", &strict()), ["a", "[b]", "", "[]"]);
    assert_eq!(first("\"a;\"\";b\";c", &strict()), ["[a;\";b]", "c"]);
    assert_eq!(first("a;\"c\nd\"", &strict()), ["a", "[c\nd]"]);
    // As the csv crate reads them.
    assert_eq!(first("a\"b;\"a\"b", &plain()), ["a\"b", "[ab]"]);
}

#[test]
fn a_dialect_may_have_other_marks() {
    let quoted = CsvDialect {
        quote: Quote(Some(b'\'')),
        escape: Escape::Byte(b'\\'),
        ..strict()
    };
    assert_eq!(first(r"'a;\'b\\';\c;'\n'", &quoted), [r"[a;'b\]", r"\c", r"[\n]"]);
    let unquoted = CsvDialect {
        quote: Quote(None),
        ..strict()
    };
    assert_eq!(first("\"a;b\";\n", &unquoted), ["\"a", "b\"", ""]);
    let wide = CsvDialect {
        delimiter: Delimiter::new(b", ").unwrap(),
        ..strict()
    };
    assert_eq!(first("a,b, \"c, d\", , e,\n", &wide), ["a,b", "[c, d]", "", "e,"]);
}

#[test]
fn space_round_a_field_may_be_trimmed_and_lines_may_be_comments() {
    let dialect = CsvDialect {
        trim: true,
        comment: Some("#".to_owned()),
        ..strict()
    };
    assert_eq!(
        first("# \"none\n\n a ;\t\"b \" ; ; \"\" \n", &dialect),
        ["a", "[b ]", "", "[]"]
    );
    assert_eq!(all("#\r\na;#b\n#c", &dialect, None).len(), 1);
    let tabs = CsvDialect {
        delimiter: Delimiter::new(b"\t").unwrap(),
        ..dialect
    };
    assert_eq!(first("a \t \t b", &tabs), ["a", "", "b"]);
}

#[test]
fn a_quote_in_a_wrong_place_is_found() {
    use StrayQuoteKind::{BeforeText, Inside, NeverClosed};
    for (bytes, kind) in [("a\"b;c", Inside), ("a;\"b\"c", BeforeText), ("a;\"b", NeverClosed)] {
        assert_eq!(all(bytes, &strict(), None)[0].1, Some(kind), "{bytes:?}");
    }
    // The next record is not drawn in.
    let open = all("a;\"b\nc;d\n", &strict(), Some(2));
    assert_eq!(open[0].1, Some(NeverClosed));
    assert_eq!(open[1], (vec!["c".to_owned(), "d".to_owned()], None));
}

#[test]
fn a_quote_that_is_left_open_costs_its_line_whatever_else_is_wrong_with_it() {
    use StrayQuoteKind::{Inside, NeverClosed};
    for dialect in [strict(), keeping()] {
        // In turn: beside another on its line, and on a line after the one that the record begins on.
        let found = all("5\" pipe;\"open\n1;2\n3;4\n", &dialect, None);
        assert_eq!(found[0].1, Some(Inside));
        assert_eq!(found.len(), 3, "{found:?}");
        let found = all("\"a\nb\"c;\"d\n1;2\n", &dialect, None);
        assert_eq!(found[0].1, Some(NeverClosed));
        assert_eq!(found[1].1, Some(Inside));
        assert_eq!(found.len(), 3, "{found:?}");
    }
    // The line is wrong in the same way whatever follows it.
    for text in ["\";;", "\";;\n\"s"] {
        assert_eq!(all(text, &strict(), Some(3))[0].1, Some(NeverClosed));
    }
}

#[test]
fn what_was_meant_is_kept_where_it_is_certain() {
    for (line, meant) in [
        ("5\" pipe;x;y", ["5\" pipe", "x", "y"]),
        ("x;\"say \"hi\" now\";y", ["x", "[say \"hi\" now]", "y"]),
        ("\"\"twice; or once\";x;y", ["[\"twice; or once]", "x", "y"]),
        ("x;\"1;\"y; z\"", ["x", "\"1", "[y; z]"]),
        ("x;y;\"", ["x", "y", "\""]),
        ("1\";2\";3", ["1\"", "2\"", "3"]),
        // Quotes in their places stay quotes.
        ("a\"b;\"c\";\"\"", ["a\"b", "[c]", "[]"]),
    ] {
        let found = all(&format!("{line}\n1;2;3\n"), &keeping(), Some(3));
        assert_eq!(found[0], (meant.map(str::to_owned).to_vec(), None), "{line}");
        assert_eq!(found[1].0, ["1", "2", "3"], "{line}");
        // Where it is not to be kept, it is this line alone that is rejected.
        let rejected = all(&format!("{line}\n1;2;3\n"), &strict(), Some(3));
        assert!(
            rejected[0].1.is_some() && rejected[1].1.is_none(),
            "{line}: {rejected:?}"
        );
    }
}

#[test]
fn what_could_mean_several_things_is_rejected() {
    // In turn: the text after the quote is a part of it or not; a field could begin at either quote; no reading has three fields; the
    // delimiter could be lost before the first quote.
    for line in [
        "\"a\"b;x;y",
        "\"1;\"2;3\";4\";5",
        "x;\"y\"z",
        "lost\"its; delimiter\";x",
    ] {
        let found = all(line, &keeping(), Some(3));
        assert!(found[0].1.is_some(), "{line}: {found:?}");
    }
}

#[test]
fn a_line_of_nothing_but_quotes_takes_no_time_to_speak_of() {
    let line = "\"a;".repeat(100_000);
    let mut reader = RecordReader::new(line.as_bytes(), Grammar::new(&keeping(), Some(5_000), 1 << 20), START);
    assert!(reader.advance());
    assert!(reader.stray_quote().is_some());
}

#[test]
fn a_line_of_many_fields_is_mended_like_any_other() {
    let line = "1;".repeat(299_999) + "5\" pipe";
    let found = all(&line, &keeping(), Some(300_000));
    assert_eq!((found[0].0.len(), found[0].1), (300_000, None));
    assert_eq!(found[0].0[299_999], "5\" pipe");
}

#[test]
fn a_header_that_is_not_text_has_no_names() {
    assert_eq!(header_names(b"a;\"b c\"\n", &strict()).unwrap(), ["a", "b c"]);
    assert_eq!(header_names(b"\xff\xfea;b\n", &strict()), Err(HeaderError::NotText));
    assert_eq!(
        header_names(b"a;b\"\n", &strict()),
        Err(HeaderError::StrayQuote(StrayQuoteKind::Inside))
    );
}
