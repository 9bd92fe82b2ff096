//! Tables that are altered while an import waits, in the middle of it, and after it.

use crate::support::{Held, World, assert_json, until_true};
use serde_json::json;

impl World {
    /// Numbers in chunks of 100.
    fn submit_numbers(&self, table: &str, rows: usize) -> i64 {
        let lines: String = (0..rows).map(|n| format!("{n}\n")).collect();
        self.submit("n.csv", &format!("n\n{lines}"), &["--table", table])
    }
}

const TABLE: &str = "CREATE SCHEMA attic; CREATE TABLE public.t (id bigserial PRIMARY KEY, n int)";
/// A table that looks the same and takes the name that became free, with rows under the same ids.
const SUCCESSOR: &str = "CREATE TABLE public.t (id bigserial PRIMARY KEY, n int); INSERT INTO public.t (n) SELECT n FROM generate_series(1, 400) AS n";

/// What is done to the table, and what it is called then.
const MOVES: [(&str, &str); 3] = [
    ("ALTER TABLE public.t RENAME TO u", "public.u"),
    ("ALTER TABLE public.t SET SCHEMA attic", "attic.t"),
    (
        "ALTER TABLE public.t RENAME TO \"U u\"; ALTER TABLE public.\"U u\" SET SCHEMA attic",
        "attic.\"U u\"",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_renamed_or_moved_while_an_import_waits_is_loaded_and_undone_where_it_is() {
    for (alter, name) in MOVES {
        let world = World::new().await;
        world.execute(TABLE).await;
        let id = world.submit_numbers("public.t", 300);
        world.execute(alter).await;
        world.execute(SUCCESSOR).await;
        let moved = json!({"target": name, "renamed_from": "public.t"});
        assert_json(&world.status(id), &moved);
        world.drain();
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
        assert_json(&world.status(id), &moved);
        assert_eq!(
            (world.count(name).await, world.count("public.t").await),
            (300, 400),
            "{alter}"
        );
        let said = world.enqueue(&["status", &id.to_string()]).run().exits(0).stdout;
        assert!(said.contains(name) && said.contains("public.t"), "{said}");
        world.enqueue(&["verify", &id.to_string()]).run().exits(0);
        assert_json(&world.dry_run(id, &[]), &json!({"would_delete": 300, "would_keep": 0}));
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 300}));
        assert_eq!(
            (world.count(name).await, world.count("public.t").await),
            (0, 400),
            "{alter}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_renamed_or_moved_after_an_import_is_undone_where_it_is() {
    for (alter, name) in MOVES {
        let world = World::new().await;
        world.execute(TABLE).await;
        let id = world.submit_numbers("public.t", 300);
        world.drain();
        assert_json(&world.status(id), &json!({"target": "public.t", "renamed_from": null}));
        // Once before the request, and once more before the deletions.
        world.execute(alter).await;
        world.execute(SUCCESSOR).await;
        world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
        world
            .execute(&format!("ALTER TABLE {name} RENAME TO last; CREATE TABLE {name} (LIKE public.t INCLUDING ALL); INSERT INTO {name} SELECT * FROM public.t"))
            .await;
        world.drain();
        let last = format!("{}.last", name.split('.').next().unwrap());
        assert_json(
            &world.status(id),
            &json!({"state": "cancelled", "deleted": 300, "target": last, "renamed_from": "public.t"}),
        );
        assert_eq!(
            [
                world.count(&last).await,
                world.count(name).await,
                world.count("public.t").await
            ],
            [0, 400, 400],
            "{alter}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_renamed_between_two_chunks_gets_them_both_whatever_takes_its_name() {
    for (successor, rows) in [
        // The ids are taken there; they are free; it has no such column; it takes no rows; nothing takes the name.
        (SUCCESSOR, 400),
        ("CREATE TABLE public.t (id bigserial PRIMARY KEY, n int)", 0),
        ("CREATE TABLE public.t (id bigserial PRIMARY KEY, m int)", 0),
        ("CREATE VIEW public.t AS SELECT 1 AS n", 1),
        ("", 0),
    ] {
        let world = World::new().await;
        world.execute(TABLE).await;
        let id = world.submit_numbers("public.t", 300);
        let held = Held::take(&world, "SELECT FROM pgimport.import_chunk WHERE ordinal > 0 FOR UPDATE").await;
        let worker = world.worker(&["--concurrency", "1"]).start();
        until_true("the first is loaded", async || world.count("public.t").await == 100).await;
        world.execute("ALTER TABLE public.t RENAME TO u").await;
        world.execute(successor).await;
        held.release().await;
        until_true("it has ended", async || world.status(id)["state"] != "loading").await;
        drop(worker);
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
        assert_eq!(world.count("public.u").await, 300);
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 300}));
        assert_eq!(world.count("public.u").await, 0);
        if !successor.is_empty() {
            assert_eq!(world.count("public.t").await, rows, "{successor}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_and_made_again_while_an_import_waits_is_refused_with_words() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let id = world.submit_numbers("public.t", 300);
    world.execute("DROP TABLE public.t").await;
    world.execute(SUCCESSOR).await;
    world.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "failed", "loaded": 0, "chunks_failed": 3}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("public.t") && error.contains("dropped and made again"),
        "{error}"
    );
    assert_eq!(world.count("public.t").await, 400);
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 0}));
    assert_eq!(world.count("public.t").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_comes_in_the_middle_of_an_import_does_not_make_its_rows_look_edited() {
    for method in ["insert", "copy"] {
        let world = World::new().await;
        world.execute(TABLE).await;
        let lines: String = (0..300).map(|n| format!("{n}\n")).collect();
        let arguments = ["--table", "public.t", "--load-method", method];
        let id = world.submit("n.csv", &format!("n\n{lines}"), &arguments);
        let held = Held::take(&world, "SELECT FROM pgimport.import_chunk WHERE ordinal > 0 FOR UPDATE").await;
        let worker = world.worker(&["--concurrency", "1"]).start();
        until_true("the first is loaded", async || world.count("public.t").await == 100).await;
        // The exception block makes the new version of the row that of a subtransaction.
        world
            .execute(
                "CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     BEGIN UPDATE public.t SET n = n + 1000 WHERE id = NEW.id; EXCEPTION WHEN division_by_zero THEN NULL; END;
                     RETURN NULL; END $$;
                 CREATE TRIGGER touch AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()",
            )
            .await;
        held.release().await;
        until_true("it is loaded", async || world.status(id)["state"] == "loaded").await;
        drop(worker);
        assert_eq!(world.count("public.t WHERE n >= 1000").await, 200);
        let strangers = "public.t AS t WHERE NOT EXISTS (
             SELECT FROM pgimport.import_registry AS r
             WHERE t.id BETWEEN r.start_id AND r.end_id AND t.xmin::text::bigint = ANY (SELECT x & 4294967295 FROM unnest(r.xids) AS x))";
        assert_eq!(world.count(strangers).await, 0, "{method}");
        assert_json(
            &world.dry_run(id, &[]),
            &json!({"would_delete": 300, "would_keep": 0, "edited": 0}),
        );
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "cancelled", "deleted": 300, "kept": 0}),
        );
        assert_eq!(world.count("public.t").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_whose_key_begins_with_the_id_is_loaded_and_undone() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE public.p (id bigint GENERATED ALWAYS AS IDENTITY, day date NOT NULL, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
             CREATE TABLE public.p_2024 PARTITION OF public.p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
             CREATE TABLE public.p_2025 PARTITION OF public.p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        )
        .await;
    let lines: String = (0..300).map(|n| format!("{}-03-01;{n}\n", 2024 + n % 2)).collect();
    let path = world.file("p.csv", format!("day;n\n{lines}"));
    let id = world.submit("p.csv", &format!("day;n\n{lines}"), &["--table", "public.p"]);
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 300}));
    assert_eq!(
        (world.count("public.p_2024").await, world.count("public.p_2025").await),
        (150, 150)
    );
    world.enqueue(&["verify", &id.to_string(), &path]).run().exits(0);
    // An edit that moves rows to another partition; a row of others, too; and one under an id of ours on another day.
    world
        .execute(
            "UPDATE public.p SET day = '2025-06-01' WHERE day < '2025-01-01' AND n < 20;
             INSERT INTO public.p (day, n) VALUES ('2024-05-05', 7);
             INSERT INTO public.p (id, day, n) OVERRIDING SYSTEM VALUE SELECT id, '2024-05-05', -1 FROM public.p WHERE n = 299",
        )
        .await;
    assert_json(&world.dry_run(id, &[]), &json!({"would_delete": 290, "edited": 11}));
    assert_json(&world.undo(id, &[]), &json!({"state": "kept", "deleted": 290}));
    assert_eq!(world.count("public.p").await, 12);
    assert_eq!(world.count("public.p WHERE n = -1").await, 1);
    // A partition that is detached takes its rows with it.
    let second = world.submit(
        "again.csv",
        &format!("day;n\n{lines}"),
        &["--table", "public.p", "--force"],
    );
    world.drain();
    world
        .execute("ALTER TABLE public.p DETACH PARTITION public.p_2024")
        .await;
    assert_json(
        &world.undo(second, &[]),
        &json!({"state": "cancelled", "deleted": 150, "missing": 150}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_id_leads_no_index_is_refused_with_the_statement_that_makes_one() {
    for index in [
        "",
        "CREATE INDEX ON public.t (n, id)",
        "CREATE INDEX ON public.t (id) WHERE n > 5",
        "CREATE INDEX ON public.t ((id + 1))",
        "CREATE INDEX ON public.t USING hash (id)",
    ] {
        let world = World::new().await;
        world
            .execute(&format!("CREATE TABLE public.t (id bigserial, n int); {index}"))
            .await;
        let file = world.file("t.csv", "n\n1\n2\n");
        let arguments = ["-i", &file, "--table", "public.t", "--identity", "sequence"];
        let refused = world.enqueue(&arguments).run();
        assert_eq!(refused.code, Some(1), "{index}: {refused:#?}");
        let hint = refused.stderr.find("CREATE INDEX");
        let hint = &refused.stderr[hint.unwrap_or_else(|| panic!("{index}: {refused:#?}"))..];
        assert_eq!(world.imports().await, 0);
        world.execute(hint.lines().next().unwrap()).await;
        let id = world.enqueue(&arguments).run().exits(0).id();
        world.drain();
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 2}));
    }
}
