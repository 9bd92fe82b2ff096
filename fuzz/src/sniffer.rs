//! What is guessed from a sample must hold for the sample.

use format::{
    csv::{
        grammar::Grammar,
        read::RecordReader,
        sniff::{self, Sniffed},
        split::{self, Splitter, SplitterConfig},
    },
    record::Records as _,
    sample::whole_lines,
};
use model::{CsvDialect, Delimiter, Escape, Position, Quote};
use target::{
    guess::{TypeGuess, is_typed},
    values,
};

use crate::{BYTE_ORDER_MARK, Knobs, values::written};

/// Knobs before the sample.
const KNOBS: usize = 3;
/// Of the first so many records, four of five agree with the dialect.
const RECORDS: usize = 1000;

pub fn check(data: &[u8]) {
    let (mut knobs, sample) = Knobs::new(data, KNOBS);
    let [complete, trim, comment, ..] = knobs.flags();
    let lines = whole_lines(sample, complete);
    let found = sniff::sniff(sample, complete);
    assert_eq!(found, sniff::sniff(lines, true));
    if let Some(found) = &found {
        check_found(found, lines);
    }
    let dialect = CsvDialect {
        quote: Quote(knobs.pick(&[Some(b'"'), Some(b'\''), None, Some(b'|')])),
        escape: knobs.pick(&[Escape::Doubled, Escape::Byte(b'\\'), Escape::Never]),
        trim,
        comment: comment.then(|| "#".to_owned()),
        skip_lines: knobs.number(3) as u64,
        ..CsvDialect::strict(Delimiter::default(), true)
    };
    if let Some(delimiter) = sniff::delimiter(sample, complete, &dialect) {
        let dialect = CsvDialect { delimiter, ..dialect };
        assert_eq!(dialect.check(), Ok(()));
    }
    let dialect = found.map_or_else(|| CsvDialect::strict(Delimiter::default(), true), |found| found.dialect);
    check_types(lines, &dialect);
}

/// The dialect splits the sample, most of whose records have as many fields as was said.
fn check_found(found: &Sniffed, lines: &[u8]) {
    let Sniffed { dialect, fields } = found;
    assert_eq!(dialect.check(), Ok(()));
    assert!(*fields >= 2);
    let config = SplitterConfig {
        grammar: Grammar::new(dialect, None, lines.len()),
        chunk_rows: 1,
        chunk_bytes: lines.len(),
    };
    let mut splitter = Splitter::new(lines, config, split::Position::START);
    splitter.skip_lines(dialect.skip_lines).expect("memory can be read");
    let mut counts = Vec::new();
    while let Some(chunk) = splitter.next_chunk().expect("no record is longer than the sample") {
        let grammar = Grammar::new(dialect, None, lines.len());
        let mut reader = RecordReader::new(&chunk.bytes, grammar, Position::of_line(1));
        while reader.advance() {
            counts.push(reader.fields().len());
        }
    }
    assert_eq!(counts.first(), Some(fields), "below the preamble");
    counts.truncate(RECORDS);
    let agreeing = counts.iter().filter(|count| *count == fields).count();
    assert!(agreeing * 5 >= counts.len() * 4, "{agreeing} of {}", counts.len());
}

/// Each type that is guessed takes every value it was guessed from, and writes it as it stands there.
fn check_types(lines: &[u8], dialect: &CsvDialect) {
    let (below, line) = sniff::below_preamble(lines, dialect);
    assert!(lines.ends_with(below) || lines.starts_with(BYTE_ORDER_MARK));
    let grammar = Grammar::new(dialect, None, lines.len());
    let mut reader = RecordReader::new(below, grammar, Position::of_line(line));
    let mut columns: Vec<(TypeGuess, Vec<Vec<u8>>)> = Vec::new();
    while reader.advance() {
        let line = reader.position().line.unwrap_or(1);
        for (index, field) in reader.fields().enumerate() {
            if columns.len() == index {
                columns.push(Default::default());
            }
            let (guess, values) = &mut columns[index];
            guess.add(field.value, line);
            values.push(field.value.to_vec());

            let mut alone = TypeGuess::default();
            alone.add(field.value, line);
            assert_eq!(alone.name() != "text", is_typed(field.value));
        }
    }
    for (guess, values) in columns {
        assert!(guess.decided_on().is_some());
        let Some(kind) = kind(guess.name()) else { continue };
        for value in values {
            let mut binary = Vec::new();
            let encoded = values::encode(&kind, &value, &mut binary);
            let text = String::from_utf8_lossy(&value);
            assert_eq!(encoded, Ok(()), "{text:?} is no {}", guess.name());
            assert!(
                written::is_same(&kind, &binary, &text),
                "{text:?} is another {}",
                guess.name()
            );
        }
    }
}

fn kind(name: &str) -> Option<target::ColumnType> {
    use target::ColumnType as Type;
    Some(match name {
        "bigint" => Type::Int8,
        "numeric" => Type::Numeric { precision_scale: None },
        "boolean" => Type::Bool,
        "uuid" => Type::Uuid,
        "date" => Type::Date,
        "timestamp" => Type::Timestamp { precision: None },
        "timestamptz" => Type::Timestamptz { precision: None },
        "text" => return None,
        other => panic!("{other}"),
    })
}
