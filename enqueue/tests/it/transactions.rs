//! Tables without a sequence: rows are known by the transactions that wrote them, wherever the server put them.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::support::{World, assert_json, role::Role};
use serde_json::json;

/// Tables of all kinds of keys, each with the columns of [`events`].
const TABLES: [(&str, &str); 4] = [
    (
        "by_uuid",
        "CREATE TABLE by_uuid (key uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int UNIQUE, at date, note text)",
    ),
    (
        "by_nature",
        "CREATE TABLE by_nature (n int, at date, note text, PRIMARY KEY (n, at))",
    ),
    ("by_nothing", "CREATE TABLE by_nothing (n int, at date, note text)"),
    (
        "by_month",
        "CREATE TABLE by_month (n int, at date NOT NULL, note text) PARTITION BY RANGE (at);
         CREATE TABLE january PARTITION OF by_month FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE february (note text, gone int, n int, at date NOT NULL);
         ALTER TABLE february DROP COLUMN gone;
         ALTER TABLE by_month ATTACH PARTITION february FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         CREATE TABLE others PARTITION OF by_month DEFAULT PARTITION BY HASH (n);
         CREATE TABLE even PARTITION OF others FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE odd PARTITION OF others FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    ),
];

/// So many records from a number on, on the days of four months.
fn events(from: usize, count: usize) -> String {
    let mut text = String::from("n;at;note\n");
    for n in from..from + count {
        writeln!(text, "{n};2026-{:02}-{:02};note {n}", n % 4 + 1, n % 28 + 1).expect("a string");
    }
    text
}

/// What a table has, row by row.
async fn content(world: &World, table: &str) -> Vec<String> {
    world
        .texts(&format!(
            "SELECT concat_ws('|', n, at, note) FROM {table} ORDER BY n, at, note"
        ))
        .await
}

async fn rows(world: &World, from: &str) -> i64 {
    world.number(&format!("SELECT count(*) FROM {from}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn any_table_is_loaded_once_and_undone_exactly_beside_others_who_go_on() {
    let world = World::new().await;
    for (table, create) in TABLES {
        world.execute(create).await;
        let insert = |from: usize| {
            format!(
                "INSERT INTO {table} (n, at, note) SELECT -n, date '2026-01-01' + n % 120, 'theirs'
                 FROM generate_series({from}, {from} + 199) AS n"
            )
        };
        // Holes among the rows of others, into which rows go.
        for round in 0..10 {
            world.execute(&insert(1 + round * 200)).await;
        }
        world.execute(&format!("DELETE FROM {table} WHERE n % 3 = 0")).await;
        world.execute(&format!("VACUUM {table}")).await;
        let theirs = content(&world, table).await;
        let file = world.file(&format!("{table}.csv"), events(1, 5_000));
        let stop = AtomicBool::new(false);
        let others = async {
            let mut written = 10_000;
            while !stop.load(Ordering::Relaxed) {
                world.execute(&insert(written)).await;
                written += 200;
            }
            written
        };
        let load = async {
            let _workers = [world.worker(&["--concurrency", "2"]).start(), world.worker(&[]).start()];
            let submitted = world
                .run(&["-i", &file, "--table", table, "--chunk-rows", "300", "--wait", "--json"])
                .await
                .exits(0);
            assert_json(
                &submitted.json(),
                &json!({"loaded": 5_000, "rejected": 0, "chunks": 17}),
            );
            let id = submitted.json()["import_id"].as_i64().unwrap();
            world.run(&["verify", &id.to_string(), &file]).await.exits(0);
            assert_eq!(rows(&world, &format!("{table} WHERE note LIKE 'note %'")).await, 5_000);
            let dry = world
                .run(&["cancel", &id.to_string(), "--dry-run", "--json"])
                .await
                .exits(0)
                .json();
            assert_json(
                &dry,
                &json!({"would_delete": 5_000, "would_keep": 0, "missing": 0, "cannot_tell": 0}),
            );
            world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
            assert_json(
                &world.status(id),
                &json!({"state": "cancelled", "deleted": 5_000, "kept": 0, "missing": 0}),
            );
            stop.store(true, Ordering::Relaxed);
        };
        let (written, ()) = tokio::join!(others, load);
        world
            .execute(&format!("DELETE FROM {table} WHERE n <= -10000 AND n > -{written}"))
            .await;
        assert_eq!(content(&world, table).await, theirs, "{table}");
        assert_eq!(rows(&world, "pgimport.import_pages").await, 0);
        world.execute(&format!("DROP TABLE {table}")).await;
    }
}

#[tokio::test]
async fn rows_are_found_after_the_table_was_rewritten_in_another_file_or_order() {
    for (table, create) in TABLES {
        for rewrite in ["VACUUM FULL", "CLUSTER"] {
            let world = World::new().await;
            world.execute(create).await;
            let theirs = world.file("theirs.csv", events(10_000, 2_000));
            let ours = world.file("ours.csv", events(1, 3_000));
            let first = world.load(&["-i", &theirs, "--table", table, "--chunk-rows", "500"]);
            let second = world.load(&["-i", &ours, "--table", table, "--chunk-rows", "500"])["import_id"]
                .as_i64()
                .unwrap();
            world
                .execute(&format!("DELETE FROM {table} WHERE n BETWEEN 10500 AND 11500"))
                .await;
            match (rewrite, table) {
                ("CLUSTER", "by_month") => {
                    world
                        .execute("CREATE INDEX j ON january (note); CREATE INDEX e ON even (note)")
                        .await;
                    for (leaf, index) in [("january", "j"), ("even", "e")] {
                        world.execute(&format!("CLUSTER {leaf} USING {index}")).await;
                    }
                }
                ("CLUSTER", _) => {
                    world
                        .execute(&format!("CREATE INDEX by_note ON {table} (note DESC)"))
                        .await;
                    world.execute(&format!("CLUSTER {table} USING by_note")).await;
                }
                _ => world.execute(&format!("VACUUM FULL {table}")).await,
            }
            world.execute(&format!("VACUUM FREEZE {table}")).await;
            let left: Vec<String> = content(&world, table)
                .await
                .into_iter()
                .filter(|row| !row.contains("note 1") || row.starts_with("1"))
                .collect();
            assert!(!left.is_empty());
            world.enqueue(&["verify", &second.to_string(), &ours]).run().exits(0);
            let expected = json!({"state": "cancelled", "deleted": 3_000, "kept": 0, "missing": 0});
            assert_json(&world.undo(second, &[]), &expected);
            assert_eq!(rows(&world, table).await, 999, "{table}, {rewrite}");
            let first = first["import_id"].as_i64().unwrap();
            assert_json(&world.undo(first, &[]), &json!({"deleted": 999, "kept": 1_001}));
        }
    }
}

#[tokio::test]
async fn rows_that_were_edited_stay_are_counted_and_told_beforehand() {
    let world = World::new().await;
    for (table, create) in TABLES {
        world.execute(create).await;
        let file = world.file(&format!("{table}.csv"), events(1, 1_000));
        let id = world.load(&["-i", &file, "--table", table, "--chunk-rows", "250"])["import_id"]
            .as_i64()
            .unwrap();
        // Also into another partition, and back to what they were.
        world
            .execute(&format!("UPDATE {table} SET at = at + 40 WHERE n <= 100"))
            .await;
        world
            .execute(&format!("UPDATE {table} SET at = at - 40 WHERE n <= 50"))
            .await;
        world.execute(&format!("DELETE FROM {table} WHERE n > 990")).await;
        assert_json(
            &world.dry_run(id, &[]),
            &json!({"would_delete": 890, "would_keep": 110, "cannot_tell": 110, "missing": 0}),
        );
        let id_text = id.to_string();
        let refused = world.enqueue(&["cancel", &id_text, "--include-edited"]).run().exits(1);
        assert!(refused.stderr.contains("edited"), "{refused:?}");
        let verified = world.enqueue(&["verify", &id_text, &file]).run().exits(1);
        assert!(
            verified.stdout.contains("records") || verified.stderr.contains("records"),
            "{verified:?}"
        );
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "kept", "deleted": 890, "kept": 110, "missing": 0}),
        );
        assert_eq!(rows(&world, &format!("{table} WHERE n <= 100")).await, 100);
        // Once more: what is not found is no more than before.
        assert_json(
            &world.dry_run(id, &[]),
            &json!({"would_delete": 0, "would_keep": 110, "missing": 0}),
        );
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "kept", "deleted": 890, "kept": 110, "missing": 0}),
        );
        assert_eq!(rows(&world, table).await, 100);
    }
}

#[tokio::test]
async fn what_gives_every_row_another_transaction_is_told_and_nothing_is_guessed() {
    let world = World::new().await;
    for (table, create) in TABLES {
        world.execute(create).await;
        let file = world.file(&format!("{table}.csv"), events(1, 400));
        let id = world.load(&["-i", &file, "--table", table])["import_id"]
            .as_i64()
            .unwrap();
        world
            .execute(&format!(
                "ALTER TABLE {table} ADD COLUMN more double precision DEFAULT random()"
            ))
            .await;
        assert_json(
            &world.dry_run(id, &[]),
            &json!({"would_delete": 0, "would_keep": 400, "cannot_tell": 400, "missing": 0}),
        );
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "kept", "deleted": 0, "kept": 400}),
        );
        assert_eq!(rows(&world, table).await, 400);
    }
}

#[tokio::test]
async fn partitions_that_are_detached_take_their_rows_with_them() {
    let world = World::new().await;
    let (table, create) = TABLES[3];
    world.execute(create).await;
    let file = world.file("a.csv", events(1, 400));
    let id = world.load(&["-i", &file, "--table", table])["import_id"]
        .as_i64()
        .unwrap();
    world
        .execute("ALTER TABLE by_month DETACH PARTITION january; DROP TABLE february")
        .await;
    let expected = json!({"would_delete": 200, "would_keep": 100, "cannot_tell": 100, "missing": 100});
    assert_json(&world.dry_run(id, &[]), &expected);
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "kept", "deleted": 200, "kept": 100, "missing": 100}),
    );
    assert_eq!((rows(&world, "january").await, rows(&world, table).await), (100, 0));
    // Once more; and when the one that was detached is back.
    let expected = json!({"would_delete": 0, "would_keep": 100, "cannot_tell": 100, "missing": 100});
    assert_json(&world.dry_run(id, &[]), &expected);
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "kept", "deleted": 200, "kept": 100, "missing": 100}),
    );
    world
        .execute("ALTER TABLE by_month ATTACH PARTITION january FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')")
        .await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 300, "kept": 0, "missing": 100}),
    );
    assert_eq!(rows(&world, table).await, 0);
}

#[tokio::test]
async fn triggers_on_insert_and_copy_are_refused_and_one_that_comes_later_fails_what_is_left() {
    let world = World::new().await;
    let (table, create) = TABLES[2];
    world.execute(create).await;
    let file = world.file("a.csv", events(1, 1_000));
    let load = ["-i", &file, "--table", table];
    let refused = world
        .run(&[&load[..], &["--load-method", "copy"]].concat())
        .await
        .exits(1);
    assert!(refused.stderr.contains("use --load-method insert"), "{refused:?}");
    let refused = world
        .run(&[&load[..], &["--identity", "sequence"]].concat())
        .await
        .exits(1);
    assert!(
        refused.stderr.contains("no integer column filled by a sequence"),
        "{refused:?}"
    );
    let id = world
        .enqueue(&[&load[..], &["--chunk-rows", "500"]].concat())
        .run()
        .exits(0)
        .id();
    world
        .execute(
            "CREATE FUNCTION older() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TRIGGER \"Older\" BEFORE INSERT ON by_nothing FOR EACH ROW EXECUTE FUNCTION older()",
        )
        .await;
    world.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "failed", "loaded": 0}));
    assert!(
        status["chunk_errors"][0]["error"]
            .as_str()
            .unwrap()
            .contains("\"Older\""),
        "{status}"
    );
    let refused = world.run(&[&load[..], &["--force"]].concat()).await.exits(1);
    assert!(
        refused.stderr.contains("its trigger \"Older\" may write to other rows"),
        "{refused:?}"
    );
    // One that is switched off, or fires at something else, is none.
    world
        .execute(
            "ALTER TABLE by_nothing DISABLE TRIGGER \"Older\";
             CREATE TRIGGER other BEFORE UPDATE ON by_nothing FOR EACH ROW EXECUTE FUNCTION older()",
        )
        .await;
    world.enqueue(&["retry", &id.to_string()]).run().exits(0);
    world.drain();
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 1_000}));
}

#[tokio::test]
async fn records_that_the_server_refuses_are_rejects_and_the_rest_is_undone_exactly() {
    let world = World::new().await;
    for (table, create) in [TABLES[0], TABLES[1], TABLES[3]] {
        world.execute(create).await;
        world
            .execute(&format!("ALTER TABLE {table} ADD CHECK (note <> 'note 1234')"))
            .await;
        let first = world.file("first.csv", events(2_000, 10));
        world.load(&["-i", &first, "--table", table, "--force"]);
        // Refused, also for what is there or came before; of the partitioned one only the check.
        let file = world.file(
            "a.csv",
            events(1, 5_000) + &events(77, 1)[10..] + &events(4_444, 1)[10..],
        );
        let id = world
            .enqueue(&["-i", &file, "--table", table, "--force"])
            .run()
            .exits(0)
            .id();
        world.drain();
        let refused = if table == "by_month" { 1 } else { 13 };
        let loaded = 5_002 - refused;
        assert_json(
            &world.status(id),
            &json!({"state": "loaded", "loaded": loaded, "rejected": refused}),
        );
        world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
        assert_json(
            &world.undo(id, &[]),
            &json!({"state": "cancelled", "deleted": loaded, "kept": 0, "missing": 0}),
        );
        assert_eq!(rows(&world, table).await, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_may_be_killed_and_a_table_be_rewritten_while_it_is_loaded_and_undone() {
    let world = World::new().await;
    let (table, create) = TABLES[3];
    world.execute(create).await;
    let theirs = world.file("theirs.csv", events(100_000, 1_000));
    world.load(&["-i", &theirs, "--table", table]);
    let file = world.file("a.csv", events(1, 20_000));
    let mut worker = world.worker(&["--concurrency", "2"]).start();
    let id = world
        .run(&["-i", &file, "--table", table, "--chunk-rows", "200"])
        .await
        .exits(0)
        .id();
    // Each of them fewer times than a chunk may be begun.
    let disturb = async |worker: &mut crate::support::Proc, until: &str| {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            worker.kill();
            for leaf in ["january", "february", "even", "odd"] {
                world.execute(&format!("VACUUM FULL {leaf}")).await;
            }
            *worker = world.worker(&["--concurrency", "2"]).start();
        }
        world.until_state(id, until).await;
    };
    disturb(&mut worker, "loaded").await;
    assert_eq!(rows(&world, table).await, 21_000);
    world.run(&["verify", &id.to_string(), &file]).await.exits(0);
    world.run(&["cancel", &id.to_string()]).await.exits(0);
    disturb(&mut worker, "cancelled").await;
    assert_json(&world.status(id), &json!({"deleted": 20_000, "kept": 0, "missing": 0}));
    assert_eq!(rows(&world, &format!("{table} WHERE n >= 100000")).await, 1_000);
    assert_eq!(rows(&world, table).await, 1_000);
}

#[tokio::test]
async fn rights_on_the_partitioned_table_are_enough() {
    let world = World::new().await;
    let (table, create) = TABLES[3];
    world.execute(create).await;
    let role = Role::new(&world, "").await;
    for grant in [
        role.submitter_grants(),
        role.worker_grants(),
        role.grants(&[&format!("SELECT, INSERT, DELETE ON {table}")]),
    ]
    .concat()
    {
        world.execute(&grant).await;
    }
    world
        .execute("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;")
        .await;
    let file = world.file("a.csv", events(1, 400));
    let id = role
        .run(world.enqueue(&["-i", &file, "--table", table]))
        .run()
        .exits(0)
        .id();
    role.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 400}));
    role.run(world.enqueue(&["cancel", &id.to_string()])).run().exits(0);
    role.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(
        &world.status(id),
        &json!({"state": "cancelled", "deleted": 400, "kept": 0}),
    );
}

#[tokio::test]
async fn it_can_be_chosen_for_a_table_with_a_sequence() {
    let world = World::new().await;
    let file = world.file(
        "a.csv",
        "id;PointOfSale;Product;Date;Stock\n7;A;p;2026-01-01;1\n9;A;q;2026-01-01;2\n",
    );
    let refused = world.run(&["-i", &file]).await.exits(1);
    assert!(refused.stderr.contains("is the id of"), "{refused:?}");
    let id = world.load(&["-i", &file, "--identity", "transaction"])["import_id"]
        .as_i64()
        .unwrap();
    assert_eq!(
        world.texts("SELECT id::text FROM sale_order ORDER BY id").await,
        ["7", "9"]
    );
    let like = world.load(&["-i", &file, "--like", &id.to_string()]);
    assert_eq!(like["import_id"].as_i64(), Some(id));
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 2}));
}

#[tokio::test]
async fn edited_rows_of_an_import_by_sequence_are_not_those_of_one_by_transaction() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE gl (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text)")
        .await;
    let first = world.file("1.csv", "v\na\nb\nc\n");
    let second = world.file("2.csv", "v\nx\ny\nz\n");
    let load = ["--table", "gl"];
    let first = world.load(&[&["-i", &first][..], &load].concat())["import_id"]
        .as_i64()
        .unwrap();
    world
        .execute("DELETE FROM gl; ALTER TABLE gl ALTER id RESTART WITH 1")
        .await;
    world.load(&[&["-i", &second, "--identity", "transaction"][..], &load].concat());
    assert_json(
        &world.undo(first, &["--include-edited"]),
        &json!({"state": "cancelled", "deleted": 0, "missing": 3}),
    );
    assert_eq!(world.texts("SELECT v FROM gl ORDER BY id").await, ["x", "y", "z"]);
}

#[tokio::test]
async fn rules_and_triggers_of_a_partition_do_no_more_than_they_would_for_its_table() {
    let world = World::new().await;
    let (table, create) = TABLES[3];
    world.execute(create).await;
    world
        .execute(
            "CREATE TABLE precious AS SELECT generate_series(1, 3) AS x;
             CREATE RULE also AS ON DELETE TO january DO ALSO DELETE FROM precious;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not by this name'; END $$;
             CREATE TRIGGER refuse BEFORE DELETE ON even FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
        )
        .await;
    let file = world.file("a.csv", events(1, 400));
    let id = world.load(&["-i", &file, "--table", table])["import_id"]
        .as_i64()
        .unwrap();
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 400, "kept": 0}),
    );
    assert_eq!(rows(&world, "precious").await, 3);
}

#[tokio::test]
async fn partitions_that_would_be_refused_by_themselves_are_refused_with_their_table() {
    let world = World::new().await;
    let (table, create) = TABLES[3];
    world.execute(create).await;
    world.execute("ALTER TABLE odd SET UNLOGGED").await;
    let file = world.file("a.csv", events(1, 4));
    let refused = world.run(&["-i", &file, "--table", table]).await.exits(1);
    assert!(refused.stderr.contains("public.odd is UNLOGGED"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_comes_while_rows_are_deleted_changes_no_other_table() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE parents (n int PRIMARY KEY); CREATE TABLE children (n int); INSERT INTO children VALUES (1), (2)")
        .await;
    let file = world.file("a.csv", "n\n1\n2\n");
    let id = world.load(&["-i", &file, "--table", "parents"])["import_id"]
        .as_i64()
        .unwrap();
    world.run(&["cancel", &id.to_string()]).await.exits(0);
    let worker = world
        .worker(&["--drain"])
        .env("FAILPOINTS", "after-cascades=1*sleep(3000)")
        .start();
    world
        .until_some("pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world
        .execute("ALTER TABLE children ADD FOREIGN KEY (n) REFERENCES parents ON DELETE CASCADE")
        .await;
    worker.finished().await;
    assert_json(&world.status(id), &json!({"state": "kept", "deleted": 0, "kept": 2}));
    assert_eq!((rows(&world, "parents").await, rows(&world, "children").await), (2, 2));
}
