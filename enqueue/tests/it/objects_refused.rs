//! An object is the one that was seen first, or refused, and so is what cannot be read; credentials are nowhere to be seen.

use std::fs;

use crate::support::{
    Finished, World, assert_json,
    objects::{ACCESS_KEY, Bucket, SECRET, SESSION_TOKEN, bucket, long_orders},
    orders,
    unreliable::Faults,
    website::{GOOD, Website},
};
use serde_json::json;
use testkit::TestServer;

// Which object it is ----------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn the_same_object_is_one_import_and_an_overwritten_one_is_another() {
    let (world, bucket) = (World::new().await, bucket!());
    let url = bucket.url("a.csv");
    let submit = || world.enqueue(&["-i", &url]).with(&bucket).run().exits(0).id();
    bucket.put("a.csv", orders("A", 10)).await;
    let first = submit();
    assert_eq!(submit(), first);
    world.drain();
    assert_eq!(submit(), first);
    assert_eq!((world.sale_orders().await, world.imports().await), (10, 1));

    bucket.put("a.csv", orders("B", 7)).await;
    let second = submit();
    assert_ne!(second, first);
    world.drain();
    assert_eq!((world.sale_orders().await, world.imports().await), (17, 2));
    assert_json(&world.undo(first, &[]), &json!({"state": "cancelled"}));
    assert_eq!(world.shops().await, ["B"]);
}

/// An object is put anew when its first half has been read.
async fn overwritten_in_the_middle(bucket: &Bucket, world: &World, faults: Faults) -> Finished {
    let content = long_orders("A", 40 * 1024);
    let half = content.len() as u64 / 2;
    bucket.put("moving.csv", content).await;
    bucket.network.fail(faults);
    bucket.network.hold_from(half);
    let submitter = world.enqueue(&["-i", &bucket.url("moving.csv")]).with(bucket).start();
    bucket.network.until_held().await;
    // As long as before, so that no length gives it away.
    bucket.put("moving.csv", long_orders("B", 40 * 1024)).await;
    bucket.network.release();
    submitter.finished().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_while_it_is_read_is_refused() {
    for faults in [Faults::None, Faults::Half, Faults::EveryFirst] {
        let (world, bucket) = (World::new().await, bucket!());
        let finished = overwritten_in_the_middle(&bucket, &world, faults).await.exits(1);
        assert!(
            finished.stderr.contains("moving.csv") && finished.stderr.contains("changed"),
            "{finished:#?}"
        );
        world.drain();
        let states = world.texts("SELECT state::text FROM pgimport.import").await;
        assert!(states.iter().all(|state| state == "failed"), "{states:?}");
        // Never rows of both.
        assert_eq!(world.count("sale_order WHERE \"PointOfSale\" = 'B'").await, 0);
        if let [_] = states[..] {
            let id = world.latest_import().await;
            assert_json(&world.undo(id, &[]), &json!({"state": "cancelled"}));
        }
        assert_eq!(world.sale_orders().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_that_keeps_versions_the_one_seen_first_is_read_or_refused() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.keep_versions().await;
    let finished = overwritten_in_the_middle(&bucket, &world, Faults::None).await;
    if finished.code == Some(0) {
        world.drain();
        assert_eq!(world.count("sale_order WHERE \"PointOfSale\" = 'A'").await, 40 * 1024);
    } else {
        assert!(
            finished.code == Some(1) && finished.stderr.contains("moving.csv") && finished.stderr.contains("changed"),
            "{finished:#?}"
        );
    }
    assert_eq!(world.count("sale_order WHERE \"PointOfSale\" = 'B'").await, 0);
}

// What is refused -------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_for_us_is_named_and_nothing_is_stored() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("there.csv", orders("A", 1)).await;
    let call = |url: &str| world.enqueue(&["-i", url]).with(&bucket);

    call(&bucket.url("missing.csv"))
        .run()
        .refuses(&[&bucket.url("missing.csv")]);
    call("s3://no-such-bucket/a.csv")
        .run()
        .refuses(&["s3://no-such-bucket/a.csv"]);
    call(&bucket.url(""))
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1/")
        .run()
        .refuses(&["s3://"]);
    let there = bucket.url("there.csv");
    call(&there)
        .env("AWS_ACCESS_KEY_ID", "AKIDOFNOBODY")
        .run()
        .refuses(&[&there, "credentials", "AWS_"]);
    call("s3://").run().refuses(&["s3://"]);
    call("s3:///a.csv").run().refuses(&["s3://", "bucket"]);
    world
        .bare(&["sniff", &bucket.url("missing.csv")])
        .with(&bucket)
        .run()
        .refuses(&["missing.csv"]);
    assert_eq!(world.imports().await, 0);
    assert_eq!(world.number("SELECT count(*) FROM pgimport.import_payload").await, 0);

    // Where there are none, it is as with an empty directory or a pattern that fits nothing.
    let pattern = world.path("none/*.csv");
    let of_file = world.enqueue(&["-i", pattern.to_str().unwrap()]).run();
    let of_object = call(&bucket.url("none/*.csv")).run();
    assert_eq!(of_object.code, of_file.code, "{of_object:#?} {of_file:#?}");
    assert!(of_object.stderr.contains("none/*.csv"), "{of_object:#?}");
    assert_eq!(world.imports().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheme_that_nobody_knows_is_refused_with_those_that_are_known() {
    let world = World::new().await;
    let url = "ftp://example.org/a.csv";
    for options in [&[][..], &["--each"], &["--check"]] {
        let arguments = [&["-i", url], options].concat();
        world.enqueue(&arguments).run().refuses(&[url, "s3://", "https://"]);
    }
    assert_eq!(world.imports().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_be_encrypted_is_refused_and_it_is_said_what_allows_it() {
    let (world, bucket) = (World::new().await, bucket!());
    bucket.put("a.csv", orders("A", 1)).await;
    let url = bucket.url("a.csv");
    let call = world.enqueue(&["-i", &url]).with(&bucket);
    call.env_remove("AWS_ALLOW_HTTP")
        .run()
        .refuses(&[&url, "AWS_ALLOW_HTTP"]);
    assert!(bucket.network.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_of_an_object_that_is_killed_is_gone_on_with() {
    let (world, bucket) = (World::new().await, bucket!());
    let content = long_orders("A", 40 * 1024);
    let half = content.len() as u64 / 2;
    bucket.put("a.csv", content).await;
    let url = bucket.url("a.csv");
    bucket.network.hold_from(half);
    let mut submitter = world
        .enqueue(&["-i", &url, "--chunk-rows", "1000"])
        .with(&bucket)
        .start();
    bucket.network.until_held().await;
    world.until_some("pgimport.import_chunk").await;
    submitter.kill();
    bucket.network.release();
    let again = world
        .enqueue(&["-i", &url, "--chunk-rows", "1000"])
        .with(&bucket)
        .run()
        .exits(0);
    world.drain();
    assert_json(
        &world.status(again.id()),
        &json!({"state": "loaded", "loaded": 40 * 1024}),
    );
    assert_eq!((world.sale_orders().await, world.imports().await), (40 * 1024, 1));
}

// Credentials -----------------------------------------------------------------------------------------------------

/// The arguments of every process there is.
fn processes() -> String {
    let each = fs::read_dir("/proc").unwrap().flatten();
    let arguments = each.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned() + "\n")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_nowhere_to_be_seen() {
    let server = TestServer::start().await;
    let (world, bucket) = (World::on(&server).await, bucket!());
    let content = long_orders("A", 20 * 1024);
    let half = content.len() as u64 / 2;
    bucket.put("a.csv", content).await;
    let traced = |arguments: &[&str]| world.enqueue(arguments).with(&bucket).env("RUST_LOG", "trace");
    let mut seen = Vec::new();
    bucket.network.fail(Faults::EveryFirst);
    bucket.network.hold_from(half);
    let submitter = traced(&["-i", &bucket.url("a.csv"), "--json", "--chunk-rows", "1000"]).start();
    bucket.network.until_held().await;
    seen.push(processes());
    bucket.network.release();
    let submitted = submitter.finished().await.exits(0);
    assert!(submitted.stderr.contains("TRACE"), "nothing is traced");
    seen.push(format!("{submitted:?}"));
    let worker = world
        .worker(&["--drain"])
        .with(&bucket)
        .env("RUST_LOG", "trace")
        .run()
        .exits(0);
    seen.push(format!("{worker:?}"));
    for arguments in [
        &["-i", &bucket.url("missing.csv")][..],
        &["-i", &bucket.url("none/")],
        &["sniff", &bucket.url("a.csv")],
        &["status"],
        &["status", "1"],
        &["status", "1", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["verify", "1"],
    ] {
        seen.push(format!("{:?}", traced(arguments).run()));
    }
    let denied = traced(&["-i", &bucket.url("a.csv"), "--force"]).env("AWS_ACCESS_KEY_ID", "AKIDOFNOBODY");
    seen.push(format!("{:?}", denied.run().exits(1)));
    seen.push(world.all_that_is_stored().await);
    seen.push(server.log());
    for (place, text) in seen.iter().enumerate() {
        for secret in [SECRET, SESSION_TOKEN, ACCESS_KEY] {
            let at = text.find(secret);
            let around = at.map(|at| text[..at].chars().rev().take(300).collect::<Vec<_>>());
            let around = around.map(|around| around.into_iter().rev().collect::<String>());
            assert_eq!(around, None, "'{secret}' in place {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_address_grants_by_itself_is_not_repeated() {
    let server = TestServer::start().await;
    let (world, site) = (World::on(&server).await, Website::new(GOOD).await);
    site.put("/signed.csv", orders("A", 10));
    let host = site.network.url.strip_prefix("http://").unwrap();
    for address in [
        format!("http://{host}/signed.csv?X-Amz-Credential=x&X-Amz-Signature=s3cretOfAnAddress"),
        format!("http://somebody:s3cretOfAnAddress@{host}/signed.csv"),
    ] {
        for address in [address.replace("signed.csv", "missing.csv"), address] {
            let call = world.enqueue(&["-i", &address]).env("RUST_LOG", "trace");
            // Whether it can be loaded or is refused.
            let finished = call.run();
            assert!(!format!("{finished:?}").contains("s3cretOfAnAddress"), "{finished:#?}");
        }
    }
    world.drain();
    let status = world.enqueue(&["status"]).run();
    assert!(!format!("{status:?}").contains("s3cretOfAnAddress"), "{status:#?}");
    assert!(!world.all_that_is_stored().await.contains("s3cretOfAnAddress"));
    assert!(!server.log().contains("s3cretOfAnAddress"));
}
