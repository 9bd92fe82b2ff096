//! The fence of an undo: no row is deleted before it is set, and it is set when nothing can be added any more.

use crate::support::{Held, World, assert_json, orders, until_true};
use serde_json::json;

impl World {
    /// Asks for an undo, and loses the job that would run it.
    async fn cancel_and_lose_the_job(&self, id: i64) {
        self.enqueue(&["cancel", &id.to_string()]).run().exits(0);
        self.execute("DELETE FROM apalis.jobs").await;
    }

    /// As if each chunk were to be deleted; their ids begin alike.
    async fn add_deletions_by_hand(&self, id: i64) {
        self.execute(&format!(
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
             SELECT '01J' || lpad(ordinal::text, 23, '0'), 'pg_import',
                 convert_to(format('{{\"version\":1,\"kind\":\"delete_chunk\",\"import\":{id},\"ordinal\":%s}}', ordinal), 'UTF8'),
                 'Pending', 0, 1, now() - interval '2 seconds', 99
             FROM pgimport.import_chunk WHERE import_id = {id}"
        ))
        .await;
    }

    async fn fenced(&self) -> bool {
        self.number("SELECT count(fenced_at) FROM pgimport.import").await > 0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_come_before_the_fence_delete_nothing() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    world.cancel_and_lose_the_job(id).await;
    world.add_deletions_by_hand(id).await;
    // Beside deletions, which share it; the fence has to wait.
    let held = Held::take(&world, "SELECT FROM pgimport.import FOR SHARE").await;
    let worker = world.worker(&["--concurrency", "2"]).start();
    until_true("the deletions were looked at", async || {
        let waiting = "SELECT count(*) FROM apalis.jobs WHERE id LIKE '01J00000%' AND status IN ('Pending', 'Queued')";
        world.number(waiting).await == 0
    })
    .await;
    world.until_a_lock_is_waited_for().await;
    assert!(!world.fenced().await);
    assert_eq!(world.sale_orders().await, 300);
    assert_json(
        &world.status(id),
        &json!({"state": "cancelling", "deleted": 0, "loaded": 300}),
    );
    held.release().await;
    until_true("the undo is decided", async || {
        world.status(id)["state"] != "cancelling"
    })
    .await;
    drop(worker);
    assert_json(
        &world.status(id),
        &json!({"state": "cancelled", "deleted": 300, "kept": 0}),
    );
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_whose_job_was_lost_is_found_by_maintenance() {
    for by_hand in [false, true] {
        let world = World::new().await;
        let id = world.load_orders("mine", 300, &[]);
        // One chunk was loaded, and one was not.
        let other = world.submit("other.csv", &orders("other", 300), &[]);
        for import in [id, other] {
            world.cancel_and_lose_the_job(import).await;
        }
        if by_hand {
            world.add_deletions_by_hand(id).await;
        }
        world.drain();
        assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 300}));
        assert_json(
            &world.status(other),
            &json!({"state": "cancelled", "loaded": 0, "deleted": 0}),
        );
        assert_eq!(world.sale_orders().await, 0);
        let unfenced = "SELECT count(*) FROM pgimport.import WHERE fenced_at IS NULL OR fenced_at > ended_at";
        assert_eq!(world.number(unfenced).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_get_under_our_ids_between_request_and_fence_stay() {
    let world = World::new().await;
    // One chunk after the other, so that the ids come in the order of the records.
    let id = world.load_orders("mine", 300, &["--max-parallel", "1"]);
    world.cancel_and_lose_the_job(id).await;
    world.add_deletions_by_hand(id).await;
    world
        .execute(
            "DELETE FROM public.sale_order WHERE \"Stock\" < 150;
             SELECT setval('public.sale_order_id_seq', (SELECT min(start_id) FROM pgimport.import_registry), false)",
        )
        .await;
    // A session of its own each: those that others have set ids aside in know nothing of it.
    for shop in ["one", "two"] {
        let mut theirs = world.pool().begin().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "DISCARD SEQUENCES;
             INSERT INTO public.sale_order (\"PointOfSale\", \"Product\", \"Date\", \"Stock\")
             SELECT '{shop}', 'p', '2025-01-01', n FROM generate_series(1, 100) AS n
             ON CONFLICT (id) DO NOTHING"
        )))
        .execute(&mut *theirs)
        .await
        .unwrap();
        theirs.commit().await.unwrap();
    }
    let content = "SELECT t::text FROM public.sale_order AS t WHERE \"PointOfSale\" <> 'mine' ORDER BY id";
    let others = world.texts(content).await;
    let under_ours = "SELECT count(*) FROM public.sale_order AS t JOIN pgimport.import_registry AS r ON t.id BETWEEN r.start_id AND r.end_id WHERE \"PointOfSale\" <> 'mine'";
    assert!(world.number(under_ours).await >= 100);
    world.drain();
    assert_json(&world.status(id), &json!({"state": "kept", "deleted": 150}));
    assert_eq!(world.texts(content).await, others);
    assert_eq!(world.shops().await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_runs_keeps_the_fence_waiting_and_nothing_is_deleted_meanwhile() {
    let world = World::new().await;
    let id = world.submit("mine.csv", &orders("mine", 300), &[]);
    // As a worker does that loads it.
    let held = Held::take(&world, "SELECT FROM pgimport.import_chunk WHERE ordinal = 1 FOR UPDATE").await;
    let worker = world.worker(&["--concurrency", "1"]).start();
    until_true("the others are loaded", async || world.sale_orders().await == 200).await;
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    until_true("the fence was tried, and tried again", async || {
        world.number("SELECT cancel_retries::bigint FROM pgimport.import").await >= 2
    })
    .await;
    assert!(!world.fenced().await);
    assert_eq!(world.sale_orders().await, 200);
    assert_eq!(
        world
            .number("SELECT count(*) FROM pgimport.import_chunk WHERE state = 'deleted'")
            .await,
        0
    );
    let status = world.status(id);
    assert_json(&status, &json!({"state": "cancelling", "loaded": 200, "deleted": 0}));
    assert!(
        status["error"].as_str().is_some_and(|error| error.contains("lock")),
        "{status:#}"
    );
    held.release().await;
    until_true("the undo is decided", async || {
        world.status(id)["state"] != "cancelling"
    })
    .await;
    drop(worker);
    // Whichever of the two came first, what was loaded by then is gone again.
    let status = world.status(id);
    assert_json(
        &status,
        &json!({"state": "cancelled", "kept": 0, "missing": 0, "error": null}),
    );
    assert_eq!(status["loaded"], status["deleted"], "{status:#}");
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_the_later_ones_options_count() {
    for (arguments, kept) in [(["--include-edited"; 1].as_slice(), 0), (&[], 20)] {
        let world = World::new().await;
        let id = world.load_orders("mine", 300, &[]).to_string();
        world
            .execute("UPDATE public.sale_order SET \"Product\" = 'x' WHERE \"Stock\" < 20")
            .await;
        let first: &[&str] = if kept == 0 { &[] } else { &["--include-edited"] };
        let cancel = |options: &[&str]| world.enqueue(&[&["cancel", &id], options].concat()).run();
        cancel(first).exits(0);
        // Fenced, with deletions that wait; then stopped, and asked for in another way.
        let held = Held::take(&world, "LOCK TABLE public.sale_order IN ACCESS EXCLUSIVE MODE").await;
        let worker = world.worker(&["--concurrency", "2"]).start();
        until_true("it is fenced", async || world.fenced().await).await;
        world.until_a_lock_is_waited_for().await;
        world.enqueue(&["keep", &id]).run().exits(0);
        let fence = "SELECT coalesce(extract(epoch FROM fenced_at)::text, 'none') FROM pgimport.import";
        let former = world.texts(fence).await;
        cancel(arguments).exits(0);
        assert_ne!(world.texts(fence).await, former, "a new request has a fence of its own");
        held.release().await;
        let id = id.parse().unwrap();
        until_true("the undo is decided", async || {
            world.status(id)["state"] != "cancelling"
        })
        .await;
        drop(worker);
        let state = if kept == 0 { "cancelled" } else { "kept" };
        assert_json(
            &world.status(id),
            &json!({"state": state, "kept": kept, "deleted": 300 - kept}),
        );
        assert_eq!(world.sale_orders().await, kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_that_was_allowed_once_is_not_allowed_to_the_next_request() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]).to_string();
    world
        .execute(
            "CREATE TABLE public.note (sale_order_id bigint REFERENCES public.sale_order ON DELETE CASCADE);
             INSERT INTO public.note SELECT id FROM public.sale_order",
        )
        .await;
    let enqueue = |arguments: &[&str]| world.enqueue(arguments).run();
    enqueue(&["cancel", &id, "--cascade"]).exits(0);
    enqueue(&["keep", &id]).exits(0);
    enqueue(&["cancel", &id]).exits(1).says("--cascade");
    assert_eq!(world.number("SELECT count(*) FROM public.note").await, 300);
    // Asked for while nothing refers to the rows yet.
    world.execute("ALTER TABLE public.note RENAME CONSTRAINT note_sale_order_id_fkey TO f; ALTER TABLE public.note DROP CONSTRAINT f").await;
    enqueue(&["cancel", &id]).exits(0);
    world
        .execute(
            "ALTER TABLE public.note ADD FOREIGN KEY (sale_order_id) REFERENCES public.sale_order ON DELETE CASCADE",
        )
        .await;
    world.drain();
    let import = id.parse().unwrap();
    assert_json(
        &world.status(import),
        &json!({"state": "kept", "deleted": 0, "kept": 300}),
    );
    assert_eq!(world.number("SELECT count(*) FROM public.note").await, 300);
    enqueue(&["cancel", &id, "--cascade"]).exits(0);
    world.drain();
    assert_json(&world.status(import), &json!({"state": "cancelled", "deleted": 300}));
    assert_eq!(world.number("SELECT count(*) FROM public.note").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_import_that_is_cancelled_again_gets_a_fence_of_its_own() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    world.enqueue(&["keep", &id.to_string()]).run().exits(0);
    assert!(world.fenced().await, "what was kept was fenced first");
    let first = world
        .texts("SELECT fenced_at::text FROM pgimport.import")
        .await
        .remove(0);
    world.cancel_and_lose_the_job(id).await;
    assert!(!world.fenced().await);
    world.add_deletions_by_hand(id).await;
    let held = Held::take(&world, "SELECT FROM pgimport.import FOR SHARE").await;
    let worker = world.worker(&["--concurrency", "2"]).start();
    world.until_a_lock_is_waited_for().await;
    assert_eq!(world.sale_orders().await, 300);
    held.release().await;
    until_true("the undo is decided", async || {
        world.status(id)["state"] != "cancelling"
    })
    .await;
    drop(worker);
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 300}));
    let later = format!("SELECT count(*) FROM pgimport.import WHERE fenced_at > '{first}'");
    assert_eq!(world.number(&later).await, 1);
}
