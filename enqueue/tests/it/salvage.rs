//! Records that the server refuses: each is a reject with its place, its bytes and its constraint, and the others are loaded.

use std::fmt::Write as _;

use crate::support::{World, assert_json};
use serde_json::json;

const METHODS: [&str; 2] = ["insert", "copy"];

/// What the ledger has of an import's rejects: line, bytes, code, constraint and column.
async fn rejects(world: &World, id: i64) -> Vec<String> {
    world
        .texts(&format!(
            "SELECT concat_ws('|', line, left(convert_from(raw, 'UTF8'), 60), coalesce(sqlstate, '-'), coalesce(constraint_name, '-'), column_name)
             FROM pgimport.import_reject WHERE import_id = {id} ORDER BY input, record"
        ))
        .await
}

/// The loaded rows of a table, by a column.
async fn values(world: &World, column: &str, table: &str) -> Vec<String> {
    world
        .texts(&format!("SELECT ({column})::text FROM {table} ORDER BY id"))
        .await
}

/// Loads a file of which `refused` records are refused, and compares what is said of it; then undoes it.
async fn load_and_undo(world: &World, file: &str, arguments: &[&str], loaded: usize, refused: &[&str]) {
    let id = load(world, file, arguments, loaded, refused).await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": loaded, "kept": 0, "missing": 0}),
    );
}

async fn load(world: &World, file: &str, arguments: &[&str], loaded: usize, refused: &[&str]) -> i64 {
    let all = [&["-i", file, "--force"], arguments].concat();
    let id = world.enqueue(&all).run().exits(0).id();
    world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
    let status = world.status(id);
    assert_json(
        &status,
        &json!({"state": "loaded", "loaded": loaded, "rejected": refused.len(), "records": loaded + refused.len()}),
    );
    assert_eq!(rejects(world, id).await, refused, "{arguments:?}");
    let verified = world
        .enqueue(&["verify", &id.to_string(), file, "--json"])
        .run()
        .exits(0)
        .json();
    assert_json(
        &verified,
        &json!({"rows": loaded, "rejected": refused.len(), "file": true}),
    );
    id
}

#[tokio::test]
async fn every_kind_of_refusal_is_a_reject_and_the_rest_loads() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE shop (name text PRIMARY KEY); INSERT INTO shop VALUES ('a'), ('b');
             CREATE DOMAIN positive AS int CONSTRAINT above_zero CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('good', 'bad');
             CREATE EXTENSION btree_gist;
             CREATE TABLE t (id bigserial PRIMARY KEY, n int CONSTRAINT n_low CHECK (n < 1000), shop text CONSTRAINT known REFERENCES shop,
                 code text CONSTRAINT code_once UNIQUE, at inet, mood mood, p positive, during tstzrange, twice smallint,
                 EXCLUDE USING gist (during WITH &&), CONSTRAINT shop_or_code CHECK (shop IS NOT NULL OR code IS NOT NULL));
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     IF NEW.code = 'raise' THEN RAISE 'no such code'; END IF;
                     IF NEW.code = 'own' THEN RAISE 'of our own' USING ERRCODE = 'U0001'; END IF;
                     IF NEW.code = 'assert' THEN ASSERT false, 'asserted'; END IF;
                     NEW.twice := CASE NEW.n WHEN 900 THEN 90000 END;
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER look BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION look()",
        )
        .await;
    // Nothing that compresses, for an index has room for 2,700 bytes.
    let mut random = 1_u64;
    let letters = std::iter::repeat_with(|| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((random >> 33) % 26).unwrap())
    });
    let mixed: String = letters.take(20_000).collect();
    let lines = [
        "n;shop;code;at;mood;p;during",
        "1;a;one;10.0.0.1;good;1;",
        "2000;a;two;;;;",
        "3;nowhere;three;;;;",
        "4;a;one;;;;",
        "5;a;five;nowhere;;;",
        "6;a;six;;indifferent;;",
        "7;a;seven;;;-1;",
        "8;a;eight;;;;\"[2025-01-01,2025-01-03)\"",
        "9;a;nine;;;;\"[2025-01-02,2025-01-04)\"",
        "10;;;;;;",
        "11;a;raise;;;;",
        "12;a;own;;;;",
        "13;a;assert;;;;",
        "900;a;overflow;;;;",
        "no number;a;parser;;;;",
        &format!("15;a;{mixed};;;;"),
        "16;b;last;;bad;;",
    ];
    let file = world.file("t.csv", lines.join("\n") + "\n");
    let refused = [
        format!("3|{}|23514|n_low", lines[2]),
        format!("4|{}|23503|known", lines[3]),
        format!("5|{}|23505|code_once", lines[4]),
        format!("6|{}|22P02|-", lines[5]),
        format!("7|{}|22P02|-", lines[6]),
        format!("8|{}|23514|above_zero", lines[7]),
        format!("10|{}|23P01|t_during_excl", lines[9]),
        format!("11|{}|23514|shop_or_code", lines[10]),
        format!("12|{}|P0001|-", lines[11]),
        format!("13|{}|U0001|-", lines[12]),
        format!("14|{}|P0004|-", lines[13]),
        format!("15|{}|22003|-", lines[14]),
        format!("16|{}|-|-|n", lines[15]),
        format!("17|{}|54000|-", &lines[16][..60]),
    ];
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    let id = load(&world, &file, &["--table", "t"], 3, &refused).await;
    assert_eq!(values(&world, "code", "t").await, ["one", "eight", "last"]);
    // What the server said, and the constraint in a column of its own.
    let reasons = world.path("why.csv");
    let written = world
        .enqueue(&["rejects", &id.to_string(), "--reasons", reasons.to_str().unwrap()])
        .run()
        .exits(0);
    assert_eq!(written.stdout.lines().nth(1), Some(lines[2]));
    let reasons = std::fs::read_to_string(reasons).unwrap();
    assert!(
        reasons.contains(
            "\"duplicate key value violates unique constraint \"\"code_once\"\"; Key (code)=(one) already exists.\""
        ) && reasons.lines().nth(3).is_some_and(|line| line.ends_with(",code_once")),
        "{reasons}"
    );
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 3, "kept": 0}),
    );
    assert_eq!(world.count("t").await, 0);
    // What breaks a rule beside another record is in one chunk with it: of two chunks either may be first.
    load_and_undo(&world, &file, &["--table", "t", "--chunk-rows", "9"], 3, &refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_bad_records_among_many_are_found_and_the_rest_is_undone_exactly() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k int CONSTRAINT once UNIQUE, v int CONSTRAINT low CHECK (v < 100));
             INSERT INTO t (k, v) VALUES (-1, 1)",
        )
        .await;
    let bad = [1, 2, 999, 1000, 1001, 2500, 4999, 7000, 7001, 9999];
    let mut text = "k;v\n".to_owned();
    for n in 0..10_000 {
        match n {
            // The same key as the record before, and a value too large.
            2500 | 7001 => text.push_str(&format!("{};1\n", n - 2)),
            n if bad.contains(&n) => text.push_str(&format!("{n};1000\n")),
            n => text.push_str(&format!("{n};1\n")),
        }
    }
    let file = world.file("t.csv", &text);
    for method in METHODS {
        for chunk_rows in ["100000", "3000"] {
            let arguments = [
                "--table",
                "t",
                "--load-method",
                method,
                "--chunk-rows",
                chunk_rows,
                "--force",
                "-i",
                &file,
            ];
            let id = world.enqueue(&arguments).run().exits(0).id();
            // One after the other: the first of two records with one key is loaded.
            world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
            assert_json(
                &world.status(id),
                &json!({"state": "loaded", "loaded": 9_990, "rejected": 10}),
            );
            let lines = format!(
                "SELECT string_agg((line - 2)::text, ' ' ORDER BY line) FROM pgimport.import_reject WHERE import_id = {id}"
            );
            assert_eq!(
                world.texts(&lines).await,
                ["1 2 999 1000 1001 2500 4999 7000 7001 9999"]
            );
            world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
            // Each row is under a range of its own import and of its own transaction.
            let strays = format!(
                "t WHERE k >= 0 AND NOT EXISTS (SELECT FROM pgimport.import_registry AS r WHERE r.import_id = {id}
                     AND t.id BETWEEN r.start_id AND r.end_id AND t.xmin::text::bigint = ANY (r.row_xids))"
            );
            assert_eq!(world.count(&strays).await, 0);
            // What is edited, or put under the id of a refused record, stays.
            world.execute("UPDATE t SET v = 2 WHERE k = 5000").await;
            world
                .execute(
                    "INSERT INTO t (id, k, v) OVERRIDING SYSTEM VALUE
                     SELECT min(r.end_id) + 1, -2, 1 FROM pgimport.import_registry AS r
                     WHERE NOT EXISTS (SELECT FROM t WHERE t.id = r.end_id + 1)",
                )
                .await;
            assert_json(
                &world.undo(id, &[]),
                &json!({"state": "kept", "deleted": 9_989, "kept": 1}),
            );
            assert_eq!(
                world.texts("SELECT k::text FROM t ORDER BY t.k").await,
                ["-2", "-1", "5000"]
            );
            world.execute("DELETE FROM t WHERE k <> -1").await;
        }
    }
}

#[tokio::test]
async fn partitions_and_triggers_with_subtransactions_refuse_single_records_too() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE t (id bigserial, day date NOT NULL, n int, seen text) PARTITION BY RANGE (day);
             CREATE INDEX ON t (id);
             CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
             CREATE TABLE t_2 PARTITION OF t (CONSTRAINT few CHECK (n < 10)) FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     BEGIN NEW.seen := 'yes'; EXCEPTION WHEN OTHERS THEN NULL; END;
                     IF NEW.n = 7 THEN RAISE 'never seven'; END IF;
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER see BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION see()",
        )
        .await;
    let mut text = "day;n\n".to_owned();
    for n in 0..40 {
        text.push_str(&format!("2025-01-{:02};{}\n", n % 28 + 1, n % 6));
    }
    text.push_str("2025-02-01;11\n2025-03-01;1\n2025-01-01;7\n2025-02-01;9\n");
    let file = world.file("t.csv", &text);
    for method in METHODS {
        load_and_undo(
            &world,
            &file,
            &["--table", "t", "--load-method", method],
            41,
            &[
                "42|2025-02-01;11|23514|few",
                "43|2025-03-01;1|23514|-",
                "44|2025-01-01;7|P0001|-",
            ],
        )
        .await;
        assert_eq!(world.count("t").await, 0);
    }
}

#[tokio::test]
async fn what_is_judged_at_the_commit_is_judged_record_by_record() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE shop (name text PRIMARY KEY); INSERT INTO shop VALUES ('a');
             CREATE TABLE t (id bigserial PRIMARY KEY, k int CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED,
                 shop text CONSTRAINT known REFERENCES shop DEFERRABLE INITIALLY DEFERRED);
             CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.k = 13 THEN RAISE 'unlucky'; END IF; RETURN NULL; END $$;",
        )
        .await;
    let file = world.file("t.csv", "k;shop\n1;a\n2;b\n1;a\n13;a\n4;a\n");
    let refused = ["3|2;b|23503|known", "4|1;a|23505|once"];
    for method in METHODS {
        load_and_undo(&world, &file, &["--table", "t", "--load-method", method], 3, &refused).await;
    }
    world
        .execute("CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()")
        .await;
    let refused = ["3|2;b|23503|known", "4|1;a|23505|once", "5|13;a|P0001|-"];
    for method in METHODS {
        load_and_undo(&world, &file, &["--table", "t", "--load-method", method], 2, &refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_parent_comes_later_in_its_chunk_is_not_refused_for_another_records_sake() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE t (id bigserial PRIMARY KEY, name int CONSTRAINT once UNIQUE, parent int CONSTRAINT known REFERENCES t (name))",
        )
        .await;
    // Children of one batch have their parents in another, and some of these have theirs behind them.
    let mut text = "name;parent\n".to_owned();
    for n in 0..3000 {
        let parent = match n {
            10 | 20 => "2500".to_owned(),
            2500 => "2999".to_owned(),
            30 => "5000".to_owned(),
            n if n % 2 == 1 => (n - 1).to_string(),
            _ => String::new(),
        };
        text.push_str(&format!("{n};{parent}\n"));
    }
    let file = world.file("t.csv", &text);
    // Of the refused one, the child too.
    let refused = ["32|30;5000|23503|known", "33|31;30|23503|known"];
    for method in METHODS {
        load_and_undo(
            &world,
            &file,
            &["--table", "t", "--load-method", method],
            2998,
            &refused,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_refuses_everything_fails_the_chunk_with_the_servers_words() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int CONSTRAINT never CHECK (a < 0), b int CONSTRAINT half CHECK (b = 0))")
        .await;
    let rows = |row: fn(usize) -> String| (0..2500).map(row).collect::<String>();
    let file = world.file("t.csv", format!("a;b\n{}", rows(|_| "1;0\n".to_owned())));
    let id = world.enqueue(&["-i", &file, "--table", "t"]).run().exits(0).id();
    world.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "failed", "loaded": 0, "rejected": 0}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("public.t refused 1001 of the 1001 records")
            && error.contains("violates check constraint \"never\""),
        "{error}"
    );
    assert_eq!(world.count("pgimport.import_reject").await, 0);
    world.execute("ALTER TABLE t DROP CONSTRAINT never").await;
    world.enqueue(&["retry", &id.to_string()]).run().exits(0);
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 2500}));
    // Half of them may be.
    let file = world.file("half.csv", format!("a;b\n{}", rows(|n| format!("-1;{}\n", n % 2))));
    let half = world.enqueue(&["-i", &file, "--table", "t"]).run().exits(0).id();
    world.drain();
    assert_json(
        &world.status(half),
        &json!({"state": "loaded", "loaded": 1250, "rejected": 1250}),
    );
    world.enqueue(&["verify", &half.to_string(), &file]).run().exits(0);
    assert_json(&world.undo(half, &[]), &json!({"state": "cancelled", "deleted": 1250}));
    assert_eq!(world.count("t").await, 2500);
}

#[tokio::test]
async fn a_sequence_that_gives_ids_which_are_taken_is_no_fault_of_the_records() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE t (id bigserial PRIMARY KEY, a int UNIQUE); INSERT INTO t (id, a) SELECT n, -n FROM generate_series(1, 7) AS n;
             CREATE TABLE p (id bigserial, day int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
             CREATE INDEX ON p (id); CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (9); INSERT INTO p SELECT n, 1 FROM generate_series(1, 7) AS n;",
        )
        .await;
    for (table, content) in [("t", "a\n1\n2\n3\n"), ("p", "day\n1\n1\n1\n")] {
        let file = world.file(&format!("{table}.csv"), content);
        let id = world.enqueue(&["-i", &file, "--table", table]).run().exits(0).id();
        world.drain();
        let status = world.status(id);
        assert_json(&status, &json!({"state": "failed", "loaded": 0, "rejected": 0}));
        assert!(status.to_string().contains("already exists"), "{status:#}");
        // The ids that were in the way are behind it.
        world.enqueue(&["retry", &id.to_string()]).run().exits(0);
        world.drain();
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 3}));
    }
}

#[tokio::test]
async fn json_lines_and_several_files_keep_their_places() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int CONSTRAINT low CHECK (a < 10))")
        .await;
    let one = world.file("one.jsonl", "{\"a\": 1}\n\n{\"a\": 11}\n");
    let two = world.file("two.jsonl", "{\"a\": 12}\n{\"a\": \"x\"}\n{\"a\": 2}\n");
    let id = world
        .enqueue(&["--format", "jsonl", "-i", &one, "-i", &two, "--table", "t"])
        .run()
        .exits(0)
        .id();
    world.drain();
    let places = "SELECT concat_ws('|', input, record, line, convert_from(raw, 'UTF8'), constraint_name) FROM pgimport.import_reject ORDER BY input, record";
    assert_eq!(
        world.texts(places).await,
        ["0|2|3|{\"a\": 11}|low", "1|1|1|{\"a\": 12}|low", "1|2|2|{\"a\": \"x\"}"]
    );
    world.enqueue(&["verify", &id.to_string(), &one, &two]).run().exits(0);
    // Mended, they are loaded.
    world.execute("ALTER TABLE t DROP CONSTRAINT low").await;
    let again = world.enqueue(&["rejects", &id.to_string()]).run().exits(0).stdout;
    let again = world.file("again.jsonl", again.replace("\"x\"", "3"));
    assert_json(
        &world.load(&["--format", "jsonl", "-i", &again, "--table", "t"]),
        &json!({"loaded": 3}),
    );
}

#[tokio::test]
async fn what_the_server_refuses_keeps_a_replacement_from_happening() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int CONSTRAINT low CHECK (a < 10))")
        .await;
    let old = world.file("old.csv", "a\n1\n2\n");
    world.load(&["-i", &old, "--table", "t"]);
    let new = world.file("new.csv", "a\n3\n11\n");
    world.enqueue(&["-i", &new, "--table", "t", "--replace"]).run().exits(0);
    world.drain();
    assert_eq!(values(&world, "a", "t").await, ["1", "2", "3"]);
    world
        .enqueue(&["-i", &new, "--table", "t", "--replace", "--replace-anyway", "--force"])
        .run()
        .exits(0);
    world.drain();
    assert_eq!(world.count("t WHERE a IN (1, 2)").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_records_are_refused_a_chunk_leaves_less_than_64_subtransactions() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, v int CONSTRAINT low CHECK (v < 100))")
        .await;
    let value = |n: usize| if n % 251 == 7 { "1000\n" } else { "1\n" };
    let file = world.file("t.csv", format!("v\n{}", (0..50_000).map(value).collect::<String>()));
    let id = world.enqueue(&["-i", &file, "--table", "t"]).run().exits(0).id();
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "chunks": 1, "loaded": 49_800, "rejected": 200}),
    );
    let written = "SELECT count(DISTINCT xid) FROM pgimport.import_registry, unnest(xids) AS xid";
    let (xids, batches) = (world.number(written).await, 50);
    assert!((batches..64).contains(&xids), "{xids}");
    // And a range carries those that wrote its own rows: those of two batches, or the pieces of one.
    let most = "SELECT max(cardinality(xids))::bigint FROM pgimport.import_registry";
    assert!(world.number(most).await <= 12);
    world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 49_800, "kept": 0}),
    );
}

/// Records that refer to others, of which some come later.
const TREE: &str = "CREATE TABLE tree (n int PRIMARY KEY, up int REFERENCES tree, note text CHECK (note <> 'bad'))";

fn tree(rows: impl Iterator<Item = (usize, usize)>) -> String {
    let mut text = String::from("n;up;note\n");
    for (n, up) in rows {
        let up = if up == 0 { String::new() } else { up.to_string() };
        writeln!(text, "{n};{up};").expect("a string");
    }
    text
}

#[tokio::test]
async fn records_that_refer_to_later_ones_are_loaded_however_many_beside_a_bad_one() {
    let world = World::new().await;
    world.execute(TREE).await;
    // Children before their parents; a chain in the wrong order; dangling ones among good ones.
    let children = tree(
        (1..=1_500)
            .map(|n| (n, n + 1_500))
            .chain((1_501..=3_000).map(|n| (n, 0))),
    );
    let chain = tree((1..=1_500).map(|n| (n, (n + 1) % 1_501)));
    let dangling = tree((1..=3_000).map(|n| match n {
        1..=300 => (n, n + 1_500),
        301..=1_500 => (n, 1_000_000),
        _ => (n, 0),
    }));
    for (name, text, loaded, refused) in [
        ("children", children, 3_000, 1),
        ("chain", chain, 1_500, 1),
        ("dangling", dangling, 1_800, 1_201),
    ] {
        let file = world.file(&format!("{name}.csv"), text + "5000;;bad\n");
        let id = world.enqueue(&["-i", &file, "--table", "tree"]).run().exits(0).id();
        world.drain();
        assert_json(
            &world.status(id),
            &json!({"state": "loaded", "loaded": loaded, "rejected": refused}),
        );
        world.execute("TRUNCATE tree").await;
    }
}

#[tokio::test]
async fn a_bad_value_is_a_reject_whatever_its_type_says_of_it() {
    let world = World::new().await;
    for (kind, bad) in [
        ("jsonpath", "$["),
        ("tsquery", "a & | b"),
        ("regclass", "nosuchtable"),
        ("regtype", "nosuchtype"),
        ("regrole", "nobodyhere"),
        ("hstore", "=>>=x"),
        ("int4range", "[1"),
    ] {
        world
            .execute(&format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (k text PRIMARY KEY, v {kind})"
            ))
            .await;
        let file = world.file("a.csv", format!("k;v\na;\nb;\"{bad}\"\nc;\n"));
        let id = world
            .enqueue(&["-i", &file, "--table", "t", "--force"])
            .run()
            .exits(0)
            .id();
        world.drain();
        assert_json(
            &world.status(id),
            &json!({"state": "loaded", "loaded": 2, "rejected": 1}),
        );
        let rejected = rejects(&world, id).await;
        assert!(
            rejected.len() == 1 && rejected[0].starts_with("3|b;"),
            "{kind}: {rejected:?}"
        );
    }
}
