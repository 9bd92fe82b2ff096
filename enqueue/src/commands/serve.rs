mod submitter;

use std::sync::Arc;

use anyhow::Context as _;
use serve::{ServeConfig, Server, Tokens};
use tokio_util::sync::CancellationToken;

use crate::{cli::ServeArgs, database::Open, output::Exit, signals::Signals};

/// The token of whoever has no name.
const TOKEN_VARIABLE: &str = "PG_IMPORT_HTTP_TOKEN";
/// The staging's file with those of others.
const TOKENS_FILE: &str = ".http.tokens";

pub async fn run(args: ServeArgs) -> anyhow::Result<Exit> {
    let tokens = tokens(&args)?;
    if args.require_token && tokens.is_empty() {
        anyhow::bail!(
            "--require-token, but there is no token: set {TOKEN_VARIABLE}, or write name:token into the staging's file {TOKENS_FILE}"
        );
    }
    let mut open = Open::find(&args.connect).await?;
    open.start_local_worker(None).await;
    let outcome = serve(&args, &open, tokens).await;
    open.close().await;
    outcome
}

async fn serve(args: &ServeArgs, open: &Open, tokens: Tokens) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    let acts = match (tokens.is_empty(), args.require_token) {
        (true, _) => format!("it only shows: set {TOKEN_VARIABLE} to act from it"),
        (false, true) => "reading and acting take a token".to_owned(),
        (false, false) => "anybody who reaches it may read, acting takes a token".to_owned(),
    };
    let server = Server::bind(ServeConfig {
        listen: args.listen,
        prefix: args.path_prefix.clone(),
        tokens,
        private: args.require_token,
        behind_proxy: args.behind_proxy,
        connect: open.hosts().clone(),
        name: open.name.clone(),
        submitter: Some(Arc::new(submitter::Uploads {
            connect: open.hosts().clone(),
        })),
    })
    .await?;
    tracing::info!("listening on http://{}{}/ ({acts})", server.address(), args.path_prefix);
    let stop = CancellationToken::new();
    let serving = server.run(&stop);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended?,
        _ = signals.next() => {
            stop.cancel();
            // What was begun is finished, unless somebody is in a hurry.
            tokio::select! {
                ended = &mut serving => ended?,
                _ = signals.next() => {}
            }
        }
    }
    Ok(Exit::Done)
}

/// Who may act: of the environment, and of the staging.
fn tokens(args: &ServeArgs) -> anyhow::Result<Tokens> {
    let of_variable = match std::env::var(TOKEN_VARIABLE) {
        Ok(secret) if !secret.trim().is_empty() => Tokens::one(&secret).context(TOKEN_VARIABLE)?,
        Ok(_) | Err(std::env::VarError::NotPresent) => Tokens::default(),
        Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("{TOKEN_VARIABLE} is not valid UTF-8"),
    };
    let of_file = match args.connect.staging_file(TOKENS_FILE)? {
        Some((path, text)) => Tokens::parse(&text).with_context(|| path.display().to_string())?,
        None => Tokens::default(),
    };
    Ok(of_variable.and(of_file)?)
}
