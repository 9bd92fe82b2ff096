//! Finds out how CSV is written, from the beginning of it. A pure function of bytes: the same sample always gives the same answer.
//!
//! Each way of writing that is usual is tried with the grammar that would read the file, and the one wins in which the records agree: most of
//! them have the same number of fields, two or more, and no quote stands in a wrong place. Nothing is decided by how a value looks.

use model::{CsvDialect, Delimiter, Escape, Position, Quote};

use super::{
    grammar::Grammar,
    read::RecordReader,
    split::{self, Splitter, SplitterConfig},
};
use crate::{record::Records, sample::whole_lines};

/// Records of a sample that are looked at.
const SAMPLE_RECORDS: usize = 1000;

/// Of the records, from the first with the right number of fields on, so many in a hundred must have it.
const AGREEING_PERCENT: usize = 80;

/// What separates fields in most files, in the order in which one is preferred to the next where both fit: a comma also stands in numbers.
const DELIMITERS: [&str; 4] = [";", "\t", "|", ","];

/// Separates fields in some files, and the parts of a time of day in many.
const LAST_RESORT: &str = ":";

/// How a sample seems to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sniffed {
    /// With the header that a dialect of this kind has unless somebody says otherwise, below the lines that it skips.
    pub dialect: CsvDialect,
    /// Fields that most records have.
    pub fields: usize,
}

/// How the sample agrees with a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fit {
    fields: usize,
    records: usize,
    agreeing: usize,
    /// Records before the first that has as many fields.
    before: usize,
    /// The line of that one.
    line: u64,
    /// Fields that are quoted, and records with a quote in a wrong place, from that one on.
    quoted: usize,
    stray: usize,
}

impl Fit {
    /// Better is larger: no quotes in wrong places, nothing above the first record, records that agree, and more of their fields.
    fn rank(&self) -> impl Ord + use<> {
        let percent = self.agreeing * 100 / self.records.max(1);
        (
            std::cmp::Reverse(self.stray),
            std::cmp::Reverse(self.before),
            percent,
            self.fields,
        )
    }
}

/// How a sample is written: delimiter, quote, escape, and lines before the first record. `None`, if no way has two fields in most records.
///
/// `complete`, if nothing comes after the sample: else its last line counts only if it has an end.
#[must_use]
pub fn sniff(sample: &[u8], complete: bool) -> Option<Sniffed> {
    let sample = whole_lines(sample, complete);
    let usual = CsvDialect::strict(Delimiter::default(), true);
    let escaped = CsvDialect {
        escape: Escape::Byte(b'\\'),
        ..usual.clone()
    };
    let apostrophes = CsvDialect {
        quote: Quote(Some(b'\'')),
        ..usual.clone()
    };
    let unquoted = CsvDialect {
        quote: Quote(None),
        ..usual.clone()
    };
    let mut best = best_delimiter(sample, &usual);
    for other in [escaped, apostrophes, unquoted] {
        let Some((dialect, fit)) = best_delimiter(sample, &other) else {
            continue;
        };
        let usual = best.as_ref().map(|(_, usual)| usual);
        let better = if dialect.quote == Quote(Some(b'\'')) {
            // Apostrophes stand in names: they are quotes only where nothing else is, and they are so without exception.
            fit.quoted > 0
                && usual.is_none_or(|usual| {
                    usual.quoted == 0 && fit.agreeing * usual.records >= usual.agreeing * fit.records
                })
        } else if dialect.quote == Quote(None) {
            // Where quotes stand round more fields than they stand in wrong places of, some of them are mistakes.
            usual.is_none_or(|usual| usual.stray > 0 && usual.quoted <= usual.stray)
        } else {
            usual.is_none_or(|usual| usual.stray > 0)
        };
        if better && fit.stray == 0 {
            best = Some((dialect, fit));
        }
    }
    best.map(|(dialect, fit)| Sniffed {
        dialect: CsvDialect {
            skip_lines: if fit.before > 0 { fit.line - 1 } else { 0 },
            ..dialect
        },
        fields: fit.fields,
    })
}

/// The delimiter with which the records of a sample agree, if it is written in this dialect otherwise.
#[must_use]
pub fn delimiter(sample: &[u8], complete: bool, dialect: &CsvDialect) -> Option<Delimiter> {
    let (records, _) = below_preamble(whole_lines(sample, complete), dialect);
    best_delimiter(records, dialect).map(|(dialect, _)| dialect.delimiter)
}

/// What stands below the lines of a sample that a dialect skips, and the line on which that begins.
#[must_use]
pub fn below_preamble<'s>(sample: &'s [u8], dialect: &CsvDialect) -> (&'s [u8], u64) {
    let config = SplitterConfig {
        grammar: Grammar::new(dialect, None, sample.len()),
        chunk_rows: 1,
        chunk_bytes: 1,
    };
    let mut splitter = Splitter::new(sample, config, split::Position::START);
    // Memory can always be read.
    let _ = splitter.skip_lines(dialect.skip_lines);
    let split::Position { byte, line } = splitter.position();
    let below = usize::try_from(byte).ok().and_then(|byte| sample.get(byte..));
    (below.unwrap_or_default(), line)
}

fn best_delimiter(sample: &[u8], dialect: &CsvDialect) -> Option<(CsvDialect, Fit)> {
    let with = |delimiter: &str| {
        let dialect = CsvDialect {
            delimiter: Delimiter::new(delimiter.as_bytes())?,
            ..dialect.clone()
        };
        dialect.check().ok()?;
        let fit = fit(sample, &dialect)?;
        Some((dialect, fit))
    };
    let mut best: Option<(CsvDialect, Fit)> = None;
    for found in DELIMITERS.into_iter().filter_map(with) {
        if best.as_ref().is_none_or(|(_, before)| found.1.rank() > before.rank()) {
            best = Some(found);
        }
    }
    best.or_else(|| with(LAST_RESORT))
}

/// How a sample agrees with a dialect; `None`, if it does not.
fn fit(sample: &[u8], dialect: &CsvDialect) -> Option<Fit> {
    let grammar = Grammar::new(dialect, None, sample.len());
    let mut reader = RecordReader::new(sample, grammar, Position::of_line(1));
    let mut records = Vec::new();
    while records.len() < SAMPLE_RECORDS && reader.advance() {
        let line = reader.position().line.unwrap_or(1);
        let quoted = reader.fields().filter(|field| field.quoted).count();
        records.push((reader.fields().len(), quoted, reader.stray_quote().is_some(), line));
    }
    let fields = most_frequent(records.iter().map(|record| record.0).filter(|fields| *fields > 1))?;
    let before = records.iter().position(|record| record.0 == fields)?;
    let rest = records.get(before..)?;
    let agreeing = rest.iter().filter(|record| record.0 == fields).count();
    (agreeing * 100 >= rest.len() * AGREEING_PERCENT).then(|| Fit {
        fields,
        records: rest.len(),
        agreeing,
        before,
        line: rest.first().map_or(1, |record| record.3),
        quoted: rest.iter().map(|record| record.1).sum(),
        stray: rest.iter().filter(|record| record.2).count(),
    })
}

/// Of several that are as frequent, the largest.
fn most_frequent(numbers: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = std::collections::BTreeMap::new();
    for number in numbers {
        *counts.entry(number).or_insert(0_usize) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(sample: &str) -> Option<(String, Option<u8>, Escape, u64, usize)> {
        let Sniffed { dialect, fields, .. } = sniff(sample.as_bytes(), true)?;
        let delimiter = String::from_utf8(dialect.delimiter.as_bytes().to_vec()).unwrap();
        Some((delimiter, dialect.quote.0, dialect.escape, dialect.skip_lines, fields))
    }

    #[test]
    fn usual_files_are_told_apart() {
        let usual = Escape::default();
        for (sample, delimiter, quote, escape, skipped, fields) in [
            ("a;b\n1;2\n", ";", Some(b'"'), usual, 0, 2),
            ("a,b,c\n1,2,3\n", ",", Some(b'"'), usual, 0, 3),
            ("a\tb\n1\t2\n", "\t", Some(b'"'), usual, 0, 2),
            ("a|b\n1|2\n", "|", Some(b'"'), usual, 0, 2),
            ("a:b\n1:2\n", ":", Some(b'"'), usual, 0, 2),
            // A comma in numbers, and a colon in times.
            ("a;1,5;2,5\nb;2,0;3,5\n", ";", Some(b'"'), usual, 0, 3),
            ("who,at\nx,10:00:00\ny,11:00:00\n", ",", Some(b'"'), usual, 0, 2),
            ("a,b\n\"x;y;z\",1\n\"p;q;r\",2\n", ",", Some(b'"'), usual, 0, 2),
            // Lines of other kinds above.
            (
                "Report\n\nof a; day\na;b;c\n1;2;3\n4;5;6\n7;8;9\n",
                ";",
                Some(b'"'),
                usual,
                3,
                3,
            ),
            // Quotes of other kinds.
            ("a,b\n'x,y',1\n'z',2\n", ",", Some(b'\''), usual, 0, 2),
            ("a,b\nO'Neill,1\nD'Arcy,2\n", ",", Some(b'"'), usual, 0, 2),
            (
                "a,b\n\"x \\\"y\\\", z\",1\n",
                ",",
                Some(b'"'),
                Escape::Byte(b'\\'),
                0,
                2,
            ),
            ("a\tb\n5\" pipe\t1\n\"loose\tend\n", "\t", None, usual, 0, 2),
            // A mistake among many quotes that are none.
            (
                "a,b,c\n\"x,1\",\"y\",\"z\"\n\"p\",\"q\"x,\"r\"\n\"s,2\",\"t\",\"u\"\n\"v\",\"w\",\"x\"\n",
                ",",
                Some(b'"'),
                usual,
                0,
                3,
            ),
            // A row that lacks a field does not outvote the others.
            ("a;b;c\n1;2;3\n4;5\n6;7;8\n9;0;1\n2;3;4\n", ";", Some(b'"'), usual, 0, 3),
            // A line end inside quotes is none.
            ("a;b\n\"x\n\ny\";1\n\"z\";2\n", ";", Some(b'"'), usual, 0, 2),
            ("\u{feff}a;b\r1;2\r", ";", Some(b'"'), usual, 0, 2),
        ] {
            let expected = (delimiter.to_owned(), quote, escape, skipped, fields);
            assert_eq!(sniffed(sample), Some(expected), "{sample:?}");
        }
    }

    #[test]
    fn what_has_no_fields_is_not_guessed() {
        for sample in ["", "\n\n", "name\nAda\nBob\n", "Dear Sir,\nI write\nto you.\nYours\n"] {
            assert_eq!(sniffed(sample), None, "{sample:?}");
        }
    }

    #[test]
    fn a_line_that_may_go_on_says_nothing() {
        assert_eq!(
            delimiter(b"a;b\n1,2,", false, &CsvDialect::plain(b';', true))
                .unwrap()
                .as_bytes(),
            b";"
        );
        assert!(sniff(b"a;b", false).is_none());
        assert!(sniff(b"a;b", true).is_some());
    }

    #[test]
    fn what_was_said_of_a_dialect_is_kept() {
        let dialect = CsvDialect {
            quote: Quote(Some(b'|')),
            skip_lines: 1,
            comment: Some("#".to_owned()),
            ..CsvDialect::plain(b';', true)
        };
        for end in ["\n", "\r", "\r\n"] {
            let sample = "x;y\n# p;q;r\n|a,b|,c\n|1|,2\n".replace('\n', end);
            assert_eq!(delimiter(sample.as_bytes(), true, &dialect).unwrap().as_bytes(), b",");
        }
    }
}
