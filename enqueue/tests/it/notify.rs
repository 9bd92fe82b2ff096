//! `--notify`: whoever is to be told of an import's end is told, once it has ended, whatever dies meanwhile; and nothing is reached or
//! shown that should not be.

use crate::support::{
    World, assert_json, open_directory, orders,
    process::enqueue_in,
    receiver::{Received, Receiver, Reply, SECRET},
    role::submitter_and_worker,
    until_true,
};
use axum::http::StatusCode;
use serde_json::{Value, json};

const OUTSTANDING: &str = "pgimport.notification_delivery WHERE delivered_at IS NULL AND due_at IS NOT NULL";

/// Lets the time pass until messages are due that failed, or that somebody claimed who is no more.
async fn let_time_pass(world: &World) {
    world
        .execute("UPDATE pgimport.notification_delivery SET due_at = now() WHERE due_at IS NOT NULL")
        .await;
}

#[track_caller]
fn assert_told(message: &Received, kind: &str, data: &Value) {
    let content = message.content();
    assert_eq!(content["type"], kind, "{content:#}");
    assert_json(&content["data"], data);
}

/// How often workers set out to send something.
async fn claims(world: &World) -> i64 {
    world
        .number("SELECT coalesce(sum(claims), 0) FROM pgimport.notification_delivery")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_loaded_and_cancelled_is_told_of_twice() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let url = format!("{}/hook?k=v", receiver.url);
    let content = orders("A", 250).replacen(";17\n", ";seventeen\n", 1);
    let id = world.submit("a.csv", &content, &["--notify", &url]);
    world.worker(&["--drain"]).telling().run().exits(0);
    // Whoever drains has told when it ends.
    let loaded = &receiver.received()[0];
    assert_eq!(loaded.path, "/hook?k=v");
    assert_eq!(loaded.header("content-type"), "application/json");
    let expected = json!({
        "import_id": id, "state": "loaded", "event": "all_loaded", "target": "public.sale_order", "records": 250, "loaded": 249,
        "inserted": 249, "updated": 0, "rejected": 1, "deleted": 0, "error": null,
    });
    assert_told(loaded, "import.loaded", &expected);
    let told = loaded.content();
    assert_eq!(told["data"]["source"], json!(world.path("a.csv")));
    let at = world
        .ask("SELECT max(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) FROM pgimport.import_event")
        .await;
    assert_eq!(told["timestamp"], json!(at));

    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    world.worker(&["--drain"]).telling().run().exits(0);
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_told(
        &received[1],
        "import.cancelled",
        &json!({"import_id": id, "loaded": 249, "deleted": 249}),
    );
    assert_ne!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    let status = world.enqueue(&["status", &id.to_string()]).run().exits(0);
    assert_eq!(
        status.stdout.matches("notification delivered").count(),
        2,
        "{status:#?}"
    );
    // And nobody is told of others.
    world.load_orders("B", 10, &[]);
    world.worker(&["--drain"]).telling().run().exits(0);
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_under_the_same_id_and_given_up_at_last() {
    let world = World::new().await;
    let elsewhere = Receiver::new([]).await;
    let receiver = Receiver::new([
        Reply::Status(StatusCode::SERVICE_UNAVAILABLE),
        Reply::Elsewhere(elsewhere.url.clone()),
        Reply::Silence,
    ])
    .await;
    let id = world
        .submit("a.csv", &orders("A", 10), &["--notify", &receiver.url])
        .to_string();
    let _worker = world.worker(&[]).telling().start();
    let error = async |words: &str| {
        until_true(words, async || {
            let from = format!("pgimport.notification_delivery WHERE error LIKE '%{words}%'");
            world.count(&from).await == 1
        })
        .await;
    };
    error("the receiver answered 503 Service Unavailable").await;
    let status = world.enqueue(&["status", &id]).run().exits(0);
    assert!(
        status.stdout.contains("notification failed 1 times, next attempt at "),
        "{status:#?}"
    );
    let_time_pass(&world).await;
    error("302 Found: redirections are not followed").await;
    let_time_pass(&world).await;
    error("no answer within 10 s").await;
    let_time_pass(&world).await;
    world.until_none(OUTSTANDING).await;
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    for again in &received[1..] {
        assert_eq!(again.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(again.content(), received[0].content());
    }
    assert!(elsewhere.received().is_empty());
    // What the receiver said about it is nobody's business.
    assert_eq!(
        world
            .count("pgimport.notification_delivery AS d WHERE d::text LIKE '%s3cret%'")
            .await,
        0
    );

    // Nobody waits for ever.
    let gone = Receiver::new([Reply::Status(StatusCode::INTERNAL_SERVER_ERROR)]).await;
    let id = world
        .submit("b.csv", &orders("B", 10), &["--notify", &gone.url])
        .to_string();
    error("500 Internal Server Error").await;
    world
        .execute("UPDATE pgimport.notification_delivery SET attempts = 9, claims = 9, due_at = now() + interval '1 hour' WHERE due_at IS NOT NULL")
        .await;
    drop(gone);
    let_time_pass(&world).await;
    world.until_none(OUTSTANDING).await;
    let status = world.enqueue(&["status", &id]).run().exits(0);
    assert!(
        status.stdout.contains("notification given up after 10 attempts: "),
        "{status:#?}"
    );
    // One that says so is not asked again.
    let gone = Receiver::new([Reply::Status(StatusCode::GONE)]).await;
    let id = world
        .submit("c.csv", &orders("C", 10), &["--notify", &gone.url])
        .to_string();
    gone.until_received(1).await;
    world.until_none(OUTSTANDING).await;
    let status = world.enqueue(&["status", &id]).run().exits(0);
    assert!(
        status
            .stdout
            .contains("given up after 1 attempts: the receiver answered 410 Gone"),
        "{status:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_it_tells_leaves_it_to_others() {
    let world = World::new().await;
    for (point, before) in [("after-notify-claim", 0), ("after-notify-send", 1)] {
        let receiver = Receiver::new([]).await;
        let mut worker = world
            .worker(&[])
            .telling()
            .env("FAILPOINTS", format!("{point}=pause"))
            .start();
        let claimed = claims(&world).await;
        world.submit(
            &format!("{point}.csv"),
            &orders(point, 10),
            &["--notify", &receiver.url],
        );
        until_true("it is claimed", async || claims(&world).await > claimed).await;
        receiver.until_received(before).await;
        // It is still this worker's.
        let other = world.worker(&[]).telling().start();
        worker.kill();
        assert_eq!(receiver.received().len(), before);
        let_time_pass(&world).await;
        let received = receiver.until_received(before + 1).await;
        world.until_none(OUTSTANDING).await;
        for message in &received {
            assert_eq!(message.header("webhook-id"), received[0].header("webhook-id"));
            assert_told(message, "import.loaded", &json!({"loaded": 10}));
        }
        drop(other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_says_nothing_keeps_no_import_waiting() {
    let world = World::new().await;
    let silent = Receiver::new([Reply::Silence]).await;
    let worker = world.worker(&["--concurrency", "1"]).telling().start();
    world.submit("a.csv", &orders("A", 10), &["--notify", &silent.url]);
    silent.until_received(1).await;
    let id = world.submit("b.csv", &orders("B", 1_000), &[]);
    until_true("the other is loaded", async || world.state(id).await == "loaded").await;
    assert_eq!(world.count(OUTSTANDING).await, 1, "{}", worker.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reaches_nothing_that_it_was_not_allowed() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    let mapped = receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    for (name, url) in [("a", &receiver.url), ("b", &by_name), ("c", &mapped)] {
        world.submit(&format!("{name}.csv"), &orders(name, 10), &["--notify", url]);
    }
    // Without the secret nothing is sent, and nothing tried.
    world.drain();
    assert_eq!(claims(&world).await, 0);
    world
        .worker(&["--drain"])
        .env("PG_IMPORT_NOTIFY_SECRET", SECRET)
        .run()
        .exits(0);
    assert_eq!(claims(&world).await, 3);
    let errors = world
        .texts("SELECT error FROM pgimport.notification_delivery ORDER BY error COLLATE \"C\"")
        .await;
    let refused = "the address is not a public one: workers send there only with --notify-allow";
    assert_eq!(errors, [refused; 3]);
    assert!(receiver.received().is_empty());
    let_time_pass(&world).await;
    world
        .worker(&["--drain", "--notify-allow", "127.0.0.1,::1"])
        .env("PG_IMPORT_NOTIFY_SECRET", SECRET)
        .run()
        .exits(0);
    assert_eq!(receiver.received().len(), 3);
    world
        .worker(&["--notify-allow", "10.0.0.0/99"])
        .run()
        .exits(2)
        .says("'10.0.0.0/99' is no network");
    world
        .worker(&["--drain"])
        .env("PG_IMPORT_NOTIFY_SECRET", "whsec_short")
        .run()
        .exits(1)
        .says("PG_IMPORT_NOTIFY_SECRET cannot be used: expected whsec_");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_shown_to_nobody() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let url = receiver.url.replace("http://", "http://user:pa55w0rd@") + "/T0KEN?key=T0KEN";
    let path = world.file("a.csv", orders("A", 10));
    let submitted = world
        .enqueue(&["-i", &path, "--json"])
        .env("PG_IMPORT_NOTIFY", &url)
        .env("RUST_LOG", "trace")
        .run()
        .exits(0);
    let worker = world
        .worker(&["--drain"])
        .telling()
        .env("RUST_LOG", "trace")
        .run()
        .exits(0);
    assert_eq!(receiver.received()[0].path, "/T0KEN?key=T0KEN");
    let id = submitted.json()["import_id"].to_string();
    let status = world.enqueue(&["status", &id]).run().exits(0);
    let as_json = world.enqueue(&["status", &id, "--json"]).run().exits(0);
    let (_, key) = SECRET.split_once('_').expect("a prefix");
    for words in [&submitted, &worker, &status, &as_json] {
        for secret in ["T0KEN", "pa55w0rd", key] {
            let said = [&words.stdout, &words.stderr];
            let line = said
                .iter()
                .flat_map(|text| text.lines())
                .find(|line| line.contains(secret));
            assert_eq!(line, None);
        }
    }
    // Neither is one that is none.
    for (url, said) in [
        ("ftp://user:T0KEN@example.org", "begins with https://"),
        ("T0KEN", "expected an address such as"),
    ] {
        let refused = world.enqueue(&["-i", &path, "--notify", url]).run().exits(2).says(said);
        assert!(!refused.stderr.contains("T0KEN"), "{refused:#?}");
    }
    let help = world.enqueue(&["--help"]).env("PG_IMPORT_NOTIFY", &url).run().exits(0);
    assert!(!help.stdout.contains("T0KEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_with_the_documented_grants_tell_and_read_no_address() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    let path = world.file("a.csv", orders("A", 10));
    let call = world.enqueue(&["-i", &path, "--notify", &receiver.url]);
    submitter.run(call).run().exits(0);
    // It ends this one itself.
    let broken = world.file("b.csv", format!("{}\n\"an open quote", orders("B", 10)));
    let call = world.enqueue(&["-i", &broken, "--max-record", "1K", "--notify", &receiver.url]);
    let broken = submitter.run(call).run();
    worker.run(world.worker(&["--drain"]).telling()).run().exits(0);
    let told: Vec<_> = receiver
        .received()
        .iter()
        .map(|message| message.content()["type"].clone())
        .collect();
    assert_eq!(told.len(), 2, "{broken:#?}");
    assert!(told.contains(&json!("import.loaded")), "{told:?}");
    let call = world.enqueue(&["status", "1"]);
    let status = submitter.run(call).run().exits(0);
    assert!(status.stdout.contains("notification delivered"), "{status:#?}");
    for (sql, refused) in [
        ("SELECT url FROM pgimport.import_notification", true),
        ("UPDATE pgimport.notification_delivery SET due_at = now()", true),
        (
            "INSERT INTO pgimport.notification_delivery (event_id, notification_id) VALUES (1, 1)",
            true,
        ),
        ("SELECT id FROM pgimport.import_notification", true),
        ("SELECT attempts FROM pgimport.notification_delivery", false),
    ] {
        let call = world.enqueue(&["psql", "--", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let outcome = submitter.run(call).run();
        assert_eq!(outcome.code != Some(0), refused, "{sql}: {outcome:#?}");
    }
    // Nobody has another's import told to themselves.
    let (other, _) = (crate::support::role::Role::named(&world, "other", "").await, ());
    for grant in other.submitter_grants().into_iter().chain([other.table_grant()]) {
        world.execute(&grant).await;
    }
    let steal = "INSERT INTO pgimport.import_notification (import_id, url) VALUES (1, 'http://example.org/')";
    let call = world.enqueue(&["psql", "--", "-v", "ON_ERROR_STOP=1", "-c", steal]);
    let outcome = other.run(call).run();
    assert_ne!(outcome.code, Some(0), "{outcome:#?}");
    assert!(outcome.stderr.contains("was submitted by the role"), "{outcome:#?}");
    // Nor does anybody put what runs with the owner's rights on a table of theirs, where it would run what they wrote.
    for function in ["owe_notification", "guard_id"] {
        let own = format!(
            "CREATE TEMP TABLE mine (id bigint, import_id bigint);
             CREATE TRIGGER theirs BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION pgimport.{function}();"
        );
        let call = world.enqueue(&["psql", "--", "-v", "ON_ERROR_STOP=1", "-c", &own]);
        let outcome = other.run(call).run();
        assert!(
            outcome.stderr.contains("permission denied for function"),
            "{outcome:#?}"
        );
    }
    let open = world
        .texts(
            "SELECT p.oid::regprocedure::text FROM pg_proc AS p
             WHERE p.pronamespace = 'pgimport'::regnamespace AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
               AND (p.prorettype = 'trigger'::regtype OR p.pronargs > 0)",
        )
        .await;
    assert_eq!(
        open,
        Vec::<String>::new(),
        "functions with their owner's rights that anybody may use"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_about_their_own_import_keeps_no_other_waiting() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    let path = world.file("a.csv", orders("A", 10));
    let call = world.enqueue(&["-i", &path, "--notify", &receiver.url]);
    let id = submitter.run(call).run().exits(0).id();
    worker.run(world.worker(&["--drain"])).run().exits(0);
    for totals in ["{\"records\": -1}", "[]", "{\"records\": \"many\"}"] {
        let sql = format!(
            "INSERT INTO pgimport.import_event (import_id, event, from_state, to_state, totals, note)
             VALUES ({id}, 'all_loaded', 'loading', 'loaded', '{totals}', repeat('x', 1000000))"
        );
        let call = world.enqueue(&["psql", "--", "-v", "ON_ERROR_STOP=1", "-c", &sql]);
        submitter.run(call).run().exits(0);
    }
    worker.run(world.worker(&["--drain"]).telling()).run().exits(0);
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|message| message.body.len() < 4_000));
    let loaded = received
        .iter()
        .filter(|message| message.content()["data"]["loaded"] == 10);
    assert_eq!(loaded.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing_keeps_no_other_waiting() {
    let world = World::new().await;
    let silent = Receiver::new(std::iter::repeat_n(Reply::Silence, 100)).await;
    let receiver = Receiver::new([]).await;
    for n in 0..40 {
        let name = format!("s{n}");
        world.submit(&format!("{name}.csv"), &orders(&name, 1), &["--notify", &silent.url]);
    }
    world.drain();
    // The same machine, under another name.
    let url = receiver.url.replace("127.0.0.1", "localhost");
    world.submit("a.csv", &orders("A", 1), &["--notify", &url]);
    let worker = world
        .worker(&[])
        .env("PG_IMPORT_NOTIFY_SECRET", SECRET)
        .env("PG_IMPORT_NOTIFY_ALLOW", "127.0.0.1,::1")
        .start();
    receiver.until_received(1).await;
    // Of the silent one no more than four know at once, of which none has ended yet.
    assert!(silent.received().len() <= 4, "{}", worker.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_ends_its_workers_is_given_up_and_each_try_that_came_to_nothing_counts_for_itself() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let id = world
        .submit("a.csv", &orders("A", 1), &["--notify", &receiver.url])
        .to_string();
    world.drain();
    world
        .execute("UPDATE pgimport.notification_delivery SET claims = 19")
        .await;
    world.worker(&["--drain"]).telling().run().exits(0);
    assert_eq!(receiver.received().len(), 1);
    world
        .execute(
            "UPDATE pgimport.notification_delivery SET claims = 20, attempts = 0, delivered_at = NULL, due_at = now()",
        )
        .await;
    world.worker(&["--drain"]).telling().run().exits(0);
    assert_eq!(receiver.received().len(), 1);
    let status = world.enqueue(&["status", &id]).run().exits(0);
    assert!(
        status.stdout.contains("given up after 1 attempts: workers ended"),
        "{status:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_submission_has_itself_told_while_the_first_is_open() {
    let world = World::new().await;
    let receiver = Receiver::new([]).await;
    let id = world.submit("a.csv", &orders("A", 10), &[]);
    assert_eq!(
        world.submit("a.csv", &orders("A", 10), &["--notify", &receiver.url]),
        id
    );
    world.worker(&["--drain"]).telling().run().exits(0);
    assert_eq!(receiver.received().len(), 1);
    // Both are told, who ask for the same; and nobody twice.
    let (first, second) = (Receiver::new([]).await, Receiver::new([]).await);
    for url in [&first.url, &second.url, &first.url] {
        world.submit("b.csv", &orders("B", 10), &["--notify", url]);
    }
    world.worker(&["--drain"]).telling().run().exits(0);
    assert_eq!((first.received().len(), second.received().len()), (1, 1));
    let path = world.file("a.csv", orders("A", 10));
    world
        .enqueue(&["-i", &path, "--chunk-rows", "100", "--notify", &receiver.url])
        .run()
        .exits(0)
        .says(&format!("--notify: import {id} is not told of: it has ended"));
    world.worker(&["--drain"]).telling().run().exits(0);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_private_server_tells_before_it_goes() {
    let receiver = Receiver::new([]).await;
    let machine = open_directory();
    let path = machine.path().join("a.csv");
    std::fs::write(&path, orders("A", 10)).unwrap();
    let arguments = ["--local", "-i", path.to_str().unwrap(), "--notify", &receiver.url];
    let call = || {
        enqueue_in(machine.path(), &arguments)
            .env("PG_IMPORT_DATA_DIR", machine.path().join("data"))
            .env("PG_IMPORT_CONFIG_PATH", machine.path().join("credentials"))
    };
    call()
        .start()
        .finished()
        .await
        .exits(1)
        .says("--notify: the worker of --local has no secret to sign with: set PG_IMPORT_NOTIFY_SECRET");
    call().telling().start().finished().await.exits(0);
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert_told(&received[0], "import.loaded", &json!({"loaded": 10}));
}
