use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use format::csv::write;
use ledger::{imports, inputs, rejects};
use model::{FormatSpec, ImportSpec};
use session::database::Purpose;
use tokio::fs::File;

use crate::{
    cli::RejectsArgs,
    database::Open,
    output::{self, Exit, group},
    reasons::ReasonWriter,
};

/// Rejects read at once.
const PAGE: i64 = 1_000;

pub async fn run(args: RejectsArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let outcome = write_all(&args, &open).await;
    open.close().await;
    outcome
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
    loop {
        let page = rejects::page(&mut conn, args.id, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.position);
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
    let absent = absent_from_output(spec);
    if count > 0 && !absent.is_empty() {
        output::say(&format!(
            "to submit them, give the same options, but without {}",
            absent.join(", ")
        ));
    }
    Ok(Exit::Done)
}

/// The options for what stood round the records in their file and does not in the output, which is UTF-8.
fn absent_from_output(spec: &ImportSpec) -> Vec<&'static str> {
    let (skip_lines, skip_footer, header_above) = match &spec.format {
        FormatSpec::Csv(dialect) => (dialect.skip_lines, dialect.skip_footer, dialect.header_above),
        FormatSpec::JsonLines(_) => (0, 0, 0),
    };
    [
        (spec.text.encoding.is_some(), "--encoding"),
        (skip_lines > 0, "--skip-lines"),
        (skip_footer > 0, "--skip-footer"),
        (header_above > 0, "--header-lines"),
    ]
    .into_iter()
    .filter_map(|(absent, option)| absent.then_some(option))
    .collect()
}

async fn create(path: &Path, inputs: Vec<String>) -> anyhow::Result<ReasonWriter<File>> {
    let file = File::create(path)
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    ReasonWriter::new(file, inputs).await
}
