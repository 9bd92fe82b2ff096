use session::database;

use crate::{
    cli::MigrateArgs,
    database::Open,
    output::{self, Exit},
};

pub async fn run(args: MigrateArgs) -> anyhow::Result<Exit> {
    let open = Open::find(&args.connect).await?;
    let migrated = database::migrate(open.options()).await;
    let place = database::place(open.options());
    open.close().await;
    migrated?;
    output::say(&format!("the database {place} is up to date"));
    Ok(Exit::Done)
}
