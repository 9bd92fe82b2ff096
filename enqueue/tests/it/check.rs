//! `--check` says what a load would reject, and leaves no trace.

use crate::support::{World, assert_json};

use serde_json::json;

const TABLE: &str = "CREATE TABLE things (id bigserial PRIMARY KEY, name varchar(3) NOT NULL, n int, at date)";
const FILE: &str = "name;n;at\na;1;2026-01-31\nlong;2;2026-01-31\n\n\"b\nc\";x;2026-01-31\nd;4;2026-02-30\ne;5\nf;;\n";
/// Line, column and reason; the file's name follows.
const REJECTS: [&str; 4] = [
    "3,name,longer than varchar(3)",
    "5,n,not an integer",
    "7,at,no such day in the calendar",
    "8,,\"expected 3 fields, found 2\"",
];

#[tokio::test]
async fn what_is_checked_is_what_a_load_rejects_and_nothing_is_stored() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let file = world.file("things.csv", FILE);
    let before = traces(&world).await;
    let load = ["-i", &file, "--table", "things", "--chunk-rows", "2"];
    let checked = world.enqueue(&[&load[..], &["--check"]].concat()).run().exits(3);
    let name = std::fs::canonicalize(&file).unwrap();
    let lines = REJECTS.map(|reject| format!("{reject},{},\n", name.display()));
    let rejects = format!("line,column,reason,file,constraint\n{}", lines.concat());
    assert_eq!(checked.stdout, rejects);
    assert!(
        checked
            .stderr
            .contains("6 records: 2 would be loaded into public.things, 4 rejected"),
        "{}",
        checked.stderr
    );
    assert_eq!(traces(&world).await, before);
    let id = world.enqueue(&load).run().exits(0).id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 2, "rejected": 4}));
    let reasons = world.dir().join("reasons.csv");
    world
        .enqueue(&["rejects", &id.to_string(), "--reasons", reasons.to_str().unwrap()])
        .run()
        .exits(0);
    assert_eq!(std::fs::read_to_string(reasons).unwrap(), rejects);
}

/// What is in the ledger and the queue, and what the table's sequence would give.
async fn traces(world: &World) -> Vec<String> {
    world
        .texts(
            "SELECT concat_ws(' ', (SELECT count(*) FROM pgimport.import), (SELECT count(*) FROM pgimport.import_chunk),
                 (SELECT count(*) FROM apalis.jobs), (SELECT last_value FROM pgimport.import_id_seq),
                 (SELECT last_value FROM things_id_seq), (SELECT count(*) FROM things))",
        )
        .await
}

#[tokio::test]
async fn a_good_file_a_bad_one_and_wrong_arguments_are_told_apart() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let good = world.file("good.csv", "n;name\n1;a\n");
    let empty = world.file("empty.csv", "");
    let wrong = world.file("wrong.csv", "n;title\n1;a\n");
    let broken = world.file("broken.csv.gz", b"\x1f\x8b\x08\0broken");
    let json = world.file("things.jsonl", "{\"name\":\"a\"}\n{\"name\":7,\"n\":\"x\"}\n");
    let json_name = std::fs::canonicalize(&json).unwrap();
    for (arguments, code, stdout, stderr) in [
        (
            &["-i", &good][..],
            0,
            Some("line,column,reason,file,constraint\n"),
            "1 records: 1 would be loaded",
        ),
        (
            &["-i", &empty],
            0,
            Some("line,column,reason,file,constraint\n"),
            "0 records",
        ),
        (
            &["-i", &json, "--format", "jsonl"],
            3,
            Some(&format!(
                "line,column,reason,file,constraint\n2,n,not an integer,{},\n",
                json_name.display()
            )),
            "1 rejected",
        ),
        (&["-i", &wrong], 1, None, "'title' (field 2)"),
        (&["-i", &broken], 1, None, "broken.csv.gz"),
        (&["-i", &good, "--table", "nowhere"], 1, None, "nowhere"),
        (&["-i", &good, "--wait"], 2, None, "cannot be used with"),
    ] {
        let table = if arguments.contains(&"--table") {
            &[][..]
        } else {
            &["--table", "things"]
        };
        let finished = world.enqueue(&[&["--check"], table, arguments].concat()).run();
        assert_eq!(finished.code, Some(code), "{arguments:?} {finished:?}");
        assert_eq!(finished.stdout, stdout.unwrap_or_default(), "{arguments:?}");
        assert!(finished.stderr.contains(stderr), "{arguments:?} {}", finished.stderr);
    }
}
