//! CSV in any dialect: the splitter, the reader, the writer of headers and what holds footers back.

use std::io::Read;

use format::{
    csv::{
        grammar::{Grammar, StrayQuoteKind},
        read::{RecordReader, header_names},
        split::{Chunk, Position, SplitError, Splitter, SplitterConfig},
        write,
    },
    footer::WithoutFooter,
    record::Records as _,
};
use model::{CsvDialect, Delimiter, Escape, Quote, StrayQuotes};

use crate::{BYTE_ORDER_MARK, Knobs, Pieces, line_after};

/// Knobs before the text.
const KNOBS: usize = 11;
/// Borders at which splitting is begun anew.
const BORDERS: usize = 4;

/// How an input is split.
struct Case<'d> {
    input: &'d [u8],
    dialect: CsvDialect,
    /// Whether the `csv` crate reads the same, if the delimiter is one byte.
    plain: bool,
    /// How many a record should have.
    fields: Option<usize>,
    config: SplitterConfig,
    sizes: [usize; 2],
    skip_lines: u64,
    header: bool,
    stop_at_header: bool,
}

/// What a splitter gave.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// A header, if asked for, is the first.
    chunks: Vec<Chunk>,
    start: Position,
    end: Position,
    error: Option<String>,
}

pub fn check(data: &[u8]) {
    let (knobs, input) = Knobs::new(data, KNOBS);
    let Some(case) = case(knobs, input) else { return };
    let splitter = Splitter::new(input, case.config.clone(), Position::START);
    let whole = split(splitter, &case);
    assert_eq!(whole, split(late_splitter(&case), &case), "in pieces");
    check_chunks(&case, &whole);
    check_records(&case, &whole);
    check_resuming(&case, &whole);
    check_written_header(&case);
    check_footer(&case);
}

fn case<'d>(mut knobs: Knobs<'_>, input: &'d [u8]) -> Option<Case<'d>> {
    const DELIMITERS: [&[u8]; 13] = [
        b";",
        b",",
        b"\t",
        b"|",
        b":",
        b" ",
        b"\0",
        b"\xef",
        b"'",
        b"||",
        b", ",
        b"aba",
        b"\xc2\xa7\xc2\xa6",
    ];
    let delimiter = Delimiter::new(knobs.pick(&DELIMITERS))?;
    let [plain, trim, comment, header, stop_at_header, counted, ..] = knobs.flags();
    let dialect = CsvDialect {
        quote: Quote(knobs.pick(&[Some(b'"'), Some(b'\''), None, Some(b'\xef')])),
        escape: knobs.pick(&[Escape::Doubled, Escape::Byte(b'\\'), Escape::Never, Escape::Byte(b'"')]),
        stray_quotes: knobs.pick(&[StrayQuotes::Reject, StrayQuotes::Keep, StrayQuotes::AsData]),
        trim,
        comment: comment.then(|| "#c".to_owned()),
        ..CsvDialect::strict(delimiter, false)
    };
    let dialect = if plain {
        CsvDialect {
            delimiter,
            ..CsvDialect::plain(b';', false)
        }
    } else {
        dialect
    };
    dialect.check().ok()?;
    let fields = Some(knobs.number(6)).filter(|_| counted);
    let max_record = knobs.pick(&[1 << 20, 1 << 20, 0, 1, 5, 20, 60, 200]);
    let config = SplitterConfig {
        grammar: Grammar::new(&dialect, fields, max_record),
        chunk_rows: knobs.number(6) as u64,
        chunk_bytes: knobs.pick(&[1 << 20, 0, 1, 10, 30, 100]),
    };
    let sizes = knobs.byte();
    Some(Case {
        input,
        dialect,
        plain,
        fields,
        config,
        sizes: [usize::from(sizes % 16), usize::from(sizes / 16)],
        skip_lines: knobs.number(3) as u64,
        header,
        stop_at_header,
    })
}

/// Reads in pieces, and looks ahead before it knows the dialect and how many fields there are.
fn late_splitter<'d>(case: &Case<'d>) -> Splitter<Pieces<&'d [u8]>> {
    let config = SplitterConfig {
        grammar: Grammar::lines(0),
        ..case.config
    };
    let reader = Pieces::new(case.input, case.sizes);
    let mut splitter = Splitter::new(reader, config, Position::START);
    let [ahead, _] = case.sizes;
    splitter.peek(3 * ahead).expect("memory can be read");
    let max_record = case.config.grammar.max_record();
    splitter.set_grammar(Grammar::new(&case.dialect, None, max_record));
    if let Some(fields) = case.fields {
        splitter.expect_fields(fields);
    }
    splitter
}

fn split(mut splitter: Splitter<impl Read>, case: &Case<'_>) -> Outcome {
    splitter.skip_lines(case.skip_lines).expect("memory can be read");
    let start = splitter.position();
    let mut chunks = Vec::new();
    let mut collect = || -> Result<(), SplitError> {
        if case.header
            && let Some(header) = splitter.read_header()?
        {
            if case.stop_at_header
                && let Ok(names) = header_names(&header.bytes, &case.dialect)
            {
                splitter.stop_at(names);
            }
            chunks.push(Chunk {
                span: header.span,
                first_line: header.first_line,
                record_count: 1,
                bytes: header.bytes,
            });
        }
        while let Some(chunk) = splitter.next_chunk()? {
            chunks.push(chunk);
        }
        Ok(())
    };
    let error = collect().err().map(|error| error.to_string());
    Outcome {
        start,
        end: splitter.position(),
        chunks,
        error,
    }
}

/// They are the input without gaps, as large as allowed, and each knows its line.
fn check_chunks(case: &Case<'_>, outcome: &Outcome) {
    let max_record = case.config.grammar.max_record();
    let mut end = outcome.start.byte;
    // The mark is skipped when the first bytes are read.
    if end == 0 && case.input.starts_with(BYTE_ORDER_MARK) {
        end = BYTE_ORDER_MARK.len() as u64;
    }
    for (index, chunk) in outcome.chunks.iter().enumerate() {
        assert_eq!(chunk.span.start, end);
        assert_eq!(chunk.span.end - chunk.span.start, chunk.bytes.len() as u64);
        end = chunk.span.end;
        assert_eq!(chunk.bytes, case.input[chunk.span.start as usize..end as usize]);
        assert_eq!(chunk.first_line, line_after(&case.input[..chunk.span.start as usize]));
        assert!(chunk.record_count >= 1);
        let is_header = case.header && index == 0;
        assert!(is_header || chunk.record_count <= case.config.chunk_rows.max(1));
        assert!(chunk.record_count == 1 || chunk.bytes.len() <= case.config.chunk_bytes);
        // Its record, and the lines before and after it.
        assert!(chunk.bytes.len() <= case.config.chunk_bytes.max(3 * max_record));
    }
    if let (Some(last), None, false) = (outcome.chunks.last(), &outcome.error, case.stop_at_header) {
        assert_eq!(last.span.end, case.input.len() as u64);
        assert_eq!(outcome.end.byte, last.span.end);
    }
}

/// A record: its bytes, its fields with whether they were quoted, or why it is a reject.
type Record = (Vec<u8>, Result<Vec<(Vec<u8>, bool)>, StrayQuoteKind>);

/// Reads `bytes`, which begin at `start` in the input.
fn read(case: &Case<'_>, start: usize, line: u64, bytes: &[u8]) -> Vec<Record> {
    let start = model::Position {
        input: 0,
        record: Some(1),
        byte: Some(start as u64),
        line: Some(line),
    };
    let mut reader = RecordReader::new(bytes, case.config.grammar.clone(), start);
    let mut found = Vec::new();
    while reader.advance() {
        let fields = reader.fields();
        let fields = fields.map(|field| (field.value.to_vec(), field.quoted)).collect();
        let fields = reader.stray_quote().map_or(Ok(fields), |stray| Err(stray.kind));
        let raw = reader.raw().to_vec();
        let place = reader.position();
        let begin = place.byte.expect("it began somewhere") as usize;
        assert!(case.input[begin..].starts_with(&raw));
        assert_eq!(place.line, Some(line_after(&case.input[..begin])));
        found.push((raw, fields));
    }
    assert_eq!(reader.count(), found.len() as u64);
    found
}

/// Those of the chunks are those of the whole input, and in plain CSV those that the `csv` crate finds.
fn check_records(case: &Case<'_>, outcome: &Outcome) {
    let mut found = Vec::new();
    for chunk in &outcome.chunks {
        let records = read(case, chunk.span.start as usize, chunk.first_line, &chunk.bytes);
        assert_eq!(records.len() as u64, chunk.record_count);
        let max_record = case.config.grammar.max_record();
        assert!(records.iter().all(|record| record.0.len() <= max_record));
        found.extend(records);
    }
    let mut start = outcome.start.byte as usize;
    if start == 0 && case.input.starts_with(BYTE_ORDER_MARK) {
        start = BYTE_ORDER_MARK.len();
    }
    let rest = &case.input[start..];
    let whole = read(case, start, outcome.start.line, rest);
    if outcome.error.is_some() || case.stop_at_header {
        assert!(whole.starts_with(&found));
    } else {
        assert_eq!(found, whole);
    }
    if let (true, Some(delimiter)) = (case.plain, case.dialect.delimiter.as_byte()) {
        let found: Vec<Vec<&[u8]>> = whole.iter().map(|record| fields(record).collect()).collect();
        assert_eq!(found, csv_records(rest, delimiter));
    }
}

fn fields(record: &Record) -> impl Iterator<Item = &[u8]> {
    record.1.iter().flatten().map(|(value, _)| value.as_slice())
}

/// What the `csv` crate reads. An empty line first keeps it from dropping a byte-order mark that is data here.
fn csv_records(bytes: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
    ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader([b"\n", bytes].concat().as_slice())
        .into_byte_records()
        .map(|record| record.expect("flexible records of bytes cannot fail"))
        .map(|record| record.iter().map(<[u8]>::to_vec).collect())
        .collect()
}

/// A splitter that goes on where another was gives the same chunks.
fn check_resuming(case: &Case<'_>, outcome: &Outcome) {
    if case.stop_at_header {
        return;
    }
    let chunks = outcome.chunks.iter().enumerate().skip(usize::from(case.header));
    for (index, chunk) in chunks.take(BORDERS) {
        let position = Position {
            byte: chunk.span.start,
            line: chunk.first_line,
        };
        let rest = &case.input[chunk.span.start as usize..];
        let mut again = Splitter::new(rest, case.config.clone(), position);
        for expected in &outcome.chunks[index..] {
            assert_eq!(again.next_chunk().ok().flatten().as_ref(), Some(expected));
        }
        let error = again.next_chunk().map(|end| assert_eq!(end, None)).err();
        assert_eq!(error.map(|error| error.to_string()), outcome.error);
    }
}

/// A header that is written reads as it was.
fn check_written_header(case: &Case<'_>) {
    let dialect = CsvDialect {
        header: true,
        ..case.dialect.clone()
    };
    if dialect.quote.0.is_none_or(|quote| !quote.is_ascii()) || dialect.escape == Escape::Never {
        return;
    }
    let first = read(case, 0, 1, case.input).into_iter().next();
    let Some((_, Ok(fields))) = first else { return };
    let names: Result<Vec<String>, _> = fields.into_iter().map(|(name, _)| String::from_utf8(name)).collect();
    let Ok(names) = names else { return };
    let mut written = Vec::new();
    write::header(&mut written, &names, &dialect).expect("memory can be written");
    assert_eq!(header_names(&written, &dialect).as_ref(), Ok(&names), "{written:?}");
}

/// What is before the footer is the same however it is read, and the footer is so many lines.
fn check_footer(case: &Case<'_>) {
    let (lines, limit) = (case.skip_lines, case.config.grammar.max_record().max(10));
    let read = |reader: &mut dyn Read| {
        let mut text = Vec::new();
        reader
            .read_to_end(&mut text)
            .map(|_| text)
            .map_err(|error| error.to_string())
    };
    let whole = read(&mut WithoutFooter::new(case.input, lines, limit));
    let pieces = read(&mut WithoutFooter::new(
        Pieces::new(case.input, case.sizes),
        lines,
        limit,
    ));
    if let (Ok(whole), Ok(pieces)) = (&whole, &pieces) {
        assert_eq!(whole, pieces);
        assert!(case.input.starts_with(whole));
        let footer = case.input[whole.len()..].trim_ascii_end();
        let ends = footer.iter().enumerate();
        let ends = ends.filter(|(at, byte)| **byte == b'\n' || **byte == b'\r' && footer.get(at + 1) != Some(&b'\n'));
        assert!(ends.count() < lines.max(1) as usize);
    }
}
