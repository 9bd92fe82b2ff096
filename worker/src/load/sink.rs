//! The two binary forms in which rows travel: one array for each column, or one tuple after the other.
//!
//! Owns PostgreSQL's layouts of arrays and of binary COPY. Knows neither CSV nor the meaning of a value.

mod parts;

use ledger::registry::IdRange;
use sqlx::{
    Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, types::Oid},
};
use target::{
    Column,
    values::{ValueError, ValueOutput},
};

pub use parts::Parts;

/// The length that stands for NULL.
const NULL: i32 = -1;
/// **Bytes** of the word that says how long a value is.
const LENGTH_BYTES: usize = 4;
/// **Bytes** of the longest value of a type whose values have one length: a uuid.
const FIXED_BYTES: usize = 16;
/// A value longer than this cannot be sent; a record is far shorter.
const MAX_LENGTH: i32 = i32::MAX;

/// Rows on their way to the server, in the form that the load method takes.
#[derive(Debug)]
pub enum Sink {
    Arrays(Vec<ArrayBuffer>),
    Tuples(TupleBuffer),
}

impl Sink {
    #[must_use]
    pub fn arrays(columns: &[Column]) -> Self {
        Self::Arrays(columns.iter().map(ArrayBuffer::new).collect())
    }

    #[must_use]
    pub fn tuples(columns: usize, id_width: i16) -> Self {
        Self::Tuples(TupleBuffer::new(columns, id_width))
    }

    /// Makes room for about `records` of `bytes` in all: what grows by doubling may end with twice as much.
    #[must_use]
    pub fn with_room(mut self, bytes: usize, records: usize) -> Self {
        match &mut self {
            // How the bytes are shared out among the columns is not known.
            Self::Arrays(_) => {}
            Self::Tuples(tuples) => tuples.reserve(bytes, records),
        }
        self
    }

    /// Whether it is in the form that COPY takes.
    #[must_use]
    pub fn is_tuples(&self) -> bool {
        matches!(self, Self::Tuples(_))
    }

    /// Forgets the rows, and keeps their room.
    pub fn clear(&mut self) {
        match self {
            Self::Arrays(columns) => columns.iter_mut().for_each(ArrayBuffer::clear),
            Self::Tuples(tuples) => tuples.clear(),
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Arrays(columns) => columns.first().map_or(0, |column| column.elements),
            Self::Tuples(tuples) => tuples.starts.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a row. A row that was begun is ended by the next, or taken back by [`Sink::rollback`].
    #[inline]
    pub fn begin(&mut self) {
        match self {
            Self::Arrays(columns) => columns.iter_mut().for_each(ArrayBuffer::begin),
            Self::Tuples(tuples) => tuples.begin(),
        }
    }

    /// Takes the value of the row's column `index`, which comes after those before it. When it cannot be encoded, the row must be taken back.
    #[inline]
    pub fn value(&mut self, index: usize) -> Measured<'_> {
        Measured(match self {
            Self::Arrays(columns) => &mut columns[index].body,
            Self::Tuples(tuples) => &mut tuples.body,
        })
    }

    /// Adds NULL as the row's column `index`, which comes after those before it.
    pub fn push_null(&mut self, index: usize) {
        if let Self::Arrays(columns) = self {
            columns[index].has_null = true;
        }
        self.value(index).0.extend_from_slice(&NULL.to_be_bytes());
    }

    /// Takes back what was pushed since the last [`Sink::begin`], when there were `rows` whole rows before it.
    pub fn rollback(&mut self, rows: usize) {
        match self {
            Self::Arrays(columns) => columns.iter_mut().for_each(|column| column.truncate(rows)),
            Self::Tuples(tuples) => tuples.truncate(rows),
        }
    }
}

/// Takes a value, and writes its length before it.
pub struct Measured<'s>(&'s mut Vec<u8>);

impl ValueOutput for Measured<'_> {
    #[inline]
    fn put<const BYTES: usize>(&mut self, value: [u8; BYTES]) {
        const { assert!(BYTES <= FIXED_BYTES) }
        // Both in one piece, for what costs is to ask each time whether there is room.
        let mut measured = [0; LENGTH_BYTES + FIXED_BYTES];
        measured[..LENGTH_BYTES].copy_from_slice(&length_word(BYTES));
        measured[LENGTH_BYTES..LENGTH_BYTES + BYTES].copy_from_slice(&value);
        self.0.extend_from_slice(&measured[..LENGTH_BYTES + BYTES]);
    }

    #[inline]
    fn put_bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&length_word(value.len()));
        self.0.extend_from_slice(value);
    }

    fn put_written(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), ValueError>) -> Result<(), ValueError> {
        let start = self.0.len();
        self.0.extend_from_slice(&NULL.to_be_bytes());
        write(self.0).inspect_err(|_| self.0.truncate(start))?;
        let end = start + LENGTH_BYTES;
        let length = length_word(self.0.len() - end);
        self.0[start..end].copy_from_slice(&length);
        Ok(())
    }
}

#[inline]
fn length_word(bytes: usize) -> [u8; LENGTH_BYTES] {
    i32::try_from(bytes).unwrap_or(MAX_LENGTH).to_be_bytes()
}

/// One column's values as a one-dimensional array.
#[derive(Debug)]
pub struct ArrayBuffer {
    element: Oid,
    array: Oid,
    body: Vec<u8>,
    /// The element of the row that was begun last is the last of them.
    elements: usize,
    /// Where the last element begins in `body`.
    last_start: usize,
    has_null: bool,
}

impl ArrayBuffer {
    fn new(column: &Column) -> Self {
        Self {
            element: column.element_oid,
            array: column.array_oid,
            body: Vec::new(),
            elements: 0,
            last_start: 0,
            has_null: false,
        }
    }

    /// How many values it has.
    pub(crate) fn count(&self) -> usize {
        self.elements
    }

    #[inline]
    fn begin(&mut self) {
        self.last_start = self.body.len();
        self.elements += 1;
    }

    fn clear(&mut self) {
        self.body.clear();
        self.elements = 0;
        self.has_null = false;
    }

    /// The elements, NULL as `None`.
    pub(super) fn elements(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut rest = self.body.as_slice();
        std::iter::from_fn(move || {
            let (word, after) = rest.split_first_chunk()?;
            rest = after;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*word)) else {
                return Some(None);
            };
            let (element, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(Some(element))
        })
    }

    /// How many of the elements are NULL.
    #[cfg(test)]
    pub(super) fn nulls(&self) -> usize {
        self.elements().filter(Option::is_none).count()
    }

    /// Takes back the last element, if there is one more than `rows`.
    fn truncate(&mut self, rows: usize) {
        if self.elements > rows {
            self.elements = rows;
            self.body.truncate(self.last_start);
        }
    }
}

impl Type<Postgres> for ArrayBuffer {
    fn type_info() -> PgTypeInfo {
        // Each value says its own type: `produces` below.
        PgTypeInfo::with_name("text[]")
    }
}

impl Encode<'_, Postgres> for ArrayBuffer {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.extend_from_slice(&1_i32.to_be_bytes()); // dimensions
        buf.extend_from_slice(&i32::from(self.has_null).to_be_bytes());
        buf.extend_from_slice(&self.element.0.to_be_bytes());
        buf.extend_from_slice(&i32::try_from(self.elements)?.to_be_bytes());
        buf.extend_from_slice(&1_i32.to_be_bytes()); // lower bound
        buf.extend_from_slice(&self.body);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(self.array))
    }

    fn size_hint(&self) -> usize {
        20 + self.body.len()
    }
}

/// Rows as binary COPY wants them, with room for the ids that are taken later.
#[derive(Debug)]
pub struct TupleBuffer {
    body: Vec<u8>,
    starts: Vec<usize>,
    fields: i16,
    id_width: i16,
}

/// **Bytes** that are asked for before there is anything to put there.
const MOST_ROOM: usize = 64 << 20;
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_TRAILER: &[u8] = &(-1_i16).to_be_bytes();

impl TupleBuffer {
    fn new(columns: usize, id_width: i16) -> Self {
        let fields = i16::try_from(columns + 1).unwrap_or(i16::MAX);
        Self {
            body: COPY_HEADER.to_vec(),
            starts: Vec::new(),
            fields,
            id_width,
        }
    }

    fn reserve(&mut self, bytes: usize, records: usize) {
        // Numbers and dates have other lengths than their text, and its delimiters have none.
        let fields = usize::from(self.fields.unsigned_abs());
        let overhead = 2 + fields * LENGTH_BYTES + usize::from(self.id_width.unsigned_abs());
        let room = overhead.saturating_mul(records).saturating_add(bytes);
        self.body.reserve_exact(room.min(MOST_ROOM) + COPY_TRAILER.len());
        self.starts.reserve_exact(records.min(MOST_ROOM / size_of::<usize>()));
    }

    #[inline]
    fn begin(&mut self) {
        self.starts.push(self.body.len());
        self.body.extend_from_slice(&self.fields.to_be_bytes());
        self.body.extend_from_slice(&i32::from(self.id_width).to_be_bytes());
        let id_end = self.body.len() + usize::from(self.id_width.unsigned_abs());
        self.body.resize(id_end, 0);
    }

    fn truncate(&mut self, rows: usize) {
        if let Some(&start) = self.starts.get(rows) {
            self.body.truncate(start);
            self.starts.truncate(rows);
        }
    }

    fn clear(&mut self) {
        self.body.truncate(COPY_HEADER.len());
        self.starts.clear();
    }

    /// Writes the ids into their places and closes the stream; no row can be added after it.
    pub fn copy_data(&mut self, ids: &[IdRange]) -> &[u8] {
        let width = usize::from(self.id_width.unsigned_abs());
        for (&start, id) in std::iter::zip(&self.starts, ids.iter().flat_map(|range| range.ids())) {
            let at = start + 2 + 4;
            if let (Some(place), Some(bytes)) = (self.body.get_mut(at..at + width), id.to_be_bytes().get(8 - width..)) {
                place.copy_from_slice(bytes);
            }
        }
        self.body.extend_from_slice(COPY_TRAILER);
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use target::ColumnType;

    fn column() -> Column {
        Column {
            name: "a".to_owned(),
            kind: ColumnType::Int2,
            nullable: true,
            optional: true,
            element_oid: Oid(21),
            array_oid: Oid(1005),
            characters: None,
        }
    }

    fn fill(rows: &mut Sink) {
        rows.begin();
        rows.value(0).put([0, 1]);
        let whole = rows.len();
        rows.begin();
        let cut = |out: &mut Vec<u8>| {
            out.push(9);
            Err(ValueError::NotUtf8)
        };
        assert_eq!(rows.value(0).put_written(cut), Err(ValueError::NotUtf8));
        rows.rollback(1);
        rows.begin();
        rows.push_null(0);
        assert_eq!((whole, rows.len()), (1, 2));
    }

    #[test]
    fn a_row_that_was_taken_back_leaves_no_trace_in_arrays() {
        let mut rows = Sink::arrays(&[column()]);
        fill(&mut rows);
        let Sink::Arrays(columns) = rows else { unreachable!() };
        assert_eq!(columns[0].body, [0, 0, 0, 2, 0, 1, 255, 255, 255, 255]);
        assert!(columns[0].has_null);
    }

    #[test]
    fn a_row_that_was_taken_back_leaves_no_trace_in_tuples_and_ids_find_their_places() {
        let mut rows = Sink::tuples(1, 4);
        fill(&mut rows);
        let Sink::Tuples(mut tuples) = rows else { unreachable!() };
        let ids = [
            IdRange {
                start_id: 7,
                end_id: 7,
                step: 1,
            },
            IdRange {
                start_id: 9,
                end_id: 9,
                step: 1,
            },
        ];
        let data = tuples.copy_data(&ids);
        let body = &data[COPY_HEADER.len()..];
        assert_eq!(body[..16], [0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 2, 0, 1]);
        assert_eq!(body[16..], [0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn a_sink_that_is_used_again_knows_nothing_of_before() {
        let id = |start_id| IdRange {
            start_id,
            end_id: start_id,
            step: 1,
        };
        for mut rows in [Sink::arrays(&[column()]), Sink::tuples(1, 4)] {
            let sent = |rows: &mut Sink, value| {
                rows.begin();
                rows.value(0).put([0, value]);
                match rows {
                    Sink::Arrays(columns) => columns[0].body.clone(),
                    Sink::Tuples(tuples) => tuples.copy_data(&[id(7)]).to_vec(),
                }
            };
            let first = sent(&mut rows, 1);
            rows.clear();
            assert!(rows.is_empty());
            rows.begin();
            rows.push_null(0);
            rows.clear();
            assert_eq!(sent(&mut rows, 1), first);
            if let Sink::Arrays(columns) = &rows {
                assert!(!columns[0].has_null);
            }
        }
    }
}
