//! One command, one file: arguments, a library call, output.

pub mod cancel;
pub mod check;
pub mod create;
pub mod doctor;
pub mod forget;
pub mod keep;
pub mod like;
pub mod migrate;
pub mod psql;
pub mod rejects;
pub mod retry;
pub mod serve;
pub mod sniff;
pub mod status;
pub mod submit;
pub mod verify;
pub mod workers;

use clap::CommandFactory as _;

use crate::{cli::Cli, output::Exit};

/// Completions and manual pages.
pub fn manual(command: manual::ManualCommand) -> anyhow::Result<Exit> {
    command.write(Cli::command())?;
    Ok(Exit::Done)
}
