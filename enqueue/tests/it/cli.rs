//! Wrong input, settings and tables: the exit code, what is said, and that nothing is stored.

use std::fs;

use crate::support::{World, assert_json, orders, process::worker_in};
use serde_json::json;

const SECRET: &str = "s3cret/Pa:ss@w0rd?";

#[tokio::test]
async fn wrong_usage_exits_with_2_before_anything_is_asked() {
    let world = World::new().await;
    for (arguments, text) in [
        (&["-d", ";;;;;"][..], "expected 1 to 4 bytes"),
        (&["-d", "→→"], "expected 1 to 4 bytes"),
        (&["-d", ""], "expected 1 to 4 bytes"),
        (&["--quote", ";"], "the delimiter and the quote"),
        (&["--chunk-rows", "0"], "chunk-rows"),
        (&["--max-record", "many"], "expected a number of bytes"),
        (&["--load-method", "magic"], "insert, copy"),
        (&["--force", "--key", "k"], "cannot be used with"),
        (&["cancel"], "<ID>"),
        (&["cancel", "0"], "positive whole number"),
        (&["forget"], "required"),
        (&["--no-such-flag"], "unexpected argument"),
    ] {
        // No settings: the database is not even looked for.
        let output = world
            .bare(arguments)
            .env("PG_IMPORT_STAGING", "nowhere")
            .run()
            .exits(2)
            .says(text);
        assert_eq!(output.stdout, "");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let world = World::new().await;
    world
        .enqueue(&["-i", "none.csv"])
        .run()
        .exits(1)
        .says("none.csv")
        .says("No such file");
    fs::create_dir(world.path("folder.csv")).unwrap();
    world
        .enqueue(&["-i", "folder.csv"])
        .run()
        .exits(1)
        .says("no file to load: there is none in folder.csv");
    assert_eq!(world.imports().await, 0);
}

#[tokio::test]
async fn a_file_that_does_not_fit_the_table_is_refused_whole() {
    let world = World::new().await;
    for (content, arguments, text) in [
        (
            "PointOfSale;Produkt;Date;Stock\nA;x;2025-01-01;1\n",
            &[][..],
            "'Produkt' (field 2) is not a column of public.sale_order",
        ),
        (
            "PointOfSale;Product;Date\nA;x;2025-01-01\n",
            &[],
            "the file has no column 'Stock'",
        ),
        (
            "PointOfSale;Product;Date;Stock;stock\n",
            &[],
            "'Stock' is named twice (field 5)",
        ),
        (
            "id;PointOfSale;Product;Date;Stock\n",
            &[],
            "'id' (field 1) is the id of public.sale_order",
        ),
        (
            "PointOfSale,Product,Date,Stock\n",
            &[],
            "hint: with -d ',' the header names columns of the table",
        ),
        (
            "PointOfSale\tProduct\tDate\tStock\n",
            &["-d", "|"],
            "hint: with -d '\\t' the header names",
        ),
        ("PointOfSale/Product\n", &[], "check -d/--delimiter"),
        (
            "A;x;2025-01-01;1\n",
            &["--no-header", "--columns", "a,b"],
            "'a' (field 1) is not a column",
        ),
    ] {
        let file = world.file("orders.csv", content);
        let output = world
            .enqueue(&[&["-i", &file], arguments].concat())
            .run()
            .exits(1)
            .says(text)
            .says("orders.csv");
        assert_eq!(output.stdout, "");
    }
    world.file("zipped.csv", b"PK\x03\x04\xff\xfe\xfd\n");
    world
        .enqueue(&["-i", "zipped.csv"])
        .run()
        .exits(1)
        .says("zipped.csv, line 1: the header is not UTF-8 text");
    let header = world.file("long.csv", "x".repeat(4000));
    world
        .enqueue(&["-i", &header, "--max-record", "1K"])
        .run()
        .exits(1)
        .says("long.csv")
        .says("line 1");
    assert_eq!(world.imports().await, 0);
}

#[tokio::test]
async fn a_table_that_cannot_be_loaded_is_refused_with_what_to_do() {
    let world = World::new().await;
    world
        .execute(
            "CREATE VIEW a_view AS SELECT * FROM sale_order;
             CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM sale_order;
             CREATE TABLE no_id (a int PRIMARY KEY);
             CREATE TABLE not_unique (id bigint GENERATED ALWAYS AS IDENTITY, a int);
             CREATE TABLE partly_unique (id bigserial, a int);
             CREATE UNIQUE INDEX ON partly_unique (id) WHERE a > 0;
             CREATE TABLE jointly_unique (id bigserial, a int, PRIMARY KEY (a, id));
             CREATE TABLE two_ids (id bigserial PRIMARY KEY, other bigserial UNIQUE, a int);
             CREATE TABLE with_rule (id bigserial PRIMARY KEY, a int);
             CREATE RULE r AS ON INSERT TO with_rule DO INSTEAD NOTHING;
             CREATE TABLE id_alone (id bigserial PRIMARY KEY);",
        )
        .await;
    let file = world.file("t.csv", "1\n");
    for (table, text) in [
        ("none", "there is no table none in this database"),
        ("none.none", "there is no table none.none"),
        ("a_view", "public.a_view is a view"),
        ("a_matview", "public.a_matview is a materialized view"),
        ("no_id", "public.no_id has no integer column filled by a sequence"),
        ("not_unique", "CREATE INDEX ON public.not_unique (\"id\")"),
        ("partly_unique", "CREATE INDEX ON public.partly_unique (\"id\")"),
        ("jointly_unique", "CREATE INDEX ON public.jointly_unique (\"id\")"),
        ("two_ids", "several columns filled by a sequence (id, other)"),
        ("with_rule", "public.with_rule has a rule on INSERT"),
        ("id_alone", "public.id_alone has no column that a file could fill"),
        ("not_unique_id_seq", "only ordinary and partitioned tables"),
        ("a b", "'a b' is not a table's name"),
        ("", "'' is not a table's name"),
        ("x; DROP TABLE sale_order", "is not a table's name"),
    ] {
        world
            .enqueue(&["-i", &file, "--no-header", "--table", table, "--identity", "sequence"])
            .run()
            .exits(1)
            .says(text);
    }
    assert_eq!((world.imports().await, world.sale_orders().await), (0, 0));
}

#[tokio::test]
async fn names_that_need_quotes_are_quoted_everywhere() {
    let world = World::new().await;
    world
        .execute(
            r#"CREATE SCHEMA "My Schema";
               CREATE TABLE "My Schema"."T;x" ("the ""ID""" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "a b" text, "select" int, "C;d" text)"#,
        )
        .await;
    let table = r#""My Schema"."T;x""#;
    let file = world.file("t.csv", "A B;SELECT;\"c;D\"\nx;1;y\nx;wrong;y\n");
    for (id, method) in [(1, "insert"), (2, "copy")] {
        world
            .enqueue(&["-i", &file, "--table", table, "--load-method", method, "--force"])
            .run()
            .exits(0);
        world.drain();
        assert_json(
            &world.status(id),
            &json!({"state": "loaded", "loaded": 1, "rejected": 1, "target": table}),
        );
    }
    let rejects = world.enqueue(&["rejects", "1"]).run().exits(0).stdout;
    assert_eq!(rejects, "a b;select;\"C;d\"\nx;wrong;y\n");
    let corrected = world.file("rejects.csv", rejects.replace("wrong", "2"));
    world.load(&["-i", &corrected, "--table", table]);
    world.enqueue(&["cancel", "1"]).run().exits(0);
    world.drain();
    assert_eq!(
        world
            .texts(r#"SELECT concat_ws('|', "the ""ID""", "a b", "select", "C;d") FROM "My Schema"."T;x" ORDER BY 1"#)
            .await,
        ["2|x|1|y", "3|x|2|y"]
    );
}

#[tokio::test]
async fn an_import_that_does_not_exist_is_an_error_of_every_command() {
    let world = World::new().await;
    for command in ["status", "cancel", "keep", "rejects", "retry"] {
        let output = world
            .enqueue(&[command, "99"])
            .run()
            .exits(1)
            .says("there is no import 99");
        assert_eq!(output.stdout, "");
    }
    world
        .enqueue(&["cancel", "99", "--dry-run"])
        .run()
        .exits(1)
        .says("there is no import 99");
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_told_from_a_broken_one() {
    let world = World::new().await;
    world
        .execute("DROP SCHEMA pgimport CASCADE; DROP SCHEMA apalis CASCADE")
        .await;
    let file = world.file("orders.csv", orders("A", 1));
    for call in [
        world.enqueue(&["-i", &file]),
        world.enqueue(&["status"]),
        world.worker(&["--drain"]),
    ] {
        call.run().exits(1).says("run `enqueue migrate`");
    }
    // Two at once, and once more.
    let migrations = [(); 2].map(|()| world.enqueue(&["migrate"]).start());
    for migration in migrations {
        migration.finish().exits(0).says("is up to date");
    }
    world.enqueue(&["migrate"]).run().exits(0);
    world.load(&["-i", &file]);
}

#[tokio::test]
async fn a_staging_says_where_the_database_is_and_a_wrong_one_is_named() {
    let world = World::new().await;
    world.db.credentials().write(&world.path("stagings/test")).unwrap();
    let path = world.path("stagings");
    let status = || world.bare(&["status"]).env("PG_IMPORT_CONFIG_PATH", &path);
    status().env("PG_IMPORT_STAGING", "test").run().exits(0);
    // A typo must not lead to another database.
    status()
        .env("PG_IMPORT_STAGING", "tset")
        .run()
        .exits(1)
        .says("the staging 'tset' (from PG_IMPORT_STAGING)")
        .says("stagings/tset");
    status()
        .env("PG_IMPORT_STAGING", "../test")
        .run()
        .exits(1)
        .says("cannot be a staging's name");
    world.file(".staging", "test\n");
    status().run().exits(0);
    world.file(".staging", "tset\n");
    status()
        .run()
        .exits(1)
        .says("the staging 'tset' (from ")
        .says(".staging)");
    fs::write(world.path("stagings/test/.postgres.port"), "no\n").unwrap();
    status()
        .env("PG_IMPORT_STAGING", "test")
        .run()
        .exits(1)
        .says("stagings/test/.postgres.port holds no port");
}

#[tokio::test]
async fn a_url_that_is_none_is_not_shown() {
    let world = World::new().await;
    for url in [
        &format!("garbage {SECRET}"),
        &format!("postgres//u:{SECRET}@h/d"),
        "mysql://u:s3cret@h/d",
    ] {
        for call in [
            world.bare(&["status", "--database-url", url]),
            world.bare(&["status"]).env("DATABASE_URL", url),
            world.worker(&["--drain"]).env("DATABASE_URL", url),
        ] {
            let output = call.run().exits(1).says("is not a PostgreSQL connection URL");
            assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let world = World::new().await;
    let mut wrong = world.db.credentials().clone();
    wrong.password = SECRET.to_owned();
    wrong.write(&world.path("credentials/dev")).unwrap();
    let output = world
        .bare(&["status"])
        .env("RUST_LOG", "trace")
        .run()
        .exits(1)
        .says("password authentication failed")
        .says("cannot reach the database 'test_");
    assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
    // Nor does a worker wait for it to become right.
    worker_in(world.dir(), &[])
        .run()
        .exits(1)
        .says("password authentication failed");
    let elsewhere = world
        .db
        .url()
        .replace(&world.db.credentials().database, "no_such_database");
    world
        .worker(&[])
        .env("DATABASE_URL", elsewhere)
        .run()
        .exits(1)
        .says("database \"no_such_database\" does not exist");
}
