//! The text of a source, read again from span to span.

use std::{
    io::{self, Read as _},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use model::TextSpec;
use source::{Source, SourceReader};

/// A source as the splitter read it. What is compressed or encoded otherwise can only be read forward, so spans had better ascend.
#[derive(Clone)]
pub(super) struct SourceText {
    source: Source,
    spec: TextSpec,
    /// One span is read at a time.
    open: Arc<Mutex<Option<OpenText>>>,
}

struct OpenText {
    reader: SourceReader,
    /// **Bytes** of text that were read.
    at: u64,
}

impl SourceText {
    pub(super) fn new(source: Source, spec: &TextSpec) -> Self {
        Self {
            source,
            spec: spec.clone(),
            open: Arc::default(),
        }
    }

    /// The text of a span, or what there is of it.
    ///
    /// # Errors
    /// From the source, with what it is called.
    pub(super) fn read(&self, span: Range<u64>) -> Result<Vec<u8>, (String, io::Error)> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // After an error, or for an earlier span, from the beginning.
        let text = open.take().filter(|text| text.at <= span.start);
        let read = text.map_or_else(|| self.begin(), Ok).and_then(|mut text| {
            io::copy(&mut text.reader.by_ref().take(span.start - text.at), &mut io::sink())?;
            let mut bytes = Vec::new();
            text.reader
                .by_ref()
                .take(span.end.saturating_sub(span.start))
                .read_to_end(&mut bytes)?;
            text.at = span.end.max(span.start);
            Ok((text, bytes))
        });
        let (text, bytes) = read.map_err(|error| (self.source.describe(), error))?;
        *open = Some(text);
        Ok(bytes)
    }

    fn begin(&self) -> io::Result<OpenText> {
        let opened = self.source.open().map_err(io::Error::other)?;
        let reader = opened.decode(&self.spec).map_err(io::Error::other)?;
        Ok(OpenText { reader, at: 0 })
    }
}
