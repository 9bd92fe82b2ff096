//! Queues: an import is loaded, undone and tried again by the workers that serve its queue, and by no others, whoever adds its jobs; and
//! programs of before, which know one queue, keep out of the rest.

use crate::support::{World, assert_json, orders, role::Role, until_true};
use serde_json::json;

/// What a queue's jobs are called.
const NIGHTLY: &str = "pg_import/nightly";

fn args(queue: &str) -> [&str; 2] {
    ["--queue", queue]
}

impl World {
    /// Works until nothing is left to do in a worker's queues.
    #[track_caller]
    fn drain_queues(&self, queues: &[&str]) {
        self.worker(&[&["--drain"], queues].concat()).run().exits(0);
    }

    /// The shops that have been loaded, with commas.
    async fn loaded(&self) -> String {
        self.shops().await.join(",")
    }

    /// The processes that loaded chunks of an import.
    async fn loaded_by(&self, import: i64) -> Vec<String> {
        self.texts(&format!(
            "SELECT DISTINCT worker FROM pgimport.import_chunk WHERE import_id = {import}"
        ))
        .await
    }

    /// What the jobs that wait are called.
    async fn job_types(&self) -> Vec<String> {
        self.texts("SELECT DISTINCT job_type FROM apalis.jobs WHERE status = 'Pending' ORDER BY 1")
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_loads_what_is_in_its_queues_and_nothing_else() {
    let world = World::new().await;
    world.submit("a.csv", &orders("A", 300), &[]);
    for (shop, queue) in [("B", "b"), ("C", "c"), ("D", "d")] {
        world.submit(&format!("{shop}.csv"), &orders(shop, 300), &args(queue));
    }
    assert_eq!(
        world.job_types().await,
        ["pg_import", "pg_import/b", "pg_import/c", "pg_import/d"]
    );
    // What the server calls them, and the programs.
    let otherwise = "apalis.jobs WHERE job_type NOT IN (SELECT pgimport.job_type(queue) FROM pgimport.import)";
    assert_eq!(world.count(otherwise).await, 0);
    world.drain();
    assert_eq!(world.loaded().await, "A");
    world.drain_queues(&args("b"));
    assert_eq!(world.loaded().await, "A,B");
    world.submit("e.csv", &orders("E", 300), &[]);
    world.submit("f.csv", &orders("F", 300), &args("b"));
    world
        .worker(&["--drain"])
        .env("PG_IMPORT_QUEUES", "c, b")
        .run()
        .exits(0);
    assert_eq!(world.loaded().await, "A,B,C,F");
    world.drain_queues(&["--queue", "d,b", "--queue", "default"]);
    assert_eq!(world.loaded().await, "A,B,C,D,E,F");
    // A variable that is set to nothing says nothing.
    world.submit("g.csv", &orders("G", 300), &[]);
    let unset = world.worker(&["--drain"]).env("PG_IMPORT_QUEUES", "");
    unset.run().exits(0);
    assert_eq!(world.loaded().await, "A,B,C,D,E,F,G");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_different_queues_do_not_help_each_other() {
    let world = World::new().await;
    let nightly = world.worker(&args("nightly")).start();
    let default = world.worker(&[]).start();
    let names = [world.until_working(&nightly).await, world.until_working(&default).await];
    let imports = [
        world.submit("n.csv", &orders("N", 2_000), &args("nightly")),
        world.submit("d.csv", &orders("D", 2_000), &[]),
    ];
    for (import, name) in imports.into_iter().zip(names) {
        world.assert_settled(import, "loaded").await;
        assert_eq!(world.loaded_by(import).await, [name]);
    }
    let cancelled = world
        .run(&["cancel", &imports[0].to_string(), "--wait", "--json"])
        .await
        .exits(0);
    assert_json(
        &cancelled.json(),
        &json!({"state": "cancelled", "deleted": 2000, "queue": "nightly"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_from_its_queues_by_turns() {
    let world = World::new().await;
    let long = world.submit("l.csv", &orders("L", 4_000), &args("long"));
    let short = world.submit("s.csv", &orders("S", 2_000), &args("short"));
    world.drain_queues(&["--concurrency", "1", "--queue", "long,short"]);
    let order = world
        .texts("SELECT import_id::text FROM pgimport.import_chunk WHERE state = 'loaded' ORDER BY finished_at, ordinal")
        .await;
    assert_eq!(order.len(), 60);
    let end = order.iter().rposition(|id| *id == short.to_string()).expect("a chunk");
    let meanwhile = order[..end].iter().filter(|id| **id == long.to_string()).count();
    assert!((15..=25).contains(&meanwhile), "{meanwhile}: {order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_and_another_try_are_for_the_workers_of_the_queue() {
    let world = World::new().await;
    let id = world.submit("n.csv", &orders("N", 300), &args("nightly"));
    let text = id.to_string();
    world
        .execute("ALTER TABLE public.sale_order RENAME COLUMN \"Stock\" TO gone")
        .await;
    world.drain_queues(&args("nightly"));
    assert_json(&world.status(id), &json!({"state": "failed", "chunks_failed": 3}));
    world
        .execute("ALTER TABLE public.sale_order RENAME COLUMN gone TO \"Stock\"")
        .await;
    world.enqueue(&["retry", &text]).run().exits(0);
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loading", "loaded": 0}));
    assert_eq!(world.job_types().await, [NIGHTLY]);
    world.drain_queues(&args("nightly"));
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
    world.enqueue(&["cancel", &text]).run().exits(0);
    world.drain();
    assert_json(&world.status(id), &json!({"state": "cancelling", "deleted": 0}));
    assert_eq!(world.job_types().await, [NIGHTLY]);
    // The fence and the deletions that it adds.
    world.drain_queues(&args("nightly"));
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 300}));
    world.assert_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_come_one_after_the_other_stay_in_their_queue() {
    let world = World::new().await;
    let id = world.submit(
        "n.csv",
        &orders("N", 500),
        &["--queue", "nightly", "--max-parallel", "1"],
    );
    world.drain();
    world.drain_queues(&args("nightly"));
    assert_json(&world.status(id), &json!({"state": "loaded", "chunks_loaded": 5}));
    assert_eq!(world.count("apalis.jobs WHERE job_type = 'pg_import'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_is_taken_over_within_its_queue() {
    let world = World::new().await;
    let id = world.submit("n.csv", &orders("N", 600), &args("nightly"));
    let mut victim = world
        .worker(&["--queue", "nightly", "--concurrency", "2"])
        .env("FAILPOINTS", "before-commit=pause")
        .start();
    let chunks = format!("pgimport.import_chunk WHERE import_id = {id} AND attempts > 0");
    world.until_some(&chunks).await;
    // Does maintenance for all queues.
    let other = world.worker(&[]).start();
    world.until_working(&other).await;
    victim.kill();
    until_true("its jobs are given back", async || {
        world.count("apalis.jobs WHERE status IN ('Queued', 'Running')").await == 0
    })
    .await;
    assert_eq!(world.sale_orders().await, 0);
    let heir = world.worker(&args("nightly")).start();
    let name = world.until_working(&heir).await;
    world.assert_settled(id, "loaded").await;
    assert_eq!(world.loaded_by(id).await, [name]);
    assert_json(&world.status(id), &json!({"loaded": 600, "rejected": 0}));
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_queue_that_nobody_serves_says_so() {
    let world = World::new().await;
    let worker = world.worker(&[]).start();
    world.until_working(&worker).await;
    let path = world.file("n.csv", orders("N", 3_000));
    let submit = ["-i", &path, "--queue", "nightly", "--chunk-rows", "100"];
    let mut submitting = world
        .enqueue(&[submit.as_slice(), &["--wait", "--max-pending", "1K"]].concat())
        .start();
    let words = "NO WORKER SERVES THE QUEUE 'nightly': start one (`worker --queue nightly`)";
    // First the intake, while the file is read.
    submitting.until_says(&format!("wait, and {words}")).await;
    let id = world.latest_import().await.to_string();
    submitting.kill();
    // The one that goes on in its place.
    let waiting = world.enqueue(&[submit.as_slice(), &["--wait"]].concat()).start();
    waiting.until_says(words).await;
    let status = world.run(&["status", &id]).await.exits(0).stdout;
    assert!(
        status.contains(words) && status.contains("queue     nightly"),
        "{status}"
    );
    let list = world.run(&["status"]).await.exits(0).stdout;
    assert!(list.contains("n.csv (queue nightly)"), "{list}");
    let doctor = world.run(&["doctor"]).await.exits(0).stdout;
    assert!(
        doctor.contains("imports wait in 'nightly', which no worker serves")
            && doctor.contains("start `worker --queue nightly`"),
        "{doctor}"
    );
    let page = world.serve(&[]).await;
    for path in ["/imports".to_owned(), format!("/imports/{id}")] {
        page.get(&path)
            .await
            .has("No worker serves the queue 'nightly'")
            .has("worker --queue nightly");
    }
    page.get("/metrics").await.has("pg_import_unserved_queues 1.0");
    let nightly = world.worker(&["--queue", "nightly,b"]).start();
    world.until_working(&nightly).await;
    waiting.finished().await.exits(0);
    let status = world.run(&["status", &id]).await.exits(0).stdout;
    assert!(!status.contains("NO WORKER"), "{status}");
    let workers = world.run(&["workers"]).await.exits(0).stdout;
    assert!(
        workers.contains("idle  serves nightly, b\n") && workers.contains(" idle\n"),
        "{workers}"
    );
    assert_json(
        &world.run(&["workers", "--json"]).await.json()[1],
        &json!({"queues": ["nightly", "b"]}),
    );
    page.get("/workers").await.has("nightly, b");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_jobs_are_added_again_to_the_queue_of_their_import() {
    let world = World::new().await;
    let ids = [
        world.submit("n.csv", &orders("N", 300), &args("nightly")),
        world.submit("m.csv", &orders("M", 300), &args("nightly")),
    ];
    world.drain_queues(&args("nightly"));
    world.run(&["cancel", &ids[0].to_string()]).await.exits(0);
    let waits = world.submit("o.csv", &orders("O", 300), &args("nightly"));
    let default = world.worker(&[]).start();
    // Lost altogether; and in the default queue, where a program of before adds them, for whom there is no other.
    for lose in [
        "DELETE FROM apalis.jobs",
        "UPDATE apalis.jobs SET job_type = 'pg_import' WHERE status = 'Pending'",
    ] {
        world.execute(lose).await;
        until_true("maintenance added them to their queue, and nobody works", async || {
            let waiting = format!("apalis.jobs WHERE job_type = '{NIGHTLY}' AND status = 'Pending'");
            let others = "apalis.jobs WHERE job_type = 'pg_import' AND status IN ('Pending', 'Queued', 'Running')";
            world.count(&waiting).await == 4 && world.count(others).await == 0
        })
        .await;
    }
    assert_json(&world.status(ids[0]), &json!({"state": "cancelling", "deleted": 0}));
    assert_json(&world.status(waits), &json!({"state": "loading", "loaded": 0}));
    drop(default);
    world.drain_queues(&args("nightly"));
    assert_json(&world.status(ids[0]), &json!({"state": "cancelled", "deleted": 300}));
    assert_json(&world.status(waits), &json!({"state": "loaded", "loaded": 300}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_of_the_default_queue_looks_at_is_added_again_where_it_belongs() {
    let world = World::new().await;
    let id = world.submit("n.csv", &orders("N", 300), &args("nightly"));
    world.execute("UPDATE apalis.jobs SET job_type = 'pg_import'").await;
    world.drain_queues(&args("nightly"));
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_before_begins_no_chunk_of_another_queue() {
    let world = World::new().await;
    let [default, nightly] = [
        world.submit("d.csv", &orders("D", 10), &[]),
        world.submit("n.csv", &orders("N", 10), &args("nightly")),
    ];
    // As it registers, and as it begins a chunk.
    world
        .execute("INSERT INTO pgimport.worker (name, host, pid, concurrency) VALUES ('old', 'h', 1, 1)")
        .await;
    for (import, begun) in [(default, 1), (nightly, 0)] {
        world
            .execute(&format!(
                "UPDATE pgimport.import_chunk SET attempts = attempts + 1, worker = 'old' WHERE import_id = {import}"
            ))
            .await;
        let attempts = format!("SELECT sum(attempts) FROM pgimport.import_chunk WHERE import_id = {import}");
        assert_eq!(world.number(&attempts).await, begun);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_queue_has_a_line_of_its_own_and_submitters_of_before_ask_for_that_of_the_default_one() {
    let world = World::new().await;
    let submitter = Role::named(&world, "submitter", "").await;
    for grant in submitter.submitter_grants() {
        world.execute(&grant).await;
    }
    world.submit("d.csv", &orders("D", 10), &[]);
    world.submit("n.csv", &orders("N", 10), &args("nightly"));
    world
        .execute("UPDATE apalis.jobs SET priority = -1000 WHERE job_type = 'pg_import'")
        .await;
    let turns = "SELECT pgimport.current_turn() || ' ' || pgimport.current_turn('default') || ' ' || pgimport.current_turn('nightly')";
    let call = world.enqueue(&["psql", "--", "-qAtX", "-c", turns]);
    assert_eq!(submitter.run(call).run().exits(0).stdout, "1001 1001 0\n");
    // What it submits is in the default queue, and loaded there.
    let columns = "state, source, resumable, target, target_oid, id_column, columns, options, submitter, lease_until, chunk_count, record_count";
    let values = "'splitting', 's', true, 'sale_order', 'sale_order'::regclass, 'id', '{}', '{}', 'x', now(), 0, 0";
    world.execute(&submitter.table_grant()).await;
    let call = world.enqueue(&[
        "psql",
        "--",
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        &format!("INSERT INTO pgimport.import ({columns}) VALUES ({values})"),
        "-c",
        "UPDATE pgimport.import SET turn = greatest(turn, pgimport.current_turn()) + 4 WHERE source = 's' RETURNING queue, turn",
    ]);
    assert_eq!(submitter.run(call).run().exits(0).stdout, "default|1005\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_in_another_queue_is_the_same_import() {
    let world = World::new().await;
    let id = world.submit("n.csv", &orders("N", 10), &args("nightly"));
    let again = world.submit("n.csv", &orders("N", 10), &[]);
    assert_eq!(again, id);
    assert_json(&world.status(id), &json!({"queue": "nightly", "state": "loading"}));
    assert_eq!(world.job_types().await, [NIGHTLY]);
    let refused = sqlx::raw_sql("UPDATE pgimport.import SET queue = 'other'")
        .execute(world.pool())
        .await;
    let error = refused.expect_err("its queue is as it was submitted").to_string();
    assert!(error.contains("cannot be changed after its submission"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_refused() {
    let world = World::new().await;
    let path = world.file("a.csv", orders("A", 10));
    let long = "q".repeat(64);
    for name in ["", "a b", "a/b", "größe", &long] {
        world
            .enqueue(&["-i", &path, "--queue", name])
            .run()
            .exits(2)
            .says("is no name of a queue: it has 1 to 63 letters, digits, '-', '_' and '.'");
        let sql = format!("SELECT '{name}' ~ '^[A-Za-z0-9._-]{{1,63}}$'");
        assert_eq!(world.ask(&sql).await.as_deref(), Some("false"), "{name}");
    }
    world
        .worker(&["--drain", "--queue", "a,b c"])
        .run()
        .exits(2)
        .says("'b c' is no name of a queue");
    let most = "Nightly_2.eu-".repeat(5)[..63].to_owned();
    world.submit("m.csv", &orders("M", 10), &args(&most));
    world.drain_queues(&args(&most));
    assert_eq!(world.loaded().await, "M");
}
