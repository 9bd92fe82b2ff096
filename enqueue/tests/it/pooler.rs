//! PgBouncer in transaction mode, as it is set by default: whatever is no worker goes through it.
//!
//! It has two sessions with the server for all clients, so that each client meets what others left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::support::{
    Call, DEADLINE, Proc, World, assert_json, orders,
    page::{Answer, TOKEN},
    pooler::Pooler,
    until, until_true,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions};
use testkit::TestServer;

const FEW: &str = "default_pool_size = 2";
/// PgBouncer that drops what it does not know, where it would refuse it.
const LAX: &str = "default_pool_size = 2\nignore_startup_parameters = options, extra_float_digits";

/// `enqueue`, by way of the pooler.
fn through(world: &World, pooler: &Pooler, arguments: &[&str]) -> Call {
    world.bare(arguments).env("DATABASE_URL", &pooler.url)
}

/// Has the role's own settings be none that ours count on, and writes down which are in force whenever the ledger changes.
async fn set_traps(world: &World) {
    let database = &world.db.credentials().database;
    for (name, value) in [
        ("search_path", "public, pg_catalog"),
        ("synchronous_commit", "off"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("timezone", "'Asia/Tokyo'"),
        ("default_transaction_isolation", "serializable"),
    ] {
        world
            .execute(&format!("ALTER DATABASE {database} SET {name} = {value}"))
            .await;
    }
    world
        .execute(
            "CREATE TABLE public.seen (client text, pid int, settings text);
             CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.seen SELECT current_setting('application_name'), pg_backend_pid(), concat_ws(' ',
                     current_setting('search_path'), current_setting('synchronous_commit'), current_setting('lock_timeout'),
                     current_setting('idle_in_transaction_session_timeout'), current_setting('timezone'),
                     current_setting('transaction_isolation'));
                 RETURN NULL;
             END $$;
             CREATE TRIGGER see AFTER INSERT OR UPDATE ON pgimport.import FOR EACH STATEMENT EXECUTE FUNCTION public.see();
             CREATE TRIGGER see AFTER INSERT ON pgimport.import_chunk FOR EACH STATEMENT EXECUTE FUNCTION public.see();
             CREATE TRIGGER see AFTER INSERT ON pgimport.audit FOR EACH STATEMENT EXECUTE FUNCTION public.see()",
        )
        .await;
}

/// Each change by a client of the pooler was made under our settings.
async fn assert_settings(world: &World) {
    let seen = world
        .texts("SELECT DISTINCT settings FROM public.seen WHERE client NOT LIKE 'pg_import-worker%'")
        .await;
    assert!(!seen.is_empty());
    for settings in seen {
        // A person's request waits longer for a lock; who takes a submission's key may idle for less.
        let is_ours = [("2s", "10s"), ("14s", "10s"), ("2s", "4s")]
            .iter()
            .any(|(lock, idle)| settings == format!("pg_catalog,pg_temp on {lock} {idle} UTC read committed"));
        assert!(is_ours, "{settings}");
    }
}

/// The same, and the server's sessions were those of several clients in turn.
async fn assert_traps_caught_nobody(world: &World) {
    assert_settings(world).await;
    let pairs = world
        .texts("SELECT DISTINCT pid || ' ' || client FROM public.seen WHERE client NOT LIKE 'pg_import-worker%'")
        .await;
    let mut clients = BTreeMap::<&str, BTreeSet<&str>>::new();
    for pair in &pairs {
        let (pid, client) = pair.split_once(' ').unwrap();
        clients.entry(pid).or_default().insert(client);
    }
    assert!(clients.values().any(|clients| clients.len() > 1), "{clients:?}");
}

/// A connection to the pooler, of a client that sends simple messages alone.
async fn connect(pooler: &Pooler) -> PgConnection {
    let options: PgConnectOptions = pooler.url.parse().unwrap();
    options.extra_float_digits(None).connect().await.unwrap()
}

/// The server's sessions are left as they were: without statements of ours, and with the settings that they began with.
async fn assert_left_in_order(pooler: &Pooler) {
    let mut clients = Vec::new();
    let mut pids = BTreeSet::new();
    for _ in 0..2 {
        let mut client = connect(pooler).await;
        // Held, so that the next one has the other.
        sqlx::raw_sql("BEGIN").execute(&mut client).await.unwrap();
        let row = sqlx::raw_sql(
            "SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements), current_setting('search_path'),
                 (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
        )
        .fetch_one(&mut client)
        .await
        .unwrap();
        pids.insert(row.get::<i32, _>(0));
        assert_eq!((row.get::<i64, _>(1), row.get::<i64, _>(3)), (0, 0));
        assert_eq!(row.get::<String, _>(2), "public, pg_catalog");
        clients.push(client);
    }
    assert_eq!(pids.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_at_once_and_whoever_looks_share_two_sessions() {
    for (name, more) in [("strict", FEW), ("lax", LAX)] {
        let server = TestServer::start().await;
        let world = World::on(&server).await;
        set_traps(&world).await;
        let Some(pooler) = Pooler::start(&world, name, more).await else {
            return;
        };
        let worker = world.worker(&[]).start();
        let mut submitters: Vec<Proc> = Vec::new();
        for shop in ["A", "B", "C", "D", "E"] {
            let path = world.file(&format!("{shop}.csv"), orders(shop, 3_000));
            let arguments = ["-i", &path, "--chunk-rows", "50", "--max-pending", "64K", "--wait"];
            submitters.push(through(&world, &pooler, &arguments).start());
        }
        let mut looked = 0;
        while submitters.iter_mut().any(|submitter| submitter.ended().is_none()) {
            through(&world, &pooler, &["status"]).start().finished().await.exits(0);
            looked += 1;
        }
        assert!(looked > 0);
        for submitter in submitters {
            let id = submitter.finished().await.exits(0).id();
            let status = through(&world, &pooler, &["status", &id.to_string(), "--json"]);
            let status = status.start().finished().await.exits(0).json();
            assert_json(&status, &json!({"state": "loaded", "loaded": 3_000, "rejected": 0}));
        }
        assert_eq!(world.sale_orders().await, 15_000);
        world.assert_tidy().await;
        assert_traps_caught_nobody(&world).await;
        assert_left_in_order(&pooler).await;
        assert!(!pooler.words().contains("prepared statement"), "{}", pooler.words());
        assert!(!server.log().contains("prepared statement \"sqlx"), "{}", server.log());
        drop(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_of_an_import_is_asked_through_it() {
    let world = World::new().await;
    set_traps(&world).await;
    let Some(pooler) = Pooler::start(&world, "pooler", FEW).await else {
        return;
    };
    let run = async |arguments: &[&str]| through(&world, &pooler, arguments).start().finished().await;
    let worker = world.worker(&[]).start();
    let first = world.file("a.csv", orders("A", 500));
    let id = run(&["-i", &first, "--chunk-rows", "100", "--wait"])
        .await
        .exits(0)
        .id();
    // The same file, again and in another way.
    assert_eq!(run(&["-i", &first, "--chunk-rows", "100"]).await.exits(0).id(), id);
    let forced = run(&["-i", &first, "--force", "--wait"]).await.exits(0).id();
    let named = id.to_string();
    let preview = run(&["cancel", &named, "--dry-run", "--json"]).await.exits(0).json();
    assert_json(&preview, &json!({"would_delete": 500, "would_keep": 0}));
    run(&["cancel", &named, "--wait", "--vacuum"])
        .await
        .exits(0)
        .says("VACUUM is no part of a transaction");
    assert_eq!(world.sale_orders().await, 500);
    run(&["cancel", &named]).await.exits(0);
    run(&["keep", &named]).await;
    run(&["forget", &named]).await.exits(0);
    assert_eq!(world.imports().await, 1);
    // A table of its own, a key of the table's, and what is replaced.
    let prices = world.file("prices.csv", "shop;price\nA;1\nB;2\n");
    run(&[
        "-i",
        &prices,
        "--table",
        "public.price",
        "--create-table",
        "--primary-key",
        "shop",
        "--wait",
    ])
    .await
    .exits(0);
    let more = world.file("more.csv", "shop;price\nB;3\nC;4\n");
    let update = [
        "-i",
        &more,
        "--table",
        "public.price",
        "--on-conflict",
        "update",
        "--wait",
    ];
    run(&update).await.exits(0);
    assert_eq!(
        world.texts("SELECT shop || price FROM public.price ORDER BY 1").await,
        ["A1", "B3", "C4"]
    );
    // What is refused, and tried again.
    let bad = world.file("bad.csv", "PointOfSale;Product;Date;Stock\nA;P;never;1\n");
    let rejected = run(&["-i", &bad, "--wait"]).await.exits(3).id().to_string();
    assert!(run(&["rejects", &rejected]).await.exits(0).stdout.contains("never"));
    world
        .execute("ALTER TABLE public.sale_order RENAME COLUMN \"Stock\" TO stock_of_before")
        .await;
    let failed = world.file("f.csv", orders("F", 10));
    let refused = run(&["-i", &failed]).await.exits(1);
    assert!(refused.stderr.contains("Stock"), "{refused:?}");
    world
        .execute("ALTER TABLE public.sale_order RENAME COLUMN stock_of_before TO \"Stock\"")
        .await;
    run(&["retry", &forced.to_string()])
        .await
        .exits(1)
        .says("only a failed import can be tried again");
    run(&["status", "4711"]).await.exits(1).says("there is no import 4711");
    run(&["workers"]).await.exits(0);
    let doctor = run(&["doctor"]).await.exits(0).stdout;
    assert!(doctor.contains("warn   pooler"), "{doctor}");
    assert!(doctor.contains("may look, submit"), "{doctor}");
    assert_traps_caught_nobody(&world).await;
    assert_left_in_order(&pooler).await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_and_acts_through_it() {
    let world = World::new().await;
    set_traps(&world).await;
    let Some(pooler) = Pooler::start(&world, "pooler", FEW).await else {
        return;
    };
    let worker = world.worker(&[]).start();
    let page = world
        .serve_as(&[], |call| {
            call.env("DATABASE_URL", &pooler.url).env("PG_IMPORT_HTTP_TOKEN", TOKEN)
        })
        .await;
    let upload = page.ask(Method::POST, "/api/v1/imports?name=a.csv&chunk-rows=100");
    let upload = Answer::of(upload.bearer_auth(TOKEN).body(orders("A", 1_000))).await;
    assert_eq!(upload.status, StatusCode::CREATED, "{upload:#?}");
    let id = world.latest_import().await;
    world.until_state(id, "loaded").await;
    for _ in 0..5 {
        let paths = [
            "/".to_owned(),
            format!("/imports/{id}"),
            "/workers".to_owned(),
            "/tables".to_owned(),
            "/metrics".to_owned(),
            "/api/v1/imports".to_owned(),
            format!("/api/v1/imports/{id}"),
            format!("/api/v1/imports/{id}/chunks"),
            format!("/api/v1/imports/{id}/events"),
            format!("/api/v1/imports/{id}/preview"),
        ];
        // All at once: there are fewer sessions than who asks.
        let ask = |path: &String| page.ask(Method::GET, path).bearer_auth(TOKEN);
        let answers: Vec<_> = paths.iter().map(|path| tokio::spawn(Answer::of(ask(path)))).collect();
        for (path, answer) in std::iter::zip(&paths, answers) {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:#?}");
        }
    }
    let verified = page.post_with_token(&format!("/api/v1/imports/{id}/verify")).await;
    assert_eq!(verified.status, StatusCode::SERVICE_UNAVAILABLE, "{verified:#?}");
    assert!(format!("{verified:?}").contains("a connection pooler"), "{verified:#?}");
    let cancelled = page.post_with_token(&format!("/api/v1/imports/{id}/cancel")).await;
    assert_eq!(cancelled.status, StatusCode::OK, "{cancelled:#?}");
    world.until_state(id, "cancelled").await;
    assert_eq!(world.sale_orders().await, 0);
    // What was refused is written down as well.
    let refused = page.post_with_token(&format!("/api/v1/imports/{id}/retry")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    let audit = world
        .texts("SELECT action || ' ' || (refused IS NOT NULL) FROM pgimport.audit ORDER BY id")
        .await;
    assert_eq!(audit, ["submit false", "verify true", "cancel false", "retry true"]);
    assert_settings(&world).await;
    // What was shown last is given back.
    until_true("all is in order", async || {
        world
            .ask("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")
            .await
            .as_deref()
            == Some("0")
    })
    .await;
    assert_left_in_order(&pooler).await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_that_is_killed_is_taken_over() {
    let world = World::new().await;
    set_traps(&world).await;
    let Some(pooler) = Pooler::start(&world, "pooler", FEW).await else {
        return;
    };
    let path = world.file("a.csv", orders("A", 40_000));
    let submit = ["-i", &path, "--chunk-rows", "1000", "--max-pending", "64K"];
    let mut killed = through(&world, &pooler, &submit).start();
    killed.until_says("NO WORKER SERVES THE QUEUE").await;
    let stored = world.number("SELECT count(*) FROM pgimport.import_chunk").await;
    assert!(0 < stored && stored < 40, "{stored}");
    killed.kill();
    let second = through(&world, &pooler, &submit).start();
    second.until_says("going on in its place").await;
    let worker = world.worker(&[]).start();
    let id = second.finished().await.exits(0).id();
    world.until_state(id, "loaded").await;
    assert_eq!(world.imports().await, 1);
    assert_eq!(world.sale_orders().await, 40_000);
    world.assert_tidy().await;
    assert_left_in_order(&pooler).await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_in_the_middle_of_a_batch_leaves_nothing_of_it() {
    let world = World::new().await;
    set_traps(&world).await;
    let Some(pooler) = Pooler::start(&world, "pooler", FEW).await else {
        return;
    };
    let path = world.file("a.csv", orders("A", 300));
    let submit = ["-i", &path, "--chunk-rows", "100"];
    // Its batch waits for a lock, with half of its transaction done.
    let held = crate::support::Held::take(&world, "LOCK TABLE pgimport.import_payload IN ACCESS EXCLUSIVE MODE").await;
    let mut killed = through(&world, &pooler, &submit).start();
    world.until_a_lock_is_waited_for().await;
    killed.kill();
    held.release().await;
    until("its session ended", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_import-enqueue%' AND xact_start IS NOT NULL
                    AND datname = current_database()";
        (world.ask(open).await.as_deref() == Some("0")).then_some(())
    })
    .await;
    assert_eq!(world.number("SELECT count(*) FROM pgimport.import_chunk").await, 0);
    let id = through(&world, &pooler, &submit).start().finished().await.exits(0).id();
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
    assert_left_in_order(&pooler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_for_the_poolers_session_does_not_keep_it() {
    let world = World::new().await;
    let Some(pooler) = Pooler::start(&world, "pooler", "default_pool_size = 1").await else {
        return;
    };
    let options: PgConnectOptions = pooler.url.parse().unwrap();
    // With one connection there is none to open anew.
    let pool = session::database::pool(options.into(), 1);
    for _ in 0..2 {
        pool.within(async |conn| sqlx::raw_sql("SELECT 1").execute(conn).await)
            .await
            .expect("a session");
    }
    // Somebody else has the only one, and ours is asked for: given back, its connection is used at once.
    let mut holder = connect(&pooler).await;
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(200), pool.acquire()).await;
    assert!(waiting.is_err(), "there was a session to spare");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    // What was asked for comes before this, which waits for its end.
    let asked = tokio::time::timeout(DEADLINE, sqlx::raw_sql("SELECT 1").execute(&mut holder));
    asked.await.expect("the pooler's session is kept").unwrap();
    let kept = "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    assert_eq!(world.count(kept).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_pooler_is_outlived() {
    let world = World::new().await;
    set_traps(&world).await;
    let Some(pooler) = Pooler::start(&world, "pooler", FEW).await else {
        return;
    };
    let path = world.file("a.csv", orders("A", 40_000));
    let submit = ["-i", &path, "--chunk-rows", "1000", "--max-pending", "64K", "--wait"];
    let submitter = through(&world, &pooler, &submit).start();
    submitter.until_says("NO WORKER SERVES THE QUEUE").await;
    // The server ends all of its sessions, whoever has them.
    let worker = world.worker(&[]).start();
    for _ in 0..5 {
        world
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE application_name LIKE 'pg_import-enqueue%' AND datname = current_database()",
            )
            .await;
    }
    let id = submitter.finished().await.exits(0).id();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 40_000}));
    assert_eq!(world.sale_orders().await, 40_000);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_some_may_be_poolers() {
    let world = World::new().await;
    set_traps(&world).await;
    let Some(pooler) = Pooler::start(&world, "pooler", FEW).await else {
        return;
    };
    let worker = world.worker(&[]).start();
    let dead = crate::support::pair::free_port();
    let url = pooler.url.replacen('@', &format!("@127.0.0.1:{dead},"), 1);
    let path = world.file("a.csv", orders("A", 1_000));
    let run = async |arguments: &[&str]| {
        let call = world.bare(arguments).env("DATABASE_URL", &url);
        call.start().finished().await.exits(0)
    };
    let id = run(&["-i", &path, "--chunk-rows", "100", "--wait"]).await.id();
    run(&["status", &id.to_string()]).await;
    run(&["cancel", &id.to_string(), "--wait"]).await;
    assert_eq!(world.sale_orders().await, 0);
    let refused = world.worker(&[]).env("DATABASE_URL", &url).run().exits(1);
    assert!(refused.stderr.contains("a connection pooler"), "{refused:?}");
    assert_settings(&world).await;
    assert_left_in_order(&pooler).await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_sessions_that_last_is_refused_with_the_reason() {
    let world = World::new().await;
    for (name, more) in [("strict", FEW), ("lax", LAX)] {
        let Some(pooler) = Pooler::start(&world, name, more).await else {
            return;
        };
        let url = pooler.url.as_str();
        for (call, what) in [
            (world.worker(&[]), "a worker"),
            (world.bare(&["migrate"]), "a migration"),
            (world.bare(&["verify", "1"]), "verify"),
        ] {
            let said = call.env("DATABASE_URL", url).run().exits(1).stderr;
            let words = format!(
                "a connection pooler (such as PgBouncer) is in between and keeps no session whole: {what} needs"
            );
            assert!(said.contains(&words), "{name}: {said}");
        }
    }
    // What a person sets for sessions themselves does not pass.
    let strict = world.path("strict").display().to_string().replace('/', "%2F");
    let credentials = world.db.credentials();
    let own = format!(
        "postgres://{}@{strict}:6432/{}?options=-c%20work_mem%3D8MB",
        credentials.user, credentials.database
    );
    let Some(_pooler) = restart(&world).await else { return };
    let said = world.bare(&["status"]).env("DATABASE_URL", own).run().exits(1).stderr;
    assert!(said.contains("PGOPTIONS, or as options in the URL"), "{said}");
    assert_eq!(world.imports().await, 0);
}

/// The strict one, once more.
async fn restart(world: &World) -> Option<Pooler> {
    std::fs::remove_dir_all(world.path("strict")).unwrap();
    Pooler::start(world, "strict", FEW).await
}
