//! Undo: exactly the rows of one import, and no other, whoever else writes to the table.

use std::{fs::OpenOptions, io::Write as _};

use crate::support::{World, assert_json, orders, until_true};
use serde_json::json;

/// Rows by id and content, for comparing what must not change.
const CONTENT: &str = "SELECT t::text FROM public.sale_order AS t WHERE \"PointOfSale\" <> 'mine' ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_removes_its_own_rows_and_no_other_while_others_write() {
    let world = World::new().await;
    let mine = world.submit("mine.csv", &orders("mine", 3_000), &[]);
    let theirs = world.submit("theirs.csv", &orders("theirs", 2_000), &[]);
    let writer = async {
        for n in 0..200 {
            let row = format!(
                "INSERT INTO public.sale_order (\"PointOfSale\", \"Product\", \"Date\", \"Stock\") VALUES ('plain', '{n}', '2025-01-01', {n})"
            );
            world.execute(&row).await;
        }
    };
    let worker = world.worker(&["--drain", "--concurrency", "3"]).start();
    writer.await;
    worker.finish().exits(0);
    let others = world.texts(CONTENT).await;
    assert_eq!(others.len(), 2_200);
    let status = world.undo(mine, &[]);
    assert_json(
        &status,
        &json!({"state": "cancelled", "deleted": 3_000, "kept": 0, "missing": 0}),
    );
    assert_eq!(world.texts(CONTENT).await, others);
    assert_eq!(world.sale_orders().await, 2_200);
    assert_eq!(
        world
            .number(&format!(
                "SELECT count(*) FROM pgimport.import_registry WHERE import_id = {mine}"
            ))
            .await,
        0
    );
    world.enqueue(&["verify", &theirs.to_string()]).run().exits(0);
    // A second cancel finds nothing to do.
    world
        .enqueue(&["cancel", &mine.to_string(), "--wait"])
        .run()
        .exits(0)
        .says("cancelled before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_takes_effect_without_a_worker() {
    let world = World::new().await;
    let id = world.submit("mine.csv", &orders("mine", 500), &[]);
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    assert_eq!(world.status(id)["state"], "cancelling");
    world.drain();
    assert_json(&world.status(id), &json!({"state": "cancelled", "loaded": 0}));
    assert_eq!(world.number("SELECT count(*) FROM pgimport.import_payload").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_other_tables_are_not_deleted_with_ours_unless_allowed() {
    let world = World::new().await;
    let id = world.load_orders("mine", 100, &[]);
    world
        .execute("CREATE TABLE public.note (sale_order_id bigint REFERENCES public.sale_order ON DELETE CASCADE)")
        .await;
    world
        .execute("INSERT INTO public.note SELECT min(id) FROM public.sale_order")
        .await;
    world
        .enqueue(&["cancel", &id.to_string()])
        .run()
        .exits(1)
        .says("--cascade")
        .says("note");
    assert_eq!(world.status(id)["state"], "loaded");
    assert_json(
        &world.undo(id, &["--cascade"]),
        &json!({"state": "cancelled", "deleted": 100}),
    );
    assert_eq!(world.number("SELECT count(*) FROM public.note").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_forbids_a_deletion_is_named_and_the_rest_goes() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    world
        .execute("CREATE TABLE public.note (sale_order_id bigint CONSTRAINT note_order REFERENCES public.sale_order)")
        .await;
    world
        .execute("INSERT INTO public.note SELECT min(id) FROM public.sale_order")
        .await;
    let status = world.undo(id, &[]);
    assert_json(&status, &json!({"state": "kept", "deleted": 200, "kept": 100}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("note_order") && error.contains("note"), "{error}");
    assert_eq!(world.sale_orders().await, 100);
    // What was kept can be undone once nothing refers to it.
    world.execute("DELETE FROM public.note").await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 300, "kept": 0}),
    );
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_rows_are_counted_and_can_be_kept() {
    let world = World::new().await;
    let id = world.load_orders("mine", 300, &[]);
    world
        .execute("UPDATE public.sale_order SET \"Stock\" = -1 WHERE \"Stock\" IN (5, 105)")
        .await;
    world.execute("DELETE FROM public.sale_order WHERE \"Stock\" = 7").await;
    let dry = world.dry_run(id, &[]);
    assert_json(
        &dry,
        &json!({"would_delete": 297, "would_keep": 2, "edited": 2, "missing": 1, "cannot_tell": 0}),
    );
    assert_eq!(world.sale_orders().await, 299);
    let status = world.undo(id, &["--keep-edited"]);
    assert_json(
        &status,
        &json!({"state": "kept", "deleted": 297, "kept": 2, "missing": 1}),
    );
    assert_eq!(
        world
            .number("SELECT count(*) FROM public.sale_order WHERE \"Stock\" = -1")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_table_makes_it_impossible_to_tell_what_was_edited() {
    let world = World::new().await;
    let id = world.load_orders("mine", 200, &[]);
    world
        .execute("UPDATE public.sale_order SET \"Stock\" = \"Stock\" + 1")
        .await;
    let dry = world.dry_run(id, &[]);
    assert_json(
        &dry,
        &json!({"would_delete": 0, "would_keep": 200, "edited": 200, "cannot_tell": 200}),
    );
    let status = world.undo(id, &[]);
    assert_json(&status, &json!({"state": "kept", "deleted": 0, "kept": 200}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("rewrite"), "{error}");
    assert_json(
        &world.dry_run(id, &["--include-edited"]),
        &json!({"would_delete": 200, "would_keep": 0}),
    );
    assert_json(
        &world.undo(id, &["--include-edited"]),
        &json!({"state": "cancelled", "deleted": 200}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_in_a_subtransaction_of_a_trigger_are_not_taken_for_edited() {
    let world = World::new().await;
    // The exception block makes the row's xmin that of a subtransaction.
    world
        .execute(
            "CREATE TABLE public.t (id bigserial PRIMARY KEY, a int, b int);
             CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 BEGIN UPDATE public.t SET b = 1 WHERE id = NEW.id; EXCEPTION WHEN division_by_zero THEN NULL; END;
                 RETURN NULL; END $$;
             CREATE TRIGGER touch AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()",
        )
        .await;
    let id = world.submit("t.csv", "a\n1\n2\n3\n", &["--table", "t"]);
    world.drain();
    let dry = world.dry_run(id, &[]);
    assert_json(&dry, &json!({"would_delete": 3, "edited": 0, "cannot_tell": 0}));
    assert_json(
        &world.undo(id, &["--keep-edited"]),
        &json!({"state": "cancelled", "deleted": 3}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_stops_the_deletions_and_a_later_cancel_finishes_them() {
    let world = World::new().await;
    let id = world.load_orders("mine", 500, &[]);
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    world
        .enqueue(&["keep", &id.to_string()])
        .run()
        .exits(0)
        .says("500 remain");
    world.drain();
    assert_json(&world.status(id), &json!({"state": "kept", "deleted": 0}));
    assert_eq!(world.sale_orders().await, 500);
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 500}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_source_is_read_stops_the_submitter() {
    let world = World::new().await;
    let mut submitter = world.enqueue(&["--chunk-rows", "10"]).pipe().start();
    let mut pipe = submitter.stdin();
    pipe.write_all(orders("mine", 2_000).as_bytes()).unwrap();
    pipe.flush().unwrap();
    until_true("chunks are stored", async || {
        world.number("SELECT count(*) FROM pgimport.import_chunk").await > 10
    })
    .await;
    let id = world.number("SELECT id FROM pgimport.import").await;
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    let ended = submitter.finish().exits(4).says("cancelled while it was submitted");
    assert_eq!(ended.id(), id);
    drop(pipe);
    world.drain();
    assert_eq!(world.status(id)["state"], "cancelled");
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_runs_after_a_followed_cancel_and_is_offered_otherwise() {
    let world = World::new().await;
    let worker = world.worker(&["--concurrency", "2"]).start();
    for (arguments, word) in [
        (&["--wait"][..], "autovacuum"),
        (&["--wait", "--vacuum"][..], "vacuum    done"),
    ] {
        let path = world.file("mine.csv", orders("mine", 300));
        let id = world.enqueue(&["-i", &path, "--wait"]).run().exits(0).id().to_string();
        let all = [&["cancel", &id], arguments].concat();
        world.enqueue(&all).run().exits(0).says(word);
    }
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_rows_that_are_gone_or_differ_and_a_file_that_is_another() {
    let world = World::new().await;
    let id = world.load_orders("mine", 250, &[]).to_string();
    let path = world.path("mine.csv");
    let file = path.to_str().unwrap();
    world.enqueue(&["verify", &id, file]).run().exits(0);
    world
        .execute("UPDATE public.sale_order SET \"Product\" = 'x' WHERE \"Stock\" IN (3, 4)")
        .await;
    world.enqueue(&["verify", &id]).run().exits(0);
    let report = world.enqueue(&["verify", &id, file, "--json"]).run().exits(1).json();
    assert_json(&report["differences"][0], &json!({"kind": "content", "count": 2}));
    world
        .execute("DELETE FROM public.sale_order WHERE \"Stock\" >= 230")
        .await;
    let report = world.enqueue(&["verify", &id, "--json"]).run().exits(1).json();
    assert_json(&report["differences"][0], &json!({"kind": "missing_row", "count": 20}));
    writeln!(
        OpenOptions::new().append(true).open(&path).unwrap(),
        "mine;p;2025-01-01;1"
    )
    .unwrap();
    let report = world.enqueue(&["verify", &id, file, "--json"]).run().exits(1).json();
    assert_json(&report["differences"][0], &json!({"kind": "fingerprint"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_the_others_name_while_the_deletion_waits_is_not_touched() {
    let world = World::new().await;
    world.execute("CREATE TABLE public.a (id bigserial PRIMARY KEY, n int); CREATE TABLE public.b (id bigserial PRIMARY KEY, n int); INSERT INTO public.b (n) VALUES (1), (2), (3)").await;
    let id = world.submit("a.csv", "n\n1\n2\n3\n", &["--table", "public.a"]);
    world.drain();
    let mut swap = world.pool().begin().await.unwrap();
    sqlx::raw_sql("ALTER TABLE public.a RENAME TO a_old; ALTER TABLE public.b RENAME TO a")
        .execute(&mut *swap)
        .await
        .unwrap();
    world.enqueue(&["cancel", &id.to_string()]).run();
    let worker = world.worker(&["--concurrency", "1"]).start();
    let cancelling = world
        .number("SELECT count(*) FROM pgimport.import WHERE state = 'cancelling'")
        .await;
    if cancelling == 1 {
        world.until_a_lock_is_waited_for().await;
    }
    swap.commit().await.unwrap();
    until_true("the undo is decided", async || {
        cancelling == 0 || world.status(id)["state"] != "cancelling"
    })
    .await;
    drop(worker);
    assert_eq!(world.number("SELECT count(*) FROM public.a").await, 3);
    // The import follows its table, whatever that is called.
    assert_json(
        &world.status(id),
        &json!({"state": "cancelled", "deleted": 3, "target": "public.a_old", "renamed_from": "public.a"}),
    );
    assert_eq!(world.number("SELECT count(*) FROM public.a_old").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_inherit_are_not_reached() {
    let world = World::new().await;
    world.execute("CREATE TABLE public.parent (id bigserial PRIMARY KEY, n int); CREATE TABLE public.child () INHERITS (public.parent)").await;
    let id = world.submit("n.csv", "n\n1\n2\n", &["--table", "public.parent"]);
    world.drain();
    world
        .execute("INSERT INTO public.child SELECT id, 7 FROM ONLY public.parent")
        .await;
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 2}));
    assert_eq!(world.number("SELECT count(*) FROM public.child").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_keeps_are_not_taken_for_deleted() {
    let world = World::new().await;
    let id = world.load_orders("mine", 50, &[]);
    world.execute("CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER no BEFORE DELETE ON public.sale_order FOR EACH ROW EXECUTE FUNCTION public.no()").await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "kept", "deleted": 0, "kept": 50}),
    );
    world.execute("DROP TRIGGER no ON public.sale_order").await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 50, "kept": 0, "missing": 0}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_does_not_delete_from_other_tables_unasked() {
    let world = World::new().await;
    let old = world.load_orders("old", 100, &[]);
    world.execute("CREATE TABLE public.note (sale_order_id bigint REFERENCES public.sale_order ON DELETE CASCADE); INSERT INTO public.note SELECT min(id) FROM public.sale_order").await;
    world.load_orders("new", 10, &["--replace"]);
    world.drain();
    assert_json(&world.status(old), &json!({"state": "kept", "deleted": 0, "kept": 100}));
    assert_eq!(world.number("SELECT count(*) FROM public.note").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_add_up_when_what_was_kept_is_undone_later() {
    let world = World::new().await;
    let id = world.load_orders("mine", 100, &[]);
    world
        .execute("UPDATE public.sale_order SET \"Product\" = 'x' WHERE \"Stock\" < 20")
        .await;
    assert_json(
        &world.undo(id, &["--keep-edited"]),
        &json!({"state": "kept", "deleted": 80, "kept": 20, "missing": 0}),
    );
    assert_json(
        &world.undo(id, &["--include-edited"]),
        &json!({"state": "cancelled", "deleted": 100, "kept": 0, "missing": 0}),
    );
}
