//! Deletions of what a source does not have, where others write the same rows, tables are altered, or several imports are undone in any order.

use crate::support::{Held, World, assert_json, seeded, until_true};
use serde_json::json;

fn submit(world: &World, table: &str, text: &str, more: &[&str]) -> i64 {
    let file = world.file(&format!("{table}.csv"), text);
    let arguments = [&["-i", &file, "--table", table, "--force"], more].concat();
    world.enqueue(&arguments).run().exits(0).id()
}

fn load(world: &World, table: &str, text: &str, more: &[&str]) -> i64 {
    let id = submit(world, table, text, more);
    world.drain();
    id
}

const SYNC: [&str; 5] = ["--on-conflict", "update", "--delete-missing", "--max-deletes", "100%"];
const UPDATE: [&str; 2] = ["--on-conflict", "update"];

/// Orders in which the imports of a case are undone: all of three.
const ORDERS: usize = 6;

/// Loads what comes before the deletion, and stops there.
async fn load_up_to_the_deletion(world: &World) {
    world
        .worker(&["--drain"])
        .env("FAILPOINTS", "after-sweep-claim=panic")
        .env("FAILPOINTS_ABORT", "1")
        .start()
        .finished()
        .await;
}

#[tokio::test]
async fn keys_are_equal_as_their_type_says() {
    for (create, text, change, left) in [
        (
            "CREATE EXTENSION citext; CREATE TABLE t (k citext PRIMARY KEY, v text); INSERT INTO t VALUES ('A', 'o'), ('B', 'o')",
            "k;v\na;n\nb;n\n",
            "UPDATE t SET k = 'a' WHERE k = 'A'; DELETE FROM t WHERE k = 'b'; INSERT INTO t VALUES ('b', 'theirs')",
            &["(a,n)", "(b,theirs)"][..],
        ),
        (
            "CREATE TABLE t (k numeric PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'o'), (2, 'o')",
            "k;v\n1;n\n2;n\n",
            "UPDATE t SET k = 1.0 WHERE k = 1",
            &["(1.0,n)", "(2,n)"],
        ),
        (
            "CREATE TABLE t (k numeric PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'o'), (2, 'o')",
            "k;v\n1;n\n2;n\n",
            "ALTER TABLE t ALTER k TYPE numeric(10, 2)",
            &["(1.00,n)", "(2.00,n)"],
        ),
        (
            "CREATE TABLE t (k char(3) PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'o'), ('b', 'o')",
            "k;v\na;n\nb;n\n",
            "ALTER TABLE t ALTER k TYPE char(5)",
            &["(\"a    \",n)", "(\"b    \",n)"],
        ),
    ] {
        let world = World::new().await;
        world.execute(create).await;
        let id = submit(&world, "t", text, &SYNC);
        load_up_to_the_deletion(&world).await;
        world.execute(change).await;
        let _worker = world.worker(&[]).start();
        world.until_state(id, "loaded").await;
        assert_json(&world.status(id), &json!({"removed": 0}));
        assert_eq!(world.content("t").await, left, "{change}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_what_it_was_deletes_nothing() {
    for change in [
        "ALTER TYPE mood RENAME VALUE 'fine' TO 'good'",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "ALTER TABLE t ALTER k TYPE text",
    ] {
        let world = World::new().await;
        world
            .execute("CREATE TYPE mood AS ENUM ('fine', 'bad'); CREATE TABLE t (k mood PRIMARY KEY, v text); INSERT INTO t VALUES ('fine', 'o'), ('bad', 'o')")
            .await;
        let id = submit(&world, "t", "k;v\nfine;n\n", &SYNC);
        load_up_to_the_deletion(&world).await;
        world.execute(change).await;
        let _worker = world.worker(&[]).start();
        world.until_state(id, "failed").await;
        assert_eq!(world.number("SELECT count(*) FROM t").await, 2, "{change}");
    }
}

#[tokio::test]
async fn a_row_comes_back_once_when_its_key_is_written_otherwise_by_now() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (k numeric PRIMARY KEY, v text, w int DEFAULT 1); INSERT INTO t VALUES (1, 'o', 2), (2, 'o', 3)")
        .await;
    let id = load(&world, "t", "k;v\n1;o\n", &SYNC);
    // A column that the table no longer has, no row has.
    world
        .execute("ALTER TABLE t ALTER k TYPE numeric(10, 2); ALTER TABLE t DROP COLUMN v")
        .await;
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "returned": 1}));
    assert_eq!(world.content("t").await, ["(1.00,2)", "(2.00,3)"]);
    assert_eq!(world.number("SELECT count(*) FROM pgimport.import_before").await, 0);
}

#[tokio::test]
async fn a_key_that_becomes_free_in_the_middle_takes_no_row_from_its_import() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'o'), (2, 'o'), (3, 'o')")
        .await;
    let before = world.content("t").await;
    let over = load(&world, "t", "k;v\n1;u\n2;u\n", &UPDATE);
    let sync = load(&world, "t", "k;v\n3;o\n", &SYNC);
    world.execute("INSERT INTO t VALUES (1, 'somebody')").await;
    let held = Held::take(&world, "INSERT INTO t VALUES (2, 'other')").await;
    let worker = world.worker(&["--concurrency", "2"]).start();
    world.run(&["cancel", &sync.to_string()]).await.exits(0);
    world.until_a_lock_is_waited_for().await;
    world.execute("DELETE FROM t WHERE k = 1").await;
    held.release().await;
    until_true("it is undone", async || {
        ["cancelled", "kept"].contains(&world.state(sync).await.as_str())
    })
    .await;
    drop(worker);
    world.undo_all(&[over, sync]).await;
    assert_eq!(world.content("t").await, before);
}

/// Undoes imports over one another, of every second case from this one on.
async fn are_undone_in_any_order(first: usize) {
    /// Kinds of imports with what they say, one after the other, over a table with (1, 'o1') and (2, 'o2').
    type Case = &'static [(&'static str, &'static [&'static str])];
    const SEQUENCE: &[&str] = &["--identity", "sequence"];
    const KEYED: &[&str] = &["--on-conflict", "update", "--conflict-columns", "k"];
    const SYNCED: &[&str] = &[
        "--on-conflict",
        "update",
        "--conflict-columns",
        "k",
        "--delete-missing",
        "--max-deletes",
        "100%",
    ];
    let cases: [Case; 5] = [
        &[("5;a", SEQUENCE), ("5;u", KEYED), ("1;o1\n2;o2", SYNCED)],
        &[("2;o2", SYNCED), ("1;u\n2;u", KEYED), ("2;u", SYNCED)],
        &[("1;x\n3;x", SYNCED), ("2;y\n3;y", SYNCED), ("1;z\n2;z", SYNCED)],
        &[("1;q", SYNCED), ("2;b", KEYED), ("2;c", KEYED), ("1;q", SYNCED)],
        &[("7;a", SEQUENCE), ("7;a", SYNCED), ("1;b\n7;c", KEYED), ("9;d", SYNCED)],
    ];
    let mut random = seeded();
    for case in cases.into_iter().skip(first).step_by(2) {
        let world = World::new().await;
        world
            .execute("CREATE TABLE t (id bigserial PRIMARY KEY, k int NOT NULL UNIQUE, v text)")
            .await;
        let _worker = world.worker(&["--concurrency", "2"]).start();
        // As they came, and others.
        let mut orders = permutations(case.len());
        rand::seq::SliceRandom::shuffle(orders.as_mut_slice(), &mut random);
        orders.insert(0, (0..case.len()).collect());
        for order in orders.iter().take(ORDERS) {
            world
                .execute("TRUNCATE t; INSERT INTO t (k, v) VALUES (1, 'o1'), (2, 'o2')")
                .await;
            let before = world.content("t").await;
            let mut ids = Vec::new();
            for (text, more) in case {
                let id = submit(&world, "t", &format!("k;v\n{text}\n"), more);
                world.until_state(id, "loaded").await;
                ids.push(id);
            }
            // Some are found again when others have been undone.
            for &n in order.iter().chain(order).chain(order) {
                if world.state(ids[n]).await != "cancelled" {
                    world.run(&["cancel", &ids[n].to_string(), "--wait"]).await;
                }
            }
            for &id in &ids {
                assert_json(&world.status(id), &json!({"state": "cancelled"}));
            }
            assert_eq!(world.content("t").await, before, "{case:?} {order:?}");
        }
    }
}

#[tokio::test]
async fn imports_over_one_another_are_undone_in_any_order() {
    are_undone_in_any_order(0).await;
}

#[tokio::test]
#[ignore = "long: just test-long"]
async fn other_imports_over_one_another_are_undone_in_any_order() {
    are_undone_in_any_order(1).await;
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let longer = shorter.iter().flat_map(|order| {
        (0..=order.len()).map(move |place| {
            let mut order = order.clone();
            order.insert(place, count - 1);
            order
        })
    });
    longer.collect()
}

#[tokio::test]
async fn an_import_that_begins_after_a_deletion_did_is_undone_with_it() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, k int NOT NULL UNIQUE, v text); INSERT INTO t (k, v) VALUES (1, 'o'), (2, 'o')")
        .await;
    let before = world.content("t").await;
    let key = ["--conflict-columns", "k"];
    let held = Held::take(&world, "SELECT FROM t WHERE k = 2 FOR UPDATE").await;
    let worker = world.worker(&["--concurrency", "2"]).start();
    let sync = submit(&world, "t", "k;v\n1;o\n", &[&SYNC[..], &key].concat());
    world.until_a_lock_is_waited_for().await;
    let late = submit(&world, "t", "k;v\n5;a\n", &[]);
    world.until_state(late, "loaded").await;
    held.release().await;
    world.until_state(sync, "loaded").await;
    drop(worker);
    world.undo_all(&[late, sync]).await;
    assert_eq!(world.content("t").await, before);
}

#[tokio::test]
async fn rows_of_an_import_into_a_partition_are_undone_with_it() {
    for identity in ["sequence", "transaction"] {
        for first in [0, 1] {
            let world = World::new().await;
            world
                .execute(
                    "CREATE TABLE t (id bigserial, k int NOT NULL, v text, PRIMARY KEY (k, id)) PARTITION BY RANGE (k);
                     CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10);
                     CREATE UNIQUE INDEX ON low (id);
                     CREATE TABLE high PARTITION OF t DEFAULT;
                     INSERT INTO t (id, k, v) VALUES (1001, 1, 'o'), (1002, 20, 'o')",
                )
                .await;
            let before = world.content("t").await;
            let leaf = load(&world, "low", "k;v\n5;a\n", &["--identity", identity]);
            let sync = load(&world, "t", "id;k;v\n1001;1;o\n", &SYNC);
            assert_json(&world.status(sync), &json!({"removed": 2}));
            let mut imports = [leaf, sync];
            imports.rotate_left(first);
            world.undo_all(&imports).await;
            assert_eq!(world.content("t").await, before, "{identity} {first}");
        }
    }
}

#[tokio::test]
async fn rows_that_refer_to_one_another_come_back_whoever_they_are_of() {
    for first in [0, 1] {
        let world = World::new().await;
        world
            .execute("CREATE TABLE t (k int PRIMARY KEY, p int REFERENCES t, v text); INSERT INTO t VALUES (1, NULL, 'root')")
            .await;
        let before = world.content("t").await;
        let child = load(&world, "t", "k;p;v\n2;1;child\n3;2;grandchild\n", &[]);
        let sync = load(&world, "t", "k;p;v\n7;;r\n", &SYNC);
        let mut imports = [child, sync];
        imports.rotate_left(first);
        if first == 1 {
            assert_json(&world.undo(sync, &[]), &json!({"state": "cancelled", "returned": 3}));
            assert_eq!(world.number("SELECT count(*) FROM t").await, 3);
        }
        world.undo_all(&imports).await;
        assert_eq!(world.content("t").await, before);
    }
}

#[tokio::test]
async fn a_row_of_which_another_key_is_taken_keeps_no_other_away() {
    for (unique, returned) in [("", 2), ("DEFERRABLE", 0)] {
        let world = World::new().await;
        world
            .execute(&format!(
                "CREATE TABLE t (k int PRIMARY KEY, code text UNIQUE {unique});
                 INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')"
            ))
            .await;
        let id = load(&world, "t", "k;code\n1;a\n", &SYNC);
        world.execute("INSERT INTO t VALUES (9, 'c')").await;
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "kept", "removed": 3, "returned": returned}),
        );
        world.execute("DELETE FROM t WHERE k = 9").await;
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "returned": 3}));
        assert_eq!(world.content("t").await, ["(1,a)", "(2,b)", "(3,c)", "(4,d)"]);
    }
}

#[tokio::test]
async fn another_limit_does_not_go_on_with_what_was_begun() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
        .await;
    let file = world.file("t.csv", "k;v\n1;a\n");
    let with = |max: &str| {
        let arguments = [
            "-i",
            &file,
            "--table",
            "t",
            "--on-conflict",
            "update",
            "--delete-missing",
            "--max-deletes",
            max,
        ];
        world.enqueue(&arguments).run()
    };
    let id = with("100%").exits(0).id();
    let refused = with("0").exits(1);
    assert!(
        refused
            .stderr
            .contains(&format!("import {id}, with --max-deletes 100%")),
        "{refused:?}"
    );
    assert_eq!(with("100%").exits(0).id(), id);
    world.drain();
    assert_eq!(with("0").exits(0).id(), id);
    assert_json(&world.status(id), &json!({"state": "loaded", "removed": 1}));
}
