//! A table that is made for what is submitted.

use model::Span;
use submit::{
    chunks::SourceChunks,
    submission::{Draft, Evidence, Records, Request, Submission, Submitted},
};
use target::{ColumnType, NewTable};
use worker::load::types::TypesFinder;

use crate::{
    cli::CreateArgs,
    output::{self, Exit, group},
};

/// Submits what is asked for, into a table that is made for it if there is none.
pub async fn run(args: &CreateArgs, submission: &Submission<'_>, request: &Request) -> anyhow::Result<Submitted> {
    let Some(mut draft) = submission.draft(request, false).await? else {
        return Ok(submission.run(request).await?);
    };
    let table = design(args, &mut draft, request).await?;
    Ok(submission.run_with_new(request, draft, table).await?)
}

/// Prints the statement that would make the table.
pub async fn show(args: &CreateArgs, submission: &Submission<'_>, request: &Request) -> anyhow::Result<Exit> {
    if let Some(mut draft) = submission.draft(request, true).await? {
        let table = design(args, &mut draft, request).await?;
        output::print(&format!("{};", table.sql()))?;
    }
    Ok(Exit::Done)
}

/// Finds out what the table must be.
async fn design(args: &CreateArgs, draft: &mut Draft, request: &Request) -> anyhow::Result<NewTable> {
    let kinds = match draft.evidence(request)? {
        Some(evidence) => Some(tokio::task::spawn_blocking(move || find_types(evidence)).await??),
        None => None,
    };
    let primary_key = args.primary_key.as_ref().map_or(&[][..], |names| &names.0);
    Ok(draft.finish(request, kinds, primary_key)?)
}

fn find_types(evidence: Evidence) -> anyhow::Result<Vec<ColumnType>> {
    let Evidence {
        columns,
        spec,
        values,
        records,
    } = evidence;
    let mut finder = TypesFinder::new(columns, &spec, &values)?;
    let decided_by = match records {
        Records::All(mut chunks) => {
            output::say("every record is read, to decide the types of the columns");
            while let Some((span, bytes)) = next(&mut chunks)? {
                finder.add(&bytes, span)?;
            }
            format!("all {} records", group(finder.records))
        }
        Records::Beginning(chunks) => {
            for (span, bytes) in chunks {
                finder.add(&bytes, span)?;
            }
            format!("the first {} records of the stream", group(finder.records))
        }
    };
    let without = match finder.rejected {
        0 => String::new(),
        rejected => format!(", but for {} that will be rejected", group(rejected)),
    };
    output::say(&format!("the types were decided by {decided_by}{without}"));
    Ok(finder.kinds())
}

fn next(chunks: &mut SourceChunks) -> anyhow::Result<Option<(Span, Vec<u8>)>> {
    Ok(chunks.next_chunk()?)
}
