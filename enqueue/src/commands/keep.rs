use session::database::Purpose;
use submit::requests;

use crate::{
    cli::ImportArgs,
    database::Open,
    follow,
    output::{self, Exit},
};

pub async fn run(args: ImportArgs) -> anyhow::Result<Exit> {
    let open = Open::checked(&args.connect, Purpose::Change).await?;
    let kept = open.patiently(async |conn| requests::keep(conn, args.id).await).await;
    let status = follow::status(&open, args.id).await;
    open.close().await;
    kept?;
    let status = status?;
    output::say(&format!(
        "import {}: {}; {} rows deleted, {} remain",
        args.id,
        status.state,
        output::group(status.deleted),
        output::group(status.remaining())
    ));
    Ok(Exit::Done)
}
