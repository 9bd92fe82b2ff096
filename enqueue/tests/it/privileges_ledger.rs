//! The ledger of others, which a role tries to change by plain SQL: chunks, payloads, events, ids, and whose sessions are ended.

use std::io::Write as _;

use crate::privileges::{CHUNK, Company, assert_refused, connect, execute, import_by_hand, refused};
use crate::support::{Held, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn chunks_payloads_and_the_standing_of_anothers_import_cannot_be_changed() {
    let company = Company::new().await;
    let id = company.submit(&company.bob, "public.b", &[]);
    let own = company.submit(&company.alice, "public.a", &[]);
    for sql in [
        format!("INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 9, 0, 2, 1, 1, 2)"),
        format!(
            "INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 0, 0, 2, 1, 1, 2) ON CONFLICT (import_id, ordinal) DO UPDATE SET state = 'failed'"
        ),
        format!("INSERT INTO pgimport.import_payload VALUES ({id}, 9, 'none', '7')"),
        format!("UPDATE pgimport.import_chunk SET state = 'loaded', loaded_count = 1 WHERE import_id = {id}"),
        format!(
            "UPDATE pgimport.import_chunk SET import_id = {id}, ordinal = 9 WHERE import_id = {own} AND ordinal = 0"
        ),
        format!(
            "UPDATE pgimport.import_chunk SET import_id = {own}, ordinal = 9 WHERE import_id = {id} AND ordinal = 0"
        ),
        format!("DELETE FROM pgimport.import_payload WHERE import_id = {id}"),
        "DELETE FROM pgimport.import_payload".to_owned(),
        format!("UPDATE pgimport.import SET state = 'loaded', ended_at = now() WHERE id = {id}"),
        format!("UPDATE pgimport.import SET state = 'failed' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET lease_until = now() - interval '1 hour' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET key = NULL WHERE id = {id}"),
        format!("UPDATE pgimport.import SET submitter = 'me' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET totals = '{{}}' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET state = 'cancelling' WHERE id = {id}"),
        format!("DELETE FROM pgimport.import WHERE id = {id}"),
    ] {
        refused(&company.alice, &sql, "was submitted by the role").await;
    }
    // Those that the grants do not reach.
    for sql in [
        format!("UPDATE pgimport.import_payload SET data = '7' WHERE import_id = {id}"),
        format!("DELETE FROM pgimport.import_chunk WHERE import_id = {id}"),
        "DELETE FROM apalis.jobs".to_owned(),
    ] {
        refused(&company.alice, &sql, "permission denied").await;
    }
    company.drain();
    assert_eq!(
        (company.count("public.a").await, company.count("public.b").await),
        (3, 3)
    );
    assert_eq!(company.world.number("SELECT sum(n) FROM public.b").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_import_that_another_is_just_writing_down_are_refused_too() {
    let company = Company::new().await;
    let mut bob = connect(&company.bob).await;
    let mut alice = connect(&company.alice).await;
    let oid = company.oid("public.b").await;
    let begin = import_by_hand("public.b", oid, &[]);
    let chunk = |id: &str| format!("INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 0, 0, 2, 1, 1, 2)");
    // It exists for nobody yet.
    execute(&mut bob, "BEGIN").await.unwrap();
    execute(&mut bob, &begin).await.unwrap();
    let id: i64 = sqlx::query_scalar("SELECT max(id) FROM pgimport.import")
        .fetch_one(&mut bob)
        .await
        .unwrap();
    let early = execute(&mut alice, &chunk(&id.to_string())).await;
    assert!(early.unwrap_err().to_string().contains("there is no import"));
    // Nor in a transaction that looked before.
    execute(
        &mut alice,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgimport.import",
    )
    .await
    .unwrap();
    execute(&mut bob, "COMMIT").await.unwrap();
    let early = execute(&mut alice, &chunk(&id.to_string())).await;
    assert!(early.unwrap_err().to_string().contains("there is no import"));
    execute(&mut alice, "ROLLBACK").await.unwrap();
    // One statement that begins before the import is there, and writes its chunk after: it waits in between for a lock of ours.
    let held = Held::take(&company.world, "SELECT pg_advisory_xact_lock(77)").await;
    let next = id + 1;
    let waiting = tokio::spawn(async move {
        let sql = format!(
            "WITH waits AS MATERIALIZED (SELECT pg_advisory_xact_lock(77))
             INSERT INTO pgimport.import_chunk {CHUNK}
             SELECT {next}, 0, 0, 2, 1, 1, 2 FROM waits"
        );
        let tried = execute(&mut alice, &sql).await;
        (sql, tried)
    });
    company.world.until_a_lock_is_waited_for().await;
    execute(&mut bob, &begin).await.unwrap();
    held.release().await;
    let (sql, tried) = waiting.await.unwrap();
    assert_eq!(company.world.number("SELECT max(id) FROM pgimport.import").await, next);
    assert_refused(tried, &sql, "was submitted by the role");
    assert_eq!(company.count("pgimport.import_chunk").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_written_by_who_writes_them_and_ids_are_not_taken_in_advance() {
    let company = Company::new().await;
    let (world, alice) = (&company.world, &company.alice);
    let own = company.submit(alice, "public.a", &[]);
    let bobs = company.submit(&company.bob, "public.b", &[]);
    let event = |import: i64, event: &str, to: &str| {
        format!(
            "INSERT INTO pgimport.import_event (import_id, event, from_state, to_state, at, role, process)
             VALUES ({import}, '{event}', 'splitting', '{to}', '2001-01-01', '{}', 'another')",
            company.bob.name
        )
    };
    for (import, what, to) in [
        (bobs, "source_ended", "loading"),
        (bobs, "cancel", "loading"),
        (own, "all_loaded", "loaded"),
        (77, "submitted", "splitting"),
    ] {
        refused(alice, &event(import, what, to), "may not write this event").await;
    }
    execute(&mut connect(alice).await, &event(own, "forged", "loading"))
        .await
        .unwrap();
    let found = "SELECT concat_ws(' ', role, process, at > now() - interval '1 hour') FROM pgimport.import_event WHERE event = 'forged'";
    assert_eq!(world.texts(found).await, [format!("{}  t", alice.name)]);
    for sql in [
        "UPDATE pgimport.import_event SET role = 'bob'",
        "DELETE FROM pgimport.import_event",
        "SELECT nextval('pgimport.import_event_id_seq')",
        "SELECT setval('pgimport.import_id_seq', 1)",
    ] {
        refused(alice, sql, "permission denied").await;
    }
    let oid = company.oid("public.a").await;
    let import = import_by_hand("public.a", oid, &[("id", "1000")]).replace("VALUES", "OVERRIDING SYSTEM VALUE VALUES");
    let of_event = format!(
        "INSERT INTO pgimport.import_event (id, import_id, event, to_state) OVERRIDING SYSTEM VALUE VALUES (1000, {own}, 'x', 'loading')"
    );
    // Whether or not the session was given an id of its own before.
    let mut used = connect(alice).await;
    let began = import_by_hand("public.a", oid, &[]);
    execute(&mut used, &began).await.unwrap();
    execute(&mut used, &event(own, "forged", "loading")).await.unwrap();
    for sql in [import, of_event] {
        assert_refused(execute(&mut used, &sql).await, &sql, "are not chosen");
        let fresh = execute(&mut connect(alice).await, &sql).await.unwrap_err().to_string();
        assert!(fresh.contains("are not chosen") || fresh.contains("currval"), "{fresh}");
    }
    let taken = "SELECT count(*) FROM pgimport.import WHERE id >= 1000";
    assert_eq!(world.number(taken).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_the_sessions_of_others_ended_by_naming_them_as_its_submitter() {
    let company = Company::new().await;
    let (world, alice) = (&company.world, &company.alice);
    let worker = company.working();
    until_true("the worker works", async || company.count("pgimport.worker").await == 1).await;
    let working = world.texts("SELECT name FROM pgimport.worker").await.remove(0);
    let mut submitting = company
        .call(&company.bob, &["--table", "public.b", "--chunk-rows", "1"])
        .pipe()
        .start();
    let mut pipe = submitting.stdin();
    pipe.write_all(b"n\n1\n2\n").unwrap();
    until_true("bob submits", async || world.imports().await == 1).await;
    let bobs = world.texts("SELECT submitter FROM pgimport.import").await.remove(0);
    // What is named alike and is alice's own is ended: so the others could have been.
    let own = "pg_import-enqueue:alice".to_owned();
    let mut alices = connect(alice).await;
    execute(&mut alices, &format!("SET application_name = '{own}'"))
        .await
        .unwrap();
    let oid = company.oid("public.a").await;
    for name in [&working, &bobs, &own] {
        let began = import_by_hand("public.a", oid, &[]).replace(
            "'by hand', now() + interval '1 hour'",
            &format!("'{name}', now() - interval '1 hour'"),
        );
        execute(&mut connect(alice).await, &began).await.unwrap();
    }
    until_true("they are undone", async || {
        world
            .number("SELECT count(*) FROM pgimport.import WHERE source = 'by hand' AND state = 'cancelled'")
            .await
            == 3
    })
    .await;
    until_true("alice's own session is ended", async || {
        execute(&mut alices, "SELECT 1").await.is_err()
    })
    .await;
    assert_eq!(
        world.texts("SELECT name FROM pgimport.worker").await,
        std::slice::from_ref(&working)
    );
    let database = &world.db.credentials().database;
    let log = world.db.log();
    let ended: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("terminating connection") && line.contains(&format!(" {database} ")))
        .collect();
    assert!(
        !ended.is_empty() && ended.iter().all(|line| line.contains(&own)),
        "{ended:?}"
    );
    drop(pipe);
    submitting.finish().exits(0);
    drop(worker);
}
