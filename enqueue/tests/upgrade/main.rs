//! A database of a version before, brought up to date: its imports go on, and are undone. A program of its own, for it restores a dump
//! before any other database takes the oids that the dump counts.

mod fixture;
mod imports;
#[path = "../it/support/mod.rs"]
mod support;
mod undo;
