//! The types of a table that is made hold every value of the file as it is.

use std::sync::Arc;

use crate::support::{World, assert_json, parquet::parquet};
use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray, types::Int32Type,
};
use serde_json::json;

#[tokio::test]
async fn a_value_at_the_very_end_decides() {
    let world = World::new().await;
    let mut file = "n;zip;price;day;note;flag\n".to_owned();
    for row in 0..3000 {
        file += &format!("{row};{row};1;2026-01-31;;true\n");
    }
    let ints = world.file("ints.csv", &file);
    file += "7;01067;2.50;soon;\"\";FALSE\n";
    let path = world.file("things.csv", &file);
    let all = ["--table", "things", "--create-table", "--chunk-rows", "500"];
    world
        .enqueue(&[&["-i", &path], &all[..]].concat())
        .run()
        .exits(0)
        .says("the types were decided by all 3,001 records")
        .says("the table public.things was made");
    world.drain();
    assert_eq!(
        world.columns("things").await,
        [
            "n bigint",
            "zip text",
            "price numeric",
            "day text",
            "note text",
            "flag boolean"
        ]
    );
    assert_eq!(
        world
            .texts("SELECT concat_ws('|', n, zip, price, day, note, flag) FROM things WHERE zip = '01067'")
            .await,
        ["7|01067|2.50|soon||f"]
    );
    assert_eq!(
        world.number("SELECT count(*) FROM things WHERE note IS NULL").await,
        3000
    );
    // Without that record the types are others; several files are decided by all of them.
    let again = ["--table", "ints", "--create-table"];
    world.enqueue(&[&["-i", &ints], &again[..]].concat()).run().exits(0);
    assert_eq!(
        world.columns("ints").await,
        [
            "n bigint",
            "zip bigint",
            "price bigint",
            "day date",
            "note text",
            "flag boolean"
        ]
    );
    let last = world.file("last.csv", "n;zip;price;day;note;flag\nx;1;1;2026-01-31;;true\n");
    let several = ["-i", &ints, "-i", &last, "--table", "several", "--create-table"];
    world.enqueue(&several).run().exits(0);
    assert_eq!(world.columns("several").await[..2], ["n text", "zip bigint"]);
    world.drain();
    assert_eq!(world.number("SELECT count(*) FROM several").await, 3001);
}

#[tokio::test]
async fn values_are_what_they_were_in_the_file() {
    let world = World::new().await;
    let rows: [[&str; 11]; 5] = [
        [
            "1",
            "007",
            "1.50",
            "true",
            "2026-01-31",
            "2026-01-31 23:59:59.5",
            "2026-01-31 12:00:00+00",
            "NA",
            "1e5",
            "+1",
            "a\"b",
        ],
        [
            "-9223372036854775808",
            "7",
            "-0.001",
            "false",
            "0001-01-01",
            "2026-01-31 00:00:00",
            "1999-12-31 23:59:59+00",
            "-0",
            "0.1",
            "1",
            "x,\ny",
        ],
        [
            "9223372036854775807",
            "",
            "12345678901234567890.5",
            "",
            "",
            "",
            "",
            "1",
            "NaN",
            "2",
            " sp ",
        ],
        [
            "",
            "0",
            "0.00",
            "true",
            "9999-12-31",
            "2026-02-28 01:02:03.123456",
            "2026-01-31 12:00:00.25+00",
            "2",
            "1",
            "3",
            "",
        ],
        [
            "0",
            "00",
            "3",
            "false",
            "2024-02-29",
            "2026-01-31 24:00:00",
            "2026-01-31 12:00:00+00",
            "3",
            "2",
            "4",
            "ümlaut",
        ],
    ];
    let quote = |value: &&str| {
        if value.contains(['"', ',', '\n']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            (*value).to_owned()
        }
    };
    let lines = rows.map(|row| row.iter().map(quote).collect::<Vec<_>>().join(",") + "\n");
    let path = world.file("shapes.csv", format!("a,b,c,d,e,f,g,h,i,j,k\n{}", lines.concat()));
    let all = [
        "-i",
        &path,
        "-d",
        ",",
        "--table",
        "shapes",
        "--create-table",
        "--line-column",
        "line",
    ];
    let id = world.load(&all)["import_id"].as_i64().unwrap();
    assert_eq!(
        world.columns("shapes").await,
        [
            "a bigint",
            "b text",
            "c numeric",
            "d boolean",
            "e date",
            "f text",
            "g timestamp with time zone",
            "h text",
            "i text",
            "j text",
            "k text",
            "line bigint"
        ]
    );
    let copied = world.psql(
        &[
            "-c",
            "SET timezone = 'UTC'",
            "-c",
            "COPY (SELECT a, b, c, CASE d WHEN true THEN 'true' WHEN false THEN 'false' END, e, f, g, h, i, j, k FROM shapes ORDER BY line)
             TO STDOUT (FORMAT csv)",
        ],
    );
    assert_eq!(copied, lines.concat());
    world.enqueue(&["verify", &id.to_string(), &path]).run().exits(0);
    // An undo leaves the table, and no row.
    let undone = world.undo(id, &[]);
    assert_json(&undone, &json!({"state": "cancelled", "deleted": 5}));
    assert_eq!(world.number("SELECT count(*) FROM shapes").await, 0);
}

#[tokio::test]
async fn what_the_options_say_of_values_is_what_the_types_are_decided_by() {
    let world = World::new().await;
    let path = world.file(
        "things.csv",
        "# shops\nday;n;x;note;at;own;short\n31.01.2026;1.234;NA;'12;3';2026-01-31 12:00;20260131;1\n01.02.2026;5;-;'';2026-07-31 12:00Z;;\n\
         1;2\nx;y;z;a;b;c;d;e\n",
    );
    let all = [
        "-i",
        &path,
        "--table",
        "things",
        "--create-table",
        "--comment",
        "#",
        "--quote",
        "'",
        "--null",
        "NA",
        "--null",
        "-",
        "--date-format",
        "DD.MM.YYYY",
        "--date-format",
        "own=YYYYMMDD",
        "--decimal-separator",
        ",",
        "--thousands-separator",
        ".",
        "--time-zone",
        "Europe/Berlin",
        "--set",
        "shop=Berlin",
        "--file-column",
        "source",
        "--line-column",
        "line",
        "--import-column",
        "import",
    ];
    let id = world
        .enqueue(&all)
        .run()
        .exits(0)
        .says("decided by all 4 records, but for 2 that will be rejected")
        .id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 2, "rejected": 2}));
    assert_eq!(
        world.columns("things").await,
        [
            "day date",
            "n bigint",
            "x text",
            "note text",
            "at timestamp with time zone",
            "own date",
            "short bigint",
            "shop text",
            "source text",
            "line bigint",
            "import bigint"
        ]
    );
    assert_eq!(
        world
            .texts("SELECT concat_ws('|', day, n, x, note, at AT TIME ZONE 'UTC', own, shop, line, import) FROM things ORDER BY line")
            .await,
        [
            format!("2026-01-31|1234|12;3|2026-01-31 11:00:00|2026-01-31|Berlin|3|{id}"),
            format!("2026-02-01|5||2026-07-31 12:00:00|Berlin|4|{id}"),
        ]
    );
    // A pattern for a column that is not there, and one that is none.
    for (pattern, said) in [("nope=YYYYMMDD", "'nope' has a pattern"), ("DD", "must have")] {
        world
            .enqueue(&[
                "-i",
                &path,
                "--table",
                "other",
                "--create-table",
                "--skip-lines",
                "1",
                "--date-format",
                pattern,
            ])
            .run()
            .exits(1)
            .says(said);
        assert!(!world.has_table("other").await);
    }
    // In another encoding, padded, with columns of other names, and some passed over.
    let latin = world.file("latin.csv", b"1;M\xfcller;x\n2\n");
    world.load(&[
        "-i",
        &latin,
        "--no-header",
        "--columns",
        "id,name,-",
        "--encoding",
        "windows-1252",
        "--short-rows",
        "pad",
        "--table",
        "people",
        "--create-table",
    ]);
    assert_eq!(world.columns("people").await, ["id bigint", "name text"]);
    assert_eq!(
        world
            .texts("SELECT concat_ws('|', id, name) FROM people ORDER BY id")
            .await,
        ["1|Müller", "2"]
    );
}

#[tokio::test]
async fn a_stream_is_decided_by_its_beginning() {
    let world = World::new().await;
    let mut text = "n;name\n".to_owned();
    for row in 0..150_000 {
        text += &format!("{row};Product {row}\n");
    }
    text += "late;x\n";
    let all = ["--table", "things", "--create-table", "--chunk-rows", "1000"];
    let id = world
        .enqueue(&all)
        .input(&text)
        .run()
        .exits(0)
        .says("records of the stream")
        .id();
    world.drain();
    assert_eq!(world.columns("things").await, ["n bigint", "name text"]);
    assert_json(
        &world.status(id),
        &json!({"loaded": 150_000, "rejected": 1, "chunks": 151}),
    );
    assert_eq!(
        world.number("SELECT sum(n)::bigint FROM things").await,
        150_000 * 149_999 / 2
    );
    // A short one is seen whole; under a key it is one import.
    let keyed = ["--table", "short", "--create-table", "--key", "k"];
    let first = world.enqueue(&keyed).input("a\n1\nx\n").run().exits(0).id();
    let again = world.enqueue(&keyed).input("a\n1\nx\n").run().exits(0).says("exists");
    assert_eq!(again.id(), first);
    assert_eq!(world.columns("short").await, ["a text"]);
    // The key is another table's: no table is left.
    world
        .enqueue(&["--table", "never", "--create-table", "--key", "k"])
        .input("a\n1\nx\n")
        .run()
        .exits(1)
        .says("which has another target");
    assert!(!world.has_table("never").await);
}

#[tokio::test]
async fn json_lines_have_scalars_by_their_values_and_nested_ones_as_jsonb() {
    let world = World::new().await;
    let path = world.file(
        "things.jsonl",
        r#"{"id": 1, "code": "12", "day": "2026-01-31", "ok": true, "price": 1.50, "tags": [], "mixed": {"a": [1]}, "both": 1, "none": null}
{"id": 2, "code": "13", "day": null, "ok": false, "price": 2, "tags": ["x", "\u00e4"], "mixed": "a\"b", "both": "one"}
"broken"
{"id": 3, "price": 1e2, "code": "\u0031", "mixed": 7, "price": 1}
{"id": 4}
"#,
    );
    let all = [
        "-i",
        &path,
        "--format",
        "jsonl",
        "--table",
        "things",
        "--create-table",
        "--map",
        "id=\"The Id\"",
    ];
    let id = world.enqueue(&all).run().exits(0).says("but for 2").id();
    world.drain();
    assert_json(&world.status(id), &json!({"loaded": 3, "rejected": 2}));
    assert_eq!(
        world.columns("things").await,
        [
            "The Id bigint",
            "code text",
            "day date",
            "ok boolean",
            "price numeric",
            "tags jsonb",
            "mixed jsonb",
            "both text",
            "none text"
        ]
    );
    assert_eq!(
        world
            .texts(
                "SELECT concat_ws('|', \"The Id\", code, day, ok, price, tags, mixed, \"both\") FROM things ORDER BY 1"
            )
            .await,
        [
            "1|12|2026-01-31|t|1.50|[]|{\"a\": [1]}|1",
            "2|13|f|2|[\"x\", \"ä\"]|\"a\\\"b\"|one",
            "4",
        ]
    );
    // The same file again is the same import.
    assert_eq!(world.enqueue(&all).run().exits(3).says("exists").id(), id);
}

#[tokio::test]
async fn a_parquet_file_says_its_types_itself() {
    let world = World::new().await;
    let path = world.file(
        "things.parquet",
        parquet(vec![
            ("n", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("Half \"x\"", Arc::new(Float64Array::from(vec![0.1, 2.0]))),
            (
                "price",
                Arc::new(
                    Decimal128Array::from(vec![150, 7])
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ),
            ),
            ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
            ("day", Arc::new(Date32Array::from(vec![0, 1]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]))),
            ("code", Arc::new(StringArray::from(vec!["1", "02"]))),
            ("raw", Arc::new(BinaryArray::from(vec![&b"\x00"[..], b"a"]))),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                    Some(vec![Some(1), None]),
                    None,
                ])),
            ),
        ]),
    );
    let all = [
        "-i",
        &path,
        "--format",
        "parquet",
        "--table",
        "things",
        "--create-table",
        "--primary-key",
        "code",
    ];
    let id = world.load(&all)["import_id"].as_i64().unwrap();
    assert_eq!(
        world.columns("things").await,
        [
            "n bigint",
            "Half \"x\" double precision",
            "price numeric",
            "ok boolean",
            "day date",
            "at timestamp without time zone",
            "code text!",
            "raw bytea",
            "list jsonb",
            "PRIMARY KEY (code)"
        ]
    );
    assert_eq!(
        world.texts("SELECT concat_ws('|', n, \"Half \"\"x\"\"\", price, ok, day, at, code, raw, list) FROM things ORDER BY day").await,
        [
            "1|0.1|1.50|t|1970-01-01|1970-01-01 00:00:00|1|\\x00|[1, null]",
            "2|0.07|f|1970-01-02|1970-01-01 00:00:00.000001|02|\\x61",
        ]
    );
    assert_eq!(world.enqueue(&all).run().exits(0).id(), id);
    // Of two files with other kinds, one type holds both.
    let ints = world.file("a.parquet", parquet(vec![("x", Arc::new(Int32Array::from(vec![1])))]));
    let halves = world.file(
        "b.parquet",
        parquet(vec![("x", Arc::new(Float64Array::from(vec![0.5])))]),
    );
    world.load(&[
        "-i",
        &ints,
        "-i",
        &halves,
        "--format",
        "parquet",
        "--table",
        "both",
        "--create-table",
    ]);
    assert_eq!(world.columns("both").await, ["x double precision"]);
}
