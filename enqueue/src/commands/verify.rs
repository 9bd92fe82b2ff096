use ledger::imports;
use session::database::Purpose;
use worker::{Verification, WhyNot};

use crate::{
    cli::VerifyArgs,
    database::Open,
    inputs,
    output::{self, Exit, group},
};

pub async fn run(args: VerifyArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let outcome = verify(&args, &open).await;
    open.close().await;
    outcome
}

async fn verify(args: &VerifyArgs, open: &Open) -> anyhow::Result<Exit> {
    let files = inputs::find(&args.files, by_reference(args, open).await?).await?;
    if files.is_empty() && !args.files.is_empty() {
        anyhow::bail!("no file was found to compare with: neither directory nor pattern has any");
    }
    let report = worker::verify(&mut open.role_connection().await?, args.id, &files).await?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(args, &report))?;
    }
    Ok(if report.agrees() { Exit::Done } else { Exit::Failed })
}

/// Whether the import knows its files by what they were, and not by their bytes.
async fn by_reference(args: &VerifyArgs, open: &Open) -> anyhow::Result<bool> {
    if args.files.is_empty() {
        return Ok(false);
    }
    let import = imports::read(&mut *open.connection().await?, args.id).await?;
    Ok(match import {
        Some(import) => import.spec()?.source.by_reference,
        None => false,
    })
}

fn text(args: &VerifyArgs, report: &Verification) -> String {
    let mut lines = vec![format!(
        "import {}: {} records = {} rows + {} rejected{}{}, in {} chunks",
        args.id,
        group(report.records),
        group(report.rows),
        group(report.rejected),
        if report.unchanged + report.skipped > 0 {
            format!(
                " + {} unchanged + {} skipped",
                group(report.unchanged),
                group(report.skipped)
            )
        } else {
            String::new()
        },
        if report.undone > 0 {
            format!(" + {} undone", group(report.undone))
        } else {
            String::new()
        },
        group(report.chunks)
    )];
    if report.removed > 0 {
        lines.push(format!(
            "  {} rows that the source does not have are deleted; an undo would put {} of them back",
            group(report.removed),
            group(report.returnable)
        ));
    }
    for difference in &report.differences {
        lines.push(format!("  {}: {}", difference.kind.describe(), group(difference.count)));
        lines.extend(difference.examples.iter().map(|example| format!("    {example}")));
    }
    for left in &report.not_compared {
        lines.push(format!(
            "  not compared: {} records {}",
            group(left.records),
            why_not(left.reason)
        ));
    }
    if report.agrees() {
        lines.push(
            if report.file {
                "  ledger, table and file agree"
            } else {
                "  ledger and table agree"
            }
            .to_owned(),
        );
    }
    lines.join("\n")
}

fn why_not(reason: WhyNot) -> &'static str {
    match reason {
        WhyNot::PartiallyUndone => "of chunks that are undone in part: which of their rows are left, nobody can tell",
        WhyNot::RowOfOthers => "whose row was there with the same values, or that gave way to another",
    }
}
