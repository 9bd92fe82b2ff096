//! `--create-table`: a table is there if and only if its import is, whoever else makes it, and with the rights that this takes.

use crate::support::{Held, World, assert_json, role::Role};
use serde_json::json;

#[tokio::test]
async fn a_dry_run_prints_sql_that_makes_the_same_table_and_leaves_no_trace() {
    let world = World::new().await;
    world.execute("CREATE SCHEMA \"odd schema\"").await;
    let path = world.file(
        "things.csv",
        "select,\"Unit \"\"Price\"\"\",Größe, spaced ,a\\b,day,x'y;--\n1,2.5,3,4,5,2026-01-31,t\n2,2,,4,5,2026-01-31,t\n",
    );
    let all = [
        "-i",
        &path,
        "-d",
        ",",
        "--table",
        "\"odd schema\".\"a \"\"table\"\"\"",
        "--create-table",
        "--primary-key",
        "day,SELECT",
        "--set",
        "shop=x",
    ];
    let dry = [&all[..], &["--dry-run"]].concat();
    let sql = world.enqueue(&dry).run().exits(0).stdout;
    assert_eq!(
        sql,
        "CREATE TABLE \"odd schema\".\"a \"\"table\"\"\" (\n    \"select\" bigint,\n    \"Unit \"\"Price\"\"\" numeric,\n    \"Größe\" bigint,\n    \
         \"spaced\" bigint,\n    \"a\\b\" bigint,\n    \"day\" date,\n    \"x'y;--\" text,\n    \"shop\" text,\n    \
         PRIMARY KEY (\"day\", \"select\")\n);\n"
    );
    let table = "\"odd schema\".\"a \"\"table\"\"\"";
    assert!(!world.has_table(table).await);
    assert_eq!(world.imports().await, 0);
    let script = world.file("table.sql", &sql);
    world.psql(&["-f", &script]);
    let by_hand = world.columns(table).await;
    let there = world.enqueue(&dry).run().exits(0).says("exists: it is loaded as it is");
    assert_eq!(there.stdout, "");
    world.execute(&format!("DROP TABLE {table}")).await;
    world.load(&all);
    assert_eq!(world.columns(table).await, by_hand);
    assert_eq!(
        world
            .number(&format!(
                "SELECT count(*) FROM {table} WHERE shop = 'x' AND \"x'y;--\" = 't'"
            ))
            .await,
        2
    );
    // A stream, too.
    let sql = world
        .enqueue(&[
            "--table",
            "t",
            "--create-table",
            "--dry-run",
            "--no-header",
            "--columns",
            "a,-",
        ])
        .input("1;2\n")
        .run()
        .exits(0);
    assert_eq!(sql.stdout, "CREATE TABLE public.t (\n    \"a\" bigint\n);\n");
    world
        .enqueue(&["-i", &path, "--dry-run"])
        .run()
        .exits(2)
        .says("--create-table");
    world
        .enqueue(&["-i", &path, "--create-table", "--check"])
        .run()
        .exits(2)
        .says("cannot be used with");
}

#[tokio::test]
async fn a_table_that_is_there_is_loaded_and_a_file_is_loaded_once() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, a text, b varchar(3))")
        .await;
    let path = world.file("things.csv", "a;b\n1;2\nx;long\n");
    let all = ["-i", &path, "--table", "things", "--create-table"];
    let id = world
        .enqueue(&all)
        .run()
        .exits(0)
        .says("the table public.things exists: it is loaded as it is")
        .id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 1, "rejected": 1}));
    let again = world.enqueue(&all[..4]).run();
    assert_eq!(again.id(), id);
    // Into a table of its own; then again with and without the option, and in another schema's table of the same name.
    let new = ["-i", &path, "--table", "new", "--create-table"];
    let first = world.enqueue(&new).run().exits(0).says("was made").id();
    assert_eq!(world.enqueue(&new).run().exits(0).says("exists").id(), first);
    assert_eq!(world.enqueue(&new[..4]).run().exits(0).id(), first);
    world.drain();
    assert_eq!(world.enqueue(&new).run().exits(0).id(), first);
    assert_eq!(
        (world.imports().await, world.number("SELECT count(*) FROM new").await),
        (2, 2)
    );
    // After a cancel the table is there, and empty, and the file may come again.
    world.undo(first, &[]);
    let second = world.enqueue(&new).run().exits(0).says("exists").id();
    assert_ne!(second, first);
    world.drain();
    assert_eq!(world.number("SELECT count(*) FROM new").await, 2);
    // What is no table, and one that lacks a column.
    world
        .execute("CREATE VIEW seen AS SELECT 1 AS a; CREATE TABLE narrow (a text)")
        .await;
    for (table, said) in [("seen", "is a view"), ("narrow", "'b' (field 2) is not a column")] {
        world
            .enqueue(&["-i", &path, "--table", table, "--create-table"])
            .run()
            .exits(1)
            .says(said);
    }
    // With the options of another import.
    let like = [
        "-i",
        &path,
        "--like",
        &first.to_string(),
        "--table",
        "alike",
        "--create-table",
    ];
    world.load(&like);
    assert_eq!(world.columns("alike").await, ["a text", "b text"]);
    // The first of several that are imports of their own.
    let more = world.file("more.csv", "a;b\n7;8\n");
    world
        .enqueue(&["-i", &more, "-i", &path, "--each", "--table", "each", "--create-table"])
        .run()
        .exits(0)
        .says("exists");
    assert_eq!(world.columns("each").await, ["a bigint", "b bigint"]);
}

#[tokio::test]
async fn what_is_refused_leaves_no_table() {
    let world = World::new().await;
    let good = world.file("good.csv", "a;b\n1;2\n");
    let commas = world.file("commas.csv", "a,b\n1,2\n");
    let objects = world.file("objects.csv", "{\"a\": 1}\n");
    let twice = world.file("twice.csv", "a;b; a\n1;2;3\n");
    let unnamed = world.file("unnamed.csv", "a;;b\n1;2;3\n");
    let long = world.file("long.csv", format!("a;{}\n1;2\n", "n".repeat(64)));
    let many = world.file(
        "many.csv",
        (0..1601).map(|n| format!("c{n}")).collect::<Vec<_>>().join(";") + "\n",
    );
    let system = world.file("system.csv", "a;ctid\n1;2\n");
    let empty = world.file("empty.csv", "");
    let broken = world.file("broken.csv.gz", b"\x1f\x8b\x08\0broken");
    let endless = world.file("endless.csv", format!("a;b\n1;{}\n", "x".repeat(3000)));
    for (file, more, said) in [
        (&good, &["--no-header"][..], "name them with --columns"),
        (&empty, &[], "name them with --columns"),
        (&commas, &[], "with -d ',' it has several"),
        (&objects, &[], "--format jsonl"),
        (&twice, &[], "'a' is named twice (field 3)"),
        (&unnamed, &[], "field 2 has no name"),
        (&long, &[], "has 64 bytes"),
        (&many, &[], "1601 columns"),
        (&system, &[], "'ctid'"),
        (&broken, &[], "broken.csv.gz"),
        (&endless, &["--max-record", "1K"], "longer than 1024 bytes"),
        (&good, &["--primary-key", "c"], "it would have: a, b"),
        (&good, &["--primary-key", "a,A"], "names the column 'a' twice"),
        (&good, &["--set", "a=1"], "filled twice"),
        (&good, &["--map", "c=d"], "no column 'c'"),
        (&good, &["--load-method", "copy"], "without a sequence"),
        (
            &good,
            &["--identity", "sequence"],
            "no integer column filled by a sequence",
        ),
        (&good, &["--force-null", "c"], "'c'"),
    ] {
        let table = ["-i", file, "--table", "things", "--create-table"];
        world.enqueue(&[&table[..], more].concat()).run().exits(1).says(said);
        assert!(!world.has_table("things").await, "{said}");
    }
    for (table, said) in [
        ("nowhere.things", "CREATE SCHEMA \"nowhere\""),
        ("a..b", "is not a table's name"),
        ("pgimport.things", "belongs to pg_import itself"),
        (&format!("public.{}", "t".repeat(64)), "more than 63 bytes"),
    ] {
        world
            .enqueue(&["-i", &good, "--table", table, "--create-table"])
            .run()
            .exits(1)
            .says(said);
    }
    assert!(!world.has_table("pgimport.things").await);
    assert_eq!(world.imports().await, 0);
    // One column may have a comma in its name, if somebody says so.
    world.load(&[
        "-i",
        &commas,
        "--columns",
        "\"a,b\"",
        "--table",
        "things",
        "--create-table",
    ]);
    assert_eq!(world.columns("things").await, ["a,b text"]);
    world
        .enqueue(&["-i", &good, "--primary-key", "a"])
        .run()
        .exits(2)
        .says("--create-table");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_makes_the_table() {
    let world = World::new().await;
    let file = world.file("a.csv", "a;b\n1;2\n3;4\n");
    let other = world.file("b.csv", "a;b\n5;six\n");
    let create = |file: &str, table: &str| world.enqueue(&["-i", file, "--table", table, "--create-table"]).start();
    // The first has made the table when it waits to store its import; the second waits for the first.
    for (files, imports) in [([&file, &file], 1), ([&file, &other], 2)] {
        let table = format!("t{imports}");
        let before = world.imports().await;
        let held = Held::take(&world, "LOCK TABLE pgimport.import IN EXCLUSIVE MODE").await;
        let both = files.map(|file| create(file, &table));
        world.until_a_lock_is_waited_for().await;
        world.until_some("pg_stat_activity WHERE query LIKE 'CREATE TABLE%' AND wait_event_type = 'Lock' AND datname = current_database()").await;
        held.release().await;
        let mut made = 0;
        for one in both {
            let finished = one.finished().await.exits(0);
            made += usize::from(finished.stderr.contains("was made"));
        }
        assert_eq!((made, world.imports().await - before), (1, imports));
        world.drain();
        let rows = world.number(&format!("SELECT count(*) FROM {table}")).await;
        let rejected = world.number("SELECT count(*) FROM pgimport.import_reject").await;
        assert_eq!(rows + rejected, if imports == 1 { 2 } else { 3 });
    }
    // Somebody who knows nothing of imports makes it, or does not.
    for (table, kept) in [("made", true), ("unmade", false)] {
        let held = Held::take(&world, &format!("CREATE TABLE {table} (a text, b text, c text)")).await;
        let waiting = create(&file, table);
        world.until_some("pg_stat_activity WHERE query LIKE 'CREATE TABLE%' AND wait_event_type = 'Lock' AND datname = current_database()").await;
        if kept {
            held.commit().await;
        } else {
            held.release().await;
        }
        let said = if kept {
            "exists: it is loaded as it is"
        } else {
            "was made"
        };
        waiting.finished().await.exits(0).says(said);
        world.drain();
        assert_eq!(world.columns(table).await.len(), if kept { 3 } else { 2 });
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, 2);
    }
}

#[tokio::test]
async fn a_role_makes_tables_where_it_may_and_workers_need_a_grant_of_its_own() {
    let world = World::new().await;
    let (alice, worker) = (
        Role::named(&world, "alice", "").await,
        Role::named(&world, "worker", "").await,
    );
    for grant in [alice.submitter_grants(), worker.worker_grants()].concat() {
        world.execute(&grant).await;
    }
    world
        .execute(&format!(
            "CREATE SCHEMA shop; CREATE SCHEMA closed; GRANT USAGE ON SCHEMA shop TO {}, {}; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            alice.name, worker.name
        ))
        .await;
    let path = world.file("stock.csv", "a;b\n1;2\n");
    let all = ["-i", &path, "--table", "shop.stock", "--create-table"];
    let run = |arguments: &[&str]| alice.run(world.enqueue(arguments)).run();
    let refused = run(&all).exits(1).says("may not make tables in the schema shop");
    assert!(
        refused
            .stderr
            .contains(&format!("GRANT CREATE ON SCHEMA shop TO \"{}\"", alice.name)),
        "{refused:?}"
    );
    run(&["-i", &path, "--table", "closed.stock", "--create-table"])
        .exits(1)
        .says("GRANT USAGE ON SCHEMA");
    // To see what it would be, no right is needed.
    assert!(
        run(&[&all[..], &["--dry-run"]].concat())
            .exits(0)
            .stdout
            .starts_with("CREATE TABLE shop.stock (")
    );
    world
        .execute(&format!("GRANT CREATE ON SCHEMA shop TO {}", alice.name))
        .await;
    let id = run(&all).exits(0).id();
    worker.run(world.worker(&["--drain"])).run();
    assert_json(&world.status(id), &json!({"state": "failed"}));
    // What docs/PRIVILEGES.md says.
    world
        .execute(&format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA shop GRANT SELECT, INSERT, DELETE ON TABLES TO {}",
            alice.name, worker.name
        ))
        .await;
    // An unqualified name is made in the first schema of the role's search path.
    world
        .execute(&format!(
            "ALTER ROLE {} SET search_path = nowhere, shop, public",
            alice.name
        ))
        .await;
    let id = run(&["-i", &path, "--table", "other", "--create-table"])
        .exits(0)
        .says("shop.other was made")
        .id();
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 1}));
    run(&["cancel", &id.to_string()]).exits(0);
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 1}));
}

#[tokio::test]
async fn an_interrupt_while_the_types_are_decided_stores_nothing() {
    let world = World::new().await;
    let mut submitting = world.enqueue(&["--table", "things", "--create-table"]).pipe().start();
    let pipe = submitting.stdin();
    // The file is waited for.
    world
        .until_some(
            "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-enqueue%'",
        )
        .await;
    submitting.interrupt();
    submitting.finished().await.exits(4).says("nothing was stored");
    drop(pipe);
    assert!(!world.has_table("things").await);
    assert_eq!(world.imports().await, 0);
}
