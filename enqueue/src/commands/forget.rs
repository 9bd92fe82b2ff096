use session::database::Purpose;
use submit::requests;

use crate::{
    cli::ForgetArgs,
    database::Open,
    output::{self, Exit},
};

pub async fn run(args: ForgetArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Change).await?;
    let outcome = forget(&args, &open).await;
    open.close().await;
    outcome
}

async fn forget(args: &ForgetArgs, open: &Open) -> anyhow::Result<Exit> {
    let mut conn = open.connection().await?;
    let forgotten = match args.id {
        Some(id) => {
            requests::forget(&mut conn, id).await?;
            1
        }
        None => requests::forget_older(&mut conn, args.older_than.unwrap_or_default()).await?,
    };
    output::say(&format!(
        "imports forgotten: {forgotten}; their rows stay, and can no longer be undone by pg_import"
    ));
    Ok(Exit::Done)
}
