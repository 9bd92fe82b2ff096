//! What a file may look like, which of its records are rejected, and what its values become.

use std::fs;

use crate::support::{World, assert_json, orders};
use serde_json::json;

const HEADER: &str = "PointOfSale;Product;Date;Stock\n";

/// Every type that is checked here rather than by the server, with limits.
const TYPES: &str = "CREATE TABLE types (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    t text, v varchar(5), i2 smallint, i4 integer, i8 bigint, b boolean, f4 real, f8 double precision, n numeric, n62 numeric(6,2),
    d date, ts timestamp, ts3 timestamp(3), tz timestamptz, u uuid)";

#[tokio::test]
async fn a_file_reads_the_same_however_its_lines_end_and_whatever_stands_before_and_after() {
    let plain = "PointOfSale;Product;Date;Stock\nA;x;2025-01-01;1\nB;y;2025-01-02;2\n";
    let variants = [
        plain.to_owned(),
        plain.trim_end().to_owned(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}{plain}"),
        format!("\n\r\n{plain}\n\n\r\n"),
        plain.replace('\n', "\n\n"),
    ];
    let world = World::new().await;
    for method in ["insert", "copy"] {
        for variant in &variants {
            let file = world.file("orders.csv", variant);
            let arguments = ["-i", &file, "--load-method", method, "--chunk-rows", "1", "--force"];
            world.enqueue(&arguments).run().exits(0);
        }
    }
    world.drain();
    let states = world.texts("SELECT DISTINCT state FROM pgimport.import").await;
    assert_eq!((states, world.sale_orders().await), (vec!["loaded".to_owned()], 28));
    let rows = world
        .texts("SELECT DISTINCT concat_ws('|', \"PointOfSale\", \"Product\", \"Date\", \"Stock\") FROM sale_order ORDER BY 1")
        .await;
    assert_eq!(rows, ["A|x|2025-01-01|1", "B|y|2025-01-02|2"]);
}

#[tokio::test]
async fn quoted_fields_hold_delimiters_quotes_and_line_ends() {
    let world = World::new().await;
    let text = format!(
        "{HEADER}\"A;1\";\"said \"\"no\"\"\";2025-01-01;1\n\"B\r\n2\";\"\n\";2025-01-01;2\nC;'inner';2025-01-01;\"3\"\n"
    );
    let file = world.file("orders.csv", text);
    assert_json(
        &world.load(&["-i", &file, "--chunk-rows", "1"]),
        &json!({"loaded": 3, "chunks": 3}),
    );
    let rows = world
        .texts("SELECT \"PointOfSale\" || '|' || \"Product\" FROM sale_order ORDER BY \"Stock\"")
        .await;
    assert_eq!(rows, ["A;1|said \"no\"", "B\r\n2|\n", "C|'inner'"]);
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_at_the_beginning_alone() {
    let world = World::new().await;
    let file = world.file(
        "orders.csv",
        "\u{feff}\u{feff}A;x;2025-01-01;1\n\u{feff}B;y;2025-01-02;2\n",
    );
    world.load(&["-i", &file, "--no-header", "--chunk-rows", "1"]);
    assert_eq!(
        world
            .texts("SELECT \"PointOfSale\" FROM sale_order ORDER BY \"Stock\"")
            .await,
        ["\u{feff}A", "\u{feff}B"]
    );
}

#[tokio::test]
async fn fields_may_be_separated_by_any_byte() {
    let world = World::new().await;
    for (argument, delimiter) in [(",", ","), ("\\t", "\t"), ("\t", "\t"), ("|", "|"), (" ", " ")] {
        let file = world.file("orders.csv", orders("A", 2).replace(' ', "_").replace(';', delimiter));
        world.enqueue(&["-i", &file, "-d", argument, "--force"]).run().exits(0);
    }
    world.drain();
    assert_eq!(world.sale_orders().await, 10);
}

#[tokio::test]
async fn the_header_decides_which_field_is_which_in_any_order_and_case() {
    let world = World::new().await;
    let file = world.file("orders.csv", "STOCK; date ;\"Product\";pointofsale\n7;2025-01-01;x;A\n");
    world.load(&["-i", &file]);
    assert_eq!(
        world
            .texts("SELECT concat_ws('|', \"PointOfSale\", \"Product\", \"Date\", \"Stock\") FROM sale_order")
            .await,
        ["A|x|2025-01-01|7"]
    );
}

#[tokio::test]
async fn columns_can_be_named_on_the_command_line_with_and_without_a_header() {
    let world = World::new().await;
    let columns = "Stock,date,Product,PointOfSale";
    let file = world.file("with.csv", "a;b;c;d\n7;2025-01-01;x;A\n");
    world.load(&["-i", &file, "--columns", columns]);
    let file = world.file("without.csv", "8;2025-01-01;x;A\n");
    world.load(&["-i", &file, "--columns", columns, "--no-header"]);
    assert_eq!(
        world.texts("SELECT \"Stock\"::text FROM sale_order ORDER BY 1").await,
        ["7", "8"]
    );
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_rejected_with_its_reason_and_the_rest_of_its_chunk_is_loaded() {
    let world = World::new().await;
    world.execute(TYPES).await;
    world.execute("ALTER TABLE types ADD r text NOT NULL").await;
    // Each with the column that must be named; none when the record as a whole does not fit.
    let columns = "r,v,i2,i4,i8,b,f4,f8,n62,d,ts,tz,u";
    let bad: [(&str, &[u8]); 19] = [
        ("", b"ok;a"),
        ("", b"ok;a;1;1;1;t;1;1;1;2025-01-01;2025-01-01 00:00;2025-01-01 00:00+00;6f3f8c3e-5b1e-4c57-9d0a-0f4c9b1f2d11;more"),
        ("v", b"ok;abcdef;;;;;;;;;;;"),
        ("i2", b"ok;;32768;;;;;;;;;;"),
        ("i4", b"ok;;;1.5;;;;;;;;;"),
        ("i8", b"ok;;;;9223372036854775808;;;;;;;;"),
        ("b", b"ok;;;;;maybe;;;;;;;"),
        ("f4", b"ok;;;;;;1e39;;;;;;"),
        ("f8", b"ok;;;;;;;one;;;;;"),
        ("n62", b"ok;;;;;;;;10000;;;;"),
        ("d", b"ok;;;;;;;;;2025-02-29;;;"),
        ("ts", b"ok;;;;;;;;;;2025-01-01 25:00;;"),
        ("tz", b"ok;;;;;;;;;;;yesterday;"),
        ("u", b"ok;;;;;;;;;;;;6f3f8c3e"),
        ("v", b"ok;a\xff;;;;;;;;;;;"),
        ("v", b"ok;a\0b;;;;;;;;;;;"),
        ("r", b"\xe9t\xe9;;;;;;;;;;;;"),
        ("d", b"ok;;;;;;;;;01.02.2025;;;"),
        ("r", b"\"never closed;;;;;;;;;;;;"),
    ];
    let mut content = Vec::new();
    for (_, record) in &bad {
        content.extend_from_slice(b"good;a;;;;;;;;;;;\n");
        content.extend_from_slice(record);
        content.push(b'\n');
    }
    let file = world.file("types.csv", &content);
    for (id, method) in [(1, "insert"), (2, "copy")] {
        let arguments = [
            "-i",
            &file,
            "--no-header",
            "--table",
            "types",
            "--columns",
            columns,
            "--load-method",
            method,
            "--force",
        ];
        world.enqueue(&arguments).run().exits(0);
        let status = follow(&world, id, 3);
        // The record whose quote is never closed is the last one.
        assert_json(
            &status,
            &json!({"state": "loaded", "records": 38, "loaded": 19, "rejected": 19}),
        );
        let rejects: Vec<(i64, Option<String>, String, Vec<u8>)> = sqlx::query_as(
            "SELECT line, column_name, reason, raw FROM pgimport.import_reject WHERE import_id = $1 ORDER BY line",
        )
        .bind(id)
        .fetch_all(world.pool())
        .await
        .unwrap();
        for (index, ((line, column, reason, raw), (bad_column, record))) in rejects.iter().zip(&bad).enumerate() {
            assert_eq!((*line, raw.as_slice()), (index as i64 * 2 + 2, *record), "{reason}");
            assert_eq!(
                column.as_deref().unwrap_or_default(),
                *bad_column,
                "line {line}: {reason}"
            );
            assert!(!reason.is_empty());
        }
        assert_eq!(rejects.len(), bad.len());
        assert_eq!(rejects[0].2, "expected 13 fields, found 2");
        assert_eq!(rejects[2].2, "longer than varchar(5)");
    }
}

/// Works until nothing is left, and tells how an import ended, which must be with this exit code.
#[track_caller]
fn follow(world: &World, id: i64, code: i32) -> serde_json::Value {
    world.drain();
    world
        .enqueue(&["status", &id.to_string(), "--watch", "--json"])
        .run()
        .exits(code)
        .json()
}

#[tokio::test]
async fn rejected_records_can_be_corrected_and_submitted_again() {
    let world = World::new().await;
    let file = world.file(
        "orders.csv",
        "stock,date,product,pointofsale\n1,2025-01-01,\"a, \"\"b\"\"\",A\nmany,2025-01-01,\"c, \"\"d\"\"\",B\n3,2025-13-01,e,C\n",
    );
    world.enqueue(&["-i", &file, "-d", ","]).run().exits(0);
    assert_json(
        &follow(&world, 1, 3),
        &json!({"loaded": 1, "rejected": 2, "records": 3}),
    );
    let reasons = world.path("reasons.csv");
    let rejects = world
        .enqueue(&["rejects", "1", "--reasons", reasons.to_str().unwrap()])
        .run()
        .exits(0)
        .says("rejected records: 2");
    assert_eq!(
        rejects.stdout,
        "Stock,Date,Product,PointOfSale\nmany,2025-01-01,\"c, \"\"d\"\"\",B\n3,2025-13-01,e,C\n"
    );
    let name = world.path("orders.csv").display().to_string();
    assert_eq!(
        fs::read_to_string(reasons).unwrap(),
        format!(
            "line,column,reason,file,constraint\n3,Stock,not an integer,{name},\n4,Date,no such day in the calendar,{name},\n"
        )
    );
    let corrected = world.file(
        "rejects.csv",
        rejects.stdout.replace("many", "2").replace("-13-", "-12-"),
    );
    assert_json(
        &world.load(&["-i", &corrected, "-d", ","]),
        &json!({"loaded": 2, "rejected": 0}),
    );
    assert_eq!(
        world
            .texts("SELECT concat_ws('|', \"PointOfSale\", \"Product\", \"Date\") FROM sale_order ORDER BY \"Stock\"")
            .await,
        ["A|a, \"b\"|2025-01-01", "B|c, \"d\"|2025-01-01", "C|e|2025-12-01"]
    );
}

#[tokio::test]
async fn rejects_of_a_file_without_header_have_none_and_bytes_stay_as_they_were() {
    let world = World::new().await;
    let file = world.file(
        "orders.csv",
        b"A;\xff;2025-01-01;1\r\n\r\nB;\"x\ny\";2025-01-01;none\r\n",
    );
    world.enqueue(&["-i", &file, "--no-header"]).run().exits(0);
    follow(&world, 1, 3);
    // The text is lossy, the program's output is not: Latin-1 stays Latin-1.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_enqueue"))
        .args(["rejects", "1", "--database-url", &world.db.url()])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"A;\xff;2025-01-01;1\nB;\"x\ny\";2025-01-01;none\n");
}

#[tokio::test]
async fn waiting_for_an_import_with_rejects_exits_with_3() {
    let world = World::new().await;
    let file = world.file("orders.csv", format!("{HEADER}A;x;2025-01-01;1\nB;y;never;2\n"));
    let _worker = world.worker(&[]).start();
    let output = world
        .enqueue(&["-i", &file, "--wait"])
        .run()
        .exits(3)
        .says("enqueue rejects 1");
    assert_eq!(output.id(), 1);
    // Whoever submits it again gets the same answer.
    world.enqueue(&["-i", &file]).run().exits(3);
}

#[tokio::test]
async fn an_empty_field_is_null_where_the_column_takes_it_and_so_is_the_text_of_the_null_option() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id serial PRIMARY KEY, a int, b text, c text NOT NULL)")
        .await;
    let file = world.file("t.csv", "a;b;c\n;;\nNA;NA;x\n1;\"\";NA\n");
    for (id, method) in [(1, "insert"), (2, "copy")] {
        world
            .enqueue(&[
                "-i",
                &file,
                "--table",
                "t",
                "--null",
                "NA",
                "--load-method",
                method,
                "--force",
            ])
            .run()
            .exits(0);
        assert_json(&follow(&world, id, 3), &json!({"loaded": 2, "rejected": 1}));
    }
    let rows = world
        .texts("SELECT concat_ws('|', coalesce(a::text, 'null'), coalesce(b, 'null'), c) FROM t ORDER BY id")
        .await;
    assert_eq!(rows, ["null|null|", "null|null|x", "null|null|", "null|null|x"]);
    assert_eq!(
        world
            .texts("SELECT DISTINCT line || column_name || reason FROM pgimport.import_reject")
            .await,
        ["4cno value, but the column is NOT NULL"]
    );
}

#[tokio::test]
async fn both_load_methods_give_the_rows_that_the_server_itself_would_read() {
    let world = World::new().await;
    world.execute(TYPES).await;
    let records = [
        "plain;abcde;1;1;1;true;1.5;1.5;1.5;1.5;2025-01-01;2025-01-01 10:00:00;2025-01-01 10:00:00.1239;2025-01-01 10:00:00+02;6f3f8c3e-5b1e-4c57-9d0a-0f4c9b1f2d11",
        ";;;;;;;;;;;;;;",
        "negative;é→😀;-32768;-2147483648;-9223372036854775808;f;-1e-30;-1e-300;-123456789012345678901234567890.123456789;-9999.99;0044-03-15;0044-03-15 12:00:00;2025-01-01;1969-12-31 23:59:59.999999-05:30;{6F3F8C3E5B1E4C579D0A0F4C9B1F2D11}",
        "infinite; ;32767;2147483647;9223372036854775807;yes;Infinity;-inf;NaN;0.005;infinity;-infinity;infinity;infinity;6f3f8c3e5b1e4c579d0a0f4c9b1f2d11",
        "nan;a    ;0;-0;+7;0;NaN;nan;1e20;-0.004;1999-12-31;1999-12-31T23:59:59.9999999;1999-12-31 23:59:59.9996;1999-12-31 24:00:00Z;00000000-0000-0000-0000-000000000000",
    ];
    let file = world.file("types.csv", records.join("\n"));
    let columns = "t,v,i2,i4,i8,b,f4,f8,n,n62,d,ts,ts3,tz,u";
    world
        .execute("CREATE TABLE by_server (LIKE types INCLUDING IDENTITY)")
        .await;
    for record in records {
        let values: Vec<String> = record
            .split(';')
            .map(|value| {
                if value.is_empty() {
                    "NULL".to_owned()
                } else {
                    format!("'{value}'")
                }
            })
            .collect();
        world
            .execute(&format!(
                "SET timezone = 'UTC'; INSERT INTO by_server ({columns}) VALUES ({})",
                values.join(",")
            ))
            .await;
    }
    let rows = async |table: &str| {
        world
            .texts(&format!("SELECT ROW({columns})::text FROM {table} ORDER BY id"))
            .await
    };
    let expected = rows("by_server").await;
    assert_eq!(expected.len(), records.len());
    for method in ["insert", "copy"] {
        world.execute("TRUNCATE types").await;
        let arguments = [
            "-i",
            &file,
            "--no-header",
            "--table",
            "types",
            "--columns",
            columns,
            "--load-method",
            method,
            "--force",
        ];
        world.load(&arguments);
        assert_eq!(rows("types").await, expected, "{method}");
    }
}
