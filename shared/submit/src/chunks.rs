//! The chunks of an import's inputs, each with its place.

use std::collections::VecDeque;

use format::csv::split::SplitError;
use model::{Container, Position, Span};
use source::Fingerprint;

use crate::submission::{Beginning, Input, InputError, InputSplitter, Reading, compare_headers, of_split, open};

/// How inputs are read that were not opened yet.
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
    /// Chunks that were looked at, and are still to come.
    ahead: VecDeque<(Span, Vec<u8>)>,
    /// What was read of those before, and **bytes** of all of them.
    ended: Vec<Fingerprint>,
    ended_bytes: u64,
}

struct OpenInput {
    input: Input,
    splitter: InputSplitter,
    next_record: u64,
}

impl SourceChunks {
    /// Begins with the first of `inputs`, if that was opened before.
    pub(crate) fn new(inputs: Vec<Input>, first: Option<Beginning>, expected: Expected) -> Self {
        let mut waiting = VecDeque::from(inputs);
        let open = first.and_then(|first| {
            let input = waiting.pop_front()?;
            Some(OpenInput::new(input, first, &expected))
        });
        Self {
            expected,
            open,
            waiting,
            ahead: VecDeque::new(),
            ended: Vec::new(),
            ended_bytes: 0,
        }
    }

    /// Where the next chunk lies, and its bytes; `None` at the end.
    ///
    /// # Errors
    /// [`InputError`], when an input cannot be read or cut, or is not what it was.
    pub fn next_chunk(&mut self) -> Result<Option<(Span, Vec<u8>)>, InputError> {
        match self.ahead.pop_front() {
            Some(chunk) => Ok(Some(chunk)),
            None => self.read_chunk(),
        }
    }

    /// The next chunks, of so many **bytes** or up to the end, which are still to come afterwards.
    ///
    /// # Errors
    /// As [`SourceChunks::next_chunk`].
    pub(crate) fn look_ahead(&mut self, bytes: usize) -> Result<&VecDeque<(Span, Vec<u8>)>, InputError> {
        let mut found: usize = self.ahead.iter().map(|(_, bytes)| bytes.len()).sum();
        while found < bytes {
            let Some(chunk) = self.read_chunk()? else {
                break;
            };
            found += chunk.1.len();
            self.ahead.push_back(chunk);
        }
        Ok(&self.ahead)
    }

    fn read_chunk(&mut self) -> Result<Option<(Span, Vec<u8>)>, InputError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let chunk = open.splitter.next_chunk().map_err(of_split(&open.input.origin))?;
            let Some(chunk) = chunk else {
                self.end_open()?;
                continue;
            };
            let start = Position {
                input: open.input.number,
                record: Some(open.next_record),
                byte: Some(chunk.span.start),
                // What was never text has rows alone.
                line: (self.expected.reading.text.container == Container::Plain).then_some(chunk.first_line),
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

    /// Turns to the next input; `false` when there is none. Of one without records only the content is looked at.
    fn open_next(&mut self) -> Result<bool, InputError> {
        let Some(input) = self.waiting.pop_front() else {
            return Ok(false);
        };
        if !input.has_no_records {
            self.open = Some(self.expected.open(input)?);
        } else if let Some(found) = input.source.fingerprint()? {
            self.ended.push(check_same(&input, found)?);
        }
        Ok(true)
    }

    fn end_open(&mut self) -> Result<(), InputError> {
        if let Some(open) = self.open.take() {
            let found = open.end()?;
            self.ended_bytes += found.size;
            self.ended.push(found);
        }
        Ok(())
    }

    /// **Bytes** of the inputs that were read so far.
    pub(crate) fn raw_bytes(&self) -> u64 {
        let open = self.open.as_ref();
        self.ended_bytes + open.map_or(0, |open| open.splitter.reader().reader().raw_bytes())
    }

    /// Reads what is left of the inputs, for their fingerprint alone.
    pub(crate) fn drain(mut self) -> Result<Fingerprint, InputError> {
        loop {
            self.end_open()?;
            if !self.open_next()? {
                return Ok(Fingerprint::of_all(&self.ended));
            }
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
        let found = reader.drain().map_err(SplitError::Read);
        let found = found.map_err(of_split(&self.input.origin))?;
        check_same(&self.input, found)
    }
}

/// The fingerprint of an input that was read, if it is still what it was at first.
fn check_same(input: &Input, found: Fingerprint) -> Result<Fingerprint, InputError> {
    match &input.fingerprint {
        // Each part was compared with what the object is pinned to.
        Some(before) if !before.is_of_bytes() && before.size == found.size => Ok(before.clone()),
        Some(before) if !before.is_of_bytes() || *before != found => Err(InputError::Changed {
            origin: input.origin.clone(),
        }),
        _ => Ok(found),
    }
}
