//! What is uploaded to the page, submitted as the command line would: the same options, under the same names.

use ::submit::{
    sniff,
    submission::{Checked, Event, Progress, Submission, Submitted},
};
use clap::{ArgAction, CommandFactory as _, Parser as _};
use format::sample::SAMPLE_BYTES;
use model::{Container, FormatSpec, ProcessName, SplitSpec};
use rand::RngExt as _;
use serve::{Looked, LookedReject, Refused, Sniffed};
use session::Hosts;
use source::Source;
use tokio::runtime::Handle;
use worker::load::{rows, sink::Sink};

use crate::{
    cli::{Cli, SubmitArgs},
    commands::{check, submit},
    hints,
    options::{self, Words},
};

/// Options that are about the command itself, or this machine.
const NOT_FOR_UPLOADS: [&str; 14] = [
    "input",
    "each",
    "like",
    "check",
    "wait",
    "json",
    "dry-run",
    "local",
    "database-url",
    "max-pending",
    "log-format",
    "quiet",
    "help",
    "version",
];
/// What the names of uploads' sessions begin with.
const ROLE: &str = "pg_import-serve";
/// Rows and rejects that are shown.
const SHOWN: usize = 10;
/// **Bytes** of a sample that are checked: well before its end, where a record may be cut.
const CHECKED_BYTES: usize = SAMPLE_BYTES / 2;
const CHECKED_RECORDS: u64 = 1_000;

/// Submits to one database.
#[derive(Debug)]
pub struct Uploads {
    pub connect: Hosts,
}

impl Uploads {
    /// Each upload is a submitter of its own: when one is taken for dead, its sessions are ended, and nobody else's.
    fn name() -> ProcessName {
        ProcessName::new(ROLE, &session::host_name(), std::process::id(), rand::rng().random())
    }
}

impl serve::Submitter for Uploads {
    fn submit(&self, options: &[(String, String)], source: Source, progress: &Progress) -> Result<Submitted, Refused> {
        let args = parse(options)?;
        let observe = |event: Event| tracing::info!(?event, "of an upload");
        let submission = Submission::new(&self.connect, Self::name(), progress, &observe);
        let request = submit::request(&args, vec![source]);
        let submitted = Handle::current().block_on(submit::begin(&args, &submission, &request));
        submitted.map_err(refused)
    }

    fn look(&self, options: &[(String, String)], sample: Source) -> Result<Looked, Refused> {
        let args = parse(options)?;
        let progress = Progress::default();
        let submission = Submission::new(&self.connect, Self::name(), &progress, &|_| {});
        let mut request = submit::request(&args, vec![sample]);
        request.split = SplitSpec {
            chunk_rows: CHECKED_RECORDS,
            chunk_bytes: CHECKED_BYTES,
            ..request.split
        };
        let checked = Handle::current().block_on(submission.check(&request));
        let checked = checked.map_err(|error| {
            let refusal = hints::told(&error);
            Refused::Submission(if args.create.create_table {
                format!("{refusal}; a table that is to be made is made when the file is uploaded, and there is nothing to check before")
            } else {
                refusal
            })
        })?;
        look_at(checked).map_err(refused)
    }

    fn sniff(&self, sample: &Source) -> Result<Sniffed, Refused> {
        let finding = sniff::sniff(sample).map_err(|error| refused(error.into()))?;
        let mut words = Words::default();
        options::of_format(&mut words, &finding.text, &finding.format);
        if finding.has_nameless {
            words.option("--extra-columns", "ignore");
        }
        Ok(Sniffed {
            format: match &finding.format {
                _ if finding.text.container == Container::Parquet => "parquet",
                FormatSpec::Csv(_) => "csv",
                FormatSpec::JsonLines(_) => "jsonl",
            },
            compression: finding.compression.map(|compression| compression.to_string()),
            options: named(words.into_vec()),
            fields: finding.columns.into_iter().map(|column| column.name).collect(),
            rows: finding.rows,
        })
    }
}

/// The arguments that options mean.
fn parse(options: &[(String, String)]) -> Result<SubmitArgs, Refused> {
    let command = Cli::command();
    let is_flag = |name: &str| {
        let mut arguments = command.get_arguments();
        arguments
            .any(|argument| argument.get_long() == Some(name) && matches!(argument.get_action(), ArgAction::SetTrue))
    };
    let mut words = vec!["enqueue".to_owned()];
    for (name, value) in options {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if NOT_FOR_UPLOADS.contains(&name.as_str()) || !is_name {
            return Err(Refused::Options(format!("the option '{name}' is not for uploads")));
        }
        words.push(match (is_flag(name), value.as_str()) {
            (true, "true") => format!("--{name}"),
            (true, "false") => continue,
            (true, other) => return Err(Refused::Options(format!("{name} is true or false, not '{other}'"))),
            (false, value) => format!("--{name}={value}"),
        });
    }
    let cli = Cli::try_parse_from(&words).map_err(|error| {
        let text = error.render().to_string();
        // Its first paragraph; the rest is about a command line.
        let words = text.split("\n\n").next().unwrap_or_default();
        Refused::Options(words.trim().trim_start_matches("error: ").to_owned())
    })?;
    cli.fits().map_err(Refused::Options)?;
    Ok(cli.submit)
}

/// Words of a command line by the names of the options.
fn named(words: Vec<String>) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = Vec::new();
    for word in words {
        let name = match word.as_str() {
            "-d" => Some("delimiter"),
            word => word.strip_prefix("--"),
        };
        match (name, options.last_mut()) {
            (Some(name), _) => match name.split_once('=') {
                Some((name, value)) => options.push((name.to_owned(), value.to_owned())),
                None => options.push((name.to_owned(), "true".to_owned())),
            },
            (None, Some((_, value))) => *value = word,
            (None, None) => {}
        }
    }
    options
}

fn refused(error: anyhow::Error) -> Refused {
    Refused::Submission(hints::told(error.as_ref()))
}

/// What the first chunk of a sample comes to.
fn look_at(checked: Checked) -> anyhow::Result<Looked> {
    let Checked {
        target,
        spec,
        mut chunks,
    } = checked;
    let shape = check::shape(&target, &spec, &chunks)?;
    let filled = spec.mapping.fields.iter().filter_map(|field| field.column());
    let mut looked = Looked {
        target: target.name,
        columns: filled.map(str::to_owned).collect(),
        rows: Vec::new(),
        records: 0,
        rejected: 0,
        rejects: Vec::new(),
    };
    let Some((span, bytes)) = chunks.next_chunk()? else {
        return Ok(looked);
    };
    let parsed = rows::parse(&bytes, &shape, span, Sink::arrays(&shape.columns))?;
    looked.rows = rows::show(&bytes, &shape, span, SHOWN);
    looked.records = span.record_count;
    looked.rejected = parsed.rejects.len() as u64;
    let rejects = parsed.rejects.into_iter().take(SHOWN);
    looked.rejects = rejects
        .map(|reject| LookedReject {
            line: reject.position.line,
            column: reject.column,
            reason: reject.reason,
            raw: String::from_utf8_lossy(&reject.raw).into_owned(),
        })
        .collect();
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_their_names_without_dashes() {
        let words = ["-d", ",", "--no-header", "--null=-", "--quote", "'", "--null", ""].map(str::to_owned);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("delimiter", ","),
            pair("no-header", "true"),
            pair("null", "-"),
            pair("quote", "'"),
            pair("null", ""),
        ];
        assert_eq!(named(words.to_vec()), expected);
        let args = parse(&expected).unwrap();
        assert_eq!(args.table, "public.sale_order");
        for (name, value, said) in [
            ("input", "/etc/passwd", "not for uploads"),
            ("database-url", "postgres://elsewhere", "not for uploads"),
            ("wait", "true", "not for uploads"),
            ("no-such-option", "1", "unexpected argument"),
            ("chunk-rows", "0", "0 is not in"),
            ("delete-missing", "true", "needs --max-deletes"),
            ("all-or-nothing", "1", "is true or false"),
            ("input=/etc/passwd", "", "not for uploads"),
        ] {
            match parse(&[pair(name, value)]) {
                Err(Refused::Options(words)) => assert!(words.contains(said), "{name}: {words}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
