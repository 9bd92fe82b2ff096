//! What a program's arguments are, for shells to complete them and for `man` to show them.

#![warn(clippy::unwrap_used)]

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Command, Subcommand};
use clap_complete::Shell;

/// What a program says of itself.
#[derive(Debug, Subcommand)]
pub enum ManualCommand {
    /// Print a script that makes a shell complete the arguments
    #[command(
        after_help = "For example, once, in bash: enqueue completions bash > ~/.local/share/bash-completion/completions/enqueue"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual's pages, one for each command, into a directory
    #[command(after_help = "For example: enqueue man /usr/local/share/man/man1, then: man enqueue-cancel")]
    Man {
        /// The directory, which is made if need be
        directory: PathBuf,
    },
}

impl ManualCommand {
    /// Writes it.
    ///
    /// # Errors
    /// Of the file system, or when nobody reads standard output any more.
    pub fn write(self, mut of: Command) -> io::Result<()> {
        match self {
            Self::Completions { shell } => {
                let name = of.get_name().to_owned();
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut of, name, &mut script);
                let mut out = io::stdout().lock();
                out.write_all(&script)?;
                out.flush()
            }
            Self::Man { directory } => {
                std::fs::create_dir_all(&directory)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))?;
                clap_mangen::generate_to(of, directory)
            }
        }
    }
}
