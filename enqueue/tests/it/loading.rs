//! From a submission to rows: files and streams, workers in other processes, back-pressure.

use std::{io::Write as _, process::Command};

use crate::support::{World, assert_json, orders, until_true};
use serde_json::json;

#[tokio::test]
async fn a_file_is_loaded_by_a_worker_in_another_process_while_its_submitter_waits() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 250));
    let _worker = world.worker(&[]).start();
    let output = world
        .enqueue(&["-i", &file, "--wait", "--chunk-rows", "100"])
        .run()
        .exits(0);
    let status = world.status(output.id());
    assert_json(
        &status,
        &json!({"state": "loaded", "records": 250, "loaded": 250, "rejected": 0, "chunks": 3}),
    );
    assert_eq!(world.sale_orders().await, 250);
    let output = output.says("import 1: loaded").says("250 into public.sale_order");
    assert!(
        output.stderr.contains("enqueue cancel 1"),
        "how to undo it: {output:#?}"
    );
}

/// COPY's end would wait for the confirmation of its data; not so on a socket, nor after much data.
#[tokio::test]
async fn over_tcp_small_chunks_go_by_insert_where_copy_was_asked_for() {
    let copies = async |world: &World, rows: usize| {
        let file = world.file("orders.csv", orders(&format!("{rows}"), rows));
        world.enqueue(&["-i", &file, "--load-method", "copy"]).run().exits(0);
        world.drain();
        let of_database = format!(" {} LOG: ", world.db.credentials().database);
        let log = world.db.log();
        let copies = log
            .lines()
            .filter(|line| line.contains(&of_database) && line.contains(": COPY public.sale_order"));
        (copies.count(), world.sale_orders().await)
    };
    assert_eq!(copies(&World::new().await, 100).await, (1, 100));
    let world = World::new().await.over_tcp();
    assert_eq!(copies(&world, 100).await, (0, 100));
    assert_eq!(copies(&world, 30_000).await, (1, 30_100));
    for id in ["1", "2"] {
        world.enqueue(&["cancel", id]).run().exits(0);
    }
    world.drain();
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test]
async fn whoever_waits_is_told_that_no_worker_is_alive() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    let waiting = world.enqueue(&["-i", &file, "--wait"]).start();
    waiting.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    world.drain();
    waiting.finish().exits(0);
}

#[tokio::test]
async fn without_wait_the_id_alone_is_on_standard_output_and_nothing_on_standard_error() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    let output = world.enqueue(&["-i", &file]).run().exits(0);
    assert_eq!((output.id(), output.stderr.as_str()), (1, ""));
    assert_json(
        &world.status(1),
        &json!({"state": "loading", "records": 3, "loaded": 0}),
    );
    world.drain();
    assert_json(&world.status(1), &json!({"state": "loaded", "records": 3, "loaded": 3}));
}

#[tokio::test]
async fn the_file_is_not_needed_once_it_was_submitted() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    world.enqueue(&["-i", &file]).run().exits(0);
    std::fs::remove_file(file).unwrap();
    world.drain();
    assert_eq!(world.sale_orders().await, 3);
}

#[tokio::test]
async fn two_workers_share_the_chunks_of_one_import() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 400));
    world.enqueue(&["-i", &file, "--chunk-rows", "10"]).run().exits(0);
    let workers = [(); 2].map(|()| world.worker(&["--drain", "--concurrency", "1"]).start());
    for worker in workers {
        worker.finish().exits(0);
    }
    assert_json(
        &world.status(1),
        &json!({"state": "loaded", "records": 400, "loaded": 400, "chunks": 40}),
    );
    assert_eq!(
        world.number("SELECT count(DISTINCT \"Product\") FROM sale_order").await,
        400
    );
}

#[tokio::test]
async fn standard_input_is_loaded_like_a_file() {
    let world = World::new().await;
    for arguments in [&["--wait"][..], &["-i", "-", "--wait"]] {
        let waiting = world.enqueue(arguments).input(orders("A", 5)).start();
        until_true("it is submitted", async || {
            world
                .number("SELECT count(*) FROM pgimport.import WHERE split_at IS NOT NULL AND ended_at IS NULL")
                .await
                == 1
        })
        .await;
        world.drain();
        waiting.finish().exits(0).id();
    }
    assert_eq!(world.sale_orders().await, 10);
    assert_eq!(
        world.texts("SELECT DISTINCT source FROM pgimport.import").await,
        ["standard input"]
    );
}

#[tokio::test]
async fn a_shell_pipeline_without_header_is_loaded() {
    let world = World::new().await;
    world.file("orders.csv", orders("A", 30));
    let id = Command::new("sh")
        .args([
            "-c",
            r#"tail -n +2 orders.csv | head -n 10 | sort -r | "$0" --no-header"#,
        ])
        .arg(env!("CARGO_BIN_EXE_enqueue"))
        .current_dir(world.path(""))
        .env("DATABASE_URL", world.db.url())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&id.stdout), "1\n", "{id:?}");
    world.drain();
    assert_json(&world.status(1), &json!({"state": "loaded", "loaded": 10}));
    assert_eq!(world.number("SELECT max(\"Stock\")::bigint FROM sale_order").await, 9);
}

#[tokio::test]
async fn chunks_of_a_stream_are_loaded_before_its_end() {
    let world = World::new().await;
    let mut submitting = world.enqueue(&["--chunk-rows", "2"]).pipe().start();
    let mut pipe = submitting.stdin();
    pipe.write_all(orders("A", 5).as_bytes()).unwrap();
    let _worker = world.worker(&[]).start();
    until_true("the first chunks are loaded", async || world.sale_orders().await == 4).await;
    assert_json(&world.status(1), &json!({"state": "splitting", "loaded": 4}));
    drop(pipe);
    submitting.finish().exits(0);
    until_true("the last chunk is loaded", async || world.sale_orders().await == 5).await;
}

#[tokio::test]
async fn json_has_the_same_keys_from_a_submission_and_from_status() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    let submitted = world.enqueue(&["-i", &file, "--json"]).run().exits(0).json();
    assert_json(
        &submitted,
        &json!({"import_id": 1, "state": "loading", "records": 3, "loaded": 0, "rejected": 0, "chunks": 1}),
    );
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&submitted), keys(&world.status(1)));
    world.drain();
    let list = world.enqueue(&["status", "--json"]).run().exits(0).json();
    assert_eq!(list["imports"][0]["loaded"], 3);
    assert_eq!(list["workers"], json!([]));
}

#[tokio::test]
async fn status_tells_that_there_is_nothing_yet_and_who_works() {
    let world = World::new().await;
    let empty = world.enqueue(&["status"]).run().exits(0);
    assert!(
        empty.stdout.contains("none yet") && empty.stdout.contains("workers: 0"),
        "{empty:#?}"
    );
    let _worker = world.worker(&[]).start();
    until_true("the worker is listed", async || {
        let listed = world.enqueue(&["status"]).run().exits(0);
        listed.stdout.contains("workers: 1") && listed.stdout.contains("idle")
    })
    .await;
}

#[tokio::test]
async fn status_watch_follows_an_import_to_its_end() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    world.enqueue(&["-i", &file]).run().exits(0);
    let watching = world.enqueue(&["status", "1", "--watch", "--json"]).start();
    world.drain();
    assert_json(
        &watching.finish().exits(0).json(),
        &json!({"state": "loaded", "loaded": 3}),
    );
}

#[tokio::test]
async fn an_input_of_no_bytes_is_an_import_of_no_records() {
    let world = World::new().await;
    let empty = world.file("empty.csv", "");
    // No worker is needed for it.
    let output = world.enqueue(&["-i", &empty, "--wait", "--json"]).run().exits(0);
    assert_json(
        &output.json(),
        &json!({"state": "loaded", "records": 0, "loaded": 0, "chunks": 0}),
    );
    let stream = world
        .enqueue(&["--wait", "--no-header", "--json"])
        .input("")
        .run()
        .exits(0);
    assert_json(
        &stream.json(),
        &json!({"import_id": 2, "state": "loaded", "records": 0}),
    );
}

#[tokio::test]
async fn a_header_alone_is_an_import_of_no_records() {
    let world = World::new().await;
    for header in [
        "PointOfSale;Product;Date;Stock",
        "PointOfSale;Product;Date;Stock\r\n\r\n",
    ] {
        let file = world.file("header.csv", header);
        let output = world.enqueue(&["-i", &file, "--wait", "--json"]).run().exits(0);
        assert_json(&output.json(), &json!({"state": "loaded", "records": 0}));
    }
}

#[tokio::test]
async fn a_submission_waits_for_workers_and_says_when_there_is_none() {
    let world = World::new().await;
    // Several batches of the intake, so that the first one can already be too much.
    let mut text = "PointOfSale;Product;Date;Stock\n".to_owned();
    for row in 0..220_000_u64 {
        // Hard to compress: what waits is counted as it is stored.
        let noise = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!(
            "{noise:016x};{:016x};2025-01-01;{row}\n",
            noise.rotate_left(29)
        ));
    }
    let file = world.file("orders.csv", text);
    let submitting = world
        .enqueue(&["-i", &file, "--max-pending", "64K", "--chunk-rows", "20000"])
        .start();
    submitting.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    assert_json(&world.status(1), &json!({"state": "splitting", "loaded": 0}));
    let _worker = world.worker(&[]).start();
    let output = submitting.finish().exits(0);
    assert_eq!(output.id(), 1);
    until_true("everything is loaded", async || world.status(1)["state"] == "loaded").await;
    assert_json(&world.status(1), &json!({"records": 220_000, "loaded": 220_000}));
}

#[tokio::test]
async fn a_record_that_is_too_long_fails_the_import_and_its_line_is_named() {
    let world = World::new().await;
    let file = world.file(
        "orders.csv",
        format!("{}B;{};2025-01-01;1\n", orders("A", 1), "y".repeat(3000)),
    );
    let output = world
        .enqueue(&["-i", &file, "--max-record", "2K", "--wait"])
        .run()
        .exits(1)
        .says("the record at line 3 (byte ")
        .says("is longer than 2048 bytes")
        .says("orders.csv");
    assert_eq!(output.id(), 1);
    assert_json(&world.status(1), &json!({"state": "failed"}));
    assert!(world.status(1)["error"].as_str().unwrap().contains("line 3"));
}
