//! Undo where ids are not what they were: given again, to others or to later imports, and between our own.

mod support;

use serde_json::json;
use support::{Bench, assert_json, until};

/// Adds rows of somebody else.
async fn insert_of_others(bench: &Bench, rows: i64) {
    let insert = "INSERT INTO public.sale_order (\"PointOfSale\", \"Product\", \"Date\", \"Stock\")
         SELECT 'other', 'p', '2025-01-01', n FROM generate_series(1,";
    bench.execute(&format!("{insert} {rows}) AS n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_made_again_is_never_touched() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE public.t (id bigserial PRIMARY KEY, a int)")
        .await;
    let id = bench.submit("t.csv", "a\n1\n2\n", &["--table", "public.t"]);
    bench.drain();
    bench.execute("DROP TABLE public.t; CREATE TABLE public.t (id bigserial PRIMARY KEY, a int); INSERT INTO public.t (a) VALUES (1), (2)").await;
    bench
        .enqueue(["cancel", &id.to_string()])
        .run()
        .exits(1)
        .says("dropped and made again");
    assert_eq!(bench.status(id)["state"], "loaded");
    assert_eq!(bench.number("SELECT count(*) FROM public.t").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_given_again_after_a_truncate_belong_to_the_later_import() {
    let bench = Bench::new().await;
    let first = bench.load_orders("first", 300, &[]);
    bench.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    let second = bench.load_orders("second", 250, &[]);
    assert_json(
        &bench.undo(first, &[]),
        &json!({"state": "cancelled", "deleted": 0, "missing": 300}),
    );
    assert_eq!(bench.sale_orders().await, 250);
    assert_json(&bench.undo(second, &[]), &json!({"state": "cancelled", "deleted": 250}));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_between_those_of_a_step_are_not_ours() {
    let bench = Bench::new().await;
    bench
        .execute("ALTER SEQUENCE public.sale_order_id_seq INCREMENT BY 2")
        .await;
    let id = bench.load_orders("mine", 300, &[]);
    // Rows of others on the even numbers between.
    bench
        .execute("INSERT INTO public.sale_order SELECT id + 1, 'other', 'p', '2025-01-01', 1 FROM public.sale_order")
        .await;
    assert_json(&bench.undo(id, &[]), &json!({"state": "cancelled", "deleted": 300}));
    assert_eq!(
        bench
            .number("SELECT count(*) FROM public.sale_order WHERE \"PointOfSale\" = 'other'")
            .await,
        300
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_range_that_was_given_again_in_part_is_still_ours() {
    let bench = Bench::new().await;
    let first = bench.load_orders("first", 100, &[]);
    bench
        .execute("DELETE FROM public.sale_order WHERE id <= 10; SELECT setval('public.sale_order_id_seq', 1, false)")
        .await;
    let second = bench.load_orders("second", 10, &[]);
    assert_json(
        &bench.undo(first, &[]),
        &json!({"state": "cancelled", "deleted": 90, "missing": 10}),
    );
    assert_eq!(bench.shops().await, ["second"]);
    assert_json(&bench.undo(second, &[]), &json!({"state": "cancelled", "deleted": 10}));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_on_ids_given_again_are_left_alone() {
    // The sequence stands before the end of our ids, at it, and far behind it.
    let truncate = "TRUNCATE public.sale_order RESTART IDENTITY";
    let restart = "DELETE FROM public.sale_order; ALTER TABLE public.sale_order ALTER id RESTART";
    for (rows, restart, others) in [(300, truncate, 120), (1, restart, 1), (300, truncate, 10_000)] {
        let bench = Bench::new().await;
        let id = bench.load_orders("mine", rows, &[]);
        bench.execute(restart).await;
        insert_of_others(&bench, others).await;
        let dry = bench.dry_run(id, &[]);
        assert_json(&dry, &json!({"would_delete": 0, "ids_reused": true}));
        let status = bench.undo(id, &[]);
        assert_json(&status, &json!({"state": "kept", "deleted": 0}));
        let error = status["chunk_errors"][0]["error"].as_str().unwrap();
        assert!(error.contains("--trust-ids"), "{error}");
        assert_eq!(bench.sale_orders().await, others, "{rows} rows, {restart}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_others_share_and_restart_is_looked_at_too() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE SEQUENCE public.shared_ids;
             CREATE TABLE public.t (id bigint DEFAULT nextval('public.shared_ids') PRIMARY KEY, a int)",
        )
        .await;
    let id = bench.submit("t.csv", "a\n1\n2\n", &["--table", "public.t"]);
    bench.drain();
    bench
        .execute(
            "TRUNCATE public.t; ALTER SEQUENCE public.shared_ids RESTART;
             INSERT INTO public.t (a) SELECT generate_series(1, 5)",
        )
        .await;
    bench.undo(id, &[]);
    assert_eq!(bench.number("SELECT count(*) FROM public.t").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sequence_in_place_of_the_one_that_gave_the_ids_may_give_them_again() {
    for place in [
        "ALTER TABLE public.sale_order ALTER id DROP IDENTITY, ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE public.sale_order ALTER id DROP IDENTITY; CREATE SEQUENCE s; ALTER TABLE public.sale_order ALTER id SET DEFAULT nextval('s')",
    ] {
        let bench = Bench::new().await;
        let id = bench.load_orders("mine", 50, &[]);
        bench.execute("DELETE FROM public.sale_order").await;
        bench.execute(place).await;
        insert_of_others(&bench, 60).await;
        bench.undo(id, &[]);
        assert_eq!(bench.sale_orders().await, 60, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_was_altered_since_spares_what_differs_and_one_that_was_not_spares_nothing() {
    for (alter, deleted, state) in [("CACHE 7", 297, "kept"), ("OWNED BY NONE", 300, "cancelled")] {
        let bench = Bench::new().await;
        bench
            .execute("CREATE TABLE public.t (id bigserial PRIMARY KEY, a int)")
            .await;
        let lines: String = (0..300).map(|n| format!("{n}\n")).collect();
        let id = bench.submit("t.csv", &format!("a\n{lines}"), &["--table", "public.t"]);
        bench.drain();
        bench.execute("UPDATE public.t SET a = -1 WHERE a IN (5, 7, 299)").await;
        bench.execute(&format!("ALTER SEQUENCE public.t_id_seq {alter}")).await;
        let dry = bench.dry_run(id, &[]);
        assert_json(&dry, &json!({"would_delete": deleted, "edited": 3}));
        assert_json(&bench.undo(id, &[]), &json!({"state": state, "deleted": deleted}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_alters_the_sequence_too_leaves_rows_until_somebody_vouches_for_the_ids() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int)")
        .await;
    let id = bench.submit("t.csv", "a\n1\n2\n3\n", &["--table", "public.t"]);
    bench.drain();
    bench.execute("ALTER TABLE public.t ALTER id TYPE bigint").await;
    assert_json(&bench.undo(id, &[]), &json!({"state": "kept", "deleted": 0, "kept": 3}));
    let dry = bench.dry_run(id, &["--trust-ids"]);
    assert_json(
        &dry,
        &json!({"would_delete": 3, "would_keep": 0, "cannot_tell": 3, "ids_reused": false}),
    );
    assert_json(
        &bench.undo(id, &["--trust-ids"]),
        &json!({"state": "cancelled", "deleted": 3, "kept": 0}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_get_while_the_deletions_wait_are_left_alone() {
    let bench = Bench::new().await;
    let id = bench.load_orders("mine", 300, &[]);
    let mut holding = bench.db.pool().begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM pgimport.import_registry FOR UPDATE")
        .execute(&mut *holding)
        .await
        .unwrap();
    bench.enqueue(["cancel", &id.to_string()]).run().exits(0);
    let _worker = bench.worker(["--concurrency", "1"]).start();
    bench.until_a_lock_is_waited_for().await;
    // A deletion does. The cancel has looked at the sequence by now; the deletions have not.
    bench.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    insert_of_others(&bench, 10_000).await;
    holding.rollback().await.unwrap();
    until("the undo is decided", async || {
        bench.status(id)["state"] != "cancelling"
    })
    .await;
    assert_eq!(bench.sale_orders().await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ids_whose_sequence_was_not_recorded_its_place_tells() {
    // As workers of an earlier version wrote them.
    let bench = Bench::new().await;
    let id = bench.load_orders("mine", 300, &[]);
    bench
        .execute("UPDATE pgimport.import_registry SET sequence_filenode = NULL")
        .await;
    bench.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    insert_of_others(&bench, 120).await;
    bench.undo(id, &[]);
    assert_eq!(bench.sale_orders().await, 120);
}
