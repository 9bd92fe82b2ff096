use shared::{database::Purpose, store::imports};

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
    let chosen = match (args.id, args.older_than) {
        (Some(id), _) => vec![id],
        (None, age) => imports::ended_before(&mut conn, age.unwrap_or_default()).await?,
    };
    let mut forgotten = 0_u64;
    for import in chosen {
        let done = imports::forget(&mut conn, import).await?;
        if !done && args.id.is_some() {
            return match imports::state(&mut conn, import).await? {
                None => Err(output::no_import(import)),
                Some(state) => {
                    anyhow::bail!(
                        "import {import} is {state}: only an import that ended can be forgotten; cancel it, or wait"
                    )
                }
            };
        }
        forgotten += u64::from(done);
    }
    output::say(&format!(
        "imports forgotten: {forgotten}; their rows stay, and can no longer be undone by pg_import"
    ));
    Ok(Exit::Done)
}
