//! Holds the splitter against the `csv` crate and against naive counting, on arbitrary bytes read in arbitrary pieces.

use std::io::{self, Read};

use format::csv::grammar::Grammar;
use format::csv::read::RecordReader;
use format::csv::split::{Chunk, Position, SplitError, Splitter, SplitterConfig};
use format::record::Records as _;
use model::{CsvDialect, Delimiter, Escape, Quote, StrayQuotes};
use proptest::collection::vec;
use proptest::prelude::*;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Yields its bytes in pieces of the given sizes, over and over; a size of 0 is an interruption.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::iter::Copied<std::slice::Iter<'a, usize>>>,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], sizes: &'a [usize]) -> Self {
        Self {
            bytes,
            sizes: sizes.iter().copied().cycle(),
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.sizes.next() {
            Some(0) => Err(io::ErrorKind::Interrupted.into()),
            size => {
                let length = buffer.len().min(size.unwrap_or(1));
                self.bytes.read(&mut buffer[..length])
            }
        }
    }
}

/// One input, and all that decides how it is split.
#[derive(Debug, Clone)]
struct Case {
    input: Vec<u8>,
    dialect: CsvDialect,
    config: SplitterConfig,
    sizes: Vec<usize>,
    header: bool,
}

impl Case {
    fn mark_length(&self) -> usize {
        if self.input.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        }
    }

    /// What the splitter returns for the whole input; a header, if asked for, as the first chunk.
    fn split(&self) -> Vec<Chunk> {
        let (chunks, error) = split(Pieces::new(&self.input, &self.sizes), &self.config, self.header);
        assert!(error.is_none(), "{error:?}");
        chunks
    }
}

fn split(reader: impl Read, config: &SplitterConfig, header: bool) -> (Vec<Chunk>, Option<SplitError>) {
    let mut splitter = Splitter::new(reader, config.clone(), Position::START);
    let mut chunks = Vec::new();
    if header {
        match splitter.read_header() {
            Ok(Some(header)) => chunks.push(Chunk {
                span: header.span,
                first_line: header.first_line,
                record_count: 1,
                bytes: header.bytes,
            }),
            Ok(None) => {}
            Err(error) => return (chunks, Some(error)),
        }
    }
    loop {
        match splitter.next_chunk() {
            Ok(Some(chunk)) => chunks.push(chunk),
            Ok(None) => return (chunks, None),
            Err(error) => return (chunks, Some(error)),
        }
    }
}

fn records(bytes: &[u8], delimiter: u8) -> Vec<csv::ByteRecord> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(bytes)
        .into_byte_records()
        .map(|record| record.expect("flexible records of bytes cannot fail"))
        .collect()
}

/// As a chunk's documentation says: an empty line first keeps the parser from dropping bytes that are data.
fn chunk_records(bytes: &[u8], delimiter: u8) -> Vec<csv::ByteRecord> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        records(&[b"\n", bytes].concat(), delimiter)
    } else {
        records(bytes, delimiter)
    }
}

/// Fields without their place in the stream, which a parser of one chunk cannot know.
fn fields(records: &[csv::ByteRecord]) -> Vec<Vec<&[u8]>> {
    records.iter().map(|record| record.iter().collect()).collect()
}

fn naive_line(before: &[u8]) -> u64 {
    let mut line = 1;
    for (at, byte) in before.iter().enumerate() {
        if *byte == b'\n' || (*byte == b'\r' && before.get(at + 1) != Some(&b'\n')) {
            line += 1;
        }
    }
    line
}

fn delimiters() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => prop::sample::select(b";,\t|\0\xef".as_slice()),
        1 => any::<u8>().prop_filter("must separate fields", |byte| !b"\"\r\n".contains(byte)),
    ]
}

/// What the `csv` crate reads too.
fn plain_dialects() -> impl Strategy<Value = CsvDialect> {
    delimiters().prop_map(|delimiter| CsvDialect::plain(delimiter, false))
}

/// Everything else.
fn any_dialect() -> impl Strategy<Value = CsvDialect> {
    let quotes = prop::sample::select(vec![Some(b'"'), Some(b'"'), Some(b'\''), None]);
    let escapes = prop::sample::select(vec![Escape::Doubled, Escape::Never, Escape::Byte(b'\\')]);
    let strays = prop::sample::select(vec![StrayQuotes::AsData, StrayQuotes::Reject, StrayQuotes::Keep]);
    let delimiters = prop::sample::select(vec![b";".as_slice(), b", ", b"||", b"aba"]);
    (delimiters, quotes, escapes, strays, any::<bool>(), any::<bool>()).prop_map(
        |(delimiter, quote, escape, stray_quotes, trim, comment)| CsvDialect {
            quote: Quote(quote),
            escape,
            stray_quotes,
            trim,
            comment: comment.then(|| "#c".to_owned()),
            ..CsvDialect::strict(Delimiter::new(delimiter).expect("separates"), false)
        },
    )
}

fn inputs(dialect: &CsvDialect) -> impl Strategy<Value = Vec<u8>> + use<> {
    let quote = dialect.quote.0.unwrap_or(b'"');
    let piece = prop_oneof![
        8 => Just(vec![quote]),
        6 => Just(dialect.delimiter.as_bytes().to_vec()),
        4 => Just(b"\r".to_vec()),
        4 => Just(b"\n".to_vec()),
        4 => Just(b"\r\n".to_vec()),
        6 => "[a-c]{1,3}".prop_map(String::into_bytes),
        2 => prop::sample::select(vec![b"\\".to_vec(), b" ".to_vec(), b"#c".to_vec(), b"#".to_vec()]),
        2 => Just(BYTE_ORDER_MARK.to_vec()),
        1 => prop::sample::select(BYTE_ORDER_MARK).prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let marked = prop::bool::weighted(0.2);
    (marked, vec(piece, 0..80)).prop_map(|(marked, pieces)| {
        let mark: &[u8] = if marked { BYTE_ORDER_MARK } else { b"" };
        [mark, &pieces.concat()].concat()
    })
}

/// What is put into chunks, and whether records may be cut short when they are long.
type Sizes = (u64, usize, Option<usize>, usize);

fn chunk_sizes() -> impl Strategy<Value = Sizes> {
    let max_record = prop_oneof![2 => Just(1 << 20), 1 => 60..120_usize];
    (0..8_u64, 0..60_usize, prop::option::of(1..5_usize), max_record)
}

/// Of an input that has no line, and no lines between two records, that are too long.
fn config(input: &[u8], dialect: &CsvDialect, sizes: Sizes) -> SplitterConfig {
    let (chunk_rows, chunk_bytes, fields, max_record) = sizes;
    let max_record = if dialect.stray_quotes == StrayQuotes::AsData {
        1 << 20
    } else {
        max_record.max(longest_stretch(input, dialect.comment.as_deref()))
    };
    SplitterConfig {
        grammar: Grammar::new(dialect, fields, max_record),
        chunk_rows,
        chunk_bytes,
    }
}

/// **Bytes** of the longest line, or of the empty lines and comments that follow each other.
fn longest_stretch(input: &[u8], comment: Option<&str>) -> usize {
    let (mut longest, mut gap) = (0, 0);
    let text = input.strip_prefix(BYTE_ORDER_MARK).unwrap_or(input);
    for line in text.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
        let is_comment = comment.is_some_and(|comment| line.starts_with(comment.as_bytes()));
        let is_gap = is_comment || matches!(line, b"\r" | b"\n");
        gap = if is_gap { gap + line.len() } else { 0 };
        longest = longest.max(gap).max(line.len());
    }
    longest
}

fn cases_of(dialects: impl Strategy<Value = CsvDialect>) -> impl Strategy<Value = Case> {
    let sizes = vec(0..9_usize, 0..6).prop_map(|mut sizes| {
        // Interruptions alone would never yield a byte.
        sizes.push(3);
        sizes
    });
    dialects.prop_flat_map(move |dialect| {
        (inputs(&dialect), chunk_sizes(), sizes.clone(), any::<bool>()).prop_map(
            move |(input, chunk_sizes, sizes, header)| Case {
                config: config(&input, &dialect, chunk_sizes),
                input,
                dialect: dialect.clone(),
                sizes,
                header,
            },
        )
    })
}

fn plain_cases() -> impl Strategy<Value = Case> {
    cases_of(plain_dialects())
}

fn cases() -> impl Strategy<Value = Case> {
    cases_of(prop_oneof![plain_dialects(), any_dialect()])
}

/// The records that the reader finds: their bytes, and their fields with whether they were quoted; `None` for rejects, whose fields say
/// nothing.
type Records = Vec<(Vec<u8>, Option<Vec<(Vec<u8>, bool)>>)>;

fn read(bytes: &[u8], grammar: &Grammar) -> Records {
    let start = model::Position {
        input: 0,
        record: Some(1),
        byte: Some(0),
        line: Some(1),
    };
    let mut reader = RecordReader::new(bytes, grammar.clone(), start);
    let mut found = Vec::new();
    while reader.advance() {
        let fields = reader
            .fields()
            .map(|field| (field.value.to_vec(), field.quoted))
            .collect();
        let fields = Some(fields).filter(|_| reader.stray_quote().is_none());
        found.push((reader.raw().to_vec(), fields));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: default_cases(), ..ProptestConfig::default() })]

    #[test]
    fn chunks_are_the_input_without_gaps(case in cases()) {
        let chunks = case.split();
        let mut end = case.mark_length();
        for chunk in &chunks {
            prop_assert_eq!(chunk.span.start, end as u64);
            let begin = end;
            end += chunk.bytes.len();
            prop_assert_eq!(chunk.span.end, end as u64);
            prop_assert_eq!(&chunk.bytes, &case.input[begin..end]);
        }
        if !chunks.is_empty() {
            prop_assert_eq!(end, case.input.len());
        }
    }

    #[test]
    fn chunks_hold_the_records_the_csv_crate_finds(case in plain_cases()) {
        let delimiter = case.dialect.delimiter.as_byte().expect("plain");
        let mut found = Vec::new();
        for chunk in case.split() {
            let records = chunk_records(&chunk.bytes, delimiter);
            prop_assert_eq!(chunk.record_count, records.len() as u64);
            found.extend(records);
        }
        let expected = records(&case.input, delimiter);
        prop_assert_eq!(fields(&found), fields(&expected));
    }

    #[test]
    fn the_reader_finds_the_fields_that_the_csv_crate_finds(case in plain_cases()) {
        let delimiter = case.dialect.delimiter.as_byte().expect("plain");
        let input = &case.input[case.mark_length()..];
        let found: Vec<Vec<Vec<u8>>> = read(input, &case.config.grammar)
            .into_iter()
            .map(|(_, fields)| fields.into_iter().flatten().map(|(value, _)| value).collect())
            .collect();
        let expected = chunk_records(input, delimiter);
        prop_assert_eq!(found, fields(&expected));
    }

    #[test]
    fn a_chunk_reads_as_the_whole_input_does(case in cases()) {
        let (chunks, error) = split(Pieces::new(&case.input, &case.sizes), &case.config, case.header);
        prop_assume!(error.is_none());
        let mut found = Vec::new();
        for chunk in chunks {
            let records = read(&chunk.bytes, &case.config.grammar);
            prop_assert_eq!(chunk.record_count, records.len() as u64);
            found.extend(records);
        }
        prop_assert_eq!(found, read(&case.input[case.mark_length()..], &case.config.grammar));
    }

    #[test]
    fn first_lines_agree_with_a_naive_count(case in cases()) {
        for chunk in case.split() {
            let start = usize::try_from(chunk.span.start)?;
            prop_assert_eq!(chunk.first_line, naive_line(&case.input[..start]));
        }
    }

    #[test]
    fn splitting_again_from_any_border_gives_the_same_rest(case in cases()) {
        let chunks = case.split();
        for (index, chunk) in chunks.iter().enumerate().skip(usize::from(case.header)) {
            let border = usize::try_from(chunk.span.start)?;
            let position = Position { byte: chunk.span.start, line: chunk.first_line };
            let mut again = Splitter::new(&case.input[border..], case.config.clone(), position);
            for expected in &chunks[index..] {
                prop_assert_eq!(again.position().byte, expected.span.start);
                prop_assert_eq!(again.position().line, expected.first_line);
                let found = again.next_chunk()?;
                prop_assert_eq!(found.as_ref(), Some(expected));
            }
            prop_assert_eq!(again.next_chunk()?, None);
        }
    }

    #[test]
    fn chunks_are_as_large_as_allowed_and_no_larger(case in cases()) {
        let chunks = case.split();
        let chunks = &chunks[usize::from(case.header).min(chunks.len())..];
        let (most_rows, most_bytes) = (case.config.chunk_rows.max(1), case.config.chunk_bytes);
        for chunk in chunks {
            prop_assert!(chunk.record_count >= 1 && chunk.record_count <= most_rows);
            prop_assert!(chunk.record_count == 1 || chunk.bytes.len() <= most_bytes);
        }
        for pair in chunks.windows(2) {
            let position = Position { byte: pair[1].span.start, line: 1 };
            let next = Splitter::new(pair[1].bytes.as_slice(), case.config.clone(), position).read_header()?;
            let next_length = next.map_or(0, |record| record.bytes.len());
            prop_assert!(pair[0].record_count == most_rows || pair[0].bytes.len() + next_length > most_bytes);
        }
    }

    #[test]
    fn how_the_reader_portions_bytes_makes_no_difference(case in cases(), max_record in 0..30_usize) {
        let config = SplitterConfig { grammar: Grammar::new(&case.dialect, Some(2), max_record), ..case.config };
        let (chunks, error) = split(Pieces::new(&case.input, &case.sizes), &config, case.header);
        let (expected_chunks, expected_error) = split(case.input.as_slice(), &config, case.header);
        prop_assert_eq!(chunks, expected_chunks);
        prop_assert_eq!(format!("{error:?}"), format!("{expected_error:?}"));
    }
}

fn default_cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1000)
}
