use ledger::{
    read::{self, ImportStatus},
    workers::{self, WorkerStatus},
};
use session::database::Purpose;

use crate::{
    cli::StatusArgs,
    database::Open,
    follow::{self, Display},
    output::{self, Exit, group},
    signals::Signals,
};

/// Imports listed.
const LATEST: i64 = 20;

pub async fn run(args: StatusArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let outcome = show(&args, &open).await;
    open.close().await;
    outcome
}

async fn show(args: &StatusArgs, open: &Open) -> anyhow::Result<Exit> {
    let Some(id) = args.id else {
        return list(args, open).await;
    };
    let mut status = follow::status(open, id).await?;
    if args.watch {
        let mut signals = Signals::listen()?;
        let mut display = Display::new();
        status = tokio::select! {
            status = follow::to_end(open, id, &mut display, None) => status?,
            _ = signals.next() => follow::status(open, id).await?,
        };
        display.finish();
    }
    read::name_files(&mut *open.connection().await?, &mut status).await?;
    if args.json {
        output::print_json(&status)?;
    } else {
        output::print(&open.summary(&status))?;
    }
    Ok(if args.watch { Exit::of(&status) } else { Exit::Done })
}

async fn list(args: &StatusArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.connection().await?;
    let statuses = read::latest(&mut conn, LATEST).await?;
    let workers = workers::list(&mut conn).await?;
    if args.json {
        output::print_json(&serde_json::json!({"imports": statuses, "workers": workers}))?;
    } else {
        output::print(&table(&statuses, &workers))?;
    }
    Ok(Exit::Done)
}

/// Fits 80 columns; the source, which may be long, comes last.
fn table(imports: &[ImportStatus], workers: &[WorkerStatus]) -> String {
    let mut lines = vec![format!(
        "{:>6} {:<10} {:>13} {:>9}  {}",
        "import", "state", "rows", "rejected", "source"
    )];
    for import in imports {
        let state = if import.interrupted {
            "interrupted".to_owned()
        } else {
            import.state.to_string()
        };
        let note = if import.unreadable.is_some() {
            " (for newer workers)"
        } else {
            ""
        };
        lines.push(format!(
            "{:>6} {state:<10} {:>13} {:>9}  {}{note}",
            import.import_id,
            group(import.remaining()),
            group(import.rejected),
            output::escape(&import.source)
        ));
    }
    if imports.is_empty() {
        lines.push("     - none yet: enqueue -i FILE".to_owned());
    }
    lines.push(String::new());
    lines.push(format!("workers: {}", workers.len()));
    for worker in workers {
        let doing = if worker.chunks.is_empty() {
            "idle".to_owned()
        } else {
            format!("chunks {}", worker.chunks.join(" "))
        };
        lines.push(format!(
            "  {}:{}  {doing} (seen {:.0} s ago)",
            output::escape(&worker.host),
            worker.pid,
            worker.silent_s
        ));
    }
    lines.join("\n")
}
