//! The worker's command line: arguments and signals in, the library's loop, an exit code out.

use std::{net::SocketAddr, time::Duration};

use clap::{CommandFactory as _, Parser};
use connect::ConnectArgs;
use manual::ManualCommand;
use object_source::Allowed;
use session::{describe_error, logging::LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker::{
    WorkerConfig, default_concurrency,
    notify::{Networks, NotifyConfig},
    queues::{self, QueueNames},
};

/// Loads the chunks of imports into their tables, on as many machines as you like
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  worker                                 work until told to stop
  worker --drain                         work until nothing is left to do
  worker --concurrency 8                 load eight chunks at once
  worker --queue nightly                 load what is submitted with enqueue --queue nightly, and nothing else
  worker --queue nightly,default         … and what names no queue, by turns
  worker --allow-reference s3://inbox/   … and read objects of that bucket, for enqueue --by-reference
  PG_IMPORT_STAGING=prod worker          work for the database of credentials/prod
  worker --listen 0.0.0.0:9187           … and answer Prometheus, and whoever asks whether it can work

Notifications (enqueue --notify) are sent by workers that have the secret with which they are signed: PG_IMPORT_NOTIFY_SECRET, or the
staging's file .notify.secret.
SIGTERM or Ctrl+C takes no new chunk and finishes those that run; a second one ends at once, which costs nothing but time.
Exit codes: 0 stopped or drained, 1 failed, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    manual: Option<ManualCommand>,
    /// Chunks to load at once, each in a session of its own; half as many more are read ahead [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    concurrency: Option<u32>,
    /// The queue to serve; several with commas, or one by one, are served by turns [default: default]
    #[arg(long, value_name = "NAME", env = queues::QUEUES_VARIABLE)]
    queue: Vec<QueueNames>,
    /// End when nothing is left to do in its queues
    #[arg(long)]
    drain: bool,
    /// Seconds that running chunks get to finish after a signal
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    shutdown_timeout: u64,
    /// Starts without a result after which a chunk is given up; after two, or all but one, it runs alone in its worker
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_attempts: u32,
    /// Seconds for which a chunk is tried again after errors that pass by themselves (a lost connection, a full disk)
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    retry_for: u64,
    /// Seconds without the database after which the worker gives up
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    give_up_after: u64,
    /// Answer /healthz, /readyz and /metrics (for Prometheus) here: --listen 127.0.0.1:9187
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Networks beyond the public internet that notifications may go to, with commas: --notify-allow 10.0.0.0/8
    #[arg(long, value_name = "NETWORKS", env = worker::notify::ALLOW_VARIABLE, default_value = "", hide_default_value = true)]
    notify_allow: Networks,
    /// Read what imports by reference refer to, where its address begins like this; may be repeated: --allow-reference s3://bucket/inbox/
    ///
    /// Or a folder that several machines see: --allow-reference /mnt/share. Without it such imports are left to other workers. Credentials are taken
    /// from the environment (AWS_…, GOOGLE_…, AZURE_…). Whoever submits can read with them what is below, and nothing else.
    #[arg(long, value_name = "PREFIX", env = "PG_IMPORT_ALLOW_REFERENCE")]
    allow_reference: Vec<Allowed>,
    /// How the log on standard error is written: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "PG_IMPORT_LOG_FORMAT")]
    log_format: LogFormat,
    // The last one, for its heading is that of all behind it.
    #[command(flatten)]
    connect: ConnectArgs,
}

fn main() -> std::io::Result<()> {
    let cli = Cli::parse();
    if let Some(manual) = cli.manual {
        return manual.write(Cli::command());
    }
    session::logging::start("info", cli.log_format);
    #[cfg(feature = "failpoints")]
    let _failpoints = failpoints();
    let runtime = worker::runtime()?;
    let code = match runtime.block_on(run(cli)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("worker: {}", describe_error(error.as_ref()));
            1
        }
    };
    // A thread that is stuck in what was abandoned would hold up the runtime's own end, so that it must not be dropped.
    std::process::exit(code)
}

/// Sets the failpoints that FAILPOINTS names. With FAILPOINTS_ABORT a panic at one of them, as any other, ends the process at once, as a
/// crash would.
#[cfg(feature = "failpoints")]
fn failpoints() -> fail::FailScenario<'static> {
    tracing::info!("built with failpoints: for tests only");
    if std::env::var_os("FAILPOINTS_ABORT").is_some() {
        std::panic::set_hook(Box::new(|panic| {
            eprintln!("aborting: {panic}");
            std::process::abort();
        }));
    }
    fail::FailScenario::setup()
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let database = cli.connect.find().await?;
    let config = WorkerConfig {
        concurrency: cli.concurrency.unwrap_or_else(default_concurrency),
        queues: queues::named(cli.queue),
        drain: cli.drain,
        shutdown_timeout: Duration::from_secs(cli.shutdown_timeout),
        give_up_after: Duration::from_secs(cli.give_up_after),
        max_attempts: cli.max_attempts,
        retry_for: Duration::from_secs(cli.retry_for),
        listen: cli.listen,
        notify: NotifyConfig::find(&cli.connect, cli.notify_allow)?,
        references: cli.allow_reference.into_iter().fold(Allowed::default(), Allowed::and),
        ..WorkerConfig::new(database.hosts.clone())
    };
    let outcome = worker::run(&config, &stop).await;
    database.release().await;
    Ok(outcome?)
}

/// The first SIGTERM or SIGINT asks for a graceful stop; the second ends the process. They are heard by a thread and a runtime of their
/// own, however busy the others are.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _within = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let asked = stop.clone();
    let listen = async move {
        for first in [true, false] {
            let code = tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            };
            if first {
                tracing::info!("stopping: no new chunk is taken; a second signal ends at once");
                asked.cancel();
            } else {
                // Connections close with the process, their transactions roll back, and others take over within seconds.
                std::process::exit(code);
            }
        }
    };
    std::thread::spawn(move || runtime.block_on(listen));
    Ok(stop)
}
