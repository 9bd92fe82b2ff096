//! JSON Lines: one JSON object a line, whose keys name the fields. Everything that knows JSON is here: which keys there are ([`keys`]), which of
//! them are wanted, and how ([`shape`]), and what a record's fields are ([`read`]).
//!
//! A line is a record, so the splitter and the reader share the grammar of lines ([`Grammar::lines`]): no line end stands inside a record,
//! for JSON writes it as `\n`. A byte-order mark at the beginning of a stream is passed by the splitter, as in CSV.
//!
//! Rejected records are written as they stand, and need no header.

pub mod array;
mod fault;
mod jsonb;
mod keys;
mod object;
pub mod read;
pub mod shape;
mod text;

pub use crate::csv::grammar::Grammar;
pub use keys::{KeysError, keys};
pub use text::text_of;
