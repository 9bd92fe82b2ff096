//! Updates of rows that are there already, where something is in the way: refused records, others' locks, altered tables, other roles.

use crate::support::{Held, World, assert_json, role::submitter_and_worker, until_true};
use serde_json::json;

/// Submits what updates a table.
fn submit(world: &World, table: &str, text: &str, more: &[&str]) -> i64 {
    let file = world.file(&format!("{table}.csv"), text);
    let arguments = ["-i", &file, "--table", table, "--on-conflict", "update", "--force"];
    world.enqueue(&[&arguments[..], more].concat()).run().exits(0).id()
}

fn update(world: &World, table: &str, text: &str, more: &[&str]) -> i64 {
    let id = submit(world, table, text, more);
    world.drain();
    id
}

#[tokio::test]
async fn one_bad_record_among_new_ones_and_old_ones_is_a_reject() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE mixed (k int PRIMARY KEY, v int CHECK (v < 100)); INSERT INTO mixed VALUES (1, 1), (2, 6), (9, 9)")
        .await;
    let before = world.content("mixed").await;
    let id = update(&world, "mixed", "k;v\n1;5\n2;6\n3;7\n4;500\n9;900\n5;x\n3;8\n", &[]);
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "inserted": 1, "updated": 1, "unchanged": 1, "skipped": 1, "rejected": 3}),
    );
    assert_eq!(world.content("mixed").await, ["(1,5)", "(2,6)", "(3,8)", "(9,9)"]);
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "kept": 0}));
    assert_eq!(world.content("mixed").await, before);
}

#[tokio::test]
async fn what_is_refused_together_is_loaded_one_by_one() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE coded (k int PRIMARY KEY, code text UNIQUE, v int);
             INSERT INTO coded VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)",
        )
        .await;
    let before = world.content("coded").await;
    // Each takes the code that the one before it gives up.
    for text in [
        "k;code;v\n1;x;9\n9;a;9\n",
        "k;code;v\n1;z;1\n2;a;1\n3;b;1\n",
        "k;code;v\n1;y;1\n1;z;2\n4;a;2\n4;a;3\n2;b;2\n",
    ] {
        let id = update(&world, "coded", text, &[]);
        let status = world.status(id);
        assert_json(&status, &json!({"state": "loaded", "rejected": 0}));
        let number = |name: &str| status[name].as_i64().unwrap();
        let all = number("inserted") + number("updated") + number("unchanged") + number("skipped");
        assert_eq!(all, number("records"), "{status:#}");
        let verified = world
            .run(&["verify", &id.to_string(), world.path("coded.csv").to_str().unwrap()])
            .await;
        verified.exits(0);
        // Rows of one chunk that exchanged codes cannot be given them back by one statement.
        let undone = world.undo(id, &[]);
        if !text.contains("3;b") {
            assert_json(&undone, &json!({"state": "cancelled", "deleted": 1, "restored": 1}));
            assert_eq!(world.content("coded").await, before, "{text}");
        } else {
            assert_json(&undone, &json!({"state": "kept", "deleted": 0, "restored": 0}));
            world
                .execute("TRUNCATE coded; INSERT INTO coded VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
                .await;
        }
    }
}

#[tokio::test]
async fn roles_with_the_documented_grants_update_and_undo() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE priced (k int PRIMARY KEY, v int); INSERT INTO priced VALUES (1, 1)")
        .await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    for role in [&submitter, &worker] {
        for grant in role.grants(&["SELECT, INSERT, DELETE ON priced"]) {
            world.execute(&grant).await;
        }
    }
    let file = world.file("priced.csv", "k;v\n1;2\n2;3\n3;4\n");
    let arguments = [
        "-i",
        &file,
        "--table",
        "priced",
        "--on-conflict",
        "update",
        "--chunk-rows",
        "1",
    ];
    let refused = submitter.run(world.enqueue(&arguments)).run().exits(1);
    assert!(
        refused.stderr.contains("GRANT UPDATE ON public.priced TO"),
        "{refused:?}"
    );
    for role in [&submitter, &worker] {
        world.execute(&role.grants(&["UPDATE ON priced"])[0]).await;
    }
    let id = submitter.run(world.enqueue(&arguments)).run().exits(0).id();
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "inserted": 2, "updated": 1}),
    );
    let dry = submitter
        .run(world.enqueue(&["cancel", &id.to_string(), "--dry-run", "--json"]))
        .run()
        .exits(0);
    assert_json(&dry.json(), &json!({"would_delete": 2, "would_restore": 1}));
    submitter
        .run(world.enqueue(&["cancel", &id.to_string()]))
        .run()
        .exits(0);
    worker.run(world.worker(&["--drain"])).run().exits(0);
    assert_json(
        &world.status(id),
        &json!({"state": "cancelled", "deleted": 2, "restored": 1}),
    );
    assert_eq!(world.content("priced").await, ["(1,1)"]);
}

#[tokio::test]
async fn a_row_goes_back_to_an_import_that_is_younger_than_the_one_that_overwrote_it() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE turns (k int PRIMARY KEY, v text); INSERT INTO turns VALUES (1, 'o'), (2, 'o')")
        .await;
    let before = world.content("turns").await;
    let _worker = world.worker(&["--concurrency", "3"]).start();
    let held = Held::take(&world, "SELECT FROM turns WHERE k = 1 FOR UPDATE").await;
    // It has its transaction's id, and waits for the first row.
    let elder = submit(&world, "turns", "k;v\n1;elder\n2;elder\n", &[]);
    world.until_a_lock_is_waited_for().await;
    let younger = submit(&world, "turns", "k;v\n2;younger\n", &[]);
    world.until_state(younger, "loaded").await;
    held.release().await;
    world.until_state(elder, "loaded").await;
    for id in [elder, younger, elder, younger] {
        if world.state(id).await != "cancelled" {
            world.run(&["cancel", &id.to_string(), "--wait"]).await;
        }
    }
    for id in [elder, younger] {
        assert_json(&world.status(id), &json!({"state": "cancelled"}));
    }
    assert_eq!(world.content("turns").await, before);
}

#[tokio::test]
async fn an_import_by_ids_and_an_update_over_it_are_undone_in_either_order() {
    for first in [0, 1] {
        let world = World::new().await;
        world
            .execute("CREATE TABLE skus (id serial PRIMARY KEY, sku text UNIQUE, v int)")
            .await;
        let by_ids = world.submit("a.csv", "sku;v\na;1\nb;1\n", &["--table", "skus"]);
        world.drain();
        let over = update(&world, "skus", "sku;v\na;2\nc;2\n", &["--conflict-columns", "sku"]);
        let mut ids = [by_ids, over];
        ids.rotate_left(first);
        world.undo_all(&ids).await;
        assert_eq!(world.content("skus").await, Vec::<String>::new(), "{first}");
    }
}

#[tokio::test]
async fn keys_are_compared_as_their_columns_are() {
    let world = World::new().await;
    world
        .execute(
            "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TYPE mood AS ENUM ('fine', 'bad');
             CREATE DOMAIN my_mood AS mood;
             CREATE DOMAIN short AS varchar(3);
             CREATE TYPE pair AS (a int, b int);
             CREATE TABLE caseless (k text COLLATE ci PRIMARY KEY, v int);
             CREATE TABLE moods (k my_mood PRIMARY KEY, v my_mood);
             CREATE TABLE shorts (k short PRIMARY KEY, v short);
             CREATE TABLE pairs (k pair UNIQUE, v int);
             CREATE TABLE blanks (k char(3) PRIMARY KEY, v char(3));
             CREATE TABLE amounts (k numeric PRIMARY KEY, v numeric(6, 2));
             INSERT INTO caseless VALUES ('A', 0);
             INSERT INTO moods VALUES ('fine', 'fine');
             INSERT INTO shorts VALUES ('abc', 'abc');
             INSERT INTO pairs VALUES (NULL, 0), ('(1,2)', 0);
             INSERT INTO blanks VALUES ('a', 'a');
             INSERT INTO amounts VALUES (1.0, 1)",
        )
        .await;
    for (table, key, text, expected, rejected) in [
        ("caseless", "k", "k;v\na;1\nA;2\nB;3\nb;4\n", vec!["(A,2)", "(b,4)"], 0),
        (
            "moods",
            "k",
            "k;v\nfine;bad\nbad;fine\nworse;bad\nbad;worse\n",
            vec!["(bad,fine)", "(fine,bad)"],
            2,
        ),
        ("shorts", "k", "k;v\nabcd;x\nabc;abcd\nabc;new\n", vec!["(abc,new)"], 1),
        (
            "pairs",
            "k",
            "k;v\n(1,2);1\n\"(,)\";2\n;3\n",
            vec!["(\"(,)\",2)", "(\"(1,2)\",1)", "(,0)", "(,3)"],
            0,
        ),
        ("blanks", "k", "k;v\na ;b\nabcd;x\n", vec!["(\"a  \",\"b  \")"], 1),
        ("amounts", "k", "k;v\n1.00;2.5\n1;3\n", vec!["(1.0,3.00)"], 0),
    ] {
        let before = world.content(table).await;
        let id = update(&world, table, text, &["--conflict-columns", key]);
        assert_eq!(world.content(table).await, expected, "{table}");
        let status = world.status(id);
        assert_json(&status, &json!({"state": "loaded", "rejected": rejected}));
        let number = |name: &str| status[name].as_i64().unwrap();
        let all = number("inserted") + number("updated") + number("unchanged") + number("skipped") + rejected;
        assert_eq!(all, number("records"), "{status:#}");
        let path = world.path(&format!("{table}.csv"));
        world
            .run(&["verify", &id.to_string(), path.to_str().unwrap()])
            .await
            .exits(0);
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "kept": 0}));
        assert_eq!(world.content(table).await, before, "{table}");
    }
}

#[tokio::test]
async fn columns_are_followed_and_what_cannot_be_followed_keeps_the_rows() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE renamed (k timestamp PRIMARY KEY, price int, cost int);
             INSERT INTO renamed VALUES ('2026-01-01', 1, 2), ('2026-01-02', 3, 4)",
        )
        .await;
    let text = "k;price;cost\n2026-01-01;10;20\n2026-01-03;30;40\n";
    let id = update(&world, "renamed", text, &[]);
    world
        .execute(
            "ALTER TABLE renamed RENAME price TO x; ALTER TABLE renamed RENAME cost TO price; ALTER TABLE renamed RENAME x TO cost;
             ALTER TABLE renamed RENAME k TO at",
        )
        .await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 1, "restored": 1, "kept": 0}),
    );
    let rows = world.content("renamed").await;
    assert_eq!(rows, ["(\"2026-01-01 00:00:00\",1,2)", "(\"2026-01-02 00:00:00\",3,4)"]);
    // Its key reads otherwise now, and nothing of it was written anew.
    let id = update(
        &world,
        "renamed",
        &text.replacen("k;price;cost", "at;cost;price", 1),
        &[],
    );
    world
        .execute("SET timezone = 'UTC'; ALTER TABLE renamed ALTER at TYPE timestamptz; DELETE FROM renamed WHERE at = '2026-01-03'")
        .await;
    let status = world.undo(id, &[]);
    assert_json(
        &status,
        &json!({"state": "kept", "deleted": 0, "restored": 0, "kept": 2}),
    );
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("the column at of public.renamed is not what it was"),
        "{error}"
    );
    assert_eq!(world.number("SELECT count(*) FROM renamed").await, 2);
    let file = world.file("gone.csv", "at;cost;price\n2026-01-02;3;5\n");
    let arguments = ["-i", &file, "--table", "renamed", "--on-conflict", "update"];
    let id = world.run(&arguments).await.exits(0).id();
    world.execute("ALTER TABLE renamed DROP price").await;
    world.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "failed"}));
    assert!(
        status["error"]
            .as_str()
            .unwrap()
            .contains("no longer has the column price"),
        "{status:#}"
    );
}

#[tokio::test]
async fn what_would_change_more_than_rows_of_the_table_refuses() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE codes (k int PRIMARY KEY, code text UNIQUE, v int); INSERT INTO codes VALUES (1, 'a', 1);
             CREATE TABLE children (id int, code text REFERENCES codes (code) ON UPDATE SET NULL);
             CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := NEW.v * 100; RETURN NEW; END $$",
        )
        .await;
    let file = world.file("codes.csv", "k;code;v\n1;x;2\n");
    let arguments = ["-i", &file, "--table", "codes", "--on-conflict", "update"];
    let refused = world.run(&arguments).await.exits(1);
    assert!(
        refused.stderr.contains("leave it out with --update-columns"),
        "{refused:?}"
    );
    let id = update(&world, "codes", "k;code;v\n1;a;2\n", &["--update-columns", "v"]);
    assert_eq!(world.content("codes").await, ["(1,a,2)"]);
    world
        .execute("CREATE TRIGGER louder BEFORE UPDATE ON codes FOR EACH ROW EXECUTE FUNCTION louder()")
        .await;
    let status = world.undo(id, &[]);
    assert_json(&status, &json!({"state": "kept", "kept": 1}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("ALTER TABLE public.codes DISABLE TRIGGER louder"),
        "{error}"
    );
    world.execute("ALTER TABLE codes DISABLE TRIGGER louder").await;
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "restored": 1}));
    assert_eq!(world.content("codes").await, ["(1,a,1)"]);
    let replace = world
        .run(&["-i", &file, "--on-conflict", "update", "--replace"])
        .await
        .exits(2);
    assert!(replace.stderr.contains("cannot be used with --replace"), "{replace:?}");
}

#[tokio::test]
async fn operators_and_settings_of_others_change_nothing() {
    let world = World::new().await;
    let database = world.db.credentials().database.clone();
    world
        .execute(&format!(
            "CREATE TABLE lists (k text PRIMARY KEY, v text[], at interval, f float8, b bytea, x xml);
             INSERT INTO lists VALUES ('a', '{{a,NULL,\"NULL\"}}', '1 day -00:00:01', 0.1::float8 + 0.2, '\\x00ff', '<a/>tail');
             CREATE FUNCTION evil(text[], text[]) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
             CREATE OPERATOR public.= (LEFTARG = text[], RIGHTARG = text[], PROCEDURE = evil);
             ALTER DATABASE {database} SET array_nulls = off; ALTER DATABASE {database} SET intervalstyle = sql_standard;
             ALTER DATABASE {database} SET extra_float_digits = 0; ALTER DATABASE {database} SET bytea_output = escape;
             ALTER DATABASE {database} SET xmloption = document"
        ))
        .await;
    world.execute("CREATE TABLE before AS SELECT * FROM lists").await;
    let text = "k;v;at;f;b;x\na;{b};1 day;1;c;<b/>\na;{c};2 days;2;d;<c/>\n";
    let id = update(&world, "lists", text, &["--chunk-rows", "1"]);
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "updated": 1, "skipped": 1}),
    );
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "restored": 1, "kept": 0}),
    );
    let same = "SELECT count(*) FROM lists AS l JOIN before AS b USING (k) WHERE l.* *= b.*";
    assert_eq!(world.number(same).await, 1);
}

#[tokio::test]
async fn rows_that_were_overwritten_are_told_from_those_of_a_partition_that_is_gone() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE parts (k int, p int, v text, PRIMARY KEY (k, p)) PARTITION BY LIST (p);
             CREATE TABLE one PARTITION OF parts FOR VALUES IN (1); CREATE TABLE two PARTITION OF parts FOR VALUES IN (2)",
        )
        .await;
    let text = "k;p;v\n1;1;a\n2;1;a\n3;1;a\n8;2;a\n9;2;a\n1;1;b\n2;1;b\n3;1;b\n";
    let first = update(&world, "parts", text, &["--chunk-rows", "5"]);
    let second = update(&world, "parts", "k;p;v\n8;2;c\n9;2;c\n", &[]);
    world.execute("DROP TABLE one").await;
    for id in [first, second, first] {
        if world.state(id).await != "cancelled" {
            world.undo(id, &[]);
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM parts").await, 0);
    until_true("nothing is kept any more", async || {
        world.count("pgimport.import_before").await == 0
    })
    .await;
}
