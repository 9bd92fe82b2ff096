use std::{io::IsTerminal as _, sync::Mutex};

use indicatif::HumanBytes;
use ledger::{imports, read::ImportStatus};
use model::{CompletionSpec, ImportId, ImportState, LoadSpec, RejectsSpec, Replace, Share, SplitSpec, UndoSpec};
use source::Source;
use submit::{
    requests,
    submission::{Event, KeyChoice, Progress, Request, Submission, Submitted},
};
use worker::notify::{SECRET_FILE, SECRET_VARIABLE};

use crate::{
    cli::SubmitArgs,
    commands::{check, create},
    database::Open,
    follow::{self, Display},
    hints, inputs,
    output::{self, Exit, group},
    signals::{Asked, Signals},
};

/// **Bytes** at which a chunk closes, whatever its records: what a worker holds several times over.
const CHUNK_BYTES: usize = 8 << 20;

pub async fn run(args: SubmitArgs) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let mut open = Open::find(&args.connect).await?;
    if !(args.check || args.create.dry_run) {
        open.start_local_worker(Some(&args.queue)).await;
    }
    let outcome = match args.notify() {
        Ok(Some(_)) if open.cannot_notify() => Err(anyhow::anyhow!(
            "--notify: the worker of --local has no secret to sign with: set {SECRET_VARIABLE}, or write it into the staging's file {SECRET_FILE}"
        )),
        _ => submit_inputs(&args, &open, &mut signals).await,
    };
    open.close().await;
    outcome
}

async fn submit_inputs(args: &SubmitArgs, open: &Open, signals: &mut Signals) -> anyhow::Result<Exit> {
    if args.input.iter().all(|input| input.as_os_str() == "-") {
        return submit(args, vec![Source::StandardInput], open, signals).await;
    }
    let sources = tokio::select! {
        found = inputs::find(&args.input, args.by_reference) => found?,
        _ = signals.next() => {
            output::say("interrupted: nothing was stored");
            return Ok(Exit::Cancelled);
        }
    };
    if sources.is_empty() && !args.each {
        let named: Vec<String> = args.input.iter().map(|input| input.display().to_string()).collect();
        anyhow::bail!("no file to load: there is none in {}", named.join(", "));
    }
    if args.each {
        return submit_each(args, sources, open, signals).await;
    }
    submit(args, sources, open, signals).await
}

/// One import after the other. What cannot be submitted is said, and keeps no other from it.
async fn submit_each(
    args: &SubmitArgs,
    sources: Vec<Source>,
    open: &Open,
    signals: &mut Signals,
) -> anyhow::Result<Exit> {
    // An inbox is empty most of the time.
    if sources.is_empty() {
        output::say("no file to load");
    }
    let mut outcome = Exit::Done;
    for source in sources {
        let name = match &source {
            Source::File(path) => path.display().to_string(),
            other => other.describe(),
        };
        output::say(&name);
        let exit = match submit(args, vec![source], open, signals).await {
            // A person wants to stop.
            Ok(Exit::Cancelled) => return Ok(Exit::Cancelled),
            Ok(exit) => exit,
            Err(error) if output::is_broken_pipe(&error) => return Err(error),
            Err(error) => {
                hints::complain(error.as_ref());
                Exit::Failed
            }
        };
        outcome = outcome.worse(exit);
    }
    Ok(outcome)
}

async fn submit(args: &SubmitArgs, sources: Vec<Source>, open: &Open, signals: &mut Signals) -> anyhow::Result<Exit> {
    let progress = Progress::default();
    let display = Mutex::new(Display::new());
    let local = open.is_local();
    let observe = |event: Event| {
        if let Ok(display) = display.lock() {
            display.say(&describe(&event, local));
        }
    };
    let submission = Submission::new(open.hosts(), open.name.clone(), &progress, &observe).sharing(open.pool.clone());
    let request = request(args, sources);
    if args.check || args.create.dry_run {
        return tokio::select! {
            exit = look(args, &submission, &request) => exit,
            _ = signals.next() => {
                output::say("interrupted: nothing was stored");
                Ok(Exit::Cancelled)
            }
        };
    }
    // In a pipe, only those who follow it want to hear of it.
    let follows = args.wait || local;
    let shows = follows || std::io::stderr().is_terminal();
    let submitted = tokio::select! {
        submitted = begin(args, &submission, &request) => submitted,
        never = follow::while_reading(open, &progress, &display), if shows => match never {},
        asked = signals.next() => {
            drop(submission);
            finish(&display);
            return interrupted(args, open, signals, asked, &progress).await;
        }
    };
    let submitted = match submitted {
        Ok(submitted) => submitted,
        Err(error) => {
            finish(&display);
            return stopped(args, open, &progress, error).await;
        }
    };
    if !follows {
        finish(&display);
        return answer_so_far(args, open, submitted.import).await;
    }
    let mut display = display.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tokio::select! {
        status = follow::to_end(open, submitted.import, &mut display, Some(&progress)) => answer(args, open, &status?, true),
        never = follow::warn_when_alone(open, submitted.import) => match never {},
        asked = signals.next() => {
            display.finish();
            match (asked, submitted.own) {
                (Asked::Interrupt, true) => return undo(args, open, signals, submitted.import).await,
                _ => output::say(&format!("detached: import {} goes on", submitted.import)),
            }
            answer_so_far(args, open, submitted.import).await
        }
    }
}

fn finish(display: &Mutex<Display>) {
    if let Ok(display) = display.lock() {
        display.finish();
    }
}

/// Says what would come of it, and leaves no trace.
async fn look(args: &SubmitArgs, submission: &Submission<'_>, request: &Request) -> anyhow::Result<Exit> {
    if args.create.dry_run {
        create::show(&args.create, submission, request).await
    } else {
        check::run(submission.check(request).await?).await
    }
}

/// Until the import needs neither the source nor this process any more.
pub async fn begin(args: &SubmitArgs, submission: &Submission<'_>, request: &Request) -> anyhow::Result<Submitted> {
    if args.create.create_table {
        create::run(&args.create, submission, request).await
    } else {
        Ok(submission.run(request).await?)
    }
}

/// What the arguments ask for.
pub fn request(args: &SubmitArgs, sources: Vec<Source>) -> Request {
    let key = match &args.key {
        Some(key) => KeyChoice::Given(key.clone()),
        None if args.force => KeyChoice::Force,
        None => KeyChoice::Content,
    };
    Request {
        sources,
        by_reference: args.by_reference,
        table: args.table.clone(),
        columns: args.mapping.columns.clone().map(|names| names.0),
        mapping: args.mapping.request(),
        text: args.format.text(),
        format: args.format.format(args.mapping.columns.is_some()),
        find_delimiter: args.format.finds_delimiter(),
        values: args.values.values(),
        split: SplitSpec {
            chunk_rows: args.chunk_rows,
            chunk_bytes: CHUNK_BYTES,
            max_record: usize::try_from(args.max_record).unwrap_or(usize::MAX),
        },
        load: LoadSpec {
            method: args.load_method.into(),
        },
        identity: args.identity.into(),
        conflict: args.conflict.request(),
        rejects: RejectsSpec {
            max: args.max_rejects,
            all_or_nothing: args.all_or_nothing,
        },
        completion: CompletionSpec {
            replace: match (args.replace, args.replace_anyway) {
                (false, _) => Replace::Never,
                (true, false) => Replace::WithoutRejects,
                (true, true) => Replace::WithRows,
            },
        },
        key,
        share: Share {
            priority: args.priority,
            max_parallel: args.max_parallel,
        },
        queue: args.queue.clone(),
        max_pending: args.max_pending,
        // It was looked at with the other arguments.
        notify: args.notify().ok().flatten(),
    }
}

fn describe(event: &Event, local: bool) -> String {
    use submit::intake::Notice;
    match event {
        Event::Intake(Notice::WaitsForWorkers { pending_bytes }) => format!(
            "{} wait for workers: reading pauses until they catch up",
            HumanBytes(*pending_bytes)
        ),
        Event::Intake(Notice::NoWorkerAlive { pending_bytes, lane }) => {
            format!("{} wait, and {}", HumanBytes(*pending_bytes), output::no_worker(lane))
        }
        Event::Intake(Notice::Waits(absence)) => absence.describe().to_owned(),
        Event::Existing { import, state } => {
            format!("the same rows were submitted before, as import {import} ({state}); --force loads them again")
        }
        Event::ReplacesNothing { import } => format!(
            "import {import} was submitted without --replace, and is not loaded again: nothing is replaced; --force does both"
        ),
        Event::NotNotified { import, reason } => format!("--notify: import {import} is not told of: {reason}"),
        Event::Following { import } => {
            format!("another process submits the same file as import {import}: waiting for it")
        }
        Event::TakenOver { import } => {
            format!("the process that submitted import {import} is gone: going on in its place")
        }
        Event::WaitsForCancel { import } => {
            format!("import {import} of the same rows is being cancelled: waiting for it")
        }
        Event::TableExists { table } => format!("the table {table} exists: it is loaded as it is"),
        Event::TableMade { table } => format!("the table {table} was made"),
        Event::FoundDelimiter(delimiter) => {
            let delimiter = output::delimiter(*delimiter);
            format!("the delimiter is {delimiter}, by the first records")
        }
        Event::AbsentKeys(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("'{}'", output::escape(key))).collect();
            format!(
                "no object at the beginning of the source has the key {}: its column is NULL where the key is missing",
                keys.join(", ")
            )
        }
        Event::SplitByWorkers => "workers split it, and read it where it is".to_owned(),
        Event::SplitHere { why } => {
            format!("the source is read and split here, for {why}; workers read it once more to load it")
        }
        Event::Empty => "the source has no records: nothing is loaded".to_owned(),
        Event::Superseded { import } => format!(
            "the file changed since import {import} of it was interrupted; undo what that one loaded with `{}`",
            output::again(&format!("cancel {import}"), local)
        ),
    }
}

/// The last word to who does not wait for the end.
async fn answer_so_far(args: &SubmitArgs, open: &Open, import: ImportId) -> anyhow::Result<Exit> {
    let loads = |state| matches!(state, Some(ImportState::Splitting | ImportState::Loading));
    // Its id is all that there is to say, and to add up more costs a server with many submissions what they cost.
    if !args.json && loads(open.patiently(async |conn| imports::state(conn, import).await).await?) {
        output::print(&import.to_string())?;
        return Ok(Exit::Done);
    }
    answer(args, open, &follow::status(open, import).await?, false)
}

/// The last word: the id or JSON on stdout, and for those who waited a summary on stderr.
fn answer(args: &SubmitArgs, open: &Open, status: &ImportStatus, followed: bool) -> anyhow::Result<Exit> {
    if followed {
        output::say(&open.summary(status));
        if args.replace && !args.replace_anyway && status.state == ImportState::Loaded && status.rejected > 0 {
            output::say(
                "records were rejected: the table's earlier imports stay; --replace-anyway replaces them all the same",
            );
        }
    }
    print(args, status)?;
    Ok(Exit::of(status))
}

fn print(args: &SubmitArgs, status: &ImportStatus) -> anyhow::Result<()> {
    if args.json {
        output::print_json(status)
    } else {
        Ok(output::print(&status.import_id.to_string())?)
    }
}

/// A submission that could not go on. When it was cancelled meanwhile, that is the answer; else the error is.
async fn stopped(args: &SubmitArgs, open: &Open, progress: &Progress, error: anyhow::Error) -> anyhow::Result<Exit> {
    let Some(&import) = progress.own_import.get() else {
        return Err(error);
    };
    let Ok(status) = follow::status(open, import).await else {
        return Err(error);
    };
    print(args, &status)?;
    match status.state {
        ImportState::Cancelling | ImportState::Cancelled | ImportState::Kept => {
            output::say(&format!("import {import} was cancelled while it was submitted"));
            Ok(Exit::Cancelled)
        }
        ImportState::Failed => {
            hints::complain(error.as_ref());
            output::say(&format!(
                "import {import} failed with {} rows loaded; undo them with `{}`",
                group(status.loaded),
                output::again(&format!("cancel {import}"), open.is_local())
            ));
            Ok(Exit::Failed)
        }
        _ => Err(error),
    }
}

/// A signal before every chunk was stored.
async fn interrupted(
    args: &SubmitArgs,
    open: &Open,
    signals: &mut Signals,
    asked: Asked,
    progress: &Progress,
) -> anyhow::Result<Exit> {
    let Some(&import) = progress.own_import.get() else {
        output::say("interrupted: nothing was stored");
        return Ok(Exit::Cancelled);
    };
    match asked {
        Asked::Interrupt => undo(args, open, signals, import).await,
        Asked::Detach => {
            let status = follow::status(open, import).await?;
            print(args, &status)?;
            if status.state != ImportState::Splitting {
                // The last chunk was stored in the same moment.
                output::say(&format!("detached: import {import} goes on"));
                return Ok(Exit::of(&status));
            }
            output::say(&format!(
                "stopped while import {import} was being read: the same command goes on with a file; a stream, or a file with --force, is undone within a minute"
            ));
            Ok(Exit::Failed)
        }
    }
}

/// Ctrl+C: cancels one's own import and follows its deletions; once more, and what is left stays.
async fn undo(args: &SubmitArgs, open: &Open, signals: &mut Signals, import: ImportId) -> anyhow::Result<Exit> {
    output::say(&format!(
        "cancelling import {import}: its rows are being deleted (Ctrl+C again keeps what is left)"
    ));
    let reason = Some("cancelled by Ctrl+C");
    open.patiently(async |conn| requests::cancel(conn, import, UndoSpec::default(), reason).await)
        .await?;
    let mut display = Display::new();
    tokio::select! {
        status = follow::to_end(open, import, &mut display, None) => { status?; }
        never = follow::warn_when_alone(open, import) => match never {},
        asked = signals.next() => {
            display.finish();
            if asked == Asked::Interrupt {
                open.patiently(async |conn| requests::keep(conn, import).await).await?;
            }
        }
    }
    let status = follow::status(open, import).await?;
    print(args, &status)?;
    output::say(&format!(
        "import {import}: {}; {} rows deleted, {} remain",
        status.state,
        group(status.deleted),
        group(status.remaining())
    ));
    Ok(Exit::Cancelled)
}
