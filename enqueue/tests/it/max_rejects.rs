//! Imports that may not have more rejects than so many, and those that are undone when they fail.

use std::fmt::Write as _;

use crate::support::{World, assert_json};
use serde_json::json;

/// So many records, of which every `bad`th has a day that there is not.
fn orders(rows: usize, bad: usize) -> String {
    let mut text = String::from("PointOfSale;Product;Date;Stock\n");
    for row in 1..=rows {
        let day = if row % bad == 0 { 31 } else { row % 28 + 1 };
        writeln!(text, "A;Product {row};2025-02-{day:02};{row}").expect("a string");
    }
    text
}

#[tokio::test]
async fn as_many_rejects_as_are_allowed_are_none_too_many() {
    let world = World::new().await;
    let file = world.file("a.csv", orders(1_000, 100));
    for (max, state) in [
        ("10", "loaded"),
        ("9", "failed"),
        ("1%", "loaded"),
        ("0.9999%", "failed"),
        ("0", "failed"),
    ] {
        for chunk_rows in ["1000", "100"] {
            let id = world
                .enqueue(&["-i", &file, "--force", "--chunk-rows", chunk_rows, "--max-rejects", max])
                .run()
                .exits(0)
                .id();
            world.drain();
            let status = world.status(id);
            assert_eq!(status["state"], state, "{max}, {chunk_rows}: {status}");
            if state == "failed" {
                let error = status["error"].as_str().unwrap();
                assert!(
                    error.contains(&format!("--max-rejects is {max}: see why with `enqueue rejects {id}`")),
                    "{error}"
                );
                assert!(status["rejected"].as_u64().unwrap() > 0);
            }
            world.undo(id, &[]);
            assert_eq!(world.sale_orders().await, 0);
        }
    }
    for bad in ["-1", "x", "1.2", "101%"] {
        world.run(&["-i", &file, "--max-rejects", bad]).await.exits(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_reject_ends_a_large_import_before_it_was_read_to_its_end() {
    let world = World::new().await;
    let _worker = world.worker(&[]).start();
    let file = world.file("a.csv", orders(200_000, 50_000));
    let failed = world
        .run(&[
            "-i",
            &file,
            "--chunk-rows",
            "500",
            "--max-pending",
            "40K",
            "--max-rejects",
            "0",
            "--wait",
            "--json",
        ])
        .await
        .exits(1);
    assert!(
        failed
            .stderr
            .contains("1 records were rejected, and --max-rejects is 0"),
        "{failed:?}"
    );
    let status = failed.json();
    assert_json(&status, &json!({"state": "failed", "rejected": 1}));
    assert!(status["records"].as_u64().unwrap() < 150_000, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_takes_back_what_was_loaded_whatever_failed() {
    let world = World::new().await;
    world.load_orders("B", 100, &[]);
    let _worker = world.worker(&[]).start();
    let options = ["--chunk-rows", "50", "--all-or-nothing", "--wait", "--json"];
    // Too many rejects, in the middle and at the end.
    let file = world.file("a.csv", orders(1_000, 100));
    for max in ["0", "5", "0.5%"] {
        let call = [&["-i", &file, "--max-rejects", max][..], &options].concat();
        let status = world.run(&call).await.exits(4).json();
        assert_json(&status, &json!({"state": "cancelled", "kept": 0, "missing": 0}));
        assert!(status["error"].as_str().unwrap().contains("--max-rejects"), "{status}");
        assert_eq!(status["loaded"], status["deleted"]);
        assert_eq!(world.sale_orders().await, 100);
    }
    // A file that cannot be split to its end.
    let torn = world.file("torn.csv", orders(1_000, 5_000) + "A;\"" + &"x".repeat(100_000) + "\n");
    let call = [
        &["-i", &torn, "--max-record", "1K", "--stray-quotes", "keep"][..],
        &options,
    ]
    .concat();
    let status = world.run(&call).await;
    assert_eq!(status.code, Some(4), "{status:?}");
    assert_eq!(world.sale_orders().await, 100);
    let fine = world.file("fine.csv", orders(1_000, 5_000));
    assert_json(
        &world
            .run(&[&["-i", &fine][..], &options].concat())
            .await
            .exits(0)
            .json(),
        &json!({"state": "loaded"}),
    );
    assert_eq!(world.sale_orders().await, 1_100);
}

#[tokio::test]
async fn all_or_nothing_is_for_chunks_that_fail_too() {
    let world = World::new().await;
    let file = world.file("a.csv", orders(100, 5_000));
    let id = world
        .enqueue(&["-i", &file, "--chunk-rows", "50", "--all-or-nothing"])
        .run()
        .exits(0)
        .id();
    world
        .execute(&format!(
            "UPDATE pgimport.import_payload SET codec = 'zstd', data = 'x' WHERE import_id = {id} AND ordinal = 1"
        ))
        .await;
    world.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "cancelled", "loaded": 50, "deleted": 50}));
    assert_eq!(world.sale_orders().await, 0);
}
