//! Files that are written here, and some that others wrote, read as CSV.

mod damage;
mod files;
mod foreign;
mod nested;
mod own;
mod support;
mod types;
