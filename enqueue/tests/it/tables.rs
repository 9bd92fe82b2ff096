//! Tables that change, types of the server alone, and tables that do more than store rows.

use crate::support::{World, assert_json};
use serde_json::json;
use session::config::Credentials;

#[tokio::test]
async fn a_table_whose_columns_changed_since_the_last_import_is_loaded_by_the_same_worker() {
    let world = World::new().await;
    world.execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int)").await;
    // One at a time: the same sessions do the work before and after.
    let _worker = world.worker(&["--concurrency", "1"]).start();
    let file = world.file("t.csv", "a\n1\n2\n");
    for method in ["insert", "copy"] {
        for change in [
            "ALTER TABLE t ALTER a TYPE text",
            "ALTER TABLE t ALTER a TYPE bigint USING a::bigint",
            "DROP TABLE t; CREATE TABLE t (a numeric(5,1), id serial PRIMARY KEY)",
            "ALTER TABLE t ALTER a TYPE int, ADD b text DEFAULT 'new'",
        ] {
            world.execute(change).await;
            let arguments = [
                "-i",
                &file,
                "--table",
                "t",
                "--load-method",
                method,
                "--force",
                "--wait",
                "--json",
            ];
            let status = world.enqueue(&arguments).run().exits(0).json();
            assert_json(&status, &json!({"state": "loaded", "loaded": 2}));
        }
    }
    assert_eq!(
        world
            .texts("SELECT DISTINCT concat_ws('|', a, b) FROM t ORDER BY 1")
            .await,
        ["1|new", "2|new"]
    );
}

#[tokio::test]
async fn a_table_that_was_made_again_since_its_submission_is_not_touched() {
    let world = World::new().await;
    let table = "CREATE TABLE t (id bigserial PRIMARY KEY, a int)";
    world.execute(table).await;
    let file = world.file("t.csv", "a\n1\n");
    world.enqueue(&["-i", &file, "--table", "t"]).run().exits(0);
    world.execute(&format!("DROP TABLE t; {table}")).await;
    world.drain();
    let status = world.status(1);
    assert_json(&status, &json!({"state": "failed", "loaded": 0}));
    assert!(
        status
            .to_string()
            .contains("the table public.t was dropped, or dropped and made again"),
        "{status:#}"
    );
    assert_eq!(world.number("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn a_column_that_went_since_the_submission_fails_the_import_and_is_named() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int, b int)")
        .await;
    let file = world.file("t.csv", "a;b\n1;2\n");
    world.enqueue(&["-i", &file, "--table", "t"]).run().exits(0);
    world.execute("ALTER TABLE t DROP b").await;
    world.drain();
    let status = world.status(1);
    assert!(
        status.to_string().contains("public.t no longer has the column b"),
        "{status:#}"
    );
    world.execute("ALTER TABLE t ADD b int").await;
    world.enqueue(&["retry", "1"]).run().exits(0);
    world.drain();
    assert_json(&world.status(1), &json!({"state": "loaded", "loaded": 1}));
}

#[tokio::test]
async fn partitions_and_triggers_do_their_work_and_an_undo_finds_their_rows() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE parts (id bigserial PRIMARY KEY, a int, seen text) PARTITION BY HASH (id);
             CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             CREATE TABLE watched (id bigserial PRIMARY KEY, a int, seen text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     BEGIN NEW.seen := 'yes'; EXCEPTION WHEN OTHERS THEN NULL; END;
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER see BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION see();
             CREATE TRIGGER see BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION see();",
        )
        .await;
    let file = world.file("t.csv", format!("a\n{}", "1\n".repeat(50)));
    let mut imports = 0;
    for table in ["parts", "watched"] {
        for method in ["insert", "copy"] {
            let arguments = [
                "-i",
                &file,
                "--table",
                table,
                "--load-method",
                method,
                "--chunk-rows",
                "20",
                "--force",
            ];
            world.enqueue(&arguments).run().exits(0);
            imports += 1;
        }
    }
    world.drain();
    for table in ["parts", "watched"] {
        let seen = format!("SELECT count(*) FROM {table} WHERE seen = 'yes'");
        assert_eq!(world.number(&seen).await, 100, "{table}");
    }
    for import in 1..=imports {
        // None of them counts as edited, whatever transaction id the trigger gave it.
        world
            .enqueue(&["cancel", &import.to_string(), "--keep-edited"])
            .run()
            .exits(0);
    }
    world.drain();
    let left = "SELECT (SELECT count(*) FROM parts) + (SELECT count(*) FROM watched)";
    assert_eq!(world.number(left).await, 0);
}

#[tokio::test]
async fn a_trigger_that_drops_rows_fails_the_import_and_nothing_of_the_chunk_stays() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE t (id bigserial PRIMARY KEY, a int);
             CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW.a > 1 THEN NEW END; END';
             CREATE TRIGGER skip BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skip();",
        )
        .await;
    let file = world.file("t.csv", "a\n1\n2\n");
    for (id, method) in [(1, "insert"), (2, "copy")] {
        world
            .enqueue(&["-i", &file, "--table", "t", "--load-method", method, "--force"])
            .run()
            .exits(0);
        world.drain();
        let status = world.status(id);
        assert_json(&status, &json!({"state": "failed", "loaded": 0}));
        assert!(status.to_string().contains("public.t took 1 of 2 rows"), "{status:#}");
    }
    assert_eq!(world.number("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn row_level_security_is_obeyed_by_insert_and_keeps_copy_out() {
    let world = World::new().await;
    let role = format!("owner_{}", world.db.credentials().database);
    world
        .execute(&format!(
            "CREATE TABLE t (id bigserial PRIMARY KEY, a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
             CREATE POLICY p ON t USING (true) WITH CHECK (a < 10);
             CREATE ROLE {role} LOGIN PASSWORD 'x'; ALTER TABLE t OWNER TO {role};
             GRANT ALL ON SCHEMA pgimport, apalis TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA pgimport, apalis TO {role};
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgimport TO {role}",
        ))
        .await;
    let credentials = world.db.credentials();
    let url = testkit::url(&Credentials {
        user: role.clone(),
        password: "x".to_owned(),
        ..credentials.clone()
    });
    let file = world.file("t.csv", "a\n1\n2\n");
    let submit = |arguments: &[&str]| {
        world
            .enqueue(&[&["-i", &file, "--table", "t"], arguments].concat())
            .env("DATABASE_URL", &url)
            .run()
    };
    submit(&["--load-method", "copy"])
        .exits(1)
        .says("it has row-level security");
    submit(&[]).exits(0);
    world.worker(&["--drain"]).env("DATABASE_URL", &url).run().exits(0);
    assert_json(&world.status(1), &json!({"state": "loaded", "loaded": 2}));
}

#[tokio::test]
async fn types_that_only_the_server_knows_are_cast_by_it_and_not_for_copy() {
    let world = World::new().await;
    world
        .execute(
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('good', 'bad');
             CREATE TABLE t (id serial PRIMARY KEY, j jsonb, a inet, n int[], i interval, p positive, m mood, c char(4), b bytea, by bit(3))",
        )
        .await;
    let record = "\"{\"\"k\"\": [1]}\";10.0.0.1/8;{1,2};1 day;7;bad;ab;\\x00ff;101";
    let file = world.file("t.csv", format!("j;a;n;i;p;m;c;b;by\n{record}\n;;;;;;;;\n"));
    assert_json(&world.load(&["-i", &file, "--table", "t"]), &json!({"loaded": 2}));
    assert_eq!(
        world
            .texts("SELECT ROW(j, a, n, i, p, m, c, b, by)::text FROM t ORDER BY id")
            .await,
        [
            r#"("{""k"": [1]}",10.0.0.1/8,"{1,2}","1 day",7,bad,"ab  ","\\x00ff",101)"#,
            "(,,,,,,,,)"
        ]
    );
    world
        .enqueue(&["-i", &file, "--table", "t", "--load-method", "copy", "--force"])
        .run()
        .exits(1)
        .says("binary COPY cannot load public.t: its column j has the type jsonb")
        .says("use --load-method insert");
    assert_eq!(world.imports().await, 1);
}

#[tokio::test]
async fn columns_left_out_get_their_default() {
    let world = World::new().await;
    world.execute("CREATE TABLE t (id serial PRIMARY KEY, a int NOT NULL, b text DEFAULT 'none', c text, g int GENERATED ALWAYS AS (a * 2) STORED)").await;
    let file = world.file("t.csv", "a\n1\n2\n");
    for method in ["insert", "copy"] {
        world.load(&["-i", &file, "--table", "t", "--load-method", method, "--force"]);
    }
    assert_eq!(
        world
            .texts("SELECT DISTINCT concat_ws('|', a, b, coalesce(c, 'null'), g) FROM t ORDER BY 1")
            .await,
        ["1|none|null|2", "2|none|null|4"]
    );
}
