use std::io::{self, Cursor, Read};

use super::*;
use model::{CsvDialect, StrayQuotes};

const MAX_RECORD: usize = 1 << 20;

fn config(max_record: usize) -> SplitterConfig {
    SplitterConfig {
        grammar: Grammar::new(&CsvDialect::plain(b';', false), None, max_record),
        chunk_rows: 1000,
        chunk_bytes: 1 << 20,
    }
}

fn rows(chunk_rows: u64) -> SplitterConfig {
    SplitterConfig {
        chunk_rows,
        ..config(MAX_RECORD)
    }
}

fn splitter(input: &str, config: SplitterConfig) -> Splitter<&[u8]> {
    Splitter::new(input.as_bytes(), config, Position::START)
}

fn chunks(input: &str, config: SplitterConfig) -> Vec<Chunk> {
    let mut splitter = splitter(input, config);
    std::iter::from_fn(|| splitter.next_chunk().unwrap()).collect()
}

fn texts(input: &str, config: SplitterConfig) -> Vec<String> {
    chunks(input, config)
        .into_iter()
        .map(|chunk| String::from_utf8(chunk.bytes).unwrap())
        .collect()
}

/// Yields one byte at a time and is interrupted before each.
struct Hesitant<'a> {
    bytes: &'a [u8],
    interrupted: bool,
}

impl Read for Hesitant<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = buffer.len().min(1);
        self.bytes.read(&mut buffer[..length])
    }
}

/// Counts what was read from an endless run of one byte.
struct Endless {
    byte: u8,
    read: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(self.byte);
        self.read += buffer.len();
        Ok(buffer.len())
    }
}

#[test]
fn cuts_only_at_record_ends() {
    assert_eq!(texts("a;b\nc;d\r\ne;f\rg", rows(1)), ["a;b\n", "c;d\r\n", "e;f\r", "g"]);
    assert_eq!(texts("a\nb\nc\n", rows(2)), ["a\nb\n", "c\n"]);
}

#[test]
fn a_line_ending_inside_quotes_ends_no_record() {
    assert_eq!(
        texts("a;\"b\nc\r\n\"\"d\"\ne\n", rows(1)),
        ["a;\"b\nc\r\n\"\"d\"\n", "e\n"]
    );
}

#[test]
fn a_quote_inside_an_unquoted_field_is_data() {
    assert_eq!(texts("5\" pipe;x\ny\n", rows(1)), ["5\" pipe;x\n", "y\n"]);
    assert_eq!(texts("a;b\";\"c\n\"\nd\n", rows(1)), ["a;b\";\"c\n\"\n", "d\n"]);
}

#[test]
fn text_after_a_closing_quote_continues_the_field() {
    assert_eq!(texts("\"a\"b\"\nc\n", rows(1)), ["\"a\"b\"\n", "c\n"]);
    assert_eq!(texts("\"a\" \"\nb\"\n", rows(1)), ["\"a\" \"\n", "b\"\n"]);
}

#[test]
fn empty_lines_belong_to_the_record_before_them() {
    assert_eq!(texts("\n\r\na\n\n\r\nb\n\n", rows(1)), ["\n\r\na\n\n\r\n", "b\n\n"]);
}

#[test]
fn empty_lines_at_the_end_join_the_last_chunk() {
    assert_eq!(texts("a\nb\n\r\n\n", rows(2)), ["a\nb\n\r\n\n"]);
}

#[test]
fn input_without_records_has_no_chunk() {
    for input in ["", "\n", "\r\n\r\n\n", "\u{feff}", "\u{feff}\n"] {
        assert_eq!(texts(input, config(MAX_RECORD)), [""; 0], "{input:?}");
        assert_eq!(
            splitter(input, config(MAX_RECORD)).read_header().unwrap(),
            None,
            "{input:?}"
        );
    }
}

#[test]
fn empty_lines_after_the_header_make_no_chunk() {
    let mut splitter = splitter("\nid\n\n\n", config(MAX_RECORD));
    let header = splitter.read_header().unwrap().unwrap();
    assert_eq!((header.span, header.first_line), (0..6, 1));
    assert_eq!(header.bytes, b"\nid\n\n\n");
    assert_eq!(splitter.next_chunk().unwrap(), None);
    assert_eq!(splitter.next_chunk().unwrap(), None);
}

#[test]
fn a_quoted_empty_field_is_a_record() {
    assert_eq!(chunks("\"\"\n\n", config(MAX_RECORD))[0].record_count, 1);
    assert_eq!(chunks("\"", config(MAX_RECORD))[0].record_count, 1);
}

#[test]
fn a_chunk_holds_no_more_bytes_than_allowed() {
    let config = SplitterConfig {
        chunk_bytes: 6,
        ..config(MAX_RECORD)
    };
    assert_eq!(texts("a\nb\nc\nd\n", config.clone()), ["a\nb\nc\n", "d\n"]);
    assert_eq!(texts("a\nbcd\ne\n", config.clone()), ["a\nbcd\n", "e\n"]);
    assert_eq!(texts("a\nbcde\nf\n", config), ["a\n", "bcde\n", "f\n"]);
}

#[test]
fn a_record_longer_than_a_chunk_is_alone_in_its_chunk() {
    let config = SplitterConfig {
        chunk_bytes: 4,
        ..config(MAX_RECORD)
    };
    assert_eq!(texts("a\nlonger\nb\nc\n", config), ["a\n", "longer\n", "b\nc\n"]);
}

#[test]
fn spans_and_lines_continue_from_chunk_to_chunk() {
    let chunks = chunks("\u{feff}id\n\"a\r\rb\"\r\nc\rd", rows(1));
    let places: Vec<_> = chunks
        .iter()
        .map(|chunk| (chunk.span.clone(), chunk.first_line))
        .collect();
    assert_eq!(places, [(3..6, 1), (6..14, 2), (14..16, 5), (16..17, 6)]);
}

#[test]
fn a_byte_order_mark_is_skipped_only_at_the_start_of_the_stream() {
    assert_eq!(texts("\u{feff}\"a\nb\"\nc\n", rows(1)), ["\"a\nb\"\n", "c\n"]);
    assert_eq!(
        texts("\u{feff}\u{feff}a\n\u{feff}b\n", rows(1)),
        ["\u{feff}a\n", "\u{feff}b\n"]
    );

    let later = Position { byte: 3, line: 1 };
    let mut splitter = Splitter::new("\u{feff}a\n".as_bytes(), config(MAX_RECORD), later);
    assert_eq!(splitter.next_chunk().unwrap().unwrap().bytes, "\u{feff}a\n".as_bytes());
}

#[test]
fn single_byte_reads_and_interruptions_change_nothing() {
    let input = "\u{feff}id;t\r\n1;\"a\r\n\"\"\";x\r\n\r\n2;b\"\r3;\"\"";
    let reader = Hesitant {
        bytes: input.as_bytes(),
        interrupted: false,
    };
    let mut splitter = Splitter::new(reader, rows(1), Position::START);
    let found: Vec<_> = std::iter::from_fn(|| splitter.next_chunk().unwrap()).collect();
    assert_eq!(found, chunks(input, rows(1)));
    assert_eq!(found.len(), 4);
}

#[test]
fn records_across_read_blocks_stay_whole() {
    let record = format!("{};\"{}\r\n\"\"\"\r\n", "x".repeat(1000), "y;\n".repeat(333));
    let input = record.repeat(3 * BLOCK_BYTES / record.len());
    let found = texts(&input, rows(7));
    assert!(found.iter().all(|text| text.len() % record.len() == 0));
    assert_eq!(found.concat(), input);
}

#[test]
fn position_tells_where_to_go_on() {
    let input = "\u{feff}id\n\"a\n\"\nb\n";
    let mut first = splitter(input, rows(1));
    assert_eq!(first.position(), Position::START);
    first.read_header().unwrap();
    first.next_chunk().unwrap();
    assert_eq!(first.position(), Position { byte: 11, line: 4 });

    let mut reader = Cursor::new(input);
    reader.set_position(first.position().byte);
    let mut second = Splitter::new(reader, rows(1), first.position());
    assert_eq!(second.next_chunk().unwrap(), first.next_chunk().unwrap());
}

#[test]
fn an_unclosed_quote_fails_at_constant_memory() {
    let config = SplitterConfig { ..config(1 << 20) };
    let mut endless = Endless { byte: b'x', read: 0 };
    let mut splitter = Splitter::new((&b"id\na;\"b\n"[..]).chain(&mut endless), config, Position::START);
    splitter.read_header().unwrap();
    let error = splitter.next_chunk().unwrap_err();
    assert!(
        matches!(
            error,
            SplitError::RecordTooLong {
                line: 2,
                byte: 3,
                limit: 0x10_0000
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("allow longer records"));
    drop(splitter);
    assert!(endless.read <= 2 * MAX_RECORD + BLOCK_BYTES);
}

#[test]
fn endless_empty_lines_fail_at_constant_memory() {
    let mut endless = Endless { byte: b'\n', read: 0 };
    let error = Splitter::new(&mut endless, config(MAX_RECORD), Position::START)
        .next_chunk()
        .unwrap_err();
    assert!(
        matches!(error, SplitError::GapTooLong { line: 1, byte: 0, .. }),
        "{error:?}"
    );
    assert!(endless.read <= 2 * MAX_RECORD + BLOCK_BYTES);

    let mut endless = Endless { byte: b'\n', read: 0 };
    let input = (&b"id\na\r\n"[..]).chain(&mut endless);
    let mut splitter = Splitter::new(input, rows(1), Position::START);
    splitter.read_header().unwrap();
    let error = splitter.next_chunk().unwrap_err();
    assert!(
        matches!(error, SplitError::GapTooLong { line: 3, byte: 6, .. }),
        "{error:?}"
    );
    drop(splitter);
    assert!(endless.read <= 2 * MAX_RECORD + BLOCK_BYTES);
}

#[test]
fn empty_lines_and_comments_do_not_make_a_record_long() {
    let dialect = CsvDialect {
        comment: Some("#".to_owned()),
        ..CsvDialect::plain(b';', false)
    };
    let config = SplitterConfig {
        grammar: Grammar::new(&dialect, None, 4),
        ..rows(1)
    };
    let input = "\n\nabc\n\n\n\n\nabc\r\n#c\nabc";
    assert_eq!(
        texts(input, config.clone()),
        ["\n\nabc\n\n\n\n\n", "abc\r\n#c\n", "abc"]
    );
    for (input, line, byte) in [("abc\n\n\n\n\n\nd", 2, 4), ("abc\r\n#cc\nd", 2, 5), ("#cccc", 1, 0)] {
        let error = splitter(input, config.clone()).next_chunk().unwrap_err();
        let SplitError::GapTooLong { limit: 4, .. } = error else {
            panic!("{error:?}")
        };
        let place = format!("from line {line} (byte {byte}) on");
        assert!(error.to_string().contains(&place), "{input:?}: {error}");
    }
}

#[test]
fn a_record_is_no_longer_for_the_empty_lines_after_it() {
    let dialect = CsvDialect {
        stray_quotes: StrayQuotes::Keep,
        ..CsvDialect::strict(model::Delimiter::new(b"aba").unwrap(), false)
    };
    let record = b"abaefabadabaeaaabaabaaaabaef\"abaabaababaaaba\r";
    let input = [record, "\r\n".repeat(20).as_bytes(), b"b\r"].concat();
    let config = SplitterConfig {
        grammar: Grammar::new(&dialect, None, 62),
        chunk_rows: 0,
        ..config(MAX_RECORD)
    };
    let mut splitter = Splitter::new(input.as_slice(), config, Position::START);
    let chunk = splitter.next_chunk().unwrap().unwrap();
    assert_eq!((chunk.bytes.len(), chunk.record_count), (record.len() + 40, 1));
    assert_eq!(splitter.next_chunk().unwrap().unwrap().bytes, b"b\r");
}

#[test]
fn records_before_a_long_one_are_returned_first() {
    let config = SplitterConfig { ..config(4) };
    let mut splitter = splitter("a\n\nabc\nabcd\ne\n", config);
    assert_eq!(splitter.next_chunk().unwrap().unwrap().bytes, b"a\n\nabc\n");
    let error = splitter.next_chunk().unwrap_err();
    assert!(
        matches!(
            error,
            SplitError::RecordTooLong {
                line: 4,
                byte: 7,
                limit: 4
            }
        ),
        "{error:?}"
    );
    assert_eq!(splitter.position(), Position { byte: 7, line: 4 });
}

#[test]
fn a_long_record_after_empty_lines_is_named_by_its_own_line() {
    let config = SplitterConfig { ..config(4) };
    let error = splitter("\n\r\nabcde\n", config).next_chunk().unwrap_err();
    assert!(
        matches!(error, SplitError::RecordTooLong { line: 3, byte: 3, .. }),
        "{error:?}"
    );
}

#[test]
fn a_failing_reader_is_the_source_of_the_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let error = Splitter::new(Broken, config(MAX_RECORD), Position::START)
        .next_chunk()
        .unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "disk on fire");
    assert!(!error.to_string().contains(&source));
}

#[test]
fn lines_are_passed_whatever_is_in_them() {
    for (input, count, rest, line) in [
        ("a;\"\r\n\r\nb\n", 1, "\r\nb\n", 2),
        ("a\r\rb\n", 2, "b\n", 3),
        ("\u{feff}a\nb\n", 1, "b\n", 2),
        ("a\nb", 0, "a\nb", 1),
    ] {
        let mut all = splitter(input, config(MAX_RECORD));
        all.skip_lines(count).unwrap();
        assert_eq!(all.position().line, line, "{input:?}");
        let chunk = all.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.bytes, rest.as_bytes(), "{input:?}");

        let hesitant = Hesitant {
            bytes: input.as_bytes(),
            interrupted: false,
        };
        let mut pieces = Splitter::new(hesitant, config(MAX_RECORD), Position::START);
        pieces.skip_lines(count).unwrap();
        assert_eq!(pieces.next_chunk().unwrap().unwrap(), chunk, "{input:?}");
    }
    for input in ["", "a\n", "a", "a\r\n"] {
        let mut all = splitter(input, config(MAX_RECORD));
        all.skip_lines(2).unwrap();
        assert_eq!(all.next_chunk().unwrap(), None, "{input:?}");
    }
}

#[test]
fn a_quote_that_is_left_open_costs_one_line_where_quotes_have_one_place() {
    let dialect = CsvDialect::strict(model::Delimiter::new(b";").unwrap(), false);
    let config = SplitterConfig {
        grammar: Grammar::new(&dialect, None, 10),
        ..rows(1)
    };
    assert_eq!(
        texts("a\n\"b\nccccc\nddddd\n", config),
        ["a\n", "\"b\n", "ccccc\n", "ddddd\n"]
    );
}

#[test]
fn another_table_ends_the_input() {
    let mut splitter = splitter("a;b\n1;2\n\n\"a\";b\n3;4\n", config(MAX_RECORD));
    let header = splitter.read_header().unwrap().unwrap();
    assert_eq!(header.bytes, b"a;b\n");
    splitter.stop_at(vec!["a".to_owned(), "b".to_owned()]);
    let chunk = splitter.next_chunk().unwrap().unwrap();
    assert_eq!((chunk.bytes.as_slice(), chunk.record_count), (b"1;2\n\n".as_slice(), 1));
    assert_eq!(splitter.next_chunk().unwrap(), None);
}

#[test]
fn lines_that_are_not_csv_are_cut_at_their_ends_and_nowhere_else() {
    let lines = SplitterConfig {
        grammar: Grammar::lines(10),
        ..rows(1)
    };
    for (input, expected) in [
        (
            "{\"a;\n,b\"\n'c'\r\nd\re",
            vec!["{\"a;\n", ",b\"\n", "'c'\r\n", "d\r", "e"],
        ),
        // What is before a record belongs to the one before it; at the very beginning, to the first.
        (
            "\u{feff} \n\t{a}\n \t\r\n  {b} \n  ",
            vec![" \n\t{a}\n \t\r\n  ", "{b} \n  "],
        ),
        (" \t\r\n ", vec![]),
    ] {
        assert_eq!(texts(input, lines.clone()), expected, "{input:?}");
        let hesitant = Hesitant {
            bytes: input.as_bytes(),
            interrupted: false,
        };
        let mut pieces = Splitter::new(hesitant, lines.clone(), Position::START);
        let found: Vec<_> = std::iter::from_fn(|| pieces.next_chunk().unwrap()).collect();
        assert_eq!(found, chunks(input, lines.clone()), "{input:?}");
    }
    let mut endless = Endless { byte: b' ', read: 0 };
    let error = Splitter::new(&mut endless, lines, Position::START)
        .next_chunk()
        .unwrap_err();
    assert!(matches!(error, SplitError::GapTooLong { .. }), "{error:?}");
    assert!(endless.read <= 2 * BLOCK_BYTES);
}
