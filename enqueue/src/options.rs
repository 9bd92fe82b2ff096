//! The options that say what a spec says: for commands that are proposed, and for a submission like an earlier one.
//!
//! What is as it would be without an option has none.

use model::{
    AddedValue, BadBytes, ColumnChoice, ConflictSpec, Container, CsvDialect, Delimiter, Escape, FieldSpec, FormatSpec,
    IdentitySpec, ImportSpec, LoadMethod, LongRows, MappingSpec, OnNul, QuotedFields, ShortRows, StrayQuotes, TextSpec,
    UnknownKeys, ValuesSpec,
};

/// The words of a command.
#[derive(Debug, Default)]
pub struct Words(Vec<String>);

impl Words {
    /// An option with its value.
    pub fn option(&mut self, option: &str, value: &str) {
        if value.starts_with('-') {
            self.0.push(format!("{option}={value}"));
        } else {
            self.0.extend([option.to_owned(), value.to_owned()]);
        }
    }

    /// An option with its value, unless that is what it is without.
    fn unless<T: PartialEq + ToString>(&mut self, usual: &T, option: &str, value: &T) {
        if value != usual {
            self.option(option, &value.to_string());
        }
    }

    pub fn flag(&mut self, flag: &str) {
        self.0.push(flag.to_owned());
    }

    pub fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// How a source's bytes are text, and the text records.
pub fn of_format(words: &mut Words, text: &TextSpec, format: &FormatSpec) {
    if text.container == Container::Parquet {
        // Its text is ours.
        return words.option("--format", "parquet");
    }
    // A mark in the file says UTF-16 by itself, but no harm is done by saying so too.
    if let Some(encoding) = &text.encoding {
        words.option("--encoding", encoding);
    }
    if text.on_bad_bytes == BadBytes::Replace {
        words.option("--on-bad-bytes", "replace");
    }
    match format {
        FormatSpec::JsonLines(_) => words.option("--format", "jsonl"),
        FormatSpec::Csv(dialect) => of_dialect(words, dialect),
    }
}

/// How CSV is written.
pub fn of_dialect(words: &mut Words, dialect: &CsvDialect) {
    // Every part, so that a new one is not forgotten.
    let CsvDialect {
        delimiter,
        header,
        null,
        quote,
        escape,
        comment,
        trim,
        skip_lines,
        skip_footer,
        header_above,
        stop_at_header,
        quoted_fields,
        force_null,
        force_not_null,
        short_rows,
        long_rows,
        stray_quotes,
    } = dialect;
    if *delimiter != Delimiter::default() {
        let text = String::from_utf8_lossy(delimiter.as_bytes()).replace('\t', "\\t");
        let option = if text.starts_with('-') { "--delimiter" } else { "-d" };
        words.option(option, &text);
    }
    match quote.0 {
        Some(b'"') => {}
        Some(byte) => words.option("--quote", &char::from(byte).to_string()),
        None => words.option("--quote", "none"),
    }
    match escape {
        Escape::Doubled => {}
        Escape::Byte(byte) => words.option("--escape", &char::from(*byte).to_string()),
        Escape::Never => words.option("--escape", "none"),
    }
    if let Some(comment) = comment {
        words.option("--comment", comment);
    }
    if *trim {
        words.flag("--trim");
    }
    words.unless(&0, "--skip-lines", skip_lines);
    words.unless(&0, "--skip-footer", skip_footer);
    words.unless(&1, "--header-lines", &(header_above + 1));
    if *stop_at_header {
        words.flag("--stop-at-header");
    }
    for text in null {
        words.option("--null", text);
    }
    // Imports of before have no other way to say that quotes mean nothing.
    match (quoted_fields, force_null) {
        (QuotedFields::AsUnquoted, _) | (_, ColumnChoice::All) => words.option("--force-null", "*"),
        (_, ColumnChoice::These(columns)) => words.option("--force-null", &columns.join(",")),
        (_, ColumnChoice::None) => {}
    }
    match force_not_null {
        ColumnChoice::None => {}
        ColumnChoice::All => words.option("--force-not-null", "*"),
        ColumnChoice::These(columns) => words.option("--force-not-null", &columns.join(",")),
    }
    if *short_rows == ShortRows::Pad {
        words.option("--short-rows", "pad");
    }
    match long_rows {
        LongRows::Reject => {}
        LongRows::Truncate => words.option("--long-rows", "truncate"),
        LongRows::Join => words.option("--long-rows", "join"),
    }
    if *stray_quotes == StrayQuotes::Keep {
        words.option("--stray-quotes", "keep");
    }
    if !header {
        words.flag("--no-header");
    }
}

/// How values are written.
fn of_values(words: &mut Words, values: &ValuesSpec) {
    let ValuesSpec {
        on_nul,
        date_format,
        timestamp_format,
        column_formats,
        time_zone,
        decimal_separator,
        thousands_separator,
    } = values;
    let own = column_formats
        .iter()
        .map(|(column, pattern)| format!("{column}={pattern}"));
    let separators = [
        ("--decimal-separator", decimal_separator.map(String::from)),
        ("--thousands-separator", thousands_separator.map(String::from)),
    ];
    [
        ("--date-format", date_format.clone()),
        ("--timestamp-format", timestamp_format.clone()),
        ("--time-zone", time_zone.clone()),
    ]
    .into_iter()
    .chain(own.map(|format| ("--date-format", Some(format))))
    .chain(separators)
    .filter_map(|(option, value)| Some((option, value?)))
    .for_each(|(option, value)| words.option(option, &value));
    if *on_nul == OnNul::Strip {
        words.option("--on-nul", "strip");
    }
}

/// Which fields fill which columns.
pub fn of_fields(words: &mut Words, mapping: &MappingSpec, format: &FormatSpec) {
    let by_name = match format {
        FormatSpec::Csv(dialect) => dialect.header,
        FormatSpec::JsonLines(_) => true,
    };
    if mapping.given || !by_name {
        let columns = mapping.fields.iter().map(|field| quoted(field.column().unwrap_or("-")));
        return words.option("--columns", &columns.collect::<Vec<_>>().join(","));
    }
    for field in &mapping.fields {
        if let FieldSpec::Renamed { field, column } = field {
            words.option("--map", &format!("{}={}", quoted(field), quoted(column)));
        }
    }
    let ignores_extra = match format {
        FormatSpec::Csv(_) => mapping.fields.iter().any(|field| field.column().is_none()),
        FormatSpec::JsonLines(json) => json.unknown_keys == UnknownKeys::Ignore,
    };
    if ignores_extra {
        words.option("--extra-columns", "ignore");
    }
}

/// What fills the other columns.
fn of_added(words: &mut Words, mapping: &MappingSpec) {
    for added in &mapping.added {
        match &added.value {
            AddedValue::Constant(value) => words.option("--set", &format!("{}={value}", added.column)),
            AddedValue::File => words.option("--file-column", &added.column),
            AddedValue::Line => words.option("--line-column", &added.column),
            AddedValue::Import => words.option("--import-column", &added.column),
        }
    }
}

/// Everything that a spec says of how a source is read and loaded, but for its fields.
pub fn of_spec(words: &mut Words, spec: &ImportSpec) {
    of_format(words, &spec.text, &spec.format);
    of_values(words, &spec.values);
    of_added(words, &spec.mapping);
    if spec.load.method == LoadMethod::Copy {
        words.option("--load-method", "copy");
    }
    of_conflict(words, spec);
    if let Some(max) = spec.rejects.max {
        words.option("--max-rejects", &max.to_string());
    }
    if spec.rejects.all_or_nothing {
        words.flag("--all-or-nothing");
    }
    words.unless(&(8 << 20), "--max-record", &spec.split.max_record);
}

/// What becomes of rows that are there already; without, how rows are found again.
fn of_conflict(words: &mut Words, spec: &ImportSpec) {
    let list = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
    match &spec.conflict {
        ConflictSpec::Fail if matches!(spec.identity, IdentitySpec::Transaction { .. }) => {
            words.option("--identity", "transaction");
        }
        ConflictSpec::Fail => {}
        ConflictSpec::Ignore { key } => {
            words.option("--on-conflict", "ignore");
            words.option("--conflict-columns", &list(key));
        }
        ConflictSpec::Update {
            key, columns, missing, ..
        } => {
            words.option("--on-conflict", "update");
            words.option("--conflict-columns", &list(key));
            words.option("--update-columns", &list(columns));
            if let Some(missing) = missing {
                words.flag("--delete-missing");
                words.option("--max-deletes", &missing.max.to_string());
            }
        }
    }
}

/// A name as lists of names have it.
fn quoted(name: &str) -> String {
    if name.contains([',', '=', '"']) || name.trim() != name || name.is_empty() {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}
