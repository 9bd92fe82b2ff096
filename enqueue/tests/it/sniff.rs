//! What `sniff` proposes loads the file as it said, and `-d auto` finds the same delimiter.

use crate::support::{World, assert_json};

use serde_json::{Value, json};

fn sniffed(world: &World, path: &str) -> Value {
    world.bare(&["sniff", path, "--json"]).run().exits(0).json()
}

#[tokio::test]
async fn the_proposed_command_loads_what_was_shown() {
    let world = World::new().await;
    let files: [(&str, Vec<u8>, Value); 8] = [
        (
            "a.csv",
            b"name,n,at\n\"Ada, L.\",1,2026-01-31\nBob,,2026-02-01\n".to_vec(),
            json!({"format": "csv", "encoding": "UTF-8", "header_line": 1, "records": 2, "agreeing": 2}),
        ),
        (
            "b.txt",
            b"Report of today\n\nname\tn\tat\nM\xfcller\t7\t2026-01-31\nBob\t8\t2026-02-01\nEve\t9\t\n".to_vec(),
            json!({"encoding": "windows-1252", "header_line": 3}),
        ),
        (
            "c.csv",
            b"'x, y',007,2026-01-31\n'z',008,2026-01-31\n".to_vec(),
            json!({"header_line": null, "records": 2}),
        ),
        (
            "d.csv",
            b"\xff\xfen\0a\0m\0e\0|\0n\0|\0a\0t\0\n\0A\0|\x001\0|\x002\x000\x002\x006\0-\x000\x001\0-\x000\x001\0\n\0"
                .to_vec(),
            json!({"encoding": "UTF-16LE", "records": 1}),
        ),
        (
            "e.jsonl",
            b"{\"name\": \"A\", \"n\": 1, \"at\": null}\n{\"name\": \"B\", \"n\": 2}\n".to_vec(),
            json!({"format": "jsonl", "dialect": null, "records": 2, "agreeing": 2}),
        ),
        (
            "f; $(x).csv",
            b"name;n;at\na b;1;2026-01-31\n\"say \\\"hi\\\"; you\";2;\n".to_vec(),
            json!({"dialect": {"delimiter": ";", "quote": "\"", "escape": "\\", "skip_lines": 0}}),
        ),
        (
            "g.csv",
            b"name;n;at;\nA;1;2026-01-31;\nB;2;;\n".to_vec(),
            json!({"header_line": 1, "records": 2, "agreeing": 2}),
        ),
        (
            "h.csv",
            b"A;10:30;\nB;28/02/2008;2026-01-31\n".to_vec(),
            json!({"header_line": null, "records": 2}),
        ),
    ];
    for (name, content, expected) in files {
        world
            .execute("DROP TABLE IF EXISTS things; CREATE TABLE things (id bigserial PRIMARY KEY, name text, n text, at date)")
            .await;
        let path = world.file(name, content);
        let found = sniffed(&world, &path);
        assert_json(&found, &expected);
        let words = shlex::split(found["command"].as_str().unwrap()).unwrap();
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let status = world.load(&[&arguments[..], &["--table", "things"]].concat());
        assert_eq!(status["loaded"], found["records"], "{name}");
        let rows = world
            .texts("SELECT jsonb_build_array(name, n, at::text)::text FROM things ORDER BY id LIMIT 5")
            .await;
        let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        assert_eq!(Value::from(rows), found["rows"], "{name}");
    }
}

#[tokio::test]
async fn types_are_those_that_change_no_value_and_the_line_that_decided_is_told() {
    let world = World::new().await;
    let path = world.file(
        "a.csv",
        "zip;big;price;day;note\n1067;1;2;2026-01-31;\n01067;9223372036854775808;2.50;2026-01-31;\n",
    );
    let found = sniffed(&world, &path);
    assert_eq!(
        found["columns"],
        json!([
            {"name": "zip", "type": "text", "decided_on_line": 3},
            {"name": "big", "type": "numeric", "decided_on_line": 3},
            {"name": "price", "type": "numeric", "decided_on_line": 3},
            {"name": "day", "type": "date", "decided_on_line": 2},
            {"name": "note", "type": "text", "decided_on_line": null},
        ])
    );
    let text = world.bare(&["sniff", &path]).run().exits(0).stdout;
    for said in [
        "delimiter   ;",
        "header      line 1",
        "2 of 2 have 5 fields",
        "'01067'",
        "NULL",
        "enqueue -i",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(text.lines().take(13).all(|line| line.chars().count() <= 80), "{text}");
}

#[tokio::test]
async fn what_cannot_be_sniffed_is_said() {
    let world = World::new().await;
    for (name, content, said) in [
        ("empty.csv", Vec::new(), "has no record"),
        ("blank.csv", b"\n \n".to_vec(), "has no record"),
        ("endless.bin", vec![b'x'; 2 << 20], "no line ends within the first"),
        (
            "cut.gz",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03xx".to_vec(),
            "damaged or cut off",
        ),
    ] {
        let path = world.file(name, content);
        let finished = world.bare(&["sniff", &path]).run();
        assert!(
            finished.code == Some(1) && finished.stderr.contains(said),
            "{name}: {finished:?}"
        );
    }
    let missing = world.bare(&["sniff", "nowhere.csv"]).run();
    assert!(
        missing.code == Some(1) && missing.stderr.contains("nowhere.csv"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_delimiter_can_be_found_and_is_said() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, name text, n int)")
        .await;
    let tabs = world.file("tabs.csv", "name\tn\na;b\t1\nc\t2\n");
    let auto = ["-i", &tabs, "--table", "things", "-d", "auto"];
    let first = world.enqueue(&auto).run().exits(0);
    assert!(first.stderr.contains("the delimiter is '\\t'"), "{}", first.stderr);
    world.drain();
    assert_eq!(
        world.texts("SELECT name || n FROM things ORDER BY n").await,
        ["a;b1", "c2"]
    );
    // The same import, whoever says the delimiter.
    let named = world
        .enqueue(&["-i", &tabs, "--table", "things", "-d", "\\t"])
        .run()
        .exits(0);
    assert_eq!(named.id(), first.id());
    let none = world.file("none.csv", "name\nAda\nBob\n");
    let finished = world.enqueue(&["-i", &none, "--table", "things", "-d", "auto"]).run();
    assert!(
        finished.code == Some(1) && finished.stderr.contains("no delimiter was found"),
        "{finished:?}"
    );
    let empty = world.file("empty.csv", "");
    world.load(&["-i", &empty, "--table", "things", "-d", "auto"]);
}
