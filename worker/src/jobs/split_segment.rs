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
    segments::{self, Found, FoundChunk, Segment, Start},
};
use model::{FormatSpec, ImportSpec, SegmentKey};
use object_source::{Object, ObjectError};

use super::{Failure, JobContext, Tried, referenced};

/// Splits a segment, unless it has `limit` attempts.
pub(super) async fn run(context: &JobContext, key: SegmentKey, limit: u32) -> Result<Tried, Failure> {
    let mut ledger = context.ledger().await?;
    let segment = match segments::start(&mut ledger, key, context.worker.as_str(), &context.queues, limit).await? {
        Start::Started(segment) => segment,
        other => {
            ledger.give_back();
            return match other {
                Start::Tried(attempts) if attempts >= context.max_attempts => Err(Failure::Exhausted { attempts }),
                Start::Tried(_) => Ok(Tried::NotBegun),
                Start::Started(_) | Start::NotPending => Ok(Tried::Done),
            };
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
    let name = object.address().to_string();
    let first_line = segment.first_line;
    let found = tokio::task::spawn_blocking(move || split(&object, &spec, &segment)).await?;
    let found = found
        .map_err(|error| of_split(&name, first_line, &error))?
        .ok_or_else(|| {
            // It begins in a segment before this one, and whoever splits that says where.
            Failure::Transient("a record that began before the segment is longer than one may be".to_owned())
        })?;
    fail::fail_point!("before-segment-finish");
    let mut ledger = context.ledger().await?;
    let finished = segments::finish(&mut ledger, key, &found).await?;
    fail::fail_point!("after-segment-finish");
    segments::store_split(&mut ledger, key.import).await?;
    finish_if_done(&mut ledger, key.import).await?;
    ledger.give_back();
    if finished {
        tracing::debug!(import = %key.import, segment = key.segment, chunks = found.chunks.len(), worker = context.worker.as_str(), "segment split");
    }
    Ok(Tried::Done)
}

/// The chunks of the records that begin within a segment; `None` where one from before goes on for longer than a record may be.
fn split(object: &Object, spec: &ImportSpec, segment: &Segment) -> Result<Option<Found>, SplitError> {
    let size = object.pin().size;
    let limit = spec.split.max_record;
    let start = if segment.first_line.is_some() {
        Some(segment.range.start)
    } else {
        line_start(object, segment.range.start, limit)?
    };
    let Some(start) = start else { return Ok(None) };
    let end = if segment.range.end < size {
        // Of a record that goes on for too long the splitter says where it begins.
        line_start(object, segment.range.end, limit)?.unwrap_or(size)
    } else {
        size
    };
    let mut found = Found {
        range: start..end,
        chunks: Vec::new(),
        lines: 0,
    };
    if start >= end {
        return Ok(Some(found));
    }
    let config = SplitterConfig::new(&spec.format, &spec.split);
    let first_line = segment.first_line.unwrap_or(0);
    let begin = Position {
        byte: start,
        line: first_line,
    };
    let mut splitter = Splitter::new(object.reader_of(start..end), config, begin);
    if let FormatSpec::Csv(_) = spec.format {
        splitter.expect_fields(spec.mapping.fields.len());
    }
    while let Some(chunk) = splitter.next_chunk()? {
        found.chunks.push(FoundChunk {
            range: chunk.span,
            records: chunk.record_count,
            line: chunk.first_line - first_line,
            digest: blake3::hash(&chunk.bytes).into(),
        });
    }
    found.lines = splitter.position().line - first_line;
    if found.chunks.is_empty() {
        // Nothing but empty lines and comments, which are no longer than a record.
        let mut gap = Vec::new();
        let read = object.reader_of(start..end).read_to_end(&mut gap);
        read.map_err(SplitError::Read)?;
        found.lines = count_lines(&gap);
    }
    Ok(Some(found))
}

/// **Bytes** in which a line end is looked for at first.
const LIKELY_BYTES: u64 = 64 << 10;

/// Where the first line begins that does so at `from`, or behind it; `None` where it is further away than a record may be long.
fn line_start(object: &Object, from: u64, limit: usize) -> Result<Option<u64>, SplitError> {
    let Some(before) = from.checked_sub(1) else {
        return Ok(Some(0));
    };
    let size = object.pin().size;
    // A record and the line end before it, and another byte, by which a longer one is known.
    let most = before.saturating_add(limit as u64).saturating_add(3);
    for until in [before + LIKELY_BYTES, most] {
        let reader = BufReader::new(object.reader_of(before..until));
        match lines::first_start(reader).map_err(SplitError::Read)? {
            // A line end at the end may be one half of it.
            Some(bytes) if before + bytes < until.min(size) || until >= size => return Ok(Some(before + bytes)),
            None if until >= size => return Ok(Some(size)),
            _ => {}
        }
    }
    Ok(None)
}

/// What it means that a segment cannot be split. Lines are known of the first one of an input only.
fn of_split(name: &str, first_line: Option<u64>, error: &SplitError) -> Failure {
    let object = match error {
        SplitError::Read(read) => read.get_ref().and_then(|inner| inner.downcast_ref::<ObjectError>()),
        _ => None,
    };
    if let Some(error) = object {
        return error.into();
    }
    let words = match error {
        SplitError::RecordTooLong { byte, limit, .. } if first_line.is_none() => {
            format!("the record at byte {byte} is longer than {limit} bytes: allow longer records")
        }
        SplitError::GapTooLong { byte, limit, .. } if first_line.is_none() => format!(
            "the empty lines and comments from byte {byte} on are longer than {limit} bytes: remove them, or allow longer records"
        ),
        _ => session::describe_error(error),
    };
    Failure::Permanent(format!("{name} cannot be split into chunks: {words}"))
}
