//! The same thing submitted twice: one import comes of it.

mod support;

use std::io::Write as _;

use serde_json::json;
use support::{Bench, assert_json, orders, until};

#[tokio::test]
async fn the_same_file_submitted_again_answers_with_the_first_import() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("A", 3));
    let first = bench.enqueue(["-i", &file]).run().exits(0).id();
    // While it is loading, and when it is loaded; under another name, too.
    let again = bench
        .enqueue(["-i", &file])
        .run()
        .exits(0)
        .says("as import 1 (loading); --force loads them again");
    assert_eq!(again.id(), first);
    bench.drain();
    let copy = bench.file("copy.csv", orders("A", 3));
    let again = bench
        .enqueue(["-i", &copy, "--wait"])
        .run()
        .exits(0)
        .says("as import 1 (loaded)");
    assert_eq!(again.id(), first);
    // How it is loaded changes no row.
    for arguments in [&["--load-method", "copy"][..], &["--chunk-rows", "1"], &["--replace"]] {
        assert_eq!(
            bench.enqueue([&["-i", &file], arguments].concat()).run().exits(0).id(),
            first
        );
    }
    bench.drain();
    assert_eq!((bench.sale_orders().await, bench.imports().await), (3, 1));
}

#[tokio::test]
async fn what_changes_the_rows_makes_another_import() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a text, b text); CREATE TABLE u (LIKE t INCLUDING ALL)")
        .await;
    bench
        .execute("CREATE SEQUENCE u_seq OWNED BY u.id; ALTER TABLE u ALTER id SET DEFAULT nextval('u_seq')")
        .await;
    let file = bench.file("t.csv", "a;b\n1,2;3\n");
    let mut ids = Vec::new();
    for arguments in [
        &[][..],
        &["--null", "3"],
        &["--columns", "b,a"],
        &["--no-header"],
        &["--no-header", "-d", ","],
        &["--table", "u"],
        &["--force"],
    ] {
        let table: &[&str] = if arguments.contains(&"--table") {
            &[]
        } else {
            &["--table", "t"]
        };
        ids.push(
            bench
                .enqueue([&["-i", &file], table, arguments].concat())
                .run()
                .exits(0)
                .id(),
        );
    }
    ids.dedup();
    assert_eq!((ids.len(), bench.imports().await), (7, 7));
    bench.drain();
    // Without a header there are two records; with commas the first of them has one field and is rejected.
    assert_eq!(bench.number("SELECT count(*) FROM t").await, 7);
    assert_eq!(bench.number("SELECT count(*) FROM u").await, 1);
}

#[tokio::test]
async fn of_two_that_submit_the_same_file_at_the_same_moment_one_does() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("A", 500));
    let both = [(); 4].map(|()| bench.enqueue(["-i", &file, "--chunk-rows", "10"]).start());
    let ids = both.map(|one| one.finish().exits(0).id());
    assert_eq!(ids, [ids[0]; 4]);
    bench.drain();
    assert_json(
        &bench.status(ids[0]),
        &json!({"state": "loaded", "loaded": 500, "chunks": 50}),
    );
    assert_eq!((bench.sale_orders().await, bench.imports().await), (500, 1));
}

#[tokio::test]
async fn force_loads_the_same_file_again() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("A", 3));
    let ids = [(); 2].map(|()| bench.enqueue(["-i", &file, "--force"]).run().exits(0).id());
    let keyed = bench.enqueue(["-i", &file]).run().exits(0).id();
    assert_eq!((ids, keyed), ([1, 2], 3));
    bench.drain();
    assert_eq!(bench.sale_orders().await, 9);
}

#[tokio::test]
async fn a_stream_is_loaded_each_time_unless_a_key_names_it() {
    let bench = Bench::new().await;
    let submit = |arguments: &[&str], text: String| bench.enqueue(arguments).input(text).run();
    assert_eq!(submit(&[], orders("A", 3)).exits(0).id(), 1);
    assert_eq!(submit(&[], orders("A", 3)).exits(0).id(), 2);
    let keyed = submit(&["--key", "monday"], orders("A", 3)).exits(0).id();
    assert_eq!(submit(&["--key", "monday"], orders("A", 3)).exits(0).id(), keyed);
    let other = ["--key", "monday"];
    submit(&other, orders("B", 3)).exits(1).says(&format!(
        "the key 'monday' belongs to import {keyed}, which has another content"
    ));
    submit(&["--key", "monday", "--null", "x"], orders("A", 3))
        .exits(1)
        .says("which has another delimiter, header, null text");
    bench.drain();
    submit(&other, orders("B", 3)).exits(1).says("another content");
    let file = bench.file("orders.csv", orders("A", 4));
    bench
        .enqueue(["-i", &file, "--key", "monday"])
        .run()
        .exits(1)
        .says("another content");
    bench.execute("CREATE TABLE t (LIKE sale_order INCLUDING ALL)").await;
    submit(&["--key", "monday", "--table", "t"], orders("A", 3))
        .exits(1)
        .says("which has another target");
    assert_eq!((bench.sale_orders().await, bench.imports().await), (9, 3));
}

#[tokio::test]
async fn two_streams_under_one_key_at_the_same_moment_become_one_import() {
    let bench = Bench::new().await;
    let mut first = bench.enqueue(["--key", "k"]).pipe().start();
    let mut pipe = first.child.stdin.take().unwrap();
    // The header is awaited before anything is stored.
    pipe.write_all(orders("A", 2).as_bytes()).unwrap();
    until("the first is being read", async || bench.imports().await == 1).await;
    let second = bench.enqueue(["--key", "k"]).input(orders("A", 2)).start();
    until("the second waits", async || {
        second.stderr_so_far().contains("waiting for it")
    })
    .await;
    drop(pipe);
    assert_eq!((first.finish().exits(0).id(), second.finish().exits(0).id()), (1, 1));
    bench.drain();
    assert_eq!(bench.sale_orders().await, 2);
}

#[tokio::test]
async fn a_failed_import_answers_with_its_failure() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE t (id bigserial PRIMARY KEY, a inet)").await;
    let file = bench.file("t.csv", "a\nnowhere\n");
    bench.enqueue(["-i", &file, "--table", "t"]).run().exits(0);
    bench.drain();
    let again = bench
        .enqueue(["-i", &file, "--table", "t"])
        .run()
        .exits(1)
        .says("as import 1 (failed)");
    assert_eq!(again.id(), 1);
}

#[tokio::test]
async fn a_cancelled_import_does_not_stand_in_the_way_of_the_same_file() {
    let bench = Bench::new().await;
    let file = bench.file("orders.csv", orders("A", 30));
    let arguments = ["-i", &file, "--chunk-rows", "10"];
    bench.load(&arguments);
    bench.enqueue(["cancel", "1"]).run().exits(0);
    let submitting = bench.enqueue(arguments).start();
    until("it waits for the deletions", async || {
        submitting
            .stderr_so_far()
            .contains("is being cancelled: waiting for it")
    })
    .await;
    bench.drain();
    let second = submitting.finish().exits(0).id();
    assert_ne!(second, 1);
    bench.drain();
    assert_json(&bench.status(1), &json!({"state": "cancelled", "deleted": 30}));
    assert_json(&bench.status(second), &json!({"state": "loaded", "loaded": 30}));
    assert_eq!(bench.sale_orders().await, 30);
}
