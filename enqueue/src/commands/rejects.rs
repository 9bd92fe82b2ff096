use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use format::csv::write;
use ledger::{
    imports, inputs,
    read::RejectReport,
    rejects::{self, Reject},
};
use model::{Container, FormatSpec, ImportId, ImportSpec, Position};
use session::database::Purpose;
use sqlx::PgConnection;
use tokio::fs::File;

use crate::{
    cli::RejectsArgs,
    database::Open,
    options::{self, Words},
    output::{self, Exit, group},
    reasons::ReasonWriter,
};

/// Rejects read at once.
const PAGE: i64 = 1_000;

pub async fn run(args: RejectsArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let outcome = if args.json {
        print_all(&args, &open).await
    } else {
        write_all(&args, &open).await
    };
    open.close().await;
    outcome
}

/// Prints every reject with all that is known of it.
async fn print_all(args: &RejectsArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.connection().await?;
    let import = imports::read(&mut conn, args.id)
        .await?
        .ok_or_else(|| output::no_import(args.id))?;
    let inputs = inputs::names(&mut conn, &import).await?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut after = None;
    while let Some(page) = next_page(&mut conn, args.id, &mut after).await? {
        for reject in &page {
            serde_json::to_writer(&mut out, &RejectReport::new(reject, &inputs))?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

async fn write_all(args: &RejectsArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.connection().await?;
    let import = imports::read(&mut conn, args.id)
        .await?
        .ok_or_else(|| output::no_import(args.id))?;
    let spec = import.spec()?;
    let mut reasons = match &args.reasons {
        Some(path) => Some(create(path, inputs::names(&mut conn, &import).await?).await?),
        None => None,
    };
    let mut records = BufWriter::new(io::stdout().lock());
    // The names of the fields in their order, so that the output can be submitted as it is.
    if let FormatSpec::Csv(dialect) = &spec.format {
        write::header(&mut records, &spec.mapping.field_names(), dialect)?;
    }
    let (mut after, mut count) = (None, 0_u64);
    while let Some(page) = next_page(&mut conn, args.id, &mut after).await? {
        count += page.len() as u64;
        for reject in &page {
            write::raw_record(&mut records, &reject.raw)?;
            if let Some(reasons) = &mut reasons {
                reasons.write(reject).await?;
            }
        }
    }
    records.flush()?;
    if let Some(mut reasons) = reasons {
        reasons.flush().await?;
    }
    output::say(&format!("rejected records: {}", group(count)));
    if count > 0 {
        let command = output::again(&again(&args.id.to_string(), spec), open.is_local());
        output::say(&format!("to submit them, corrected: {command}"));
    }
    Ok(Exit::Done)
}

/// The rejects behind a place, and moves that behind them; `None` at the end.
async fn next_page(
    conn: &mut PgConnection,
    import: ImportId,
    after: &mut Option<Position>,
) -> anyhow::Result<Option<Vec<Reject>>> {
    let page = rejects::page(conn, import, *after, PAGE).await?;
    let Some(last) = page.last() else { return Ok(None) };
    *after = Some(last.position);
    Ok(Some(page))
}

/// The arguments that load the output as the import was loaded: without what stood round the records in their file, and in UTF-8.
fn again(id: &str, spec: &ImportSpec) -> String {
    let mut words = Words::default();
    words.option("-i", "FILE");
    words.option("--like", id);
    if spec.text.container == Container::Parquet
        && let FormatSpec::Csv(dialect) = &spec.format
    {
        words.option("--format", "csv");
        options::of_dialect(&mut words, dialect);
    }
    if spec.text.encoding.is_some() {
        words.option("--encoding", "auto");
    }
    if let FormatSpec::Csv(dialect) = &spec.format {
        for (number, option, none) in [
            (dialect.skip_lines, "--skip-lines", "0"),
            (dialect.skip_footer, "--skip-footer", "0"),
            (dialect.header_above, "--header-lines", "1"),
        ] {
            if number > 0 {
                words.option(option, none);
            }
        }
    }
    output::shell_words(words.into_vec().iter().map(String::as_str))
}

async fn create(path: &Path, inputs: Vec<String>) -> anyhow::Result<ReasonWriter<File>> {
    let file = File::create(path)
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    ReasonWriter::new(file, inputs).await
}
