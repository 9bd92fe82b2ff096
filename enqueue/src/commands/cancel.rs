use model::{ImportState, UndoSpec};
use session::database::Purpose;
use submit::requests;

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

fn undo(args: &CancelArgs) -> UndoSpec {
    UndoSpec {
        include_edited: args.include_edited || args.trust_ids,
        cascade: args.cascade,
    }
}

async fn cancel(args: &CancelArgs, open: &mut Open) -> anyhow::Result<Exit> {
    let undo = undo(args);
    let asked = open
        .patiently(async |conn| requests::cancel(conn, args.id, undo, None).await)
        .await?;
    if asked.state == ImportState::Cancelled {
        output::say(&format!(
            "import {} was cancelled before; none of its rows is left",
            args.id
        ));
        return Ok(Exit::Done);
    }
    open.start_local_worker(None).await;
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
        never = follow::warn_when_alone(open, args.id) => match never {},
        _ = signals.next() => {
            display.finish();
            output::say("detached: the deletions go on");
            return Ok(Exit::Done);
        }
    };
    if args.json {
        output::print_json(&status)?;
    }
    output::say(&open.summary(&status));
    after_deletion(args, open, &status.target, status.deleted + status.restored).await?;
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
    let shown = output::escape(table);
    if !args.vacuum {
        output::say(&format!(
            "  vacuum    {} dead rows wait for autovacuum in {shown} (or: VACUUM {shown})",
            group(deleted)
        ));
        return Ok(());
    }
    let mut conn = open.connection().await?;
    if !conn.is_whole() {
        output::say(
            "  vacuum    not done: a connection pooler is in between, and VACUUM is no part of a transaction; autovacuum will",
        );
        return Ok(());
    }
    let may_vacuum = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1)";
    if sqlx::query_scalar::<_, bool>(may_vacuum)
        .bind(table)
        .fetch_optional(&mut *conn)
        .await?
        != Some(true)
    {
        output::say(&format!(
            "  vacuum    not done: only the owner of {shown} may; autovacuum will"
        ));
        return Ok(());
    }
    // The name is the catalog's own, quoted; VACUUM waits for locks as long as it must.
    sqlx::raw_sql("SET lock_timeout = 0").execute(&mut *conn).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("VACUUM {table}")))
        .execute(&mut *conn)
        .await?;
    conn.discard();
    output::say(&format!("  vacuum    done on {shown}"));
    Ok(())
}

async fn dry_run(args: &CancelArgs, open: &Open) -> anyhow::Result<Exit> {
    let preview = worker::preview(&mut *open.role_connection().await?, args.id, undo(args)).await?;
    if args.json {
        output::print_json(&preview)?;
        return Ok(Exit::Done);
    }
    output::print(&format!(
        "import {}: {} rows would be deleted from {}{}{}
  kept      {} are not as they were loaded, and would stay
  edited    {} are not as they were loaded: edited since, or somebody else's
  unclear   {} of which nobody can tell: without ids, or where every row of a chunk differs, as after a rewrite of the table
  gone      {} were deleted by others already",
        args.id,
        group(preview.would_delete),
        output::escape(&preview.target),
        if preview.would_restore > 0 {
            format!("\n  restored  {} would get their former values back", group(preview.would_restore))
        } else {
            String::new()
        },
        if preview.would_return > 0 {
            format!("\n  returned  {} that the source did not have would be put back", group(preview.would_return))
        } else {
            String::new()
        },
        group(preview.would_keep),
        group(preview.edited),
        group(preview.cannot_tell),
        group(preview.missing)
    ))?;
    Ok(Exit::Done)
}
