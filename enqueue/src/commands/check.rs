//! Everything that a submission and its workers would do to a file, but for loading it.

use std::sync::Arc;

use ledger::rejects::Reject;
use model::ImportSpec;
use submit::{chunks::SourceChunks, submission::Checked};
use target::Target;
use tokio::io::stdout;
use worker::load::{
    rows,
    shape::{About, RecordShape},
    sink::Sink,
};

use crate::{
    output::{self, Exit, group},
    reasons::ReasonWriter,
};

/// Reads all of a source, writes the rejects to standard output, and says how many there are.
pub async fn run(checked: Checked) -> anyhow::Result<Exit> {
    let Checked {
        target,
        spec,
        mut chunks,
    } = checked;
    let shape = Arc::new(shape(&target, &spec, &chunks)?);
    let mut reasons = ReasonWriter::new(stdout(), chunks.origins()).await?;
    let (mut records, mut rejected) = (0, 0);
    loop {
        let (shape, mut reading) = (Arc::clone(&shape), chunks);
        let (found, rest) = tokio::task::spawn_blocking(move || (next(&mut reading, &shape), reading)).await?;
        chunks = rest;
        let Some((count, rejects)) = found? else {
            break;
        };
        records += count;
        rejected += rejects.len() as u64;
        for reject in &rejects {
            reasons.write(reject).await?;
        }
    }
    reasons.flush().await?;
    output::say(&format!(
        "{} records: {} would be loaded into {}, {} rejected; nothing was stored",
        group(records),
        group(records - rejected),
        target.name,
        group(rejected)
    ));
    Ok(if rejected > 0 { Exit::Rejects } else { Exit::Done })
}

/// How the records of a source are read that no import has.
pub fn shape(target: &Target, spec: &ImportSpec, chunks: &SourceChunks) -> anyhow::Result<RecordShape> {
    let columns = target.select(&spec.mapping.columns())?.into_iter().cloned().collect();
    let about = About {
        import: 0, // there is none
        inputs: chunks.origins(),
    };
    Ok(RecordShape::new(columns, spec, &about)?)
}

/// How many records the next chunk has, and which of them are rejects; `None` at the end.
fn next(chunks: &mut SourceChunks, shape: &RecordShape) -> anyhow::Result<Option<(u64, Vec<Reject>)>> {
    let Some((span, bytes)) = chunks.next_chunk()? else {
        return Ok(None);
    };
    let parsed = rows::parse(&bytes, shape, span, Sink::arrays(&shape.columns))?;
    Ok(Some((span.record_count, parsed.rejects)))
}
