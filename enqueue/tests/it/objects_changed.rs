//! Of a source by reference nothing is loaded but what the submitter saw; what cannot be by reference is refused.

use std::{fs, io::Write as _};

use crate::support::{
    Call, World, assert_json,
    by_reference::{PATIENT, kinds},
    objects::{ACCESS_KEY, SECRET, SESSION_TOKEN, bucket, long_orders},
    orders,
    unreliable::Faults,
    until_true,
    website::{GOOD, Website},
};
use serde_json::json;
use testkit::TestServer;

impl World {
    /// An import ended as failed, and says of its source that it changed; `cancel` takes back what there is.
    async fn failed_because_it_changed(&self, import: i64, name: &str) {
        self.until_state(import, "failed").await;
        let errors = self.errors(import).await;
        assert!(errors.contains(name) && errors.contains("changed"), "{errors}");
        let shown = self.run(&["status", &import.to_string()]).await.stdout;
        assert!(shown.contains(name) && shown.contains("changed"), "{shown}");
        self.assert_no_payload().await;
    }
}

// What it must be -------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changed_before_it_is_loaded_is_refused() {
    let (world, bucket) = (World::new().await, bucket!());
    let other = world.load_orders("other", 50, &[]);
    for (name, before, after, options) in kinds() {
        let url = bucket.url(name);
        bucket.put(name, before.as_bytes()).await;
        let id = world.by_reference(&url, &options).with(&bucket).run().exits(0).id();
        bucket.put(name, after.as_bytes()).await;
        let worker = world.allowed(&bucket.all(), &PATIENT).with(&bucket).start();
        world.failed_because_it_changed(id, &url).await;
        drop(worker);
        assert_eq!(world.shops().await, ["other"], "{name}");
        // What it was is loaded when it is back.
        bucket.put(name, before.as_bytes()).await;
        let worker = world.allowed(&bucket.all(), &PATIENT).with(&bucket).start();
        let retried = world.run(&["retry", &id.to_string(), "--wait"]).await;
        let id = if retried.code == Some(0) {
            id
        } else {
            // Where workers had to split it, chunks are missing.
            let finished = retried.says("cancel it and submit the file again");
            assert_eq!(finished.code, Some(1), "{finished:#?}");
            world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
            let again = world.by_reference(&url, &options).with(&bucket).start().finished();
            let again = again.await.exits(0).id();
            world.until_state(again, "loaded").await;
            again
        };
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 6_000}));
        drop(worker);
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
        assert_eq!(world.shops().await, ["other"], "{name}");
    }
    world.assert_settled(other, "loaded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_object_that_changes_while_it_is_loaded_nothing_new_is_loaded() {
    for (name, before, after, options) in kinds() {
        let (world, bucket) = (World::new().await, bucket!());
        let url = bucket.url(name);
        bucket.put(name, before.as_bytes()).await;
        world.load_orders("other", 50, &[]);
        let id = world.by_reference(&url, &options).with(&bucket).run().exits(0).id();
        bucket.network.hold_from(before.len() as u64 / 2);
        let worker = world.allowed(&bucket.all(), &PATIENT).with(&bucket).start();
        bucket.network.until_held().await;
        bucket.put(name, after.as_bytes()).await;
        bucket.network.release();
        world.failed_because_it_changed(id, &url).await;
        drop(worker);
        assert!(!world.shops().await.contains(&"B".to_owned()), "{name}");
        world.assert_settled(id, "failed").await;
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
        assert_eq!(
            (world.shops().await, world.sale_orders().await),
            (vec!["other".to_owned()], 50),
            "{name}"
        );
        world.assert_settled(id, "cancelled").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_or_nothing_what_was_loaded_before_it_changed_is_taken_out_by_itself() {
    let (world, bucket) = (World::new().await, bucket!());
    for (name, before, after, options) in kinds() {
        bucket.put(name, before.as_bytes()).await;
        let options = [&options[..], &["--all-or-nothing"]].concat();
        let id = world
            .by_reference(&bucket.url(name), &options)
            .with(&bucket)
            .run()
            .exits(0)
            .id();
        bucket.network.hold_from(before.len() as u64 / 2);
        let worker = world.allowed(&bucket.all(), &PATIENT).with(&bucket).start();
        bucket.network.until_held().await;
        bucket.put(name, after.as_bytes()).await;
        bucket.network.release();
        world.assert_settled(id, "cancelled").await;
        assert_eq!(world.sale_orders().await, 0, "{name}");
        let shown = world.run(&["status", &id.to_string()]).await.stdout;
        assert!(shown.contains("changed"), "{shown}");
        drop(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_while_the_submitter_splits_it_is_refused() {
    let (world, bucket) = (World::new().await, bucket!());
    let content = long_orders("A", 40 * 1024);
    let half = content.len() as u64 / 2;
    bucket.put("a.csv", content).await;
    bucket.network.hold_from(half);
    let submitter = world
        .by_reference(&bucket.url("a.csv"), &["--chunk-rows", "1000"])
        .with(&bucket)
        .start();
    bucket.network.until_held().await;
    bucket.put("a.csv", long_orders("B", 40 * 1024)).await;
    bucket.network.release();
    let finished = submitter.finished().await.exits(1);
    assert!(
        finished.stderr.contains("a.csv") && finished.stderr.contains("changed"),
        "{finished:#?}"
    );
    world.assert_no_payload().await;
    let states = world.texts("SELECT state::text FROM pgimport.import").await;
    assert!(states.iter().all(|state| state == "failed"), "{states:?}");
    // Whatever of the first half might be loaded is gone, too.
    let worker = world.allowed(&bucket.all(), &[]).with(&bucket).start();
    if !states.is_empty() {
        let id = world.latest_import().await;
        world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
    }
    drop(worker);
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_object_that_changes_while_workers_split_it_nothing_new_is_loaded() {
    for versions in [false, true] {
        let (world, bucket) = (World::new().await, bucket!());
        if versions {
            bucket.keep_versions().await;
        }
        // Several parts, of which the first ones are split before.
        const ROWS: usize = 12 * 1024;
        let content = long_orders("A", ROWS);
        let half = content.len() as u64 / 2;
        bucket.put("a.csv", content).await;
        let url = bucket.url("a.csv");
        let options = ["--quote", "none", "--chunk-rows", "500"];
        let id = world.by_reference(&url, &options).with(&bucket).run().exits(0).id();
        bucket.network.hold_from(half);
        let worker = world.allowed(&bucket.all(), &PATIENT).with(&bucket).start();
        bucket.network.until_held().await;
        world.until_some("pgimport.import_chunk").await;
        bucket.put("a.csv", long_orders("B", ROWS)).await;
        bucket.network.release();
        if versions {
            // The version that the submitter saw is still there; it is loaded whole, or refused.
            until_true("it ends", async || {
                matches!(world.state(id).await.as_str(), "loaded" | "failed")
            })
            .await;
        }
        let state = world.state(id).await;
        println!("versions kept: {versions}, {state}");
        if versions && state == "loaded" {
            assert_eq!(world.sale_orders().await, i64::try_from(ROWS).unwrap());
        } else {
            world.failed_because_it_changed(id, &url).await;
        }
        drop(worker);
        assert_eq!(world.count("sale_order WHERE \"PointOfSale\" = 'B'").await, 0);
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
        assert_eq!(world.sale_orders().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_under_the_same_etag_are_refused() {
    let (world, site) = (World::new().await, Website::new(GOOD).await);
    let content = orders("A", 2_000);
    site.put("/a.csv", content.clone());
    let url = site.url("/a.csv");
    let id = world.by_reference(&url, &["--chunk-rows", "100"]).run().exits(0).id();
    // One digit, far behind the beginning.
    let at = content.rfind(";1500\n").unwrap();
    let mut other = content.into_bytes();
    other[at + 1] = b'2';
    site.tamper("/a.csv", other);
    let worker = world.allowed(&site.url("/"), &PATIENT).start();
    world.failed_because_it_changed(id, &url).await;
    drop(worker);
    let status = world.status(id);
    assert_json(&status, &json!({"loaded": 1_900}));
    assert_eq!(world.count("sale_order WHERE \"Stock\" BETWEEN 1500 AND 1599").await, 0);
    assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_or_is_gone_is_refused() {
    let world = World::new().await;
    let prefix = world.dir().to_str().unwrap().to_owned();
    for (name, before, after, options) in kinds() {
        let longer = format!("{before}{}", before.lines().last().unwrap());
        for change in [Some(after), Some(longer), None] {
            let file = world.file(name, &before);
            let id = world.by_reference(&file, &options).run().exits(0).id();
            match &change {
                Some(content) => drop(world.file(name, content)),
                None => fs::remove_file(&file).unwrap(),
            }
            let worker = world.allowed(&prefix, &["--retry-for", "0"]).start();
            if change.is_some() {
                world.failed_because_it_changed(id, &file).await;
            } else {
                world.until_state(id, "failed").await;
                let errors = world.errors(id).await;
                assert!(errors.contains(&file), "{errors}");
            }
            drop(worker);
            assert_eq!(world.sale_orders().await, 0, "{file}");
            world.undo(id, &[]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_gone_is_named() {
    let (world, bucket) = (World::new().await, bucket!());
    for (name, before, _, options) in kinds() {
        let url = bucket.url(name);
        bucket.put(name, before).await;
        let id = world.by_reference(&url, &options).with(&bucket).run().exits(0).id();
        bucket.delete(name).await;
        let worker = world
            .allowed(&bucket.all(), &["--retry-for", "0"])
            .with(&bucket)
            .start();
        world.until_state(id, "failed").await;
        drop(worker);
        let errors = world.errors(id).await;
        assert!(errors.contains(&url), "{errors}");
        world.undo(id, &[]);
    }
    assert_eq!(world.sale_orders().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_object_by_reference_is_one_import_and_an_overwritten_one_is_another() {
    let (world, bucket) = (World::new().await, bucket!());
    for (name, before, after, options) in kinds() {
        let submit = || {
            world
                .by_reference(&bucket.url(name), &options)
                .with(&bucket)
                .run()
                .exits(0)
                .id()
        };
        let load = || world.allowed(&bucket.all(), &["--drain"]).with(&bucket).run().exits(0);
        bucket.put(name, before.as_bytes()).await;
        let first = submit();
        assert_eq!(submit(), first);
        load();
        assert_eq!(submit(), first);
        bucket.put(name, after.as_bytes()).await;
        let second = submit();
        assert_ne!(second, first);
        load();
        assert_eq!(world.sale_orders().await, 12_000, "{name}");
        world.undo(first, &[]);
        assert_eq!(world.shops().await, ["B"]);
        world.undo(second, &[]);
        assert_eq!(world.sale_orders().await, 0);
    }
}

// What cannot be, and what ends early -----------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cut_into_ranges_of_bytes_is_refused_with_the_reason() {
    let (world, bucket) = (World::new().await, bucket!());
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(orders("A", 100).as_bytes()).unwrap();
    let wide: Vec<u8> = format!("\u{feff}{}", orders("A", 100))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    // Its beginning and its end are those of a Parquet file.
    let parquet = [b"PAR1".as_slice(), &[0; 64], b"PAR1"].concat();
    let latin = orders("caf\u{e9}", 10).replace('\u{e9}', "e");
    for (name, content, options, reason) in [
        ("zipped", zipped.finish().unwrap(), &[][..], "gzip"),
        ("wide", wide, &[], "UTF-16"),
        (
            "latin",
            latin.into_bytes(),
            &["--encoding", "windows-1252"],
            "windows-1252",
        ),
        ("parquet", parquet, &["--format", "parquet"], "Parquet"),
    ] {
        bucket.put(name, content.clone()).await;
        let file = world.file(name, &content);
        for source in [bucket.url(name), file] {
            let finished = world.by_reference(&source, options).with(&bucket).run();
            finished.refuses(&[reason, "reference"]);
        }
    }
    let finished = world.enqueue(&["--by-reference"]).input(orders("A", 1)).run();
    finished.refuses(&["--by-reference"]);
    let finished = world
        .enqueue(&["--by-reference", "-i", "-"])
        .input(orders("A", 1))
        .run();
    finished.refuses(&["--by-reference"]);
    assert_eq!(world.count("pgimport.import WHERE state <> 'failed'").await, 0);
    assert_eq!(world.count("pgimport.import_chunk").await, 0);
    world.assert_no_payload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_leaves_nothing() {
    for (name, before, _, options) in kinds() {
        let (world, bucket) = (World::new().await, bucket!());
        bucket.put(name, before.as_bytes()).await;
        world.load_orders("other", 50, &[]);
        let id = world
            .by_reference(&bucket.url(name), &options)
            .with(&bucket)
            .run()
            .exits(0)
            .id();
        bucket.network.hold_from(before.len() as u64 / 2);
        let worker = world.allowed(&bucket.all(), &PATIENT).with(&bucket).start();
        bucket.network.until_held().await;
        world.run(&["cancel", &id.to_string()]).await.exits(0);
        bucket.network.release();
        world.assert_settled(id, "cancelled").await;
        assert_eq!(
            (world.shops().await, world.sale_orders().await),
            (vec!["other".to_owned()], 50),
            "{name}"
        );
        world.assert_no_job_stranded().await;
        drop(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_that_is_killed_while_it_splits_is_taken_over() {
    let (world, bucket) = (World::new().await, bucket!());
    let content = long_orders("A", 40 * 1024);
    let half = content.len() as u64 / 2;
    bucket.put("a.csv", content).await;
    let url = bucket.url("a.csv");
    bucket.network.hold_from(half);
    let mut submitter = world
        .by_reference(&url, &["--chunk-rows", "1000"])
        .with(&bucket)
        .start();
    bucket.network.until_held().await;
    submitter.kill();
    bucket.network.release();
    let again = world
        .by_reference(&url, &["--chunk-rows", "1000"])
        .with(&bucket)
        .run()
        .exits(0);
    world.allowed(&bucket.all(), &["--drain"]).with(&bucket).run().exits(0);
    assert_json(
        &world.status(again.id()),
        &json!({"state": "loaded", "loaded": 40 * 1024}),
    );
    assert_eq!((world.sale_orders().await, world.imports().await), (40 * 1024, 1));
    world.assert_no_payload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_workers_are_nowhere_to_be_seen() {
    let server = TestServer::start().await;
    let (world, bucket) = (World::on(&server).await, bucket!());
    let mut seen = Vec::new();
    for (name, before, after, options) in kinds() {
        let url = bucket.url(name);
        bucket.put(name, before.as_bytes()).await;
        let traced = |call: Call| call.with(&bucket).env("RUST_LOG", "trace");
        let submitted = traced(world.by_reference(&url, &options)).run().exits(0);
        bucket.network.fail(Faults::EveryFirst);
        let worker = traced(world.allowed(&bucket.all(), &["--drain"])).run().exits(0);
        assert!(worker.stderr.contains("TRACE"), "nothing is traced");
        seen.extend([format!("{submitted:?}"), format!("{worker:?}")]);
        // And what is said of faults.
        let id = traced(world.by_reference(&url, &[&options[..], &["--force"]].concat()))
            .run()
            .exits(0)
            .id();
        bucket.network.fail(Faults::None);
        bucket.put(name, after.as_bytes()).await;
        let worker = traced(world.allowed(&bucket.all(), &["--drain"])).run().exits(0);
        let status = world.enqueue(&["status", &id.to_string(), "--json"]).run();
        seen.extend([format!("{worker:?}"), format!("{status:?}")]);
    }
    seen.push(world.all_that_is_stored().await);
    seen.push(server.log());
    for (place, text) in seen.iter().enumerate() {
        for secret in [SECRET, SESSION_TOKEN, ACCESS_KEY] {
            assert!(!text.contains(secret), "'{secret}' in place {place}");
        }
    }
}
