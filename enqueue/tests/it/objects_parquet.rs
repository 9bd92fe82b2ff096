//! Parquet objects are copied to this machine, over a network that fails, and are what such files are; of the copies nothing is left.

use std::{fs, path::PathBuf};

use crate::support::{
    Call, Proc, World, assert_json,
    objects::{Bucket, bucket},
    orders,
    parquet::{long_parquet_orders, parquet_orders},
    unreliable::Faults,
    until_true,
    website::{GOOD, Website},
};
use serde_json::json;

/// So many rows that their file is read in several parts.
const ROWS: usize = 10 * 1024;

impl World {
    /// A submission whose copies are in a directory of their own.
    fn copies_to(&self, directory: &str, arguments: &[&str]) -> Call {
        let directory = self.path(directory);
        fs::create_dir_all(&directory).unwrap();
        self.enqueue(arguments).env("TMPDIR", directory)
    }

    fn submits(&self, bucket: &Bucket, source: &str, options: &[&str]) -> Call {
        let all = [&["-i", source, "--format", "parquet"], options].concat();
        self.copies_to("copies", &all).with(bucket)
    }

    #[track_caller]
    fn assert_no_copy(&self) {
        let left: Vec<_> = fs::read_dir(self.path("copies")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Starts a submission, and waits until it has begun its copy and is kept from going on.
    async fn held_in_the_middle(&self, bucket: &Bucket, name: &str) -> Proc {
        let content = long_parquet_orders("A", ROWS);
        let half = content.len() as u64 / 2;
        assert!(half > 4 << 20, "a part is all of it");
        bucket.put(name, content).await;
        bucket.network.hold_from(half);
        let submitter = self.submits(bucket, &bucket.url(name), &[]).start();
        bucket.network.until_held().await;
        let copies = self.path("copies").canonicalize().unwrap();
        until_true("a copy is begun", async || {
            open_files(&submitter).iter().any(|file| file.starts_with(&copies))
        })
        .await;
        submitter
    }
}

/// What a process has open, also where it has no name any more.
fn open_files(process: &Proc) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap();
    open.filter_map(|file| fs::read_link(file.unwrap().path()).ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_those_of_the_same_file_over_a_network_that_fails() {
    let (world, bucket) = (World::new().await, bucket!());
    let content = long_parquet_orders("A", ROWS);
    let file = world.file("orders.parquet", &content);
    world.load(&["-i", &file, "--format", "parquet"]);
    bucket.put("orders.parquet", content).await;
    let url = bucket.url("orders.parquet");
    bucket.network.fail(Faults::Half);
    let submit = || world.submits(&bucket, &url, &["--chunk-rows", "1000"]).run();
    let id = submit().exits(0).id();
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": ROWS}));
    let each =
        "SELECT DISTINCT count(*)::text FROM sale_order GROUP BY \"PointOfSale\", \"Product\", \"Date\", \"Stock\"";
    assert_eq!(world.texts(each).await, ["2"]);

    // It is known by its address and its pin.
    bucket.network.fail(Faults::None);
    assert_eq!(submit().exits(0).says("(loaded)").id(), id);
    let verify = ["verify", &id.to_string(), &url];
    world.enqueue(&verify).with(&bucket).run().exits(0);
    bucket.put("orders.parquet", parquet_orders("B", 10)).await;
    world.enqueue(&verify).with(&bucket).run().exits(1);
    let other = submit().exits(0).id();
    assert_ne!(other, id);
    world.drain();
    assert_eq!(world.shops().await, ["A", "B"]);
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
    world.assert_no_copy();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_below_a_prefix_are_one_import_or_one_each() {
    let (world, bucket) = (World::new().await, bucket!());
    for shop in ["a", "b", "c"] {
        bucket
            .put(&format!("day/{shop}.parquet"), parquet_orders(shop, 1000))
            .await;
    }
    bucket.put("day/none.parquet", parquet_orders("d", 0)).await;
    bucket.network.fail(Faults::EveryFirst);
    let url = bucket.url("day/");
    let id = world
        .submits(&bucket, &url, &["--chunk-rows", "300"])
        .run()
        .exits(0)
        .id();
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 3000}));
    assert_eq!(world.shops().await, ["a", "b", "c"]);
    world.undo(id, &[]);

    let pattern = bucket.url("day/*.parquet");
    let each = ["--each", "--create-table", "--table", "made"];
    world.submits(&bucket, &pattern, &each).run().exits(0);
    world.drain();
    assert_eq!((world.imports().await, world.count("made").await), (5, 3000));
    let types = world.columns("made").await;
    assert!(
        types.iter().any(|column| column.starts_with("Stock bigint")),
        "{types:?}"
    );
    world.assert_no_copy();
}

#[tokio::test(flavor = "multi_thread")]
async fn sniff_and_check_read_them_and_so_does_a_web_server() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a", parquet_orders("A", 100)).await;
    let url = bucket.url("a");
    let sniffed = world.bare(&["sniff", &url, "--json"]).with(&bucket).run().exits(0);
    assert_json(&sniffed.json(), &json!({"format": "parquet", "records": 100}));
    world.submits(&bucket, &url, &["--check"]).run().exits(0);
    assert_eq!(world.imports().await, 0);
    world
        .enqueue(&["-i", &url])
        .with(&bucket)
        .run()
        .refuses(&["hint: --format parquet reads it"]);

    let site = Website::new(GOOD).await;
    site.put("/a.parquet", parquet_orders("W", 100));
    world.load(&["-i", &site.url("/a.parquet"), "--format", "parquet"]);
    assert_eq!(world.shops().await, ["W"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_there_to_its_end_is_refused_and_stores_nothing() {
    let (world, bucket) = (World::new().await, bucket!());
    let submitter = world.held_in_the_middle(&bucket, "changed").await;
    bucket.put("changed", long_parquet_orders("B", ROWS)).await;
    bucket.network.release();
    submitter
        .finished()
        .await
        .refuses(&[&bucket.url("changed"), "changed since"]);
    let submitter = world.held_in_the_middle(&bucket, "gone").await;
    bucket.delete("gone").await;
    bucket.network.release();
    submitter.finished().await.refuses(&["there is no object"]);

    let whole = parquet_orders("A", 100);
    for (name, content, reason) in [
        ("cut", &whole[..whole.len() - 9], "or not the whole of one"),
        ("text", orders("A", 10).as_bytes(), "this is no Parquet file"),
        ("empty", b"", "this is no Parquet file"),
    ] {
        bucket.put(name, content).await;
        let url = bucket.url(name);
        world.submits(&bucket, &url, &[]).run().refuses(&[&url, reason]);
    }
    assert_eq!(world.imports().await, 0);
    world.assert_no_copy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_that_is_killed_leaves_no_copy_and_the_next_one_loads_it() {
    let (world, bucket) = (World::new().await, bucket!());
    let mut submitter = world.held_in_the_middle(&bucket, "orders").await;
    // The copy has no name from its beginning on.
    world.assert_no_copy();
    submitter.kill();
    world.assert_no_copy();
    bucket.network.release();
    let id = world.submits(&bucket, &bucket.url("orders"), &[]).run().exits(0).id();
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": ROWS}));

    // One that has stored something is gone on with.
    let submits = |options: &[&str]| world.submits(&bucket, &bucket.url("orders"), options);
    world.undo(id, &[]);
    let mut submitter = submits(&["--chunk-rows", "500", "--max-pending", "1K"]).start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    submitter.kill();
    let _worker = world.worker(&[]).start();
    let again = submits(&["--chunk-rows", "500"]).start().finished().await.exits(0);
    let again = again.says("going on in its place").id();
    world.assert_settled(again, "loaded").await;
    assert_eq!(world.sale_orders().await, i64::try_from(ROWS).unwrap());
    world.assert_no_copy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_takes_no_copy_is_named() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a", parquet_orders("A", 10)).await;
    let missing = world.path("missing");
    world
        .submits(&bucket, &bucket.url("a"), &[])
        .env("TMPDIR", &missing)
        .run()
        .refuses(&[&bucket.url("a"), missing.to_str().unwrap(), "TMPDIR"]);
}
