//! Rows that a source does not have: deleted when all is loaded, within a limit, and put back when the import is undone.

use crate::support::{Held, World, assert_json, role::submitter_and_worker};
use serde_json::json;

/// Tables with the columns `shop`, `product` and `price`, and a unique key of the first two.
const TABLES: [(&str, &str); 4] = [
    (
        "plain",
        "CREATE TABLE plain (shop text, product int, price numeric(10, 2), PRIMARY KEY (shop, product))",
    ),
    (
        "numbered",
        "CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, price numeric(10, 2), product int NOT NULL,
                                shop text NOT NULL, twice numeric GENERATED ALWAYS AS (price * 2) STORED, UNIQUE (product, shop),
                                tags text[] DEFAULT '{a,\"b,c\"}', seen timestamptz DEFAULT now(), raw bytea DEFAULT '\\x00ff')",
    ),
    (
        "divided",
        "CREATE TABLE divided (product int, shop text, price numeric(10, 2), PRIMARY KEY (product, shop)) PARTITION BY LIST (shop);
         CREATE TABLE berlin PARTITION OF divided FOR VALUES IN ('Berlin');
         CREATE TABLE elsewhere (gone int, product int NOT NULL, shop text NOT NULL, price numeric(10, 2));
         ALTER TABLE elsewhere DROP COLUMN gone;
         ALTER TABLE divided ATTACH PARTITION elsewhere DEFAULT",
    ),
    (
        "parent",
        "CREATE TABLE parent (shop text, product int, price numeric(10, 2), \"Od d\"\"\" json DEFAULT '{\"a\" : 1, \"a\":2}',
                              PRIMARY KEY (shop, product));
         CREATE TABLE child (more int) INHERITS (parent);
         INSERT INTO child VALUES ('Berlin', 1, 1, '{}', 1), ('Bonn', -1, -1, '{}', 2)",
    ),
];

const UPDATE: [&str; 3] = ["--on-conflict", "update", "--delete-missing"];

/// Submits a file of the table's name that the table shall be like.
fn submit(world: &World, table: &str, text: &str, more: &[&str]) -> i64 {
    let file = world.file(&format!("{table}.csv"), text);
    let arguments = [&["-i", &file, "--table", table, "--force"], &UPDATE[..], more].concat();
    world.enqueue(&arguments).run().exits(0).id()
}

fn sync(world: &World, table: &str, text: &str, more: &[&str]) -> i64 {
    let id = submit(world, table, text, more);
    world.drain();
    id
}

/// A table `k;v` with some rows.
async fn world_with(rows: &str) -> World {
    let world = World::new().await;
    world
        .execute(&format!(
            "CREATE TABLE stock (k int PRIMARY KEY, v text); INSERT INTO stock VALUES {rows}"
        ))
        .await;
    world
}

#[tokio::test]
async fn a_table_is_as_the_file_says_and_an_undo_makes_it_what_it_was() {
    for (table, create) in TABLES {
        let world = World::new().await;
        world.execute(create).await;
        world
            .execute(&format!(
                "INSERT INTO {table} (shop, product, price)
                 SELECT s, p, nullif(p % 9, 0) FROM generate_series(1, 300) AS p, unnest(ARRAY['Berlin', 'Köln']) AS s"
            ))
            .await;
        let before = world.content(table).await;
        let mut text = String::from("product;shop;price\n");
        for product in 201..351 {
            // The first three are as they were, and others twice in the file, the second time as they were.
            let price = if product < 204 {
                (product % 9).to_string()
            } else {
                "0.50".to_owned()
            };
            text.push_str(&format!("{product};Berlin;{price}\n"));
            if product % 50 == 0 {
                text.push_str(&format!("{product};Berlin;70\n"));
            }
        }
        let more = [
            "--conflict-columns",
            "shop,product",
            "--max-deletes",
            "500",
            "--chunk-rows",
            "40",
        ];
        let id = sync(&world, table, &text, &more);
        let status = world.status(id);
        assert_json(
            &status,
            &json!({"state": "loaded", "inserted": 50, "updated": 97, "unchanged": 3, "removed": 500, "returned": 0}),
        );
        let from = if table == "parent" { "ONLY parent" } else { table };
        let found = world
            .texts(&format!(
                "SELECT product::text FROM {from} WHERE shop = 'Berlin' ORDER BY product"
            ))
            .await;
        let expected: Vec<String> = (201..351).map(|product| product.to_string()).collect();
        assert_eq!(found, expected, "{table}");
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {from}")).await,
            150,
            "{table}"
        );
        let file = world.path(&format!("{table}.csv"));
        let verified = world
            .run(&["verify", &id.to_string(), file.to_str().unwrap()])
            .await
            .exits(0);
        assert!(
            verified
                .stdout
                .contains("500 rows that the source does not have are deleted; an undo would put 500 of them back"),
            "{verified:?}"
        );
        assert_eq!(world.number("SELECT count(*) FROM pgimport.import_seen").await, 0);
        assert_json(
            &world.dry_run(id, &[]),
            &json!({"would_delete": 50, "would_restore": 97, "would_return": 500, "would_keep": 0}),
        );
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "cancelled", "deleted": 50, "restored": 97, "returned": 500, "kept": 0, "missing": 0}),
        );
        assert_eq!(world.content(table).await, before, "{table}");
        assert_eq!(world.number("SELECT count(*) FROM pgimport.import_before").await, 0);
    }
}

#[tokio::test]
async fn more_than_the_limit_are_not_deleted_at_all() {
    for (max, fits) in [
        ("2", false),
        ("3", true),
        ("42.8571%", false),
        ("42.8572%", true),
        ("0", false),
    ] {
        // Of seven, of which one is inserted.
        let world = world_with("(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f')").await;
        let before = world.content("stock").await;
        let id = sync(&world, "stock", "k;v\n1;a\n2;B\n3;c\n9;i\n", &["--max-deletes", max]);
        let status = world.status(id);
        if fits {
            assert_json(&status, &json!({"state": "loaded", "removed": 3}));
            assert_eq!(world.content("stock").await, ["(1,a)", "(2,B)", "(3,c)", "(9,i)"]);
        } else {
            assert_json(
                &status,
                &json!({"state": "failed", "removed": 0, "inserted": 1, "updated": 1}),
            );
            let error = status["chunk_errors"][0]["error"].as_str().unwrap();
            assert!(
                error.contains("3 of the 7 rows of public.stock are not in the source") && error.contains(max),
                "{error}"
            );
            // Nothing has changed since.
            world.enqueue(&["retry", &id.to_string()]).run().exits(0);
            world.drain();
            assert_json(&world.status(id), &json!({"state": "failed", "removed": 0}));
        }
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "kept": 0}));
        assert_eq!(world.content("stock").await, before);
        assert_eq!(world.number("SELECT count(*) FROM pgimport.import_seen").await, 0);
    }
}

#[tokio::test]
async fn with_a_reject_nobody_knows_what_is_missing() {
    let world = world_with("(1, 'a'), (2, 'b'), (3, 'c')").await;
    let before = world.content("stock").await;
    let id = sync(&world, "stock", "k;v\n1;x\nthree;c\n", &["--max-deletes", "100%"]);
    let status = world.status(id);
    assert_json(
        &status,
        &json!({"state": "failed", "rejected": 1, "updated": 1, "removed": 0}),
    );
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("1 records were rejected"), "{error}");
    let text = "k;v\n1;x\nthree;c\n";
    let id_2 = sync(&world, "stock", text, &["--max-deletes", "100%", "--all-or-nothing"]);
    assert_json(&world.status(id_2), &json!({"state": "cancelled"}));
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
    assert_eq!(world.content("stock").await, before);
}

#[tokio::test]
async fn a_file_without_records_empties_the_table_if_it_may() {
    let world = world_with("(1, 'a'), (2, NULL), (3, '')").await;
    let before = world.content("stock").await;
    let id = sync(&world, "stock", "k;v\n", &["--max-deletes", "99%"]);
    assert_json(&world.status(id), &json!({"state": "failed"}));
    let id = sync(&world, "stock", "k;v\n", &["--max-deletes", "100%"]);
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "records": 0, "removed": 3, "chunks": 1}),
    );
    assert!(world.content("stock").await.is_empty());
    let shown = world.run(&["status", &id.to_string()]).await.exits(0);
    assert!(
        shown.stdout.contains("removed   3 (the source does not have them)"),
        "{shown:?}"
    );
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "returned": 3}));
    assert_eq!(world.content("stock").await, before);
}

#[tokio::test]
async fn what_others_do_meanwhile_is_what_comes_back() {
    let world = world_with("(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')").await;
    // The deletion waits for this one, who changes values, and a key to one that the file has.
    let held = Held::take(
        &world,
        "UPDATE stock SET v = 'newer' WHERE k = 2; UPDATE stock SET k = 30 WHERE k = 3; DELETE FROM stock WHERE k = 4",
    )
    .await;
    let _worker = world.worker(&["--concurrency", "2"]).start();
    let id = submit(&world, "stock", "k;v\n1;a\n", &["--max-deletes", "10"]);
    world.until_a_lock_is_waited_for().await;
    world.execute("INSERT INTO stock VALUES (5, 'in between')").await;
    held.commit().await;
    world.until_state(id, "loaded").await;
    let status = world.status(id);
    let removed = status["removed"].as_i64().unwrap();
    assert_eq!(world.content("stock").await, ["(1,a)"]);
    assert_eq!(removed, 3, "{status:#}");
    world.run(&["cancel", &id.to_string(), "--wait"]).await;
    assert_eq!(
        world.content("stock").await,
        ["(1,a)", "(2,newer)", "(30,c)", "(5,\"in between\")"]
    );
}

#[tokio::test]
async fn a_row_whose_key_is_taken_stays_in_the_ledger_until_it_is_free() {
    let world = world_with("(1, 'a'), (2, 'b'), (3, 'c')").await;
    let id = sync(&world, "stock", "k;v\n1;a\n", &["--max-deletes", "2"]);
    world.execute("INSERT INTO stock VALUES (2, 'theirs')").await;
    assert_json(&world.dry_run(id, &[]), &json!({"would_return": 1}));
    let undone = world.undo(id, &[]);
    assert_json(&undone, &json!({"state": "kept", "removed": 2, "returned": 1}));
    let error = undone["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("others have keys of theirs"), "{error}");
    assert_eq!(world.content("stock").await, ["(1,a)", "(2,theirs)", "(3,c)"]);
    world.run(&["verify", &id.to_string()]).await.exits(0);
    // What was put back once is not put back again.
    world.execute("DELETE FROM stock WHERE k IN (2, 3)").await;
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "returned": 2}));
    assert_eq!(world.content("stock").await, ["(1,a)", "(2,b)"]);
}

#[tokio::test]
async fn a_row_that_cannot_come_back_is_not_lost() {
    let world = world_with("(1, 'a'), (2, 'b')").await;
    let id = sync(&world, "stock", "k;v\n1;a\n", &["--max-deletes", "2"]);
    world.execute("ALTER TABLE stock ADD CHECK (v <> 'b')").await;
    let undone = world.undo(id, &[]);
    assert_json(&undone, &json!({"state": "kept", "returned": 0}));
    let error = undone["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("violates check constraint"), "{error}");
    // A column more has its default; one that the table no longer has, no row has.
    world
        .execute(
            "ALTER TABLE stock DROP CONSTRAINT stock_v_check; ALTER TABLE stock ADD COLUMN more int DEFAULT 5;
             ALTER TABLE stock RENAME COLUMN v TO w; ALTER TABLE stock DROP COLUMN w",
        )
        .await;
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "returned": 1}));
    assert_eq!(world.content("stock").await, ["(1,5)", "(2,5)"]);
}

#[tokio::test]
async fn rows_of_another_import_are_undone_with_it_in_either_order() {
    for (create, more) in [
        (
            "CREATE TABLE skus (id serial PRIMARY KEY, sku text NOT NULL UNIQUE, v int)",
            "sequence",
        ),
        ("CREATE TABLE skus (sku text PRIMARY KEY, v int)", "transaction"),
    ] {
        for first in [0, 1] {
            let world = World::new().await;
            world.execute(create).await;
            world
                .execute("INSERT INTO skus (sku, v) VALUES ('o', 0), ('p', 0)")
                .await;
            let before = world.content("skus").await;
            let text = "sku;v\na;1\nb;1\nc;1\nd;1\n";
            let loaded = world.submit("a.csv", text, &["--table", "skus", "--identity", more]);
            world.drain();
            let key = ["--conflict-columns", "sku", "--max-deletes", "9", "--chunk-rows", "1"];
            let over = sync(&world, "skus", "sku;v\no;0\nb;2\nc;1\n", &key);
            assert_json(
                &world.status(over),
                &json!({"state": "loaded", "removed": 3, "updated": 1, "unchanged": 2}),
            );
            let mut ids = [loaded, over];
            ids.rotate_left(first);
            world.undo_all(&ids).await;
            assert_eq!(world.content("skus").await, before, "{more} {first}");
        }
    }
}

#[tokio::test]
async fn tables_where_more_would_come_of_it_are_refused() {
    let world = World::new().await;
    world
        .execute(
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
             CREATE TABLE owner (k int PRIMARY KEY, v int);
             CREATE TABLE owned (k int REFERENCES owner ON DELETE CASCADE);
             CREATE TABLE watched (k int PRIMARY KEY, v int);
             CREATE TRIGGER sees AFTER DELETE ON watched FOR EACH STATEMENT EXECUTE FUNCTION nothing();
             CREATE TABLE ruled (k int PRIMARY KEY, v int);
             CREATE RULE stays AS ON DELETE TO ruled DO INSTEAD NOTHING;
             CREATE TABLE open (k int UNIQUE, v int)",
        )
        .await;
    let file = world.file("a.csv", "k;v\n1;1\n");
    for (table, word) in [
        ("owner", "owned (owned_k_fkey)"),
        ("watched", "the trigger sees"),
        ("ruled", "the rule stays"),
        ("open", "may be NULL"),
    ] {
        let more = ["--conflict-columns", "k", "--max-deletes", "1"];
        let arguments = [&["-i", &file, "--table", table], &UPDATE[..], &more].concat();
        let refused = world.enqueue(&arguments).run().exits(1);
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
    for (arguments, word) in [
        (&["--on-conflict", "update", "--delete-missing"][..], "--max-deletes"),
        (&["--on-conflict", "update", "--max-deletes", "1"], "--delete-missing"),
        (
            &["--on-conflict", "ignore", "--delete-missing", "--max-deletes", "1"],
            "--on-conflict update",
        ),
        (&["--delete-missing", "--max-deletes", "1"], "--on-conflict update"),
        (
            &["--on-conflict", "update", "--delete-missing", "--max-deletes", "101%"],
            "100%",
        ),
        (
            &[
                "--on-conflict",
                "update",
                "--delete-missing",
                "--max-deletes",
                "1",
                "--each",
            ],
            "--each",
        ),
    ] {
        let arguments = [&["-i", &file, "--table", "owner"], arguments].concat();
        let refused = world.enqueue(&arguments).run().exits(2);
        assert!(refused.stderr.contains(word), "{arguments:?} {refused:?}");
    }
    assert_eq!(world.imports().await, 0);
}

#[tokio::test]
async fn a_table_that_changes_before_the_deletion_is_refused_then() {
    for (change, word) in [
        ("ALTER TABLE stock ADD COLUMN more int", "has a column more"),
        (
            "CREATE TABLE owned (k int REFERENCES stock ON DELETE SET NULL)",
            "owned (owned_k_fkey)",
        ),
        (
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
             CREATE TRIGGER sees BEFORE DELETE ON stock FOR EACH ROW EXECUTE FUNCTION nothing()",
            "the trigger sees",
        ),
        (
            "CREATE TABLE owned (k int REFERENCES stock); INSERT INTO owned VALUES (2)",
            "still referenced",
        ),
    ] {
        let world = world_with("(1, 'a'), (2, 'b')").await;
        let id = submit(&world, "stock", "k;v\n1;x\n", &["--max-deletes", "2"]);
        world.execute(change).await;
        world.drain();
        let status = world.status(id);
        assert_json(&status, &json!({"state": "failed", "updated": 1, "removed": 0}));
        let error = status["chunk_errors"][0]["error"].as_str().unwrap();
        assert!(error.contains(word), "{error}");
        assert_eq!(world.number("SELECT count(*) FROM stock").await, 2);
    }
}

#[tokio::test]
async fn a_worker_that_dies_at_any_moment_leaves_all_or_nothing() {
    for point in [
        "after-sweep-claim",
        "after-sweep-lock",
        "after-sweep-rows",
        "before-sweep-commit",
        "after-sweep-commit",
    ] {
        let world = world_with("(1, 'a'), (2, 'b'), (3, 'c')").await;
        let before = world.content("stock").await;
        let id = submit(&world, "stock", "k;v\n1;x\n4;d\n", &["--max-deletes", "2"]);
        let killed = world
            .worker(&["--drain"])
            .env("FAILPOINTS", format!("{point}=panic"))
            .env("FAILPOINTS_ABORT", "1")
            .start()
            .finished()
            .await;
        assert!(killed.code.is_none_or(|code| code != 0), "{point}: {killed:?}");
        let rows = world.number("SELECT count(*) FROM stock").await;
        assert_eq!(rows, if point == "after-sweep-commit" { 2 } else { 4 }, "{point}");
        let _worker = world.worker(&[]).start();
        world.until_state(id, "loaded").await;
        assert_eq!(world.content("stock").await, ["(1,x)", "(4,d)"], "{point}");
        // The undo dies too, before what it did is kept.
        world.run(&["cancel", &id.to_string(), "--wait"]).await;
        assert_eq!(world.content("stock").await, before, "{point}");
    }
}

#[tokio::test]
async fn an_undo_that_dies_puts_back_every_row_once() {
    for point in ["after-delete-claim", "after-delete", "before-delete-commit"] {
        let world = world_with("(1, 'a'), (2, 'b'), (3, 'c')").await;
        let before = world.content("stock").await;
        let id = sync(&world, "stock", "k;v\n1;a\n", &["--max-deletes", "2"]);
        world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
        world
            .worker(&["--drain"])
            .env("FAILPOINTS", format!("{point}=panic"))
            .env("FAILPOINTS_ABORT", "1")
            .start()
            .finished()
            .await;
        assert_eq!(world.number("SELECT count(*) FROM stock").await, 1, "{point}");
        let _worker = world.worker(&[]).start();
        world.until_state(id, "cancelled").await;
        assert_eq!(world.content("stock").await, before, "{point}");
    }
}

#[tokio::test]
async fn an_import_that_is_cancelled_before_its_end_deletes_nothing() {
    let world = world_with("(1, 'a'), (2, 'b'), (3, 'c')").await;
    let before = world.content("stock").await;
    let held = Held::take(&world, "SELECT FROM stock WHERE k = 2 FOR UPDATE").await;
    let _worker = world.worker(&["--concurrency", "2"]).start();
    let id = submit(
        &world,
        "stock",
        "k;v\n1;x\n2;y\n",
        &["--max-deletes", "2", "--chunk-rows", "1"],
    );
    world.until_a_lock_is_waited_for().await;
    world.run(&["cancel", &id.to_string()]).await.exits(0);
    held.release().await;
    world.until_state(id, "cancelled").await;
    assert_eq!(world.content("stock").await, before);
    assert_eq!(world.number("SELECT count(*) FROM pgimport.import_seen").await, 0);
}

#[tokio::test]
async fn who_may_not_delete_may_not_have_it_done() {
    let world = world_with("(1, 'a'), (2, 'b')").await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    for role in [&submitter, &worker] {
        for grant in role.grants(&["SELECT, INSERT, UPDATE ON stock"]) {
            world.execute(&grant).await;
        }
    }
    world.execute(&worker.grants(&["DELETE ON stock"])[0]).await;
    let file = world.file("a.csv", "k;v\n1;x\n");
    let arguments = [&["-i", &file, "--table", "stock", "--max-deletes", "1"], &UPDATE[..]].concat();
    let refused = submitter.run(world.enqueue(&arguments)).run().exits(1);
    assert!(
        refused.stderr.contains("GRANT DELETE ON public.stock TO"),
        "{refused:?}"
    );
    world.execute(&submitter.grants(&["DELETE ON stock"])[0]).await;
    let id = submitter.run(world.enqueue(&arguments)).run().exits(0).id();
    // Taken away again before the end.
    world
        .execute(
            &submitter.grants(&["DELETE ON stock"])[0]
                .replace("GRANT", "REVOKE")
                .replace(" TO ", " FROM "),
        )
        .await;
    worker.run(world.worker(&["--drain"])).run().exits(0);
    let status = world.status(id);
    assert_json(&status, &json!({"state": "failed", "removed": 0}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("with --delete-missing"), "{error}");
    world.execute(&submitter.grants(&["DELETE ON stock"])[0]).await;
    submitter.run(world.enqueue(&["retry", &id.to_string()])).run().exits(0);
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(&world.status(id), &json!({"state": "loaded", "removed": 1}));
    let dry = submitter
        .run(world.enqueue(&["cancel", &id.to_string(), "--dry-run", "--json"]))
        .run()
        .exits(0);
    assert_json(&dry.json(), &json!({"would_return": 1, "would_restore": 1}));
    submitter
        .run(world.enqueue(&["verify", &id.to_string(), &file]))
        .run()
        .exits(0);
    submitter
        .run(world.enqueue(&["cancel", &id.to_string()]))
        .run()
        .exits(0);
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(
        &world.status(id),
        &json!({"state": "cancelled", "returned": 1, "restored": 1}),
    );
}

#[tokio::test]
async fn the_same_again_is_like_it() {
    let world = world_with("(1, 'a'), (2, 'b'), (3, 'c')").await;
    let id = sync(&world, "stock", "k;v\n1;x\n", &["--max-deletes", "2"]);
    let file = world.file("b.csv", "k;v\n2;y\n");
    let like = id.to_string();
    let again = world.load(&["-i", &file, "--like", &like]);
    assert_json(&again, &json!({"removed": 1, "inserted": 1}));
    // The limit is no part of what the import is.
    let same = world
        .enqueue(&["-i", &file, "--like", &like, "--max-deletes", "1"])
        .run();
    assert_eq!(same.exits(0).id(), again["import_id"].as_i64().unwrap());
}
