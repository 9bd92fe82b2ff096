//! CSV: everything that knows it is here. Where one record ends and the next begins ([`split`]), what a record's fields are ([`read`]),
//! both by one [`grammar`], and how one is written ([`write`]).
//!
//! A byte-order mark at the beginning of a stream is skipped by the splitter; one anywhere else is data, which the reader keeps.

pub mod grammar;
mod mend;
pub mod read;
pub mod sniff;
pub mod split;
pub mod write;

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
