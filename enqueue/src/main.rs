//! The command line of pg_import: submit, follow, look, undo.

#![warn(clippy::unwrap_used)]

mod cli;
mod commands;
mod database;
mod follow;
mod hints;
mod inputs;
mod options;
mod output;
mod reasons;
mod signals;

use clap::Parser as _;
use cli::{Cli, Command, SubmitArgs};

fn main() -> std::io::Result<()> {
    let cli = Cli::parse();
    if cli.submit.like.is_none() {
        cli.check();
    }
    if cli.quiet {
        output::be_quiet();
    }
    let level = match cli.command {
        Some(Command::Serve(_)) => "info",
        _ => "warn",
    };
    session::logging::start(level, cli.log_format);
    let runtime = worker::runtime()?;
    let code = runtime.block_on(run(cli));
    // A thread that reads standard input may be blocked for ever: it ends with the process, so nothing must wait for it, and the runtime
    // must not be dropped.
    std::process::exit(code.into())
}

async fn run(cli: Cli) -> u8 {
    let outcome = match cli.command {
        None => submit(cli.submit).await,
        Some(Command::Sniff(args)) => commands::sniff::run(args).await,
        Some(Command::Status(args)) => commands::status::run(args).await,
        Some(Command::Cancel(args)) => commands::cancel::run(args).await,
        Some(Command::Keep(args)) => commands::keep::run(args).await,
        Some(Command::Rejects(args)) => commands::rejects::run(args).await,
        Some(Command::Verify(args)) => commands::verify::run(args).await,
        Some(Command::Retry(args)) => commands::retry::run(args).await,
        Some(Command::Forget(args)) => commands::forget::run(args).await,
        Some(Command::Migrate(args)) => commands::migrate::run(args).await,
        Some(Command::Doctor(args)) => commands::doctor::run(args).await,
        Some(Command::Workers(args)) => commands::workers::run(args).await,
        Some(Command::Serve(args)) => commands::serve::run(args).await,
        Some(Command::Psql(args)) => commands::psql::run(args).await,
        Some(Command::Manual(command)) => commands::manual(command),
    };
    match outcome {
        Ok(exit) => exit.code(),
        // Whoever reads the output has seen enough.
        Err(error) if output::is_broken_pipe(&error) => output::Exit::BrokenPipe.code(),
        Err(error) => {
            hints::complain(error.as_ref());
            output::Exit::Failed.code()
        }
    }
}

/// With the options of an earlier import, if that is asked for.
async fn submit(args: SubmitArgs) -> anyhow::Result<output::Exit> {
    let args = match args.like {
        Some(import) => {
            let like = Cli::parse_again(commands::like::arguments(&args, import).await?);
            like.check();
            like.submit
        }
        None => args,
    };
    commands::submit::run(args).await
}
