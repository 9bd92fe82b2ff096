//! How the file is written: the arguments that say it, and the dialect that they make.

use clap::{Args, ValueEnum};
use model::{
    BadBytes, ColumnChoice, Container, CsvDialect, Delimiter, Escape, FormatSpec, JsonLinesSpec, LongRows, Quote,
    ShortRows, StrayQuotes, TextSpec, UnknownKeys,
};

use super::ValuesArgs;

#[derive(Debug, Args)]
#[command(next_help_heading = "Format")]
pub struct FormatArgs {
    /// What the file is: --format jsonl for one JSON object a line, whose keys name the columns; --format parquet
    #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
    pub format: FileFormat,
    /// How the text is encoded, by a label of the WHATWG standard; auto is UTF-8, or what a byte-order mark says: --encoding windows-1252
    #[arg(long, value_name = "LABEL", default_value = "auto", value_parser = parse_encoding)]
    pub encoding: TextEncoding,
    /// What becomes of bytes that are no text in that encoding: --on-bad-bytes replace
    #[arg(long, value_enum, default_value_t = Bad::Reject)]
    pub on_bad_bytes: Bad,
    /// What stands between two fields, 1 to 4 bytes; \t is a tab; auto finds it in the first MiB: -d , or -d '\t' or -d auto
    #[arg(short, long, value_name = "TEXT", default_value = ";", value_parser = parse_delimiter)]
    pub delimiter: DelimiterChoice,
    /// The first record is data, not the columns' names
    #[arg(long, conflicts_with = "header_lines")]
    pub no_header: bool,
    /// Records of the header; the last of them names the columns: --header-lines 2
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub header_lines: u64,
    /// Lines before the header that are passed over, whatever is in them: --skip-lines 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_lines: u64,
    /// Lines at the end that are passed over, such as a total: --skip-footer 1
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_footer: u64,
    /// A record that repeats the header, and all after it, is another table and not loaded
    #[arg(long, conflicts_with = "no_header")]
    pub stop_at_header: bool,
    /// Lines that begin like this are passed over: --comment '#'
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// What stands round a field that holds delimiters or line ends: --quote "'" or --quote none
    #[arg(long, value_name = "CHAR", default_value = "\"", value_parser = parse_quote)]
    pub quote: Quote,
    /// What stands before a quote inside quotes, if not another quote: --escape '\' or --escape none
    #[arg(long, value_name = "CHAR", value_parser = parse_escape)]
    pub escape: Option<Escape>,
    /// Spaces and tabs round a field are no part of it; those inside quotes are
    #[arg(long)]
    pub trim: bool,
    /// An unquoted field that reads like this is NULL, as the empty one is; may be repeated: --null NA --null -
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub null: Vec<String>,
    /// Columns in which quoted fields are NULL where unquoted ones are: --force-null a,b or --force-null '*'
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub force_null: Vec<String>,
    /// Columns in which no field is NULL, the empty one least: --force-not-null a,b or --force-not-null '*'
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub force_not_null: Vec<String>,
    /// What becomes of a record with too few fields: --short-rows pad
    #[arg(long, value_enum, default_value_t = Short::Reject)]
    pub short_rows: Short,
    /// What becomes of a record with too many fields: --long-rows join
    #[arg(long, value_enum, default_value_t = Long::Reject)]
    pub long_rows: Long,
    /// What becomes of a record with a quote in a wrong place: --stray-quotes keep
    #[arg(long, value_enum, default_value_t = Stray::Reject)]
    pub stray_quotes: Stray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// Text with delimiters; the options below say how it is written
    Csv,
    /// JSON Lines
    Jsonl,
    /// Parquet, with the columns' names and types; an object is copied to TMPDIR first: -i s3://bucket/orders.parquet --format parquet
    #[cfg(feature = "parquet")]
    Parquet,
}

/// What stands between two fields; `None` to see from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelimiterChoice(Option<Delimiter>);

/// The name of an encoding; `None` to see from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextEncoding(Option<&'static str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bad {
    /// Their record is rejected
    Reject,
    /// They become U+FFFD, the replacement character
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Short {
    /// It is rejected
    Reject,
    /// The fields that are missing at its end are empty
    Pad,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Long {
    /// It is rejected
    Reject,
    /// The rest is dropped
    Truncate,
    /// The rest stays in the last column, delimiters and all
    Join,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stray {
    /// It is rejected
    Reject,
    /// What was meant is kept, where only one reading has the right number of fields
    Keep,
}

impl FormatArgs {
    /// The encoding that was asked for.
    pub fn text(&self) -> TextSpec {
        TextSpec {
            container: match self.format {
                FileFormat::Csv | FileFormat::Jsonl => Container::Plain,
                #[cfg(feature = "parquet")]
                FileFormat::Parquet => Container::Parquet,
            },
            encoding: self.encoding.0.map(str::to_owned),
            on_bad_bytes: match self.on_bad_bytes {
                Bad::Reject => BadBytes::Reject,
                Bad::Replace => BadBytes::Replace,
            },
        }
    }

    /// The format that was asked for, where somebody named the columns or nobody.
    pub fn format(&self, columns_are_named: bool) -> FormatSpec {
        match self.format {
            FileFormat::Csv => FormatSpec::Csv(self.dialect()),
            // In which its rows are written for those who load them.
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => FormatSpec::Csv(source::parquet_dialect()),
            FileFormat::Jsonl => FormatSpec::JsonLines(JsonLinesSpec {
                keys: Vec::new(),
                // Who names some of the keys leaves the others.
                unknown_keys: if columns_are_named {
                    UnknownKeys::Ignore
                } else {
                    UnknownKeys::Reject
                },
            }),
        }
    }

    /// Whether the delimiter is to be found in the file.
    pub fn finds_delimiter(&self) -> bool {
        self.delimiter.0.is_none()
    }

    /// What is wrong with the arguments together.
    pub fn check(&self, values: &ValuesArgs) -> Result<(), String> {
        let dialect = self.dialect();
        let usual = CsvDialect::strict(Delimiter::default(), true);
        let says_no_dialect = dialect == usual && !self.finds_delimiter();
        #[cfg(feature = "parquet")]
        let says_text =
            self.encoding.0.is_some() || self.on_bad_bytes != Bad::Reject || values.say_how_text_is_written();
        #[cfg(not(feature = "parquet"))]
        let _ = values;
        match self.format {
            FileFormat::Csv => dialect.check().map_err(|error| error.to_string()),
            FileFormat::Jsonl if says_no_dialect => Ok(()),
            FileFormat::Jsonl => {
                Err("the options that say how CSV is written have no meaning with --format jsonl".to_owned())
            }
            #[cfg(feature = "parquet")]
            FileFormat::Parquet if says_no_dialect && !says_text => Ok(()),
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => {
                Err("the options that say how text is written have no meaning with --format parquet".to_owned())
            }
        }
    }

    /// The dialect that was asked for.
    fn dialect(&self) -> CsvDialect {
        CsvDialect {
            null: self.null.clone(),
            quote: self.quote,
            escape: self.escape.unwrap_or_default(),
            comment: self.comment.clone(),
            trim: self.trim,
            skip_lines: self.skip_lines,
            skip_footer: self.skip_footer,
            header_above: self.header_lines - 1,
            stop_at_header: self.stop_at_header,
            force_null: choice(&self.force_null),
            force_not_null: choice(&self.force_not_null),
            short_rows: match self.short_rows {
                Short::Reject => ShortRows::Reject,
                Short::Pad => ShortRows::Pad,
            },
            long_rows: match self.long_rows {
                Long::Reject => LongRows::Reject,
                Long::Truncate => LongRows::Truncate,
                Long::Join => LongRows::Join,
            },
            stray_quotes: match self.stray_quotes {
                Stray::Reject => StrayQuotes::Reject,
                Stray::Keep => StrayQuotes::Keep,
            },
            ..CsvDialect::strict(self.delimiter.0.unwrap_or_default(), !self.no_header)
        }
    }
}

fn choice(columns: &[String]) -> ColumnChoice {
    match columns {
        [] => ColumnChoice::None,
        [all] if all == "*" => ColumnChoice::All,
        these => ColumnChoice::These(these.to_vec()),
    }
}

fn parse_encoding(label: &str) -> Result<TextEncoding, String> {
    if label.eq_ignore_ascii_case("auto") {
        return Ok(TextEncoding(None));
    }
    source::encoding_name(label)
        // What is read without a name, unless a mark says otherwise.
        .map(|name| TextEncoding(Some(name).filter(|name| *name != "UTF-8")))
        .map_err(|error| error.to_string())
}

fn parse_delimiter(text: &str) -> Result<DelimiterChoice, String> {
    if text == "auto" {
        return Ok(DelimiterChoice(None));
    }
    let bytes = text.replace("\\t", "\t");
    if bytes.contains(['\n', '\r', '\0']) {
        return Err("a line end or a NUL byte cannot separate fields".to_owned());
    }
    let delimiter = Delimiter::new(bytes.as_bytes());
    let delimiter =
        delimiter.ok_or_else(|| "expected 1 to 4 bytes, such as ; or , or \\t or ||, or auto".to_owned())?;
    Ok(DelimiterChoice(Some(delimiter)))
}

fn parse_quote(text: &str) -> Result<Quote, String> {
    match text {
        "none" => Ok(Quote(None)),
        _ => one_byte(text).map(|byte| Quote(Some(byte))),
    }
}

fn parse_escape(text: &str) -> Result<Escape, String> {
    match text {
        "none" => Ok(Escape::Never),
        _ => one_byte(text).map(Escape::Byte),
    }
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Ok(*byte),
        _ => Err("expected one ASCII character, or none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_what_can_separate() {
        for (text, bytes) in [(",", ","), ("\\t", "\t"), ("→", "→")] {
            let expected = DelimiterChoice(Delimiter::new(bytes.as_bytes()));
            assert_eq!(parse_delimiter(text), Ok(expected));
        }
        assert_eq!(parse_delimiter("auto"), Ok(DelimiterChoice(None)));
        for bad in ["", ";;;;;", "\n", "a\r", "\0"] {
            assert!(parse_delimiter(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_quote_is_a_character_or_none() {
        assert_eq!(parse_quote("none"), Ok(Quote(None)));
        assert_eq!(parse_quote("'"), Ok(Quote(Some(b'\''))));
        assert_eq!(parse_escape("\\"), Ok(Escape::Byte(b'\\')));
        assert_eq!(parse_escape("none"), Ok(Escape::Never));
        for bad in ["", "ab", "é", "\n"] {
            assert!(parse_quote(bad).is_err(), "{bad:?}");
        }
    }
}
