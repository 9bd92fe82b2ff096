//! JSON Lines: keys to columns, each value the one that stands there, and what is none a reject with its line.

mod support;

use support::{World, assert_json};

use serde_json::json;

const TABLE: &str = "CREATE TABLE things (id bigserial PRIMARY KEY, name text, n int, price numeric, at date, flag boolean, more jsonb)";
const ROWS: &str = "SELECT concat_ws('|', coalesce(quote_literal(name), '-'), n, price, at, flag, coalesce(more::text, '-')) FROM things ORDER BY n";

#[tokio::test]
async fn keys_fill_columns_and_values_are_those_that_stand_there() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let lines = [
        r#"{"Name": "Müsli; \"fein\"\n\u00e4", "n": 7, "price": 12345678901234567890.10, "at": "2026-01-31", "flag": true, "more": {"a": [1, "x"]}}"#,
        r#"{"more": "text", "Name": "", "n": null, "flag": false}"#,
        "",
        r#"  {"Name": null, "n": "8", "more": null}"#,
        r#"{"Name": ["a", 1], "n": -1, "more": 1.50}"#,
    ];
    let file = world.file("things.jsonl", lines.join("\n"));
    let status = world.load(&[
        "-i",
        &file,
        "--table",
        "things",
        "--format",
        "jsonl",
        "--chunk-rows",
        "2",
    ]);
    assert_json(&status, &json!({"records": 4, "loaded": 4, "chunks": 2}));
    let expected = [
        "'[\"a\", 1]'|-1|1.50",
        "'Müsli; \"fein\"\\nä'|7|12345678901234567890.10|2026-01-31|t|{\"a\": [1, \"x\"]}",
        "-|8|-",
        "''|f|\"text\"",
    ];
    let found = world.texts(ROWS).await;
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.replace('\n', "\\n"), expected);
    }
    let id = status["import_id"].to_string();
    world.enqueue(&["verify", &id, &file]).run().exits(0);
    // The same again is the same import; its undo takes back all.
    let again = world
        .enqueue(&["-i", &file, "--table", "things", "--format", "jsonl"])
        .run();
    assert_eq!(again.exits(0).id().to_string(), id);
    world.undo(status["import_id"].as_i64().unwrap(), &[]);
    assert_eq!(world.number("SELECT count(*) FROM things").await, 0);
}

#[tokio::test]
async fn what_is_no_object_of_these_keys_is_a_reject_that_can_be_mended() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, name text NOT NULL, n int)")
        .await;
    let good = "{\"name\":\"a\",\"n\":1}\n";
    let lines = [
        r#"{"name":"b","n":"x"}"#,
        r#"{"name":"c","n":1,}"#,
        r#"{"name":null,"n":2}"#,
        r#"["d",3]"#,
        r#"{"name":"e","n":1,"n":2}"#,
        r#"{"name":"f\u0000","n":3}"#,
        r#"{"name":"g","n":3.5}"#,
    ];
    // The first thousand objects say which keys there are.
    let file = format!(
        "{}{}\n{{\"name\":\"h\",\"late\":1}}\n",
        good.repeat(1000),
        lines.join("\n")
    );
    let path = world.file("things.jsonl", file);
    let id = world
        .enqueue(&["-i", &path, "--table", "things", "--format", "jsonl"])
        .run()
        .exits(0)
        .id();
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"loaded": 1000, "rejected": 8, "records": 1008}),
    );
    let reasons = world.dir().join("reasons.csv");
    let reasons_path = reasons.to_str().unwrap();
    let rejects = world
        .enqueue(&["rejects", &id.to_string(), "--reasons", reasons_path])
        .run()
        .exits(0);
    assert_eq!(
        rejects.stdout,
        format!("{}\n{{\"name\":\"h\",\"late\":1}}\n", lines.join("\n"))
    );
    let reasons = std::fs::read_to_string(reasons).unwrap();
    let expected = [
        ("1001,n,", "not an integer"),
        ("1002,,", "not valid JSON at byte 19 of the record: trailing comma"),
        ("1003,name,", "no value, but the column is NOT NULL"),
        ("1004,,", "valid JSON, but not an object"),
        ("1005,n,", "the same key twice"),
        ("1006,name,", "contains a NUL byte, which no text type holds"),
        ("1007,n,", "not an integer"),
        ("1008,,", "an unknown key: \"\"late\"\""),
    ];
    assert_eq!(reasons.lines().count(), 1 + expected.len());
    for (line, (place, reason)) in reasons.lines().skip(1).zip(expected) {
        assert!(
            line.starts_with(place) && line.contains(reason),
            "{line}: {place}{reason}"
        );
    }
    // Who names the keys leaves the others.
    let named = ["--columns", "name,n", "--force"];
    let id = world
        .enqueue(&[&["-i", &path, "--table", "things", "--format", "jsonl"][..], &named].concat())
        .run()
        .exits(0)
        .id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 1001, "rejected": 7}));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_submission_goes_on_where_one_was_killed() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, n int, name text)")
        .await;
    let lines: String = (0..3000)
        .map(|n| format!("{{\"n\":{n},\"name\":\"x{n}\"}}\r\n"))
        .collect();
    let file = world.file("things.jsonl", lines);
    let command = [
        "-i",
        &file,
        "--table",
        "things",
        "--format",
        "jsonl",
        "--chunk-rows",
        "50",
    ];
    // Nobody loads, so that it waits after its first batch.
    let mut submitter = world
        .enqueue(&[&command[..], &["--max-pending", "1K"]].concat())
        .start();
    submitter.until_says("NO WORKER IS ALIVE").await;
    let import = world.latest_import().await;
    submitter.kill();
    let _worker = world.worker(&[]).start();
    let again = world.run(&command).await.exits(0);
    assert_eq!(again.id(), import);
    world.until_state(import, "loaded").await;
    let found = world
        .texts("SELECT concat_ws(' ', count(*), count(DISTINCT n), sum(n)) FROM things WHERE name = 'x' || n")
        .await;
    assert_eq!(found, ["3000 3000 4498500"]);
    assert_json(&world.status(import), &json!({"records": 3000, "chunks": 60}));
    world.enqueue(&["verify", &import.to_string(), &file]).run().exits(0);
}

#[tokio::test]
async fn what_is_not_json_lines_is_refused_with_what_to_do() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, name text)")
        .await;
    let array = world.file("array.json", "[\n {\"name\": \"a\"}\n]\n");
    let lines = world.file("lines.jsonl", "{\"name\":\"a\"}\n");
    let other = world.file("other.jsonl", "{\"title\":\"a\"}\n");
    let empty = world.file("empty.jsonl", "\n");
    for (arguments, code, said) in [
        (&["-i", &array, "--format", "jsonl"][..], 1, "line 1 begins an array"),
        (&["-i", &lines], 1, "--format jsonl reads it"),
        (
            &["-i", &lines, "--format", "jsonl", "-d", ","],
            2,
            "no meaning with --format jsonl",
        ),
        (
            &["-i", &other, "--format", "jsonl"],
            1,
            "'title' (field 1) is not a column",
        ),
        (&["-i", &lines, "--format", "xml"], 2, "possible values: csv, jsonl"),
    ] {
        let finished = world.enqueue(&[&["--table", "things"][..], arguments].concat()).run();
        assert!(
            finished.code == Some(code) && finished.stderr.contains(said),
            "{arguments:?} {finished:?}"
        );
    }
    world.load(&["-i", &empty, "--format", "jsonl", "--table", "things"]);
}
