//! One command, one file: arguments, a library call, output.

pub mod cancel;
pub mod check;
pub mod create;
pub mod forget;
pub mod keep;
pub mod like;
pub mod migrate;
pub mod psql;
pub mod rejects;
pub mod retry;
pub mod sniff;
pub mod status;
pub mod submit;
pub mod verify;
