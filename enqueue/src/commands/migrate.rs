use session::database::{self, Duty};

use crate::{
    cli::MigrateArgs,
    database::Open,
    output::{self, Exit},
};

pub async fn run(args: MigrateArgs) -> anyhow::Result<Exit> {
    let open = Open::find(&args.connect).await?;
    let roles: Vec<(Duty, String)> = [
        (Duty::Submitter, &args.grant_submitter),
        (Duty::Worker, &args.grant_worker),
        (Duty::Monitor, &args.grant_monitor),
    ]
    .into_iter()
    .flat_map(|(duty, roles)| roles.iter().map(move |role| (duty, role.clone())))
    .collect();
    let mut migrated = database::migrate(open.hosts()).await;
    if migrated.is_ok() && !roles.is_empty() {
        migrated = database::grant(open.hosts(), &roles).await;
    }
    let place = database::place(open.hosts());
    open.close().await;
    migrated?;
    output::say(&format!("the database {place} is up to date"));
    for (duty, role) in roles {
        let does = match duty {
            Duty::Submitter => "submit",
            Duty::Worker => "work",
            Duty::Monitor => "look",
        };
        output::say(&format!("the role {} may {does}", output::escape(&role)));
    }
    Ok(Exit::Done)
}
