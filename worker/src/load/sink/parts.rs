//! Parts of a chunk's rows, to be sent by themselves.

use target::Column;

use super::{ArrayBuffer, LENGTH_BYTES, NULL, Sink, TupleBuffer};

/// Rows as arrays, of which any can be found again.
#[derive(Debug)]
pub struct Parts {
    columns: Vec<ArrayBuffer>,
    /// For each column, where each of its values begins, and where the last one ends. **Bytes**; no message holds 4 GiB.
    starts: Vec<Vec<u32>>,
    rows: usize,
}

impl Parts {
    /// Takes the rows of a sink, in whatever form they are.
    #[must_use]
    pub fn new(rows: Sink, columns: &[Column]) -> Self {
        let columns = match rows {
            Sink::Arrays(columns) => columns,
            Sink::Tuples(tuples) => transpose(&tuples, columns),
        };
        Self {
            rows: columns.first().map_or(0, |column| column.elements),
            starts: columns.iter().map(starts).collect(),
            columns,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows
    }

    /// The rows of these indices, which ascend.
    #[must_use]
    pub fn part(&self, rows: &[usize]) -> Vec<ArrayBuffer> {
        std::iter::zip(&self.columns, &self.starts)
            .map(|(column, starts)| {
                let mut part = column.empty();
                part.elements = rows.len();
                for run in rows.chunk_by(|before, after| before + 1 == *after) {
                    if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
                        part.body.extend_from_slice(column.bytes(starts, first, last));
                    }
                }
                part
            })
            .collect()
    }
}

impl ArrayBuffer {
    /// One like this without elements. Its flag for NULLs stays: it says that there may be some.
    fn empty(&self) -> Self {
        Self {
            element: self.element,
            array: self.array,
            body: Vec::new(),
            elements: 0,
            last_start: 0,
            has_null: self.has_null,
        }
    }

    /// The elements from `first` to `last`.
    fn bytes(&self, starts: &[u32], first: usize, last: usize) -> &[u8] {
        let at = |row: usize| starts.get(row).map_or(self.body.len(), |&start| start as usize);
        self.body.get(at(first)..at(last + 1)).unwrap_or_default()
    }
}

/// Where each element begins, and where the last one ends.
fn starts(column: &ArrayBuffer) -> Vec<u32> {
    let mut starts = Vec::with_capacity(column.elements + 1);
    let mut at = 0;
    for _ in 0..=column.elements {
        starts.push(u32::try_from(at).unwrap_or(u32::MAX));
        at += measured(&column.body, at).len();
    }
    starts
}

/// The value that begins at `at`, with the word that says how long it is.
fn measured(body: &[u8], at: usize) -> &[u8] {
    let rest = body.get(at..).unwrap_or_default();
    let Some(word) = rest.first_chunk::<LENGTH_BYTES>() else {
        return &[];
    };
    let length = match i32::from_be_bytes(*word) {
        NULL => 0,
        length => usize::try_from(length).unwrap_or_default(),
    };
    rest.get(..LENGTH_BYTES + length).unwrap_or(rest)
}

/// The values of tuples column by column: they are the same in both forms. Their ids, which come first, are left out.
fn transpose(tuples: &TupleBuffer, columns: &[Column]) -> Vec<ArrayBuffer> {
    let mut arrays: Vec<ArrayBuffer> = columns.iter().map(ArrayBuffer::new).collect();
    for &start in &tuples.starts {
        let mut at = start + size_of::<i16>();
        at += measured(&tuples.body, at).len();
        for array in &mut arrays {
            let value = measured(&tuples.body, at);
            at += value.len();
            array.begin();
            array.has_null |= value == NULL.to_be_bytes();
            array.body.extend_from_slice(value);
        }
    }
    arrays
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::types::Oid;
    use target::{ColumnType, values::ValueOutput as _};

    use super::*;

    fn columns() -> [Column; 2] {
        ["a", "b"].map(|name| Column {
            name: name.to_owned(),
            kind: ColumnType::Text { max_chars: None },
            nullable: true,
            optional: true,
            element_oid: Oid(25),
            array_oid: Oid(1009),
            characters: None,
        })
    }

    /// Rows of a text that has as many letters as rows came before, and of NULL in every second.
    fn fill(mut rows: Sink) -> Parts {
        for row in 0..5 {
            rows.begin();
            rows.value(0).put_bytes("x".repeat(row).as_bytes());
            if row % 2 == 0 {
                rows.push_null(1);
            } else {
                rows.value(1).put_bytes(b"odd");
            }
        }
        if let Sink::Tuples(tuples) = &mut rows {
            // As after a first attempt.
            let ids = ledger::registry::IdRange {
                start_id: 1,
                end_id: 5,
                step: 1,
            };
            tuples.copy_data(&[ids]);
        }
        Parts::new(rows, &columns())
    }

    #[test]
    fn parts_are_the_same_of_both_forms_and_hold_what_they_should() {
        let (arrays, tuples) = (fill(Sink::arrays(&columns())), fill(Sink::tuples(2, 8)));
        for rows in [&[0, 1, 2, 3, 4][..], &[1, 3], &[0], &[3, 4], &[]] {
            let (a, b) = (arrays.part(rows), tuples.part(rows));
            for (a, b) in std::iter::zip(&a, &b) {
                assert_eq!((&a.body, a.elements, a.has_null), (&b.body, b.elements, b.has_null));
                assert_eq!(a.elements, rows.len());
            }
        }
        assert_eq!(arrays.count(), 5);
        let part = arrays.part(&[1, 4]);
        assert_eq!(part[0].body, b"\0\0\0\x01x\0\0\0\x04xxxx");
        assert_eq!(part[1].body, b"\0\0\0\x03odd\xff\xff\xff\xff");
        assert!(!part[0].has_null && part[1].has_null);
    }
}
