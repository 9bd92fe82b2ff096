//! `--create-table`: the table has the types that hold every value as it is, and is there if and only if its import is.

mod support;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray, types::Int32Type,
};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use support::{Held, World, assert_json, role::Role};

/// Name and type of each column, `!` where it takes no NULL, and the primary key.
async fn columns(world: &World, table: &str) -> Vec<String> {
    world
        .texts(&format!(
            "SELECT attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0
             UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'p'"
        ))
        .await
}

async fn exists(world: &World, table: &str) -> bool {
    world.number(&format!("SELECT count(to_regclass('{table}'))")).await == 1
}

/// What psql prints.
fn psql(world: &World, arguments: &[&str]) -> String {
    world
        .enqueue(&[&["psql", "--", "-qAtX", "-v", "ON_ERROR_STOP=1"], arguments].concat())
        .run()
        .exits(0)
        .stdout
}

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
        columns(&world, "things").await,
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
        columns(&world, "ints").await,
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
    assert_eq!(columns(&world, "several").await[..2], ["n text", "zip bigint"]);
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
        columns(&world, "shapes").await,
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
    let copied = psql(
        &world,
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
        columns(&world, "things").await,
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
        assert!(!exists(&world, "other").await);
    }
    // In another encoding, padded, with columns of other names, and some passed over.
    let latin = world.file("latin.csv", b"1;M\xfcller;x\n2\n".to_vec());
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
    assert_eq!(columns(&world, "people").await, ["id bigint", "name text"]);
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
    assert_eq!(columns(&world, "things").await, ["n bigint", "name text"]);
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
    assert_eq!(columns(&world, "short").await, ["a text"]);
    // The key is another table's: no table is left.
    world
        .enqueue(&["--table", "never", "--create-table", "--key", "k"])
        .input("a\n1\nx\n")
        .run()
        .exits(1)
        .says("which has another target");
    assert!(!exists(&world, "never").await);
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
        columns(&world, "things").await,
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
            .texts("SELECT concat_ws('|', \"The Id\", code, day, ok, price, tags, mixed, \"both\") FROM things ORDER BY 1")
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

fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn a_parquet_file_says_its_types_itself() {
    let world = World::new().await;
    let path = world.file(
        "things.parquet",
        parquet_file(vec![
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
        columns(&world, "things").await,
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
    let ints = world.file(
        "a.parquet",
        parquet_file(vec![("x", Arc::new(Int32Array::from(vec![1])))]),
    );
    let halves = world.file(
        "b.parquet",
        parquet_file(vec![("x", Arc::new(Float64Array::from(vec![0.5])))]),
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
    assert_eq!(columns(&world, "both").await, ["x double precision"]);
}

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
    assert!(!exists(&world, table).await);
    assert_eq!(world.imports().await, 0);
    let script = world.file("table.sql", &sql);
    psql(&world, &["-f", &script]);
    let by_hand = columns(&world, table).await;
    let there = world.enqueue(&dry).run().exits(0).says("exists: it is loaded as it is");
    assert_eq!(there.stdout, "");
    world.execute(&format!("DROP TABLE {table}")).await;
    world.load(&all);
    assert_eq!(columns(&world, table).await, by_hand);
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
    assert_eq!(columns(&world, "alike").await, ["a text", "b text"]);
    // The first of several that are imports of their own.
    let more = world.file("more.csv", "a;b\n7;8\n");
    world
        .enqueue(&["-i", &more, "-i", &path, "--each", "--table", "each", "--create-table"])
        .run()
        .exits(0)
        .says("exists");
    assert_eq!(columns(&world, "each").await, ["a bigint", "b bigint"]);
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
        assert!(!exists(&world, "things").await, "{said}");
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
    assert!(!exists(&world, "pgimport.things").await);
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
    assert_eq!(columns(&world, "things").await, ["a,b text"]);
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
        assert_eq!(columns(&world, table).await.len(), if kept { 3 } else { 2 });
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
        .until_some("pg_stat_activity WHERE application_name LIKE 'pg_import-enqueue%'")
        .await;
    submitting.interrupt();
    submitting.finished().await.exits(4).says("nothing was stored");
    drop(pipe);
    assert!(!exists(&world, "things").await);
    assert_eq!(world.imports().await, 0);
}
