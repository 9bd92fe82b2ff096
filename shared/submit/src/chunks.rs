//! The chunks of an import's inputs, each with its place.

use std::collections::VecDeque;

use model::{Position, Span};
use source::Fingerprint;

use crate::submission::{Beginning, Input, InputError, InputSplitter, Reading, compare_headers, of_split, open};

/// How every input after the first is read.
pub(crate) struct Expected {
    pub reading: Reading,
    /// Fields of a record.
    pub fields: usize,
    /// The names that each header has, where there are headers that can be read, and the input in which they were found.
    pub header: Option<(String, Vec<String>)>,
}

/// Reads the chunks of one input after the other. No chunk holds records of two. Reading may block for as long as it likes.
pub struct SourceChunks {
    expected: Expected,
    open: Option<OpenInput>,
    waiting: VecDeque<Input>,
    /// What was read of those before.
    ended: Vec<Fingerprint>,
}

struct OpenInput {
    input: Input,
    splitter: InputSplitter,
    next_record: u64,
}

impl SourceChunks {
    /// Begins with the first of `inputs`, which was opened before.
    pub(crate) fn new(inputs: Vec<Input>, first: Beginning, expected: Expected) -> Self {
        let mut waiting = VecDeque::from(inputs);
        let open = waiting.pop_front().map(|input| OpenInput::new(input, first, &expected));
        Self {
            expected,
            open,
            waiting,
            ended: Vec::new(),
        }
    }

    /// Where the next chunk lies, and its bytes; `None` at the end.
    ///
    /// # Errors
    /// [`InputError`], when an input cannot be read or cut, or is not what it was.
    pub fn next_chunk(&mut self) -> Result<Option<(Span, Vec<u8>)>, InputError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(input) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                self.open = Some(self.expected.open(input)?);
                continue;
            };
            let chunk = open.splitter.next_chunk().map_err(of_split(&open.input.origin))?;
            let Some(chunk) = chunk else {
                if let Some(open) = self.open.take() {
                    self.ended.push(open.end()?);
                }
                continue;
            };
            let start = Position {
                input: open.input.number,
                record: Some(open.next_record),
                byte: Some(chunk.span.start),
                line: Some(chunk.first_line),
            };
            open.next_record += chunk.record_count;
            let span = Span {
                start,
                end_byte: Some(chunk.span.end),
                record_count: chunk.record_count,
            };
            return Ok(Some((span, chunk.bytes)));
        }
    }

    /// **Bytes** of the inputs that were read so far.
    pub(crate) fn raw_bytes(&self) -> u64 {
        let ended: u64 = self.ended.iter().map(|input| input.size).sum();
        let open = self.open.as_ref();
        ended + open.map_or(0, |open| open.splitter.reader().reader().raw_bytes())
    }

    /// Reads what is left of the inputs, for their fingerprint alone.
    pub(crate) fn drain(mut self) -> Result<Fingerprint, InputError> {
        loop {
            if let Some(open) = self.open.take() {
                self.ended.push(open.end()?);
            }
            let Some(input) = self.waiting.pop_front() else {
                return Ok(Fingerprint::of_all(&self.ended));
            };
            self.open = Some(self.expected.open(input)?);
        }
    }

    /// What the inputs are called.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let open = self.open.iter().map(|open| &open.input);
        open.chain(&self.waiting).map(|input| input.origin.clone()).collect()
    }
}

impl Expected {
    fn open(&self, input: Input) -> Result<OpenInput, InputError> {
        let beginning = open(&input.source, &self.reading)?;
        if let (Some((first, expected)), Some(Ok(names))) = (&self.header, &beginning.header) {
            compare_headers(&input.origin, names, first, expected)?;
        }
        Ok(OpenInput::new(input, beginning, self))
    }
}

impl OpenInput {
    fn new(input: Input, beginning: Beginning, expected: &Expected) -> Self {
        let mut splitter = beginning.splitter;
        splitter.expect_fields(expected.fields);
        Self {
            input,
            splitter,
            next_record: 1,
        }
    }

    /// Reads what is no record any more: it belongs to the content all the same.
    fn end(self) -> Result<Fingerprint, InputError> {
        let mut reader = self.splitter.into_reader().into_reader();
        let Input {
            origin, fingerprint, ..
        } = self.input;
        let found = reader.drain().map_err(|source| InputError::Split {
            origin: origin.clone(),
            source: format::csv::split::SplitError::Read(source),
        })?;
        match fingerprint {
            Some(before) if before != found => Err(InputError::Changed { origin }),
            _ => Ok(found),
        }
    }
}
