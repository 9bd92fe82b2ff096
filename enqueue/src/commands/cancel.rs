use shared::{
    cancel,
    database::Purpose,
    model::{ImportState, UndoOptions},
    store::{chunks, imports, registry},
    target::UndoTarget,
};
use sqlx::Connection as _;
use worker::ErasePreview;

use crate::{
    cli::CancelArgs,
    database::Open,
    follow::{self, Display},
    output::{self, Exit, group},
    signals::Signals,
};

pub async fn run(args: CancelArgs) -> anyhow::Result<Exit> {
    let purpose = if args.dry_run { Purpose::Look } else { Purpose::Change };
    let mut open = Open::checked(&args.connect, purpose).await?;
    let outcome = if args.dry_run {
        dry_run(&args, &open).await
    } else {
        cancel(&args, &mut open).await
    };
    open.close().await;
    outcome
}

fn options(args: &CancelArgs) -> UndoOptions {
    UndoOptions {
        keep_edited: args.keep_edited,
        cascade: args.cascade,
        trust_ids: args.trust_ids,
        ids_reused: false,
    }
}

async fn cancel(args: &CancelArgs, open: &mut Open) -> anyhow::Result<Exit> {
    let options = options(args);
    let state = open
        .patiently(async |conn| cancel::request(conn, args.id, &options, None).await)
        .await?;
    if state == ImportState::Cancelled {
        output::say(&format!(
            "import {} was cancelled before; none of its rows is left",
            args.id
        ));
        return Ok(Exit::Done);
    }
    open.start_local_worker();
    if !(args.wait || open.is_local()) {
        if args.json {
            output::print_json(&follow::status(open, args.id).await?)?;
        }
        output::say(&format!(
            "import {} is being cancelled: workers delete its rows; follow with `{}`",
            args.id,
            output::again(&format!("status {} --watch", args.id), false)
        ));
        return Ok(Exit::Done);
    }
    let mut signals = Signals::listen()?;
    let mut display = Display::new();
    let status = tokio::select! {
        status = follow::to_end(open, args.id, &mut display, None) => status?,
        never = follow::warn_when_alone(open) => match never {},
        _ = signals.next() => {
            display.finish();
            output::say("detached: the deletions go on");
            return Ok(Exit::Done);
        }
    };
    if args.json {
        output::print_json(&status)?;
    }
    output::say(&output::summary(
        &status,
        &open.psql_line(&status.target),
        open.is_local(),
    ));
    after_deletion(args, open, &status.target, status.deleted).await?;
    Ok(if status.state == ImportState::Cancelled || args.keep_edited {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Deleted rows are dead until VACUUM gives their room to new ones.
async fn after_deletion(args: &CancelArgs, open: &Open, table: &str, deleted: u64) -> anyhow::Result<()> {
    if deleted == 0 {
        return Ok(());
    }
    if !args.vacuum {
        output::say(&format!(
            "  vacuum    {} dead rows wait for autovacuum in {table} (or: VACUUM {table})",
            group(deleted)
        ));
        return Ok(());
    }
    let mut conn = open.connection().await?;
    let may_vacuum = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1)";
    if sqlx::query_scalar::<_, bool>(may_vacuum)
        .bind(table)
        .fetch_optional(&mut *conn)
        .await?
        != Some(true)
    {
        output::say(&format!(
            "  vacuum    not done: only the owner of {table} may; autovacuum will"
        ));
        return Ok(());
    }
    // The name is the catalog's own, quoted; VACUUM waits for locks as long as it must.
    sqlx::raw_sql("SET lock_timeout = 0").execute(&mut *conn).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("VACUUM {table}")))
        .execute(&mut *conn)
        .await?;
    conn.close_on_drop();
    output::say(&format!("  vacuum    done on {table}"));
    Ok(())
}

async fn dry_run(args: &CancelArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.role_connection().await?;
    let import = imports::read(&mut conn, args.id)
        .await?
        .ok_or_else(|| output::no_import(args.id))?;
    let mut options = options(args);
    cancel::check_target(&mut conn, &import, &options).await?;
    let target = UndoTarget::describe(&mut conn, &import.target, import.target_oid, &import.id_column).await?;
    let mut total = ErasePreview::default();
    let mut all_differ = 0;
    let mut tx = conn.begin().await?;
    options.ids_reused = registry::extent(&mut tx, args.id)
        .await?
        .is_some_and(|(lowest, highest)| target.stands_before(lowest, highest));
    for chunk in chunks::list_in_table(&mut tx, args.id).await? {
        let ranges = registry::read(&mut tx, chunk).await?;
        let preview = worker::preview(&mut tx, &target, &ranges, &options).await?;
        total.ids_reused |= preview.ids_reused;
        total.present += preview.present;
        total.kept += preview.kept;
        total.missing += preview.missing;
        if preview.cannot_tell {
            all_differ += preview.present;
        } else {
            total.edited += preview.edited;
        }
    }
    let would_go = total.present - total.kept;
    if args.json {
        output::print_json(&serde_json::json!({
            "import_id": args.id, "would_delete": would_go, "would_keep": total.kept, "edited": total.edited,
            "cannot_tell": all_differ, "missing": total.missing, "ids_reused": total.ids_reused,
        }))?;
        return Ok(Exit::Done);
    }
    output::print(&format!(
        "import {}: {} rows would be deleted from {}\n  edited    {} were updated since they were loaded\n  unclear   {} are in chunks of which every row differs (a rewrite of the table?): cannot tell\n  kept      {}\n  gone      {} were deleted by others already",
        args.id,
        group(would_go),
        import.target,
        group(total.edited),
        group(all_differ),
        group(total.kept),
        group(total.missing)
    ))?;
    if total.ids_reused {
        output::print(
            "  ids       the sequence was set back, altered or replaced since: rows that differ may be others', and stay unless --trust-ids is given",
        )?;
    }
    Ok(Exit::Done)
}
