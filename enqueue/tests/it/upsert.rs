//! Rows that are there already: skipped or updated, counted, and given back what they had when the import is undone.

use crate::support::{World, assert_json, until_true};
use serde_json::json;

/// Tables with the columns `shop`, `product`, `price` and `note`, and a unique key of the first two.
const TABLES: [(&str, &str); 4] = [
    (
        "plain",
        "CREATE TABLE plain (shop text, product int, price numeric(10, 2), note text, PRIMARY KEY (shop, product))",
    ),
    (
        "numbered",
        "CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, price numeric(10, 2), product int NOT NULL,
                                shop text NOT NULL, twice numeric GENERATED ALWAYS AS (price * 2) STORED, UNIQUE (product, shop))",
    ),
    (
        "divided",
        "CREATE TABLE divided (product int, shop text, price numeric(10, 2), note text, PRIMARY KEY (product, shop)) PARTITION BY LIST (shop);
         CREATE TABLE berlin PARTITION OF divided FOR VALUES IN ('Berlin');
         CREATE TABLE elsewhere (note text, gone int, product int NOT NULL, shop text NOT NULL, price numeric(10, 2));
         ALTER TABLE elsewhere DROP COLUMN gone;
         ALTER TABLE divided ATTACH PARTITION elsewhere DEFAULT",
    ),
    (
        "exotic",
        "CREATE DOMAIN name_of_shop AS varchar(20) CHECK (value <> 'x');
         CREATE TABLE exotic (shop name_of_shop, product int, price numeric(10, 2), note json, \"Od d\"\"\" int DEFAULT 7);
         CREATE UNIQUE INDEX ON exotic (shop, product) INCLUDE (price)",
    ),
];

const KEY: [&str; 2] = ["--conflict-columns", "shop,product"];

/// Submits what updates the table `plain`, in chunks of so many records.
fn submit(world: &World, name: &str, text: &str, chunk_rows: &str) -> i64 {
    let file = world.file(name, text);
    let arguments = [
        "-i",
        &file,
        "--table",
        "plain",
        "--on-conflict",
        "update",
        "--chunk-rows",
        chunk_rows,
    ];
    world.enqueue(&arguments).run().exits(0).id()
}

/// A file of products from one to another in two shops, at a price.
fn prices(products: std::ops::Range<u32>, price: &str) -> String {
    let mut text = String::from("product;shop;price;note\n");
    for product in products {
        for shop in ["Berlin", "Köln"] {
            text.push_str(&format!("{product};{shop};{price};\"{product}\"\n"));
        }
    }
    text
}

#[tokio::test]
async fn rows_that_are_there_are_updated_and_an_undo_gives_them_back_what_they_had() {
    for (table, create) in TABLES {
        let world = World::new().await;
        world.execute(create).await;
        let json = if table == "exotic" { "json" } else { "text" };
        world
            .execute(&format!(
                "INSERT INTO {table} (shop, product, price, note)
                 SELECT s, p, p, '\"old\"' FROM generate_series(1, 300) AS p, unnest(ARRAY['Berlin', 'Köln', 'Ulm']) AS s;
                 UPDATE {table} SET price = NULL WHERE product % 7 = 0;
                 UPDATE {table} SET price = 9.5, note = product::text::{json} WHERE product BETWEEN 201 AND 250 AND shop <> 'Ulm'"
            ))
            .await;
        let before = world.content(table).await;
        let file = world.file("prices.csv", prices(101..401, "9.50"));
        let common = ["-i", &file, "--table", table, "--chunk-rows", "70"];
        let arguments = [&common[..], &["--on-conflict", "update"], &KEY].concat();
        let id = world.load(&arguments)["import_id"].as_i64().unwrap();
        let loaded =
            json!({"records": 600, "loaded": 500, "inserted": 200, "updated": 300, "unchanged": 100, "skipped": 0});
        assert_json(&world.status(id), &loaded);
        let new = world
            .number(&format!(
                "SELECT count(*) FROM {table} WHERE price = 9.5 AND note::text = product::text"
            ))
            .await;
        assert_eq!(new, 600, "{table}");
        let verified = world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
        assert!(
            verified
                .stdout
                .contains("not compared: 100 records whose row was there"),
            "{verified:?}"
        );
        assert_json(
            &world.dry_run(id, &[]),
            &json!({"would_delete": 200, "would_restore": 300, "would_keep": 0, "cannot_tell": 0, "missing": 0}),
        );
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "cancelled", "deleted": 200, "restored": 300, "kept": 0, "missing": 0}),
        );
        assert_eq!(world.content(table).await, before, "{table}");
        for ledger in ["import_before", "import_pages"] {
            assert_eq!(
                world.number(&format!("SELECT count(*) FROM pgimport.{ledger}")).await,
                0
            );
        }
        // What is there is left alone.
        let arguments = [&common[..], &["--on-conflict", "ignore"], &KEY].concat();
        let id = world.load(&arguments)["import_id"].as_i64().unwrap();
        assert_json(
            &world.status(id),
            &json!({"loaded": 200, "inserted": 200, "updated": 0, "skipped": 400}),
        );
        world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "cancelled", "deleted": 200, "kept": 0}),
        );
        assert_eq!(world.content(table).await, before, "{table}");
    }
}

#[tokio::test]
async fn of_records_with_the_same_key_the_last_one_counts_whatever_the_chunks_are() {
    for workers in [1, 3] {
        for rows in ["1", "2", "3", "7", "100"] {
            let world = World::new().await;
            world.execute(TABLES[0].1).await;
            world
                .execute("INSERT INTO plain VALUES ('a', 1, 1, 'there'), ('a', 2, 2, 'there'), ('c', 9, 9, 'there')")
                .await;
            let before = world.content("plain").await;
            // New, new and old, old and as it was, back to what it was.
            let file = world.file(
                "a.csv",
                "shop;product;price;note\na;1;5;x\nb;1;1;x\na;1;6;y\nb;1;2;x\na;2;3;x\nb;1;3;z\nb;2;1;x\na;2;2;there\nb;1;4;end\n",
            );
            let _workers: Vec<_> = (0..workers)
                .map(|_| world.worker(&["--concurrency", "2"]).start())
                .collect();
            let arguments = [
                "-i",
                &file,
                "--table",
                "plain",
                "--on-conflict",
                "update",
                "--chunk-rows",
                rows,
                "--wait",
            ];
            let id = world.run(&arguments).await.exits(0).id();
            let expected = [
                "(a,1,6.00,y)",
                "(a,2,2.00,there)",
                "(b,1,4.00,end)",
                "(b,2,1.00,x)",
                "(c,9,9.00,there)",
            ];
            assert_eq!(world.content("plain").await, expected, "{rows}");
            let status = world.status(id);
            assert_json(&status, &json!({"state": "loaded", "inserted": 2}));
            let number = |name: &str| status[name].as_i64().unwrap();
            assert_eq!(
                number("inserted") + number("updated") + number("unchanged") + number("skipped"),
                9,
                "{status:#}"
            );
            assert_eq!(number("updated") + number("unchanged"), 2, "{status:#}");
            world.run(&["verify", &id.to_string(), &file]).await.exits(0);
            world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
            assert_json(
                &world.status(id),
                &json!({"state": "cancelled", "kept": 0, "missing": 0, "deleted": 2}),
            );
            assert_eq!(world.content("plain").await, before, "{rows}");
        }
    }
}

#[tokio::test]
async fn what_others_changed_since_stays_and_is_counted() {
    let world = World::new().await;
    world.execute(TABLES[0].1).await;
    world
        .execute("INSERT INTO plain SELECT 'a', n, n, 'there' FROM generate_series(1, 100) AS n")
        .await;
    let mut text = String::from("shop;product;price;note\n");
    for n in 51..=150 {
        text.push_str(&format!("a;{n};1;new\n"));
    }
    let id = submit(&world, "a.csv", &text, "30");
    world.drain();
    world
        .execute(
            "UPDATE plain SET note = 'theirs' WHERE product IN (60, 110); UPDATE plain SET product = 999 WHERE product = 61;
             DELETE FROM plain WHERE product IN (62, 112)",
        )
        .await;
    assert_json(
        &world.dry_run(id, &[]),
        &json!({"would_delete": 48, "would_restore": 47, "would_keep": 5, "cannot_tell": 5}),
    );
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "kept", "deleted": 48, "restored": 47, "kept": 5}),
    );
    let left = world.content("plain").await;
    let mut expected: Vec<String> = (1..=100)
        .filter(|n| ![60, 61, 62].contains(n))
        .map(|n| format!("(a,{n},{n}.00,there)"))
        .chain(["(a,60,1.00,theirs)", "(a,110,1.00,theirs)", "(a,999,1.00,new)"].map(str::to_owned))
        .collect();
    expected.sort();
    assert_eq!(left, expected);
    // Once more, nothing is found that was not found before.
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "kept", "deleted": 48, "restored": 47, "kept": 5}),
    );
    assert_eq!(world.content("plain").await, left);
}

#[tokio::test]
async fn what_the_server_refuses_is_a_reject_and_the_other_records_of_its_key_count() {
    let world = World::new().await;
    world.execute(TABLES[0].1).await;
    world
        .execute("ALTER TABLE plain ADD CHECK (price < 100); INSERT INTO plain VALUES ('a', 1, 1, 'there'), ('a', 2, 2, 'there')")
        .await;
    let before = world.content("plain").await;
    let text = "shop;product;price;note\na;1;5;x\na;1;500;bad\nb;1;1;x\nb;1;900;bad\nb;2;900;bad\na;2;900;bad\nb;3;x;bad\nc;3;3;x\nc;3;3;x\n";
    for rows in ["1", "2", "4", "100"] {
        let file = world.file("a.csv", text);
        let arguments = [
            "-i",
            &file,
            "--table",
            "plain",
            "--on-conflict",
            "update",
            "--chunk-rows",
            rows,
        ];
        let id = world.enqueue(&arguments).run().exits(0).id();
        world.drain();
        let expected = ["(a,1,5.00,x)", "(a,2,2.00,there)", "(b,1,1.00,x)", "(c,3,3.00,x)"];
        assert_eq!(world.content("plain").await, expected, "{rows}");
        assert_json(
            &world.status(id),
            &json!({"state": "loaded", "rejected": 5, "inserted": 2, "updated": 1, "unchanged": 0, "skipped": 1}),
        );
        world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
        let rejects = world.enqueue(&["rejects", &id.to_string()]).run().exits(0);
        assert_eq!(rejects.stdout.lines().filter(|line| line.ends_with(";bad")).count(), 5);
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "cancelled", "deleted": 2, "restored": 1, "kept": 0}),
        );
        assert_eq!(world.content("plain").await, before, "{rows}");
    }
}

#[tokio::test]
async fn keys_that_do_not_do_are_refused_with_what_to_do() {
    let world = World::new().await;
    for (_, create) in TABLES {
        world.execute(create).await;
    }
    world
        .execute(
            "CREATE TABLE keyless (shop text, product int, price numeric, note text);
             CREATE TABLE vague (shop text, product int, price numeric, note text);
             CREATE UNIQUE INDEX ON vague (lower(shop), product);
             CREATE UNIQUE INDEX ON vague (shop, product) WHERE price > 0;
             ALTER TABLE vague ADD UNIQUE (shop, product) DEFERRABLE;
             CREATE TABLE watched (shop text, product int PRIMARY KEY, price numeric, note text);
             CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TRIGGER t BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION same()",
        )
        .await;
    let file = world.file("a.csv", prices(1..3, "1"));
    let refused = async |arguments: &[&str], code: i32, says: &str| {
        let finished = world.run(&[&["-i", &file], arguments].concat()).await.exits(code);
        assert!(finished.stderr.contains(says), "{arguments:?}: {finished:?}");
    };
    let update = ["--on-conflict", "update"];
    refused(
        &[&["--table", "keyless"][..], &update].concat(),
        1,
        "has no primary key: name the columns",
    )
    .await;
    refused(
        &[&["--table", "keyless"][..], &update, &KEY].concat(),
        1,
        "CREATE UNIQUE INDEX ON public.keyless (\"shop\", \"product\")",
    )
    .await;
    refused(
        &[&["--table", "vague"][..], &update, &KEY].concat(),
        1,
        "no unique index on (\"shop\", \"product\")",
    )
    .await;
    refused(
        &[&["--table", "numbered"][..], &update].concat(),
        1,
        "the column id of the key is not in the source",
    )
    .await;
    refused(
        &[&["--table", "watched"][..], &update].concat(),
        1,
        "its trigger t may write to other rows",
    )
    .await;
    let more = |columns: &'static str| [&["--table", "plain"][..], &update, &["--update-columns", columns]].concat();
    refused(&more("price,shop"), 1, "shop cannot be updated: it is part of the key").await;
    refused(&more("prise"), 1, "has no column prise").await;
    refused(&more("price,price"), 1, "it is named twice").await;
    refused(
        &["--conflict-columns", "a"],
        2,
        "--conflict-columns needs --on-conflict",
    )
    .await;
    refused(
        &["--on-conflict", "ignore", "--update-columns", "a"],
        2,
        "needs --on-conflict update",
    )
    .await;
    refused(
        &["--on-conflict", "ignore", "--load-method", "copy"],
        2,
        "cannot be used with --load-method copy",
    )
    .await;
    refused(
        &["--on-conflict", "update", "--identity", "sequence"],
        2,
        "cannot be used with --identity sequence",
    )
    .await;
    let keys = world.file("k.csv", "shop;product\na;1\n");
    let finished = world
        .run(&["-i", &keys, "--table", "plain", "--on-conflict", "update"])
        .await
        .exits(1);
    assert!(finished.stderr.contains("no column is left to update"), "{finished:?}");
    assert_eq!(world.imports().await, 0);
}

#[tokio::test]
async fn only_the_columns_that_are_named_are_updated_and_nulls_in_a_key_are_no_conflict() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE loose (shop text, product int, price int, note text, UNIQUE (shop, product));
             INSERT INTO loose VALUES ('a', 1, 1, 'there'), ('a', NULL, 1, 'there'), (NULL, NULL, 1, 'there')",
        )
        .await;
    let before = world.content("loose").await;
    let text = "shop;product;price;note\na;1;2;new\na;;2;new\n;;2;new\na;;2;new\n";
    let arguments = [
        &[
            "--table",
            "loose",
            "--on-conflict",
            "update",
            "--update-columns",
            "price",
        ],
        &KEY[..],
    ]
    .concat();
    let id = world.submit("a.csv", text, &arguments);
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"inserted": 3, "updated": 1, "skipped": 0, "rejected": 0}),
    );
    assert_eq!(
        world
            .number("SELECT count(*) FROM loose WHERE price = 2 AND note = 'there'")
            .await,
        1
    );
    world
        .enqueue(&["verify", &id.to_string(), world.path("a.csv").to_str().unwrap()])
        .run()
        .exits(0);
    // The same again, by what the import was.
    let like = world
        .run(&["-i", world.path("a.csv").to_str().unwrap(), "--like", &id.to_string()])
        .await
        .exits(0);
    assert_eq!(like.id(), id, "{like:?}");
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 3, "restored": 1, "kept": 0}),
    );
    assert_eq!(world.content("loose").await, before);
}

#[tokio::test]
async fn a_chunk_that_fails_stops_those_behind_it_until_it_is_tried_again() {
    let world = World::new().await;
    world.execute(TABLES[0].1).await;
    let file = world.file("a.csv", prices(1..51, "1"));
    let arguments = [
        "-i",
        &file,
        "--table",
        "plain",
        "--on-conflict",
        "update",
        "--chunk-rows",
        "20",
    ];
    let id = world.enqueue(&arguments).run().exits(0).id();
    // One that cannot be read fails for good.
    let payload = "UPDATE pgimport.import_payload SET data = 'x' WHERE ordinal = 2";
    world
        .execute(&format!(
            "CREATE TABLE kept AS SELECT * FROM pgimport.import_payload WHERE ordinal = 2; {payload}"
        ))
        .await;
    world.drain();
    let status = world.status(id);
    assert_json(
        &status,
        &json!({"state": "failed", "loaded": 40, "chunks_failed": 3, "chunks_pending": 0, "chunks_loaded": 2}),
    );
    let error = status["chunk_errors"][1]["error"].as_str().unwrap();
    assert!(error.contains("chunk 2, which comes before it, failed"), "{error}");
    world
        .execute("UPDATE pgimport.import_payload AS p SET data = k.data FROM kept AS k WHERE p.ordinal = 2")
        .await;
    world.enqueue(&["retry", &id.to_string()]).run().exits(0);
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "loaded": 100, "inserted": 100, "chunks_failed": 0}),
    );
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 100}));
}

#[tokio::test]
async fn two_that_update_the_same_rows_wait_for_one_another_and_are_undone_in_either_order() {
    for newest_first in [true, false] {
        let world = World::new().await;
        world.execute(TABLES[0].1).await;
        world
            .execute("INSERT INTO plain SELECT 'a', n, n, 'there' FROM generate_series(1, 50) AS n")
            .await;
        let before = world.content("plain").await;
        let mut ids = Vec::new();
        for (name, range) in [("first", 1..=80), ("second", 41..=120)] {
            let mut text = String::from("product;shop;price;note\n");
            // In orders that would block one another.
            let products: Vec<i32> = if name == "first" {
                range.collect()
            } else {
                range.rev().collect()
            };
            for n in products {
                text.push_str(&format!("{n};a;1;{name}\n"));
            }
            ids.push(submit(&world, &format!("{name}.csv"), &text, "25"));
        }
        let workers = [world.worker(&[]).start(), world.worker(&[]).start()];
        for &id in &ids {
            world.until_state(id, "loaded").await;
        }
        drop(workers);
        // Which of the two came last differs from row to row; so the first that is undone leaves those of the other, which gives them back.
        if newest_first {
            ids.reverse();
        }
        for &id in ids.iter().chain(&ids) {
            if world.state(id).await != "cancelled" {
                world.undo(id, &[]);
            }
        }
        for &id in &ids {
            assert_json(
                &world.status(id),
                &json!({"state": "cancelled", "kept": 0, "missing": 0}),
            );
        }
        assert_eq!(world.content("plain").await, before);
    }
}

#[tokio::test]
async fn rows_of_an_earlier_import_are_its_own_again_after_an_undo() {
    for (table, create) in TABLES {
        for rewrite in ["", "VACUUM FULL"] {
            let world = World::new().await;
            world.execute(create).await;
            world
                .execute(&format!(
                    "INSERT INTO {table} (shop, product, price) VALUES ('Ulm', 1, 1), ('Ulm', 2, 2), ('Berlin', 199, 3)"
                ))
                .await;
            let before = world.content(table).await;
            let load = |name: &str, text: &str, more: &[&str]| {
                let file = world.file(name, text);
                let arguments = ["-i", &file, "--table", table, "--chunk-rows", "30"];
                world.load(&[&arguments[..], more].concat())["import_id"]
                    .as_i64()
                    .unwrap()
            };
            let first = load("first.csv", &prices(1..101, "1"), &[]);
            let loaded = world.content(table).await;
            let update = [&["--on-conflict", "update"][..], &KEY].concat();
            let second = load("second.csv", &prices(51..151, "2"), &update);
            let updated = world.content(table).await;
            let third = load("third.csv", &prices(90..201, "3"), &update);
            // Somebody else's hand in it.
            world
                .execute(&format!(
                    "UPDATE {table} SET price = 7 WHERE shop = 'Berlin' AND product IN (10, 60, 95, 120, 180)"
                ))
                .await;
            world
                .execute(&format!("{rewrite} {}", if rewrite.is_empty() { "" } else { table }))
                .await;
            assert_json(
                &world.undo(third, &[]),
                &json!({"state": "kept", "restored": 121, "kept": 3, "deleted": 98}),
            );
            let same = |now: &[String], then: &[String]| now.iter().filter(|row| !then.contains(row)).count();
            assert_eq!(same(&world.content(table).await, &updated), 5, "{table}");
            assert_json(
                &world.undo(second, &[]),
                &json!({"state": "kept", "restored": 98, "kept": 3, "deleted": 99}),
            );
            assert_eq!(same(&world.content(table).await, &loaded), 5, "{table}");
            assert_json(
                &world.undo(first, &[]),
                &json!({"state": "kept", "kept": 3, "deleted": 197}),
            );
            assert_eq!(same(&world.content(table).await, &before), 5, "{table}");
            assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, 3 + 5);
        }
    }
}

#[tokio::test]
async fn a_chunk_waits_for_the_one_before_it_however_many_workers_there_are() {
    let world = World::new().await;
    world.execute(TABLES[0].1).await;
    let file = world.file("a.csv", "shop;product;price;note\na;1;1;x\na;2;1;x\na;1;2;y\na;3;1;x\n");
    let held = crate::support::Held::take(&world, "INSERT INTO plain VALUES ('a', 1, 0, 'held')").await;
    let _workers = [world.worker(&["--concurrency", "3"]).start(), world.worker(&[]).start()];
    let arguments = [
        "-i",
        &file,
        "--table",
        "plain",
        "--on-conflict",
        "update",
        "--chunk-rows",
        "1",
    ];
    let id = world.run(&arguments).await.exits(0).id();
    world.until_a_lock_is_waited_for().await;
    until_true("the first chunk alone is begun", async || {
        world.count("pgimport.import_chunk WHERE started_at IS NOT NULL").await == 1
    })
    .await;
    held.release().await;
    world.until_state(id, "loaded").await;
    assert_eq!(
        world.content("plain").await,
        ["(a,1,2.00,y)", "(a,2,1.00,x)", "(a,3,1.00,x)"]
    );
    assert_json(&world.status(id), &json!({"inserted": 3, "skipped": 1, "updated": 0}));
}
