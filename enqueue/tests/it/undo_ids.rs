//! Undo where ids are not what they were: given again, to others or to later imports, and between our own.

use crate::support::{Held, World, assert_json, orders, until_true};
use serde_json::json;

/// Adds rows of somebody else.
async fn insert_of_others(world: &World, rows: i64) {
    let insert = "INSERT INTO public.sale_order (\"PointOfSale\", \"Product\", \"Date\", \"Stock\")
         SELECT 'other', 'p', '2025-01-01', n FROM generate_series(1,";
    world.execute(&format!("{insert} {rows}) AS n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_made_again_is_never_touched() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE public.t (id bigserial PRIMARY KEY, a int)")
        .await;
    let id = world.submit("t.csv", "a\n1\n2\n", &["--table", "public.t"]);
    world.drain();
    world.execute("DROP TABLE public.t; CREATE TABLE public.t (id bigserial PRIMARY KEY, a int); INSERT INTO public.t (a) VALUES (1), (2)").await;
    world
        .enqueue(&["cancel", &id.to_string()])
        .run()
        .exits(1)
        .says("dropped and made again");
    assert_eq!(world.status(id)["state"], "loaded");
    assert_eq!(world.number("SELECT count(*) FROM public.t").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_given_again_after_a_truncate_belong_to_the_later_import() {
    let world = World::new().await;
    let first = world.load_orders("first", 300, &[]);
    world.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    let second = world.load_orders("second", 250, &[]);
    assert_json(
        &world.undo(first, &[]),
        &json!({"state": "cancelled", "deleted": 0, "missing": 300}),
    );
    assert_eq!(world.sale_orders().await, 250);
    assert_json(&world.undo(second, &[]), &json!({"state": "cancelled", "deleted": 250}));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_between_those_of_a_step_are_not_ours() {
    let world = World::new().await;
    world
        .execute("ALTER SEQUENCE public.sale_order_id_seq INCREMENT BY 2")
        .await;
    let id = world.load_orders("mine", 300, &[]);
    // Rows of others on the even numbers between.
    world
        .execute("INSERT INTO public.sale_order SELECT id + 1, 'other', 'p', '2025-01-01', 1 FROM public.sale_order")
        .await;
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 300}));
    assert_eq!(
        world
            .number("SELECT count(*) FROM public.sale_order WHERE \"PointOfSale\" = 'other'")
            .await,
        300
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_range_that_was_given_again_in_part_is_still_ours() {
    let world = World::new().await;
    let first = world.load_orders("first", 100, &[]);
    world
        .execute("DELETE FROM public.sale_order WHERE id <= 10; SELECT setval('public.sale_order_id_seq', 1, false)")
        .await;
    let second = world.load_orders("second", 10, &[]);
    assert_json(
        &world.undo(first, &[]),
        &json!({"state": "cancelled", "deleted": 90, "missing": 10}),
    );
    assert_eq!(world.shops().await, ["second"]);
    assert_json(&world.undo(second, &[]), &json!({"state": "cancelled", "deleted": 10}));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_on_ids_given_again_are_left_alone() {
    // The sequence stands before the end of our ids, at it, and far behind it.
    let truncate = "TRUNCATE public.sale_order RESTART IDENTITY";
    let restart = "DELETE FROM public.sale_order; ALTER TABLE public.sale_order ALTER id RESTART";
    for (rows, restart, others) in [(300, truncate, 120_i64), (1, restart, 1), (300, truncate, 10_000)] {
        let world = World::new().await;
        let id = world.load_orders("mine", usize::try_from(rows).unwrap(), &[]);
        // Two sessions that load at once have a block of ids each.
        let mine = format!("SELECT count(*) FROM public.sale_order WHERE id <= {others}");
        let given_again = world.number(&mine).await;
        world.execute(restart).await;
        insert_of_others(&world, others).await;
        let dry = world.dry_run(id, &[]);
        assert_json(&dry, &json!({"would_delete": 0, "would_keep": given_again}));
        let status = world.undo(id, &[]);
        assert_json(&status, &json!({"state": "kept", "deleted": 0}));
        // A chunk of which only some rows have ids of others is told otherwise, and which chunk that is depends on who took its block first.
        let errors = &status["chunk_errors"];
        assert!(errors.to_string().contains("nobody can tell"), "{errors}");
        assert_eq!(world.sale_orders().await, others, "{rows} rows, {restart}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_others_share_and_restart_is_looked_at_too() {
    let world = World::new().await;
    world
        .execute(
            "CREATE SEQUENCE public.shared_ids;
             CREATE TABLE public.t (id bigint DEFAULT nextval('public.shared_ids') PRIMARY KEY, a int)",
        )
        .await;
    let id = world.submit("t.csv", "a\n1\n2\n", &["--table", "public.t"]);
    world.drain();
    world
        .execute(
            "TRUNCATE public.t; ALTER SEQUENCE public.shared_ids RESTART;
             INSERT INTO public.t (a) SELECT generate_series(1, 5)",
        )
        .await;
    world.undo(id, &[]);
    assert_eq!(world.number("SELECT count(*) FROM public.t").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sequence_in_place_of_the_one_that_gave_the_ids_may_give_them_again() {
    for place in [
        "ALTER TABLE public.sale_order ALTER id DROP IDENTITY, ALTER id ADD GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE public.sale_order ALTER id DROP IDENTITY; CREATE SEQUENCE s; ALTER TABLE public.sale_order ALTER id SET DEFAULT nextval('s')",
    ] {
        let world = World::new().await;
        let id = world.load_orders("mine", 50, &[]);
        world.execute("DELETE FROM public.sale_order").await;
        world.execute(place).await;
        insert_of_others(&world, 60).await;
        world.undo(id, &[]);
        assert_eq!(world.sale_orders().await, 60, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_stays_whatever_became_of_the_sequence() {
    for alter in ["CACHE 7", "OWNED BY NONE"] {
        let world = World::new().await;
        world
            .execute("CREATE TABLE public.t (id bigserial PRIMARY KEY, a int)")
            .await;
        let lines: String = (0..300).map(|n| format!("{n}\n")).collect();
        let id = world.submit("t.csv", &format!("a\n{lines}"), &["--table", "public.t"]);
        world.drain();
        world.execute("UPDATE public.t SET a = -1 WHERE a IN (5, 7, 299)").await;
        world.execute(&format!("ALTER SEQUENCE public.t_id_seq {alter}")).await;
        let dry = world.dry_run(id, &[]);
        assert_json(&dry, &json!({"would_delete": 297, "would_keep": 3, "edited": 3}));
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "kept", "deleted": 297, "kept": 3}),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_leaves_the_rows_until_somebody_vouches_for_the_ids() {
    // The former name of the option still works.
    for option in ["--include-edited", "--trust-ids"] {
        let world = World::new().await;
        world
            .execute("CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int)")
            .await;
        let id = world.submit("t.csv", "a\n1\n2\n3\n", &["--table", "public.t"]);
        world.drain();
        world.execute("ALTER TABLE public.t ALTER id TYPE bigint").await;
        assert_json(&world.undo(id, &[]), &json!({"state": "kept", "deleted": 0, "kept": 3}));
        let dry = world.dry_run(id, &[option]);
        assert_json(&dry, &json!({"would_delete": 3, "would_keep": 0, "cannot_tell": 3}));
        assert_json(
            &world.undo(id, &[option]),
            &json!({"state": "cancelled", "deleted": 3, "kept": 0}),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_under_ids_of_the_import_stay_unless_asked_for() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    world
        .execute(
            "CREATE TEMP TABLE freed AS SELECT id FROM public.sale_order WHERE \"Stock\" < 120;
             DELETE FROM public.sale_order WHERE id IN (SELECT id FROM freed);
             INSERT INTO public.sale_order SELECT id, 'other', 'p', '2025-01-01', 1 FROM freed",
        )
        .await;
    let dry = world.dry_run(id, &[]);
    assert_json(
        &dry,
        &json!({"would_delete": 180, "would_keep": 120, "edited": 120, "missing": 0}),
    );
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "kept", "deleted": 180, "kept": 120}),
    );
    assert_eq!(world.shops().await, ["other"]);
    assert_json(
        &world.undo(id, &["--include-edited"]),
        &json!({"state": "cancelled", "deleted": 300}),
    );
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_import_stay_even_where_edited_ones_go() {
    let world = World::new().await;
    // One session, so that they are given the same ids.
    let load = |shop, rows| {
        let id = world.submit(&format!("{shop}.csv"), &orders(shop, rows), &[]);
        world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
        id
    };
    let first = load("first", 300);
    world.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    let second = load("second", 200);
    // Under an id of the first import that the second was not given.
    world
        .execute(&format!(
            "INSERT INTO public.sale_order SELECT id, 'other', 'p', '2025-01-01', 1
             FROM pgimport.import_registry AS r, generate_series(r.start_id, r.end_id, r.step) AS id
             WHERE r.import_id = {first} AND id NOT IN (SELECT id FROM public.sale_order) LIMIT 1"
        ))
        .await;
    // What is under the second's ids is the second's, edited or not.
    world
        .execute("UPDATE public.sale_order SET \"Product\" = 'x' WHERE \"Stock\" < 20 AND \"PointOfSale\" = 'second'")
        .await;
    assert_json(
        &world.dry_run(first, &[]),
        &json!({"would_delete": 0, "would_keep": 1, "missing": 299}),
    );
    assert_json(
        &world.undo(first, &["--include-edited"]),
        &json!({"state": "cancelled", "deleted": 1, "missing": 299}),
    );
    assert_eq!(world.shops().await, ["second"]);
    assert_eq!(world.sale_orders().await, 200);
    // And where the second is asked for its own, the first has no say.
    assert_json(
        &world.undo(second, &["--include-edited"]),
        &json!({"state": "cancelled", "deleted": 200}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_get_while_the_deletions_wait_are_left_alone() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    let holding = Held::take(&world, "SELECT FROM pgimport.import_chunk FOR UPDATE").await;
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    let _worker = world.worker(&["--concurrency", "1"]).start();
    // The fence does, for it names the job of each chunk; what comes now comes before the deletions in any case.
    world.until_a_lock_is_waited_for().await;
    world.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    insert_of_others(&world, 10_000).await;
    holding.release().await;
    until_true("the undo is decided", async || {
        world.status(id)["state"] != "cancelling"
    })
    .await;
    assert_eq!(world.sale_orders().await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_of_before_registered_is_told_from_others_too() {
    // As workers of an earlier version wrote them.
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    world.execute("UPDATE pgimport.import_registry SET xids = NULL").await;
    world.execute("TRUNCATE public.sale_order RESTART IDENTITY").await;
    insert_of_others(&world, 120).await;
    world.undo(id, &[]);
    assert_eq!(world.sale_orders().await, 120);
}
