//! Parquet: the same rows as from text, types that fit or a refusal, and rows in place of lines.

use std::sync::Arc;

use crate::support::{
    World, assert_json, orders,
    parquet::{parquet, parquet_orders},
};
use arrow_array::{
    BinaryArray, BooleanArray, Decimal128Array, Float32Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, types::Int32Type,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_those_of_the_same_text_also_where_a_submitter_was_killed() {
    let world = World::new().await;
    let text = world.file("orders.csv", orders("A", 2000));
    let file = world.file("orders.parquet", parquet_orders("A", 2000));
    world.load(&["-i", &text]);
    let command = ["-i", &file, "--format", "parquet", "--chunk-rows", "150"];
    let mut submitter = world
        .enqueue(&[&command[..], &["--max-pending", "1K"]].concat())
        .start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    submitter.kill();
    let _worker = world.worker(&[]).start();
    let again = world.run(&command).await.exits(0).says("going on in its place");
    world.assert_settled(again.id(), "loaded").await;
    let each =
        "SELECT DISTINCT count(*)::text FROM sale_order GROUP BY \"PointOfSale\", \"Product\", \"Date\", \"Stock\"";
    assert_eq!(world.texts(each).await, ["2"]);
    assert_eq!(world.sale_orders().await, 4000);
    world.run(&["verify", &again.id().to_string(), &file]).await.exits(0);
    // Several, in a directory, and the same file again.
    let inbox = world.path("inbox");
    std::fs::create_dir(&inbox).unwrap();
    for shop in ["B", "C"] {
        std::fs::write(inbox.join(shop), parquet_orders(shop, 10)).unwrap();
    }
    let both = ["-i", inbox.to_str().unwrap(), "--format", "parquet", "--wait"];
    world.run(&both).await.exits(0);
    assert_eq!(world.shops().await, ["A", "B", "C"]);
    let again = world.run(&command).await.exits(0);
    assert!(again.stderr.contains("(loaded)"), "{again:?}");
    world.run(&["cancel", &again.id().to_string(), "--wait"]).await.exits(0);
    assert_eq!(world.sale_orders().await, 2020);
}

#[tokio::test]
async fn values_are_those_of_the_file_and_what_does_not_fit_is_a_reject_with_its_row() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE things (id bigserial PRIMARY KEY, name varchar(5) NOT NULL, n int, p numeric, f real, d double precision,
                 flag boolean, at timestamptz, ns timestamp, raw bytea, tags jsonb)",
        )
        .await;
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![]), None]);
    let file = parquet(vec![
        (
            "Name",
            Arc::new(StringArray::from(vec![Some("\\N"), Some(""), Some("a\n\"b"), None])),
        ),
        (
            "n",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3_000_000_000), Some(4)])),
        ),
        (
            "p",
            Arc::new(
                Decimal128Array::from(vec![Some(-150), None, Some(3), Some(4)])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
        ),
        (
            "f",
            Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::NAN), None, None])),
        ),
        (
            "d",
            Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::INFINITY), None, None])),
        ),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, None, None]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, None, None]).with_timezone("UTC")),
        ),
        (
            "ns",
            Arc::new(TimestampNanosecondArray::from(vec![Some(1_000), None, None, None])),
        ),
        (
            "raw",
            Arc::new(BinaryArray::from(vec![
                Some(&b"\0\xff"[..]),
                Some(&b""[..]),
                None,
                None,
            ])),
        ),
        ("tags", Arc::new(tags)),
    ]);
    let file = world.file("things.parquet", file);
    let load = ["-i", &file, "--format", "parquet", "--table", "things"];
    let name = std::fs::canonicalize(&file).unwrap().display().to_string();
    let reasons = format!(
        "line,column,reason,file,constraint\n3,n,integer out of range (integer holds -2147483648 to 2147483647),{name},\n4,name,\"no value, but the column is NOT NULL\",{name},\n"
    );
    let checked = world.enqueue(&[&load[..], &["--check"]].concat()).run().exits(3);
    assert_eq!(checked.stdout, reasons);
    let id = world.enqueue(&load).run().exits(0).id();
    world.drain();
    assert_json(
        &world.status(id),
        &json!({"state": "loaded", "loaded": 2, "rejected": 2}),
    );
    let rows = "SELECT concat_ws('|', quote_literal(name), n, p, f, d, flag, at AT TIME ZONE 'UTC', ns, raw, tags) FROM things ORDER BY n";
    assert_eq!(
        world.texts(rows).await,
        [
            r"E'\\N'|1|-1.50|0.1|0.10000000149011612|t|1970-01-01 00:00:00.000001|1970-01-01 00:00:00.000001|\x00ff|[1, null]",
            r"''|NaN|Infinity|\x",
        ]
    );
    world.enqueue(&["verify", &id.to_string(), &file]).run().exits(0);
    // What was rejected is CSV now, and can be mended.
    let rejects = world.enqueue(&["rejects", &id.to_string()]).run().exits(0);
    let mended = rejects.stdout.replace("3000000000", "3").replace(r"\N,4", "\"x\",4");
    let mended = world.file("mended.csv", mended);
    let (_, command) = rejects.stderr.trim().rsplit_once("-i FILE ").expect("a command");
    let words = shlex::split(command).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.load(&[&["-i", &mended][..], &words].concat());
    assert_eq!(
        world
            .texts("SELECT quote_literal(name) || n FROM things WHERE n > 2 ORDER BY n")
            .await,
        ["'a\n\"b'3", "'x'4"]
    );
}

#[tokio::test]
async fn what_is_no_parquet_file_or_does_not_fit_the_table_is_refused_before_anything_is_stored() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE things (id bigserial PRIMARY KEY, n int, t text); CREATE TABLE days (id bigserial PRIMARY KEY, n date, t text)")
        .await;
    let bytes = parquet(vec![
        ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ("t", Arc::new(StringArray::from(vec!["a", "b"]))),
    ]);
    let good = world.file("good.parquet", &bytes);
    let cut = world.file("cut.parquet", &bytes[..bytes.len() - 5]);
    let csv = world.file("text.csv", "n;t\n1;a\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &bytes).unwrap();
    let gzip = world.file("good.parquet.gz", gzip.finish().unwrap());
    let parquet = ["--format", "parquet", "--table", "things"];
    for (arguments, code, said) in [
        (
            &["-i", &good, "--table", "things"][..],
            1,
            "hint: --format parquet reads it",
        ),
        (&[&["-i", &csv], &parquet[..]].concat(), 1, "this is no Parquet file"),
        (&[&["-i", &cut], &parquet[..]].concat(), 1, "or not the whole of one"),
        (&[&["-i", &gzip], &parquet[..]].concat(), 1, "not compressed as a whole"),
        (
            &[&["-i", &good, "-d", ","], &parquet[..]].concat(),
            2,
            "no meaning with --format parquet",
        ),
        (
            &[&["-i", &good, "--date-format", "DD.MM.YY"], &parquet[..]].concat(),
            2,
            "no meaning with --format parquet",
        ),
        (
            &["-i", &good, "--format", "parquet", "--table", "days"],
            1,
            "its column 'n' holds 64-bit integers, and the table's column n is of date",
        ),
        (
            &["-i", &good, "--format", "parquet"],
            1,
            "'n' (field 1) is not a column",
        ),
    ] {
        world.enqueue(arguments).run().exits(code).says(said);
    }
    world
        .enqueue(&parquet)
        .input(&bytes)
        .run()
        .exits(1)
        .says("must be a regular file");
    assert_eq!(world.imports().await, 0);

    let sniffed = world.enqueue(&["sniff", &good]).run().exits(0);
    for line in [
        "format      Parquet",
        "bigint        by the file's footer",
        "'1'  'a'",
        "--format parquet",
    ] {
        assert!(sniffed.stdout.contains(line), "{line}: {}", sniffed.stdout);
    }
    let sniffed = world.enqueue(&["sniff", &good, "--json"]).run().exits(0).json();
    assert_json(&sniffed, &json!({"format": "parquet", "encoding": null, "records": 2}));
    // A page that is damaged in the middle of the file fails the import, and its rows can be taken out again.
    let mut damaged = parquet_orders("D", 2000);
    let middle = damaged.len() / 2;
    damaged[middle..middle + 200].fill(0xff);
    let damaged = world.file("damaged.parquet", damaged);
    world
        .enqueue(&["-i", &damaged, "--format", "parquet", "--chunk-rows", "100"])
        .run()
        .exits(1)
        .says("row group 2 of 3");
    world.drain();
    let id = world.latest_import().await;
    world.undo(id, &[]);
    assert_eq!(world.sale_orders().await, 0);
}
