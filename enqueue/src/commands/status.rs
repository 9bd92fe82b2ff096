use ledger::{
    read::{self, ImportFilter, ImportStatus},
    workers::{self, WorkerStatus},
};
use model::words;
use session::database::Purpose;

use crate::{
    cli::StatusArgs,
    database::Open,
    follow::{self, Display},
    output::{self, Exit, group},
    signals::Signals,
};

const INSUFFICIENT_PRIVILEGE: &str = "42501";

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
    open.pool
        .within(async |conn| read::name_files(conn, &mut status).await)
        .await?;
    if args.json {
        output::print_json(&status)?;
    } else {
        let details = match details(open, &status).await {
            // Who may not look at rejects or events sees the rest.
            Err(error) if session::sqlstate(error.as_ref()).as_deref() == Some(INSUFFICIENT_PRIVILEGE) => None,
            details => details?,
        };
        let parts = [Some(open.summary(&status)), details];
        output::print(&parts.into_iter().flatten().collect::<Vec<_>>().join("\n"))?;
    }
    Ok(if args.watch { Exit::of(&status) } else { Exit::Done })
}

/// What happened when, what went wrong, and whether anybody is there to go on.
async fn details(open: &Open, status: &ImportStatus) -> anyhow::Result<Option<String>> {
    let mut conn = open.connection().await?;
    let mut lines = Vec::new();
    for event in read::events(&mut conn, status.import_id).await? {
        lines.push(format!(
            "  {:<9} {} {} (by {})",
            "event",
            words::duration(event.after_s),
            event.event.replace('_', " "),
            output::escape(&event.role)
        ));
        for notification in &event.notifications {
            lines.push(format!(
                "  {:<9} {}",
                "notify",
                output::escape(&notification.to_string())
            ));
        }
    }
    let errors = read::grouped_errors(&mut conn, status.import_id).await?;
    // Those of few chunks are told above, one by one.
    let chunks: u64 = errors.chunks.iter().map(|group| group.count).sum();
    let chunks = errors
        .chunks
        .iter()
        .filter(|_| chunks > status.chunk_errors.len() as u64);
    let groups = errors.rejects.iter().map(|group| ("reject", group));
    for (name, group) in groups.chain(chunks.map(|group| ("chunks", group))) {
        let of = group.constraint.as_ref().or(group.column.as_ref());
        let place = [
            of.map(|of| output::escape(of)),
            group
                .first_line
                .map(|line| format!("from line {}", output::group(line))),
        ];
        let place: Vec<String> = place.into_iter().flatten().collect();
        let words = group.example.as_ref().unwrap_or(&group.reason);
        lines.push(format!(
            "  {name:<9} {} × {}{}",
            output::group(group.count),
            output::escape(words),
            if place.is_empty() {
                String::new()
            } else {
                format!(" ({})", place.join(", "))
            }
        ));
    }
    if !status.state.is_final()
        && !open.is_local()
        && let Some(lane) = workers::unserved_lane(&mut conn, status.import_id).await?
    {
        lines.push(format!("  {:<9} {}", "waits", output::no_worker(&lane)));
    }
    Ok((!lines.is_empty()).then(|| lines.join("\n")))
}

async fn list(args: &StatusArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.connection().await?;
    let filter = ImportFilter {
        states: args.state.clone(),
        since: args.since,
        ..ImportFilter::default()
    };
    let statuses = read::list(&mut conn, &filter, args.limit.into()).await?;
    let workers = workers::list(&mut conn).await?;
    if args.json {
        output::print_json(&serde_json::json!({"imports": statuses, "workers": workers}))?;
    } else {
        output::print(&table(&statuses, &workers, filter != ImportFilter::default()))?;
    }
    Ok(Exit::Done)
}

/// Fits 80 columns; the source, which may be long, comes last.
fn table(imports: &[ImportStatus], workers: &[WorkerStatus], filtered: bool) -> String {
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
            " (for newer workers)".to_owned()
        } else if import.queue.is_default() {
            String::new()
        } else {
            format!(" (queue {})", import.queue)
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
        lines.push(
            if filtered {
                "     - none like this"
            } else {
                "     - none yet: enqueue -i FILE"
            }
            .to_owned(),
        );
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
            "  {}:{}  {doing} (seen {:.0} s ago){}",
            output::escape(&worker.host),
            worker.pid,
            worker.silent_s,
            output::serves(worker)
        ));
    }
    lines.join("\n")
}
