//! `enqueue doctor`, and a connection pooler that comes between.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use session::database::Duty;
use support::{Call, Finished, Held, Proc, World, orders, role::Role, until, until_true};
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

const POOLER: &str = "/usr/sbin/pgbouncer";
/// Set where its absence is a fault.
const REQUIRED: &str = "PG_IMPORT_REQUIRE_PGBOUNCER";

/// PgBouncer before a world's database, on a socket in its directory; `None` where it is not installed.
async fn pooler(world: &World, name: &str, more: &str) -> Option<(Proc, String)> {
    if !Path::new(POOLER).exists() {
        assert!(std::env::var_os(REQUIRED).is_none(), "{POOLER} is missing");
        println!("SKIPPED: {POOLER} is not installed (Debian: apt-get install pgbouncer)");
        return None;
    }
    let credentials = world.db.credentials();
    let dir = world.path(name);
    fs::create_dir(&dir).unwrap();
    // It gives up root's rights.
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let config = format!(
        "[databases]\n{0} = host={1} port={2} dbname={0} user={3} password={4}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {5}\n\
         pool_mode = transaction\nauth_type = any\n{more}\n",
        credentials.database,
        credentials.host,
        credentials.port,
        credentials.user,
        credentials.password,
        dir.display()
    );
    let config = world.file(&format!("{name}.ini"), config);
    let arguments: &[&str] = if rustix::process::geteuid().is_root() {
        &["--user", "nobody", &config]
    } else {
        &[&config]
    };
    let process = Call::new(Path::new(POOLER), world.dir(), arguments).start();
    until("the pooler listens", async || {
        process.words().contains("process up").then_some(())
    })
    .await;
    let socket = dir.display().to_string().replace('/', "%2F");
    let url = format!("postgres://{}@{socket}:6432/{}", credentials.user, credentials.database);
    Some((process, url))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_drops_the_settings_of_sessions_is_refused_with_the_reason() {
    let world = World::new().await;
    for (name, more) in [
        ("strict", ""),
        ("lax", "ignore_startup_parameters = options, extra_float_digits"),
    ] {
        let Some((_process, url)) = pooler(&world, name, more).await else {
            return;
        };
        let path = world.file("a.csv", orders("A", 10));
        for call in [
            world.worker(&[]),
            world.bare(&["-i", &path]),
            world.bare(&["status"]),
            world.bare(&["doctor"]),
        ] {
            let outcome = call.env("DATABASE_URL", &url).run().exits(1);
            let words = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(
                words.contains("a connection pooler (such as PgBouncer) is in between"),
                "{name}: {outcome:#?}"
            );
        }
    }
    until_true("nothing was stored", async || world.imports().await == 0).await;
}
