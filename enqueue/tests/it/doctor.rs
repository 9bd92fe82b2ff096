//! `enqueue doctor`.

use crate::support::{Finished, Held, World, role::Role};
use serde_json::Value;
use session::database::Duty;
use testkit::TestServer;

/// What was found of a subject: each verdict with its words.
fn found(doctor: &Finished, subject: &str) -> Vec<(String, String)> {
    let findings: Vec<Value> = serde_json::from_str(&doctor.stdout).expect("JSON");
    let of_subject = findings.iter().filter(|finding| finding["subject"] == subject);
    of_subject
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
            (text("verdict"), format!("{}; {}", text("found"), text("remedy")))
        })
        .collect()
}

#[track_caller]
fn assert_found(doctor: &Finished, subject: &str, verdict: &str, words: &str) {
    let found = found(doctor, subject);
    assert!(
        found.iter().any(|(is, says)| is == verdict && says.contains(words)),
        "no {verdict} '{words}' in {found:?}: {doctor:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_should_be_is_good_and_what_is_not_says_what_to_do() {
    let server = TestServer::start().await;
    let world = World::on(&server).await;
    let doctor = |arguments: &[&str]| world.enqueue(&[&["doctor", "--json"], arguments].concat()).run();
    let first = doctor(&[]).exits(0);
    for subject in [
        "connection",
        "encryption",
        "version",
        "clock",
        "sessions",
        "transactions",
        "schema",
        "privileges",
        "imports",
    ] {
        assert_found(&first, subject, "good", "");
    }
    // The tests' server does without.
    assert_found(&first, "durability", "warning", "off: fsync");
    assert_found(&first, "workers", "warning", "none is alive; start `worker`");
    let text = world.enqueue(&["doctor"]).run().exits(0);
    assert!(
        text.stdout.contains("ok     connection") && text.stdout.contains("-> start `worker`"),
        "{text:#?}"
    );
    assert!(text.stdout.lines().all(|line| line.chars().count() < 140), "{text:#?}");

    let worker = world.worker(&[]).start();
    world.until_some("pgimport.worker").await;
    assert_found(&doctor(&[]).exits(0), "workers", "good", "1, which load");
    drop(worker);
    world.execute("INSERT INTO pgimport.import (state, source, resumable, target, target_oid, id_column, columns, options, submitter, lease_until, ended_at)
        VALUES ('failed', 'x', false, 'public.t', 1, '', '{}', '{}', 'x', now(), now())").await;
    assert_found(
        &doctor(&[]).exits(0),
        "imports",
        "warning",
        "1 failed; see `enqueue status --state failed`",
    );
    // A transaction of long ago.
    let held = Held::take(&world, "LOCK TABLE public.sale_order IN ACCESS SHARE MODE").await;
    assert_found(&doctor(&[]).exits(0), "transactions", "good", "none is open for long");
    held.release().await;
    world
        .execute("ALTER SYSTEM SET superuser_reserved_connections = 290")
        .await;
    server.restart(local_server::ShutdownMode::Fast).await;
    assert_found(&doctor(&[]).exits(0), "sessions", "warning", "raise max_connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_and_what_is_missing_is_named() {
    let world = World::new().await;
    let role = Role::new(&world, "").await;
    let doctor = |role: &Role| role.run(world.enqueue(&["doctor", "--json"])).run();
    let nothing = doctor(&role).exits(1);
    assert_found(&nothing, "schema", "fault", "GRANT USAGE ON SCHEMA pgimport");
    for grant in role.grants(Duty::Monitor.privileges()) {
        world.execute(&grant).await;
    }
    let looks = doctor(&role).exits(0);
    assert_found(&looks, "privileges", "good", "may look");
    assert_found(&looks, "privileges", "warning", "it may not submit");
    for grant in role.submitter_grants() {
        world.execute(&grant).await;
    }
    let submits = doctor(&role).exits(0);
    assert_found(&submits, "privileges", "good", "may look, submit");
    assert_eq!(found(&submits, "privileges").len(), 1, "{submits:#?}");
    // Nothing there, or nobody.
    let database = &world.db.credentials().database;
    world.execute("CREATE DATABASE unmigrated").await;
    let empty = world.db.url().replace(database.as_str(), "unmigrated");
    let empty = world
        .bare(&["doctor", "--json"])
        .env("DATABASE_URL", empty)
        .run()
        .exits(1);
    assert_found(&empty, "schema", "fault", "run `enqueue migrate`");
    let nobody = world
        .bare(&["doctor", "--json"])
        .env("DATABASE_URL", "postgres://u:s3cret@127.0.0.1:1/d")
        .run()
        .exits(1);
    assert_found(&nobody, "connection", "fault", "cannot reach the database");
    assert!(!format!("{nobody:?}").contains("s3cret"));
    world.execute("DROP DATABASE unmigrated").await;
}
