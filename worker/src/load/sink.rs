//! The two binary forms in which rows travel: one array for each column, or one tuple after the other.
//!
//! Owns PostgreSQL's layouts of arrays and of binary COPY. Knows neither CSV nor the meaning of a value.

use ledger::registry::IdRange;
use sqlx::{
    Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, types::Oid},
};
use target::Column;

/// The length that stands for NULL.
const NULL: i32 = -1;
/// **Bytes** of the word that says how long a value is.
const LENGTH_BYTES: usize = 4;
/// **Bytes** of most types whose values have one length.
const FIXED_BYTES: usize = 8;
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

    /// Makes room for the values of so many records of so many **bytes** in all: to find it bit by bit costs a third of reading them. Room that
    /// is not written to is not in memory.
    pub fn make_room(&mut self, records: usize, bytes: usize) {
        match self {
            Self::Arrays(columns) => {
                for column in columns {
                    column
                        .body
                        .reserve(records.saturating_mul(LENGTH_BYTES).saturating_add(bytes));
                }
            }
            Self::Tuples(tuples) => {
                let row = usize::from(tuples.fields.unsigned_abs()).saturating_mul(LENGTH_BYTES + FIXED_BYTES);
                tuples.body.reserve(records.saturating_mul(row).saturating_add(bytes));
                tuples.starts.reserve(records);
            }
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
    pub fn begin(&mut self) {
        if let Self::Tuples(tuples) = self {
            tuples.begin();
        }
    }

    /// Adds the value of the row's column `index`: `encode` appends its binary form, or `None` is NULL.
    ///
    /// # Errors
    /// What `encode` returns; the row must be taken back then.
    pub fn push<E>(
        &mut self,
        index: usize,
        encode: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>,
    ) -> Result<(), E> {
        match self {
            Self::Arrays(columns) => match columns.get_mut(index) {
                Some(column) => column.push(encode),
                None => Ok(()),
            },
            Self::Tuples(tuples) => push_value(&mut tuples.body, encode),
        }
    }

    /// Adds the value of the row's column `index`, whose binary form is `value`.
    #[inline]
    pub fn push_exact(&mut self, index: usize, value: &[u8]) {
        match self {
            Self::Arrays(columns) => {
                if let Some(column) = columns.get_mut(index) {
                    column.last_start = column.body.len();
                    push_bytes(&mut column.body, value);
                    column.elements += 1;
                }
            }
            Self::Tuples(tuples) => push_bytes(&mut tuples.body, value),
        }
    }

    /// Takes back what was pushed since the last [`Sink::begin`], when there were `rows` whole rows before it.
    pub fn rollback(&mut self, rows: usize) {
        match self {
            Self::Arrays(columns) => columns.iter_mut().for_each(|column| column.truncate(rows)),
            Self::Tuples(tuples) => tuples.truncate(rows),
        }
    }
}

/// Appends the length word of a value, and the value.
#[inline]
fn push_bytes(body: &mut Vec<u8>, value: &[u8]) {
    let length = i32::try_from(value.len()).unwrap_or(MAX_LENGTH);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(value);
}

/// Appends a length word and the value after it.
#[inline]
fn push_value<E>(body: &mut Vec<u8>, encode: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>) -> Result<(), E> {
    let at = body.len();
    body.extend_from_slice(&NULL.to_be_bytes());
    let Some(encode) = encode else { return Ok(()) };
    encode(body)?;
    let length = i32::try_from(body.len() - at - 4).unwrap_or(MAX_LENGTH);
    if let Some(word) = body.get_mut(at..at + 4) {
        word.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// One column's values as a one-dimensional array.
#[derive(Debug)]
pub struct ArrayBuffer {
    element: Oid,
    array: Oid,
    body: Vec<u8>,
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

    fn push<E>(&mut self, encode: Option<impl FnOnce(&mut Vec<u8>) -> Result<(), E>>) -> Result<(), E> {
        self.has_null |= encode.is_none();
        let start = self.body.len();
        if let Err(error) = push_value(&mut self.body, encode) {
            self.body.truncate(start);
            return Err(error);
        }
        self.last_start = start;
        self.elements += 1;
        Ok(())
    }

    /// How many of the elements are NULL.
    #[cfg(test)]
    pub(super) fn nulls(&self) -> usize {
        let mut at = 0;
        let mut nulls = 0;
        while let Some(word) = self.body.get(at..at + 4) {
            let length = i32::from_be_bytes(word.try_into().expect("four bytes"));
            nulls += usize::from(length == NULL);
            at += 4 + usize::try_from(length).unwrap_or_default();
        }
        nulls
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

    /// Writes the ids into their places and closes the stream.
    #[must_use]
    pub fn into_copy_data(mut self, ids: &[IdRange]) -> Vec<u8> {
        let width = usize::from(self.id_width.unsigned_abs());
        for (&start, id) in std::iter::zip(&self.starts, ids.iter().flat_map(|range| range.ids())) {
            let at = start + 2 + 4;
            if let (Some(place), Some(bytes)) = (self.body.get_mut(at..at + width), id.to_be_bytes().get(8 - width..)) {
                place.copy_from_slice(bytes);
            }
        }
        self.body.extend_from_slice(COPY_TRAILER);
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use target::ColumnType;

    type Encoder = fn(&mut Vec<u8>) -> Result<(), ()>;

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
        let one: Encoder = |out| {
            out.extend_from_slice(&[0, 1]);
            Ok(())
        };
        rows.begin();
        rows.push(0, Some(one)).unwrap();
        let whole = rows.len();
        rows.begin();
        let bad: Encoder = |out| {
            out.push(9);
            Err(())
        };
        assert!(rows.push(0, Some(bad)).is_err());
        rows.rollback(1);
        rows.begin();
        rows.push(0, None::<Encoder>).unwrap();
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
        let Sink::Tuples(tuples) = rows else { unreachable!() };
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
        let data = tuples.into_copy_data(&ids);
        let body = &data[COPY_HEADER.len()..];
        assert_eq!(body[..16], [0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 2, 0, 1]);
        assert_eq!(body[16..], [0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 255, 255, 255, 255, 255, 255]);
    }
}
