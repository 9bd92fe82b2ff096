use std::path::PathBuf;

use anyhow::Context as _;
use sqlx::postgres::PgSslMode;
use tokio::process::Command;

use crate::{cli::PsqlArgs, database::Open, output::Exit, signals::Signals};

pub async fn run(args: PsqlArgs) -> anyhow::Result<Exit> {
    let open = Open::find(&args.connect).await?;
    let outcome = psql(&args, &open).await;
    open.close().await;
    outcome
}

async fn psql(args: &PsqlArgs, open: &Open) -> anyhow::Result<Exit> {
    // Ctrl+C is psql's: it shall end a query there, not this process.
    let _signals = Signals::listen()?;
    let program = open
        .bin_dir()
        .map(|dir| dir.join("psql"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("psql"));
    // The URL that libpq reads from its environment; an argument would show the password to every user of the machine.
    let (hosts, options) = (open.hosts(), open.hosts().first());
    let (names, ports) = session::database::lists(hosts);
    let mut command = Command::new(&program);
    command
        .env("PGHOST", names)
        .env("PGPORT", ports)
        .env("PGUSER", options.get_username())
        .env("PGDATABASE", session::database::database_name(options))
        .env("PGSSLMODE", ssl_mode(options.get_ssl_mode()))
        .args(&args.arguments);
    if hosts.need_a_choice() {
        // Older ones know no `primary`.
        command.env("PGTARGETSESSIONATTRS", "read-write");
    }
    if let Some(password) = open.password() {
        command.env("PGPASSWORD", password);
    }
    let status = command
        .status()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    Ok(if status.success() { Exit::Done } else { Exit::Failed })
}

fn ssl_mode(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}
