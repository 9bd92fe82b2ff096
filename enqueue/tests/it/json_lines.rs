//! JSON Lines: keys to columns, each value the one that stands there, and what is none a reject with its line.

use crate::support::{World, assert_json};

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
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
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

#[tokio::test]
async fn values_are_those_of_their_columns_whatever_these_are_made_of() {
    let world = World::new().await;
    world
        .execute(
            "CREATE DOMAIN doc AS jsonb; CREATE DOMAIN docs AS doc; CREATE DOMAIN word AS text; CREATE TYPE mood AS ENUM ('a', 'b');
             CREATE TABLE things (id bigserial PRIMARY KEY, n int, j json, b jsonb, d docs, w word, c char(3), y bytea, m mood, tags text[])",
        )
        .await;
    let lines = [
        // A string of JSON stays one, in a domain too.
        r#"{"n":1,"j":"1","b":"null","d":"{\"a\":1}","w":["x"],"c":"","y":"","m":"a"}"#,
        r#"{"n":2,"j":"\u0000","b":[1e131071],"d":{"a":{"a":1,"a":2}},"w":"","m":""}"#,
        // What the server would refuse for the whole chunk.
        r#"{"n":3,"b":"\u0000"}"#,
        r#"{"n":4,"d":["a\u0000b"]}"#,
        r#"{"n":5,"b":["\ud800"]}"#,
        r#"{"n":6,"b":1e200000}"#,
        r#"{"n":7,"tags":{"a":"b"}}"#,
        r#"{"n":8,"m":{"a":1}}"#,
        r#"{"n":[9]}"#,
        r#"{"n":10,"tags":"{a,b}"}"#,
        r#"{"n":11,"tags":["a", null, "b,\"c\""]}"#,
    ];
    let file = world.file("things.jsonl", lines.join("\n"));
    let id = world
        .enqueue(&["-i", &file, "--table", "things", "--format", "jsonl"])
        .run()
        .exits(0)
        .id();
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "loaded": 4, "rejected": 7}),
    );
    let rows = "SELECT concat_ws('|', n, j, left(b::text, 6), d, quote_literal(w), quote_literal(c), y, m, tags) FROM things ORDER BY n";
    assert_eq!(
        world.texts(rows).await,
        [
            r#"1|"1"|"null"|"{\"a\": 1}"|'["x"]'|''|\x|a"#.replace("\\\"a\\\": 1", "\\\"a\\\":1"),
            r#"2|"\u0000"|[10000|{"a": {"a": 2}}|''"#.to_owned(),
            "10|{a,b}".to_owned(),
            r#"11|{a,NULL,"b,\"c\""}"#.to_owned(),
        ]
    );
    let reasons =
        "SELECT line || ' ' || coalesce(column_name, '-') || ' ' || reason FROM pgimport.import_reject ORDER BY line";
    assert_eq!(
        world.texts(reasons).await,
        [
            "3 b a NUL character (\\u0000) in a string, which jsonb cannot hold",
            "4 d a NUL character (\\u0000) in a string, which jsonb cannot hold",
            "5 b half of a surrogate pair in a string",
            "6 b a number beyond what jsonb can hold",
            "7 tags an object, and the column holds arrays",
            "8 m an array or an object, and the column holds neither JSON nor text",
            "9 n an array or an object, and the column holds neither JSON nor text",
        ]
    );
    world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
}

#[tokio::test]
async fn separators_are_those_of_strings_for_json_says_how_numbers_are_written() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, p numeric)")
        .await;
    let file = world.file(
        "things.jsonl",
        "{\"p\":1.234}\n{\"p\":\"1.234\"}\n{\"p\":12.5}\n{\"p\":\"1,5\"}\n",
    );
    world.load(&[
        "-i",
        &file,
        "--table",
        "things",
        "--format",
        "jsonl",
        "--decimal-separator",
        ",",
        "--thousands-separator",
        ".",
    ]);
    assert_eq!(
        world.texts("SELECT p::text FROM things ORDER BY id").await,
        ["1.234", "1234", "12.5", "1.5"]
    );
}

#[tokio::test]
async fn keys_that_are_named_are_found_as_names_of_columns_are() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, name text, n int, x text)")
        .await;
    let file = world.file("things.jsonl", "{\"Name\":\"a\",\"n\":1,\"other\":true}\n");
    let load = |columns: &str| {
        world
            .enqueue(&[
                "-i",
                &file,
                "--table",
                "things",
                "--format",
                "jsonl",
                "--columns",
                columns,
            ])
            .run()
            .exits(0)
    };
    let found = load("NAME, n");
    assert!(!found.stderr.contains("has the key"), "{found:?}");
    load("name,n,x").says("no object at the beginning of the source has the key 'x'");
    // Of a stream nothing is known beforehand.
    world
        .enqueue(&["--table", "things", "--format", "jsonl", "--columns", "Name, n"])
        .input("{\"Name\":\"a\",\"n\":1}\n")
        .run()
        .exits(0);
    world.drain();
    assert_eq!(
        world.texts("SELECT concat_ws('|', name, n, x) FROM things").await,
        ["a|1", "a|1", "a|1"]
    );
    // Keys that come late, in a first record that is longer than a sample.
    let long = world.file(
        "long.jsonl",
        format!("{{\"name\":\"{}\",\"x\":\"y\"}}\n", "z".repeat(1 << 20)),
    );
    world.load(&["-i", &long, "--table", "things", "--format", "jsonl"]);
    let pretty = world.file("pretty.json", "{\n \"n\": 1,\n \"x\":\n {\"n\": 2}\n}\n");
    for arguments in [
        &["-i", &pretty, "--table", "things", "--format", "jsonl"][..],
        &[
            "-i",
            &pretty,
            "--table",
            "things",
            "--format",
            "jsonl",
            "--columns",
            "n",
        ],
        &["sniff", &pretty],
    ] {
        world
            .enqueue(arguments)
            .run()
            .exits(1)
            .says("line 1 ends within its JSON");
    }
    assert_eq!(world.number("SELECT count(*) FROM things").await, 4);
}
