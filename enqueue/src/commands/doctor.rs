use ledger::{
    LedgerError,
    read::{self, Overview},
    workers,
};
use model::{ImportState, Lane};
use session::database::doctor::{Finding, Verdict, examine};
use sqlx::PgConnection;

use crate::{
    cli::DoctorArgs,
    database::Open,
    output::{self, Exit},
};

/// **Seconds** after which somebody should have been told.
const TOLD_AFTER: f64 = 900.0;

pub async fn run(args: DoctorArgs) -> anyhow::Result<Exit> {
    let open = Open::find(&args.connect).await?;
    let mut findings = examine(open.session()).await;
    // What the ledger says, once it can be read.
    if findings.iter().all(|finding| finding.verdict < Verdict::Fault) {
        match open.connection().await {
            Ok(mut conn) => findings.extend(look(&mut conn, open.is_local()).await.unwrap_or_else(|error| {
                vec![Finding::warning(
                    "ledger",
                    session::describe_error(&error),
                    "docs/PRIVILEGES.md has what a role needs to look",
                )]
            })),
            Err(error) => findings.push(Finding::fault(
                "connection",
                session::describe_error(&error),
                "try again",
            )),
        }
    }
    open.close().await;
    if args.json {
        output::print_json(&findings)?;
    } else {
        output::print(&table(&findings))?;
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    Ok(match worst {
        Some(Verdict::Fault) => Exit::Failed,
        _ => Exit::Done,
    })
}

/// Who works, and what waits for somebody.
async fn look(conn: &mut PgConnection, local: bool) -> Result<Vec<Finding>, LedgerError> {
    let alive = workers::list(conn).await?;
    let overview = read::overview(conn).await?;
    let others: Vec<String> = alive
        .iter()
        .filter(|worker| worker.version != env!("CARGO_PKG_VERSION"))
        .map(|worker| format!("{}:{} ({})", worker.host, worker.pid, worker.version))
        .collect();
    let at_once: i32 = alive.iter().map(|worker| worker.concurrency).sum();
    let workers = match (alive.len(), others.is_empty()) {
        (0, _) if local => Finding::good("workers", "none: `--local` brings one along"),
        (0, _) => Finding::warning(
            "workers",
            "none is alive",
            "start `worker` on any machine that reaches the database",
        ),
        (count, true) => Finding::good("workers", format!("{count}, which load {at_once} chunks at once")),
        (count, false) => Finding::warning(
            "workers",
            format!("{count}, of which some are of other versions: {}", others.join(", ")),
            "update them: what only newer workers can do waits for those",
        ),
    };
    let mut findings = vec![workers, imports(&overview), notifications(&overview)];
    // One that is missing altogether is said already.
    if !(alive.is_empty() || local) {
        findings.extend(overview.unserved.iter().map(unserved));
    }
    Ok(findings)
}

fn unserved(lane: &Lane) -> Finding {
    Finding::warning(
        "queues",
        format!("imports wait in {lane}, which no worker serves"),
        format!("start `{}`", lane.worker_command()),
    )
}

fn imports(overview: &Overview) -> Finding {
    let failed = overview.imports.iter().find(|(state, _)| *state == ImportState::Failed);
    match failed {
        Some((_, count)) if *count > 0 => Finding::warning(
            "imports",
            format!("{count} failed"),
            "see `enqueue status --state failed`, and `retry` or `cancel` them",
        ),
        _ => Finding::good(
            "imports",
            format!("none failed; {} chunks wait", overview.chunks_pending),
        ),
    }
}

fn notifications(overview: &Overview) -> Finding {
    let undelivered = overview.undelivered;
    if undelivered.oldest_s > TOLD_AFTER {
        Finding::warning(
            "notifications",
            format!(
                "{} wait, the oldest for {:.0} minutes",
                undelivered.waiting,
                undelivered.oldest_s / 60.0
            ),
            "see `enqueue status ID` for why; workers need PG_IMPORT_NOTIFY_SECRET to send",
        )
    } else {
        Finding::good("notifications", format!("{} wait", undelivered.waiting))
    }
}

/// Fits 80 columns as far as what was found does.
fn table(findings: &[Finding]) -> String {
    let mut lines = Vec::with_capacity(findings.len());
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warn",
            Verdict::Fault => "FAULT",
        };
        lines.push(format!(
            "{mark:<5}  {:<13} {}",
            finding.subject,
            output::escape(&finding.found)
        ));
        if let Some(remedy) = &finding.remedy {
            lines.push(format!("{:<20} -> {remedy}", ""));
        }
    }
    lines.join("\n")
}
