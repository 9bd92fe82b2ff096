//! Cuts one segment of a source by reference into chunks: attempt, read, keep what was found; then the chunks of all that are known up to there are
//! stored.

use std::io::{BufReader, Read as _};

use format::{
    csv::split::{Position, SplitError, Splitter, SplitterConfig, count_lines},
    lines,
};
use ledger::{
    LedgerError,
    completion::finish_if_done,
    imports,
    segments::{self, FoundChunk, Segment, Start},
};
use model::{FormatSpec, ImportSpec, SegmentKey};
use object_source::{Object, ObjectError};

use super::{Failure, JobContext, referenced};

pub(super) async fn run(context: &JobContext, key: SegmentKey) -> Result<(), Failure> {
    let mut ledger = context.ledger().await?;
    let segment = match segments::start(&mut ledger, key, context.worker.as_str(), context.max_attempts).await? {
        Start::Started(segment) => segment,
        Start::Tried(attempts) => return Err(Failure::Exhausted { attempts }),
        Start::NotPending => {
            ledger.give_back();
            return Ok(());
        }
    };
    fail::fail_point!("after-segment-attempt");
    let row = imports::read(&mut ledger, key.import).await?;
    let spec = row.ok_or(LedgerError::Missing(key.import))?.spec()?.clone();
    let objects = referenced::objects(context, &mut ledger, key.import).await?;
    ledger.give_back();
    let input = usize::try_from(segment.input).ok();
    let object = input.and_then(|input| objects.into_iter().nth(input));
    let object =
        object.ok_or_else(|| Failure::Permanent(format!("where its input {} is, is not known", segment.input)))?;
    referenced::check_may_read(context, &object)?;
    let name = object.address().to_string();
    let found = tokio::task::spawn_blocking(move || split(&object, &spec, &segment)).await?;
    let (found, lines) = found.map_err(|error| of_split(&name, &error))?;
    fail::fail_point!("before-segment-finish");
    let mut ledger = context.ledger().await?;
    let finished = segments::finish(&mut ledger, key, &found, lines).await?;
    fail::fail_point!("after-segment-finish");
    segments::store_split(&mut ledger, key.import).await?;
    finish_if_done(&mut ledger, key.import).await?;
    ledger.give_back();
    if finished {
        tracing::debug!(import = %key.import, segment = key.segment, chunks = found.len(), worker = context.worker.as_str(), "segment split");
    }
    Ok(())
}

/// The chunks of the records that begin within a segment, and how many lines these have.
fn split(object: &Object, spec: &ImportSpec, segment: &Segment) -> Result<(Vec<FoundChunk>, u64), SplitError> {
    let size = object.pin().size;
    let limit = spec.split.max_record;
    let start = if segment.is_first {
        segment.range.start
    } else {
        line_start(object, segment.range.start, limit)?
    };
    let end = if segment.range.end < size {
        line_start(object, segment.range.end, limit)?
    } else {
        size
    };
    if start >= end {
        return Ok((Vec::new(), 0));
    }
    let mut found = Vec::new();
    let config = SplitterConfig::new(&spec.format, &spec.split);
    let mut splitter = Splitter::new(object.reader_of(start..end), config, Position { byte: start, line: 0 });
    if let FormatSpec::Csv(_) = spec.format {
        splitter.expect_fields(spec.mapping.fields.len());
    }
    while let Some(chunk) = splitter.next_chunk()? {
        found.push(FoundChunk {
            range: chunk.span,
            records: chunk.record_count,
            line: chunk.first_line,
            digest: blake3::hash(&chunk.bytes).into(),
        });
    }
    if found.is_empty() {
        // Nothing but empty lines and comments, which are no longer than a record.
        let mut gap = Vec::new();
        let read = object.reader_of(start..end).read_to_end(&mut gap);
        read.map_err(SplitError::Read)?;
        return Ok((found, count_lines(&gap)));
    }
    Ok((found, splitter.position().line))
}

/// **Bytes** in which a line end is looked for at first.
const LIKELY_BYTES: u64 = 64 << 10;

/// Where the first line begins that does so at `from`, or behind it.
fn line_start(object: &Object, from: u64, limit: usize) -> Result<u64, SplitError> {
    let Some(before) = from.checked_sub(1) else {
        return Ok(0);
    };
    let size = object.pin().size;
    // A record and the line end before it, and another byte, by which a longer one is known.
    let most = before.saturating_add(limit as u64).saturating_add(3);
    for until in [before + LIKELY_BYTES, most] {
        let reader = BufReader::new(object.reader_of(before..until));
        match lines::first_start(reader).map_err(SplitError::Read)? {
            // A line end at the end may be one half of it.
            Some(bytes) if before + bytes < until.min(size) || until >= size => return Ok(before + bytes),
            None if until >= size => return Ok(size),
            _ => {}
        }
    }
    Err(SplitError::RecordTooLong {
        line: 0,
        byte: from,
        limit,
    })
}

/// What it means that a segment cannot be split.
fn of_split(name: &str, error: &SplitError) -> Failure {
    let object = match error {
        SplitError::Read(read) => read.get_ref().and_then(|inner| inner.downcast_ref::<ObjectError>()),
        _ => None,
    };
    match object {
        Some(error) => error.into(),
        None => Failure::Permanent(format!(
            "{name} cannot be split into chunks: {}",
            session::describe_error(error)
        )),
    }
}
