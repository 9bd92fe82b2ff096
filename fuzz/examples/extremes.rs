//! Reads a source that is meant to be too much, as a submission does, and says what came of it. Its memory is to be measured from outside:
//!
//! ```sh
//! /usr/bin/time -v fuzz/target/release/examples/extremes quote
//! ```
//!
//! `quote` is one quote and 2 GiB of lines, `quote-kept` the same where any quote has a meaning, `columns` a header of a million columns and a
//! record with a quote in a wrong place, `wide` a header of ten million, `empty` 2 GiB of empty lines; anything else is the path of a file.

use std::{
    io::{self, Read},
    path::PathBuf,
    time::Instant,
};

use format::csv::{
    read::header_names,
    split::{Position, Splitter, SplitterConfig},
};
use model::{CsvDialect, Delimiter, FormatSpec, SplitSpec, StrayQuotes, TextSpec};
use source::{ExpansionLimit, OpenedSource, Source};

/// As `enqueue` has them unless told otherwise.
const SPLIT: SplitSpec = SplitSpec {
    chunk_rows: 25_000,
    chunk_bytes: 8 << 20,
    max_record: 8 << 20,
};
const LARGE: u64 = 2 << 30;

/// A piece of text over and over.
struct Again {
    piece: &'static [u8],
    at: usize,
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.piece[self.at];
            self.at = (self.at + 1) % self.piece.len();
        }
        Ok(buffer.len())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let what = std::env::args().nth(1).ok_or("what?")?;
    let strict = CsvDialect::strict(Delimiter::default(), true);
    let generated = |first: &'static [u8], piece: &'static [u8], length: u64| {
        let text = first.chain(Again { piece, at: 0 }.take(length));
        OpenedSource::new(Box::new(text), ExpansionLimit::default())
    };
    let (source, dialect) = match what.as_str() {
        "quote" => (generated(b"a;b\n\"", b"some text;more of it\n", LARGE)?, strict),
        "quote-kept" => {
            let stray_quotes = StrayQuotes::AsData;
            let dialect = CsvDialect { stray_quotes, ..strict };
            (generated(b"a;b\n\"", b"some text;more of it\n", LARGE)?, dialect)
        }
        "columns" => {
            let row = |cell: &str, end: &str| cell.repeat(999_999) + end;
            let text = row("c;", "c\n") + &row("1;", "5\" pipe\n") + &row("1;", "2\n");
            (
                OpenedSource::new(Box::new(io::Cursor::new(text)), ExpansionLimit::default())?,
                strict,
            )
        }
        "wide" => (generated(b"", b"c;", 20_000_000)?, strict),
        "empty" => (generated(b"a;b\n1;2\n", b"\n", LARGE)?, strict),
        path => (Source::File(PathBuf::from(path)).open()?, strict),
    };
    let began = Instant::now();
    match read(source, &dialect) {
        Ok(records) => println!("{what}: {records} records"),
        Err(error) => {
            print!("{what}: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                print!(": {error}");
                source = error.source();
            }
            println!();
        }
    }
    println!("{} ms", began.elapsed().as_millis());
    Ok(())
}

fn read(source: OpenedSource, dialect: &CsvDialect) -> Result<u64, Box<dyn std::error::Error>> {
    let reader = source.decode(&TextSpec::default())?;
    let config = SplitterConfig::new(&FormatSpec::Csv(dialect.clone()), &SPLIT);
    let mut splitter = Splitter::new(reader, config, Position::START);
    let header = splitter.read_header()?.ok_or("no header")?;
    let names = header_names(&header.bytes, dialect)?;
    splitter.expect_fields(names.len());
    let mut records = 0;
    while let Some(chunk) = splitter.next_chunk()? {
        records += chunk.record_count;
    }
    Ok(records)
}
