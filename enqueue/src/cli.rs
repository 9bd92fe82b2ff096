//! The arguments. Types only: what they do is in `commands`.

mod conflict;
mod create;
mod format;
mod mapping;
mod values;

use std::{ffi::OsString, net::SocketAddr, num::NonZeroU16, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, error::ErrorKind};
use connect::ConnectArgs;
use manual::ManualCommand;
use model::{IdentityChoice, ImportId, ImportState, Limit, LoadMethod, NotifyUrl, NotifyUrlError, Priority, QueueName};
use session::logging::LogFormat;

pub use conflict::ConflictArgs;
pub use create::CreateArgs;
pub use format::FormatArgs;
pub use mapping::MappingArgs;
pub use values::ValuesArgs;

/// Loads CSV, JSON Lines and Parquet files into a PostgreSQL table, through a queue that survives every crash
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  enqueue -i orders.csv                        submit a file; workers load it
  enqueue -i orders.csv --wait                 … and follow it to its end
  enqueue -i orders.csv --local                without any database: a private one, and a worker in this process
  cat orders.csv | enqueue                     submit standard input
  enqueue -i day1.csv -i day2.csv              several files as one import; a directory or a 'pattern*' stands for its files
  enqueue -i s3://bucket/2026/orders.csv       an object, read in parts; credentials from the environment (AWS_ACCESS_KEY_ID …)
  enqueue -i s3://bucket/2026/ --by-reference  all objects below; no bytes are stored, workers read them
  enqueue -i inbox --each                      each file of a directory that was not submitted before as an import of its own
  enqueue sniff orders.csv                     how a file is written, and the command that loads it
  enqueue -i stock.csv -d , --table shop.stock --columns product,day,pieces
  enqueue -i prices.csv --table shop.price --on-conflict update    insert, or update what is there; undo restores it
  enqueue -i stock.csv -d , --table shop.stock --create-table --primary-key product,day
                                               … into a table that is made for it; --dry-run only shows the SQL
  enqueue -i mended.csv --like 7               the same table and options as import 7
  enqueue -i history.csv --queue nightly       for the workers that serve that queue: worker --queue nightly
  id=$(enqueue -i orders.csv)                  the import's id, alone on standard output
  enqueue cancel $id                           take exactly its rows out again
  enqueue serve                                a page that shows all of this in a browser

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 loaded but some records were rejected, 4 cancelled."
)]
pub struct Cli {
    /// How the log on standard error is written: text or json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        env = "PG_IMPORT_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// Say only what went wrong; ids and JSON on standard output as ever
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub submit: SubmitArgs,
}

impl Cli {
    /// Parses arguments of which later ones take the place of earlier ones.
    pub fn parse_again(words: Vec<OsString>) -> Self {
        let matches = Self::command().args_override_self(true).get_matches_from(words);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Ends with a usage error when arguments do not fit one another in a way that they cannot say themselves.
    pub fn check(&self) {
        if let Err(error) = self.fits() {
            Self::command().error(ErrorKind::ArgumentConflict, error).exit();
        }
    }

    /// Whether arguments fit one another.
    ///
    /// # Errors
    /// Which do not.
    pub fn fits(&self) -> Result<(), String> {
        if self.command.is_some() {
            return Ok(());
        }
        self.submit.format.check(&self.submit.values)?;
        let SubmitArgs {
            conflict,
            load_method,
            identity,
            replace,
            ..
        } = &self.submit;
        conflict.check(*load_method, *identity, *replace)?;
        self.submit.notify()?;
        let input = &self.submit.input;
        if self.submit.by_reference && input.iter().any(|input| input.as_os_str() == "-") {
            return Err(
                "standard input can be read only once, not by workers: it cannot be loaded --by-reference".to_owned(),
            );
        }
        if (input.len() > 1 || self.submit.each) && input.iter().any(|input| input.as_os_str() == "-") {
            return Err("standard input can be read only once: it is an import of its own, without --each".to_owned());
        }
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say how a file seems to be written, and propose the command that loads it
    Sniff(SniffArgs),
    /// Show an import, or the latest imports and the workers
    Status(StatusArgs),
    /// Delete exactly the rows that an import loaded
    Cancel(CancelArgs),
    /// Stop an undo: what is left of the import stays
    Keep(ImportArgs),
    /// Write the rejected records of an import as they were, ready to be corrected and submitted
    Rejects(RejectsArgs),
    /// Prove that records = loaded + rejected, and that ledger, table and file agree
    Verify(VerifyArgs),
    /// Open the failed chunks of an import again
    Retry(RetryArgs),
    /// Drop the history of ended imports, and with it their undo; their rows stay
    Forget(ForgetArgs),
    /// Bring the database's control schema to this version
    Migrate(MigrateArgs),
    /// Show the workers, and what each does
    Workers(WorkersArgs),
    /// Look whether server, role and workers are set up as they should be, and say what to do
    Doctor(DoctorArgs),
    /// Serve a page that shows imports and workers, and an API for programs
    Serve(ServeArgs),
    /// Open psql on the database
    Psql(PsqlArgs),
    #[command(flatten)]
    Manual(ManualCommand),
}

#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The file, or an object as s3://bucket/key, gs://, az:// or https://; compressed or not; standard input without. Several, a directory, all
    /// below s3://bucket/folder/ or a 'pattern*' are one import
    #[arg(short, long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Store no bytes: workers read objects, or files that they see under the same path, themselves: -i s3://bucket/key --by-reference
    ///
    /// The source must stay as it is until it is loaded; one that changed is refused. It takes UTF-8 text that is not compressed, and workers that
    /// are allowed to read it (worker --allow-reference). Where each record is a line (JSON Lines, or CSV with --quote none) workers split it, too.
    #[arg(long, requires = "input")]
    pub by_reference: bool,
    /// Each file is an import of its own; those that were submitted before are passed over: -i inbox --each
    #[arg(long, requires = "input", conflicts_with_all = ["key", "replace"])]
    pub each: bool,
    /// Read and load it as the import with this id was: the same table, format and columns, unless other options say otherwise
    #[arg(long, value_name = "ID")]
    pub like: Option<ImportId>,
    /// The table to load, as SQL would read its name
    #[arg(long, value_name = "TABLE", default_value = "public.sale_order")]
    pub table: String,
    /// How workers put rows into the table
    #[arg(long, value_enum, default_value_t = Method::Insert)]
    pub load_method: Method,
    /// How an import finds its rows again to undo it: auto takes the table's own sequence, or else the transactions that wrote them
    #[arg(long, value_enum, default_value_t = RowIdentity::Auto)]
    pub identity: RowIdentity,
    /// Records of a chunk, at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHUNK_ROWS, value_parser = clap::value_parser!(u64).range(1..))]
    pub chunk_rows: u64,
    /// Bytes of a record, at most (with K, M or G): --max-record 64M
    #[arg(long, value_name = "BYTES", default_value = "8M", value_parser = parse_bytes)]
    pub max_record: u64,
    /// Bytes that may wait for workers before reading pauses (with K, M or G)
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_bytes)]
    pub max_pending: u64,
    /// How large its share of the workers is while other imports wait, too: low, normal (four times low), or high (four times normal)
    #[arg(long, value_name = "PRIORITY", default_value_t = Priority::Normal)]
    pub priority: Priority,
    /// Chunks that are loaded at once, at most
    #[arg(long, value_name = "N")]
    pub max_parallel: Option<NonZeroU16>,
    /// The queue to wait in, of which only workers that serve it take anything: --queue nightly
    #[arg(long, value_name = "NAME", default_value_t = QueueName::default())]
    pub queue: QueueName,
    /// With more rejected records the import fails: --max-rejects 100 or --max-rejects 0.5%
    #[arg(long, value_name = "N|N%")]
    pub max_rejects: Option<Limit>,
    /// When the import fails, take out again what was loaded
    #[arg(long)]
    pub all_or_nothing: bool,
    /// When loaded with rows and without rejects, cancel the table's earlier imports
    #[arg(long)]
    pub replace: bool,
    /// With --replace: also when records were rejected
    #[arg(long, requires = "replace")]
    pub replace_anyway: bool,
    /// Name the import yourself: a second submission with this key answers with the first
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Load the file even if the same content was loaded before
    #[arg(long, conflicts_with = "key")]
    pub force: bool,
    /// Load nothing and store nothing: print which records would be rejected; exit 0 without any, else 3
    #[arg(long, conflicts_with_all = ["json", "wait"])]
    pub check: bool,
    /// Have workers send a signed message to this address when the import ends: --notify https://hooks.example.org/imports
    ///
    /// That is, when it is loaded, failed, cancelled or partially undone. An address on the command line is visible to other users of the
    /// machine: keep one that holds a secret in PG_IMPORT_NOTIFY.
    #[arg(long, value_name = "URL", env = "PG_IMPORT_NOTIFY", hide_env_values = true)]
    pub notify: Option<String>,
    /// Follow the import to its end; Ctrl+C cancels it
    #[arg(long)]
    pub wait: bool,
    /// Print one JSON object in place of the id
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub create: CreateArgs,
    #[command(flatten)]
    pub mapping: MappingArgs,
    #[command(flatten)]
    pub conflict: ConflictArgs,
    #[command(flatten)]
    pub format: FormatArgs,
    #[command(flatten)]
    pub values: ValuesArgs,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

impl SubmitArgs {
    /// Whom to tell of the import's end.
    ///
    /// # Errors
    /// What is wrong with the address; not the address, which may hold a secret.
    pub fn notify(&self) -> Result<Option<NotifyUrl>, String> {
        // A variable that is set to nothing says nothing.
        let text = self.notify.as_deref().filter(|text| !text.trim().is_empty());
        let url = text.map(str::parse).transpose();
        url.map_err(|error: NotifyUrlError| format!("--notify (or PG_IMPORT_NOTIFY) cannot be used: {error}"))
    }
}

/// Measured on 2 cores with two loaders: 50,000 short records are about 0.3 s of work, of which the queue is 6 to 10 ms, and up to 7 %
/// faster than 25,000; 100,000 take twice the memory for little more.
const DEFAULT_CHUNK_ROWS: u64 = 50_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// INSERT … SELECT unnest(…), without any COPY statement
    Insert,
    /// Binary COPY: faster, where the table allows it; over TCP, chunks below 512 KiB go by INSERT
    Copy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowIdentity {
    /// The sequence where the table has one that can be used, else transactions
    Auto,
    /// Ranges of ids that the table's sequence gives: rows that were edited since are known, too
    Sequence,
    /// The transactions that wrote the rows: for any table without triggers on INSERT
    Transaction,
}

impl From<RowIdentity> for IdentityChoice {
    fn from(identity: RowIdentity) -> Self {
        match identity {
            RowIdentity::Auto => Self::Auto,
            RowIdentity::Sequence => Self::Sequence,
            RowIdentity::Transaction => Self::Transaction,
        }
    }
}

impl From<Method> for LoadMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Insert => Self::Insert,
            Method::Copy => Self::Copy,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  enqueue sniff orders.csv             delimiter, quotes, encoding, header, types, first rows
  enqueue sniff orders.csv.gz --json   the same for a program
  curl -s $URL | enqueue sniff         of standard input

It looks at the first MiB and needs no database. Types are those that change no value: a number with a leading zero is text. With
--create-table behind it, the proposed command makes the table too, with the types that hold every value of the file.")]
pub struct SniffArgs {
    /// The file, compressed or not; standard input without
    pub file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The import; the latest ones and the workers without
    pub id: Option<ImportId>,
    /// Look again until the import ends; Ctrl+C only stops looking
    #[arg(long, requires = "id")]
    pub watch: bool,
    /// Only imports in this state; several with commas: --state failed,kept
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state, conflicts_with = "id")]
    pub state: Vec<ImportState>,
    /// Only imports submitted within this time, such as 12h or 7d
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration, conflicts_with = "id")]
    pub since: Option<Duration>,
    /// Imports to list, at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "id")]
    pub limit: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  enqueue cancel 7 --dry-run         say what would go
  enqueue cancel 7 --wait            delete and follow
  enqueue cancel 7 --include-edited  delete also rows that were edited since

What is deleted are the rows that are as the import left them, and no others. A row that was edited since, or that somebody else put under
one of its ids, stays and is counted. Ctrl+C while it is followed only stops looking.")]
pub struct CancelArgs {
    /// The import's id, as printed when it was submitted
    pub id: ImportId,
    /// Follow the deletions to their end
    #[arg(long)]
    pub wait: bool,
    /// Say how many rows would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Leave rows that were edited since they were loaded: the default; an undo that leaves such rows then exits with 0
    #[arg(long)]
    pub keep_edited: bool,
    /// Delete also rows with the import's ids that are not as it left them: edited since, or somebody else's
    #[arg(long, conflicts_with = "keep_edited")]
    pub include_edited: bool,
    /// Allow foreign keys to delete or change rows of other tables
    #[arg(long)]
    pub cascade: bool,
    /// The former name of --include-edited
    #[arg(long, hide = true, conflicts_with = "keep_edited")]
    pub trust_ids: bool,
    /// Run VACUUM on the table afterwards
    #[arg(long, requires = "wait")]
    pub vacuum: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The import's id, as printed when it was submitted
    pub id: ImportId,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub struct RejectsArgs {
    /// The import's id, as printed when it was submitted
    pub id: ImportId,
    /// Write line, column, reason, file and constraint of each rejected record to this file, as CSV
    #[arg(long, value_name = "FILE")]
    pub reasons: Option<PathBuf>,
    /// Print one JSON object for each rejected record, with its place, column, reason, code and constraint
    #[arg(long, conflicts_with = "reasons")]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The import's id, as printed when it was submitted
    pub id: ImportId,
    /// The file that was imported, or all of them: compare each record with the table's row
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The import's id, as printed when it was submitted
    pub id: ImportId,
    /// Follow the import to its end
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct ForgetArgs {
    /// The import's id, as printed when it was submitted
    #[arg(group = "which")]
    pub id: Option<ImportId>,
    /// Every import that ended longer ago than this, such as 90d or 12h
    #[arg(long, value_name = "AGE", group = "which", value_parser = humantime::parse_duration)]
    pub older_than: Option<Duration>,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "It changes nothing. Exit code 1 when something does not work, 0 also with warnings.")]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub struct WorkersArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  enqueue serve                                            on http://127.0.0.1:8080/, for this machine alone; it only shows
  PG_IMPORT_HTTP_TOKEN=$(openssl rand -hex 24) enqueue serve   … and whoever has the token may upload, cancel, retry, keep, verify, forget
  enqueue serve --listen 0.0.0.0:8080 --require-token      for others; reading takes the token, too
  enqueue serve --path-prefix /loads --behind-proxy        behind a reverse proxy that passes /loads/… on as it is

Tokens are PG_IMPORT_HTTP_TOKEN, or lines name:token in the staging's file .http.tokens: the name is who the audit says it was. The API is at
/api/v1 (described by /api/v1/openapi.json), figures for Prometheus at /metrics. HTTPS is the reverse proxy's.")]
pub struct ServeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// What all paths begin with, where a reverse proxy serves it below others: --path-prefix /loads
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true, value_parser = parse_prefix)]
    pub path_prefix: String,
    /// Reading takes a token, too
    #[arg(long)]
    pub require_token: bool,
    /// Take a reverse proxy's word for who asks (X-Forwarded-For, X-Forwarded-Proto)
    #[arg(long)]
    pub behind_proxy: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  enqueue migrate
  enqueue migrate --grant-submitter cron --grant-worker loader --grant-monitor grafana

Roles must be there, and get what they need on the schemas pgimport and apalis, and no more. What they need on the tables that are loaded,
is these tables' owners' to grant: docs/PRIVILEGES.md.")]
pub struct MigrateArgs {
    /// Let this role submit, look and undo; may be repeated
    #[arg(long, value_name = "ROLE")]
    pub grant_submitter: Vec<String>,
    /// Let this role run workers; may be repeated
    #[arg(long, value_name = "ROLE")]
    pub grant_worker: Vec<String>,
    /// Let this role look: status, workers, a page that only shows; may be repeated
    #[arg(long, value_name = "ROLE")]
    pub grant_monitor: Vec<String>,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  enqueue psql --local
  enqueue psql -- -c 'SELECT count(*) FROM public.sale_order'")]
pub struct PsqlArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Arguments for psql
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

fn parse_state(text: &str) -> Result<ImportState, String> {
    text.trim().parse()
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim_end_matches('/');
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    if prefix.is_empty() || prefix.starts_with('/') && prefix.chars().all(is_path) && !prefix.contains("//") {
        Ok(prefix.to_owned())
    } else {
        Err("expected a path such as /loads: letters, digits, '-', '_', '.', '~'".to_owned())
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a number of bytes, such as 65536, 64K, 8M or 1G".to_owned())?;
    number
        .checked_mul(factor)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bytes_take_a_unit() {
        assert_eq!(parse_bytes("8M"), Ok(8 << 20));
        assert_eq!(parse_bytes("7"), Ok(7));
        for bad in ["", "M", "0", "-1", "1T", "99999999999G"] {
            assert!(parse_bytes(bad).is_err(), "{bad:?}");
        }
    }
}
