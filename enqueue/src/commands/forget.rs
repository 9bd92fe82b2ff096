use session::database::Purpose;
use sqlx::PgConnection;
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
    let forget = async |conn: &mut PgConnection| match args.id {
        Some(id) => requests::forget(conn, id).await.map(|()| 1),
        None => requests::forget_older(conn, args.older_than.unwrap_or_default()).await,
    };
    let forgotten = open.pool.within(forget).await?;
    output::say(&format!(
        "imports forgotten: {forgotten}; their rows stay, and can no longer be undone by pg_import"
    ));
    Ok(Exit::Done)
}
