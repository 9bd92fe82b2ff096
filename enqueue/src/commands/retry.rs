use session::database::Purpose;
use submit::requests;

use crate::{
    cli::RetryArgs,
    database::Open,
    follow::{self, Display},
    output::{self, Exit},
};

pub async fn run(args: RetryArgs) -> anyhow::Result<Exit> {
    let mut open = Open::checked(&args.connect, Purpose::Change).await?;
    let outcome = retry_and_follow(&args, &mut open).await;
    open.close().await;
    outcome
}

async fn retry_and_follow(args: &RetryArgs, open: &mut Open) -> anyhow::Result<Exit> {
    let chunks = open
        .pool
        .within(async |conn| requests::retry(conn, args.id).await)
        .await?;
    output::say(&format!("import {}: {chunks} failed chunks are open again", args.id));
    open.start_local_worker(None).await;
    if !(args.wait || open.is_local()) {
        return Ok(Exit::Done);
    }
    let mut display = Display::new();
    let status = tokio::select! {
        status = follow::to_end(open, args.id, &mut display, None) => status?,
        never = follow::warn_when_alone(open, args.id) => match never {},
    };
    output::say(&open.summary(&status));
    Ok(Exit::of(&status))
}
