//! Holds the splitter against the `csv` crate and against naive counting, on arbitrary bytes read in arbitrary pieces.

use std::io::{self, Read};

use format::csv::split::{Chunk, Position, SplitError, Splitter, SplitterConfig};
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

fn inputs(delimiter: u8) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => Just(b"\"".to_vec()),
        6 => Just(vec![delimiter]),
        4 => Just(b"\r".to_vec()),
        4 => Just(b"\n".to_vec()),
        4 => Just(b"\r\n".to_vec()),
        6 => "[a-c]{1,3}".prop_map(String::into_bytes),
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

fn configs(delimiter: u8) -> impl Strategy<Value = SplitterConfig> {
    (0..8_u64, 0..60_usize).prop_map(move |(chunk_rows, chunk_bytes)| SplitterConfig {
        delimiter,
        chunk_rows,
        chunk_bytes,
        max_record: 1 << 20,
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = vec(0..9_usize, 0..6).prop_map(|mut sizes| {
        // Interruptions alone would never yield a byte.
        sizes.push(3);
        sizes
    });
    delimiters().prop_flat_map(move |delimiter| {
        (inputs(delimiter), configs(delimiter), sizes.clone(), any::<bool>()).prop_map(
            |(input, config, sizes, header)| Case {
                input,
                config,
                sizes,
                header,
            },
        )
    })
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
    fn chunks_hold_the_records_the_csv_crate_finds(case in cases()) {
        let delimiter = case.config.delimiter;
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
        let config = SplitterConfig { max_record, ..case.config };
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
