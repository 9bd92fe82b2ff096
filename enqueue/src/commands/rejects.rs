use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use shared::{
    database::Purpose,
    model::ImportOptions,
    store::{imports, rejects},
};

use crate::{
    cli::RejectsArgs,
    database::Open,
    output::{self, Exit, group},
};

/// Rejects read at once.
const PAGE: i64 = 1_000;

pub async fn run(args: RejectsArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let outcome = write(&args, &open).await;
    open.close().await;
    outcome
}

async fn write(args: &RejectsArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.connection().await?;
    let import = imports::read(&mut conn, args.id)
        .await?
        .ok_or_else(|| output::no_import(args.id))?;
    let mut reasons = args.reasons.as_deref().map(create).transpose()?;
    let mut records = BufWriter::new(io::stdout().lock());
    if import.options.header {
        // The columns' own names, in the order of the fields, so that the output can be submitted as it is.
        let names: Vec<String> = import.columns.iter().map(|name| quote(name, &import.options)).collect();
        writeln!(
            records,
            "{}",
            names.join(&char::from(import.options.delimiter).to_string())
        )?;
    }
    let (mut from, mut count) = (0, 0_u64);
    loop {
        let page = rejects::page(&mut conn, args.id, from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.start_byte + 1;
        count += page.len() as u64;
        for reject in &page {
            records.write_all(&reject.raw)?;
            records.write_all(b"\n")?;
            if let Some(reasons) = &mut reasons {
                let column = reject.column.as_deref().unwrap_or_default();
                writeln!(
                    reasons,
                    "{},{},{}",
                    reject.line,
                    csv_field(column),
                    csv_field(&reject.reason)
                )?;
            }
        }
    }
    records.flush()?;
    if let Some(mut reasons) = reasons {
        reasons.flush()?;
    }
    output::say(&format!("rejected records: {}", group(count)));
    Ok(Exit::Done)
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut writer = BufWriter::new(file);
    writeln!(writer, "line,column,reason")?;
    Ok(writer)
}

fn quote(name: &str, options: &ImportOptions) -> String {
    if name.contains(['"', '\n', '\r']) || name.as_bytes().contains(&options.delimiter) {
        csv_field(name)
    } else {
        name.to_owned()
    }
}

fn csv_field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
