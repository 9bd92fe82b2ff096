//! The arguments of a submission that shall be like an earlier one.

use std::ffi::OsString;

use ledger::imports;
use model::ImportId;
use session::database::Purpose;
use target::UndoTarget;

use crate::{
    cli::SubmitArgs,
    database::Open,
    options::{self, Words},
    output,
};

/// What the import `id` would have to be given, and then what this command was given, which has the last word.
pub async fn arguments(args: &SubmitArgs, id: ImportId) -> anyhow::Result<Vec<OsString>> {
    let open = Open::checked(&args.connect, Purpose::Look).await?;
    let words = words_of(args, &open, id).await;
    open.close().await;
    let mut given = std::env::args_os();
    let program = given.next().into_iter();
    let words = words?.into_iter().map(OsString::from);
    Ok(program.chain(words).chain(given).collect())
}

async fn words_of(args: &SubmitArgs, open: &Open, id: ImportId) -> anyhow::Result<Vec<String>> {
    let mut conn = open.connection().await?;
    let import = imports::read(&mut conn, id)
        .await?
        .ok_or_else(|| output::no_import(id))?;
    let spec = import.spec()?;
    let target = UndoTarget::describe(&mut conn, &import.target, import.target_oid).await?;
    let mut words = Words::default();
    words.option("--table", &target.name);
    options::of_spec(&mut words, spec);
    if !args.mapping.says_fields() {
        options::of_fields(&mut words, &spec.mapping, &spec.format);
    }
    Ok(words.into_vec())
}
