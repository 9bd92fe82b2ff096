use ledger::workers::{self, WorkerStatus};
use model::words;
use session::database::Purpose;

use crate::{
    cli::WorkersArgs,
    database::Open,
    output::{self, Exit},
};

pub async fn run(args: WorkersArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let listed = list(&open).await;
    open.close().await;
    let listed = listed?;
    if args.json {
        output::print_json(&listed)?;
    } else {
        output::print(&table(&listed))?;
    }
    Ok(Exit::Done)
}

async fn list(open: &Open) -> anyhow::Result<Vec<WorkerStatus>> {
    Ok(workers::list(&mut *open.connection().await?).await?)
}

/// Fits 80 columns, unless a worker has many chunks, or other queues than the default one, which come last.
fn table(workers: &[WorkerStatus]) -> String {
    if workers.is_empty() {
        return "no worker is alive: start one on any machine that reaches the database (`worker`)".to_owned();
    }
    let mut lines = vec![format!(
        "{:<24} {:>7} {:>7} {:>7} {:>8} {:>7}  chunks",
        "host", "process", "version", "at once", "up", "heard"
    )];
    for worker in workers {
        let host: String = output::escape(&worker.host).chars().take(24).collect();
        let chunks = match worker.chunks.as_slice() {
            [] => "idle".to_owned(),
            chunks => chunks.join(" "),
        };
        lines.push(format!(
            "{host:<24} {:>7} {:>7} {:>7} {:>8} {:>5.0} s  {chunks}{}",
            worker.pid,
            output::escape(&worker.version),
            worker.concurrency,
            words::duration(worker.uptime_s),
            worker.silent_s,
            output::serves(worker)
        ));
    }
    lines.join("\n")
}
