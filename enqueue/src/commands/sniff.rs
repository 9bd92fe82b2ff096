use std::fmt::Write as _;

use model::{Container, CsvDialect, Escape, FormatSpec};
use serde_json::json;
use source::Source;
use submit::sniff::{self, Finding};

use crate::{
    cli::SniffArgs,
    inputs,
    options::{self, Words},
    output::{self, Exit, group},
};

/// **Characters** of a name or a value that are shown.
const SHOWN_CHARS: usize = 24;

pub async fn run(args: SniffArgs) -> anyhow::Result<Exit> {
    let (source, name) = match &args.file {
        Some(path) if path.as_os_str() != "-" => (inputs::find_one(path).await?, Some(path.display().to_string())),
        _ => (Source::StandardInput, None),
    };
    let finding = tokio::task::spawn_blocking(move || sniff::sniff(&source)).await??;
    let command = command(&finding, name.as_deref());
    if args.json {
        let (format, dialect) = match &finding.format {
            _ if is_parquet(&finding) => ("parquet", None),
            FormatSpec::Csv(dialect) => ("csv", Some(dialect)),
            FormatSpec::JsonLines(_) => ("jsonl", None),
        };
        output::print_json(&json!({
            "format": format,
            "dialect": dialect.map(described),
            "encoding": (!is_parquet(&finding)).then(|| encoding(&finding)),
            "compression": finding.compression.map(|compression| compression.to_string()),
            "header_line": finding.header_line,
            "records": finding.records,
            "agreeing": finding.agreeing,
            "columns": finding.columns,
            "rows": finding.rows,
            "command": command,
        }))?;
    } else {
        output::print(&text(&finding, &command))?;
    }
    Ok(Exit::Done)
}

/// A dialect as the arguments name its parts.
fn described(dialect: &CsvDialect) -> serde_json::Value {
    json!({
        "delimiter": String::from_utf8_lossy(dialect.delimiter.as_bytes()),
        "quote": quote(dialect),
        "escape": escape(dialect),
        "skip_lines": dialect.skip_lines,
    })
}

fn quote(dialect: &CsvDialect) -> String {
    dialect
        .quote
        .0
        .map_or_else(|| "none".to_owned(), |byte| char::from(byte).to_string())
}

/// What stands before a quote, if it is not another one.
fn escape(dialect: &CsvDialect) -> Option<String> {
    match dialect.escape {
        Escape::Byte(byte) => Some(char::from(byte).to_string()),
        _ => None,
    }
}

fn is_parquet(finding: &Finding) -> bool {
    finding.text.container == Container::Parquet
}

fn encoding(finding: &Finding) -> &str {
    finding.text.encoding.as_deref().unwrap_or("UTF-8")
}

/// The command that loads the source as it was read here.
fn command(finding: &Finding, name: Option<&str>) -> String {
    let mut words = Words::default();
    words.flag("enqueue");
    if let Some(name) = name {
        words.option("-i", name);
    }
    options::of_format(&mut words, &finding.text, &finding.format);
    if finding.has_nameless {
        words.option("--extra-columns", "ignore");
    }
    output::shell_words(words.into_vec().iter().map(String::as_str))
}

/// Fits 80 columns, but for the command.
fn text(finding: &Finding, command: &str) -> String {
    let mut out = String::new();
    let mut say = |name: &str, what: &str| {
        let _ = writeln!(out, "{name:<12}{what}");
    };
    if let Some(compression) = finding.compression {
        say("compression", &compression.to_string());
    }
    if !is_parquet(finding) {
        say("encoding", encoding(finding));
    }
    match &finding.format {
        _ if is_parquet(finding) => say("format", "Parquet"),
        FormatSpec::JsonLines(_) => {
            say("format", "JSON Lines");
            say(
                "records",
                &format!("{} of {} are objects", group(finding.agreeing), group(finding.records)),
            );
        }
        FormatSpec::Csv(dialect) => {
            let delimiter = match dialect.delimiter.as_bytes() {
                b"\t" => "\\t (a tab)".to_owned(),
                other => String::from_utf8_lossy(other).into_owned(),
            };
            say(
                "delimiter",
                if finding.columns.len() == 1 {
                    "none seen"
                } else {
                    &delimiter
                },
            );
            say("quote", &quote(dialect));
            if let Some(escape) = escape(dialect) {
                say("escape", &escape);
            }
            if dialect.skip_lines > 0 {
                say("preamble", &format!("{} lines", dialect.skip_lines));
            }
            match finding.header_line {
                Some(line) => say("header", &format!("line {line}")),
                None => say(
                    "header",
                    "none: a field of the first record is empty, a value, or there twice",
                ),
            }
            let (agreeing, all, fields) = (group(finding.agreeing), group(finding.records), finding.columns.len());
            let and_one = if finding.has_nameless {
                ", and a last one without name or value"
            } else {
                ""
            };
            say("records", &format!("{agreeing} of {all} have {fields} fields{and_one}"));
        }
    }
    let _ = writeln!(out, "\n{:<SHOWN_CHARS$}  {:<12}  decided on line", "column", "type");
    for (number, column) in (1..).zip(&finding.columns) {
        let name = column.name.clone().unwrap_or_else(|| format!("field {number}"));
        let line = match column.decided_on_line {
            Some(line) => line.to_string(),
            None if is_parquet(finding) => "by the file's footer".to_owned(),
            None => "no value".to_owned(),
        };
        let _ = writeln!(out, "{:<SHOWN_CHARS$}  {:<12}  {line}", shown(&name), column.type_name);
    }
    let _ = writeln!(out, "\nfirst rows");
    for row in &finding.rows {
        let values: Vec<String> = row
            .iter()
            .map(|value| {
                value
                    .as_deref()
                    .map_or_else(|| "NULL".to_owned(), |value| format!("'{}'", shown(value)))
            })
            .collect();
        let _ = writeln!(out, "  {}", values.join("  "));
    }
    let _ = write!(
        out,
        "\nto load it, with --table, --create-table for a new one, and what else you need:\n  {command}"
    );
    out
}

/// The beginning of a text from outside, as a terminal may show it.
fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let beginning: String = chars.by_ref().take(SHOWN_CHARS - 1).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    output::escape(&beginning) + more
}
