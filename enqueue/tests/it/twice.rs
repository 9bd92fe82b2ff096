//! The same thing submitted twice: one import comes of it.

use std::io::Write as _;

use crate::support::{World, assert_json, orders, until_true};
use serde_json::json;

#[tokio::test]
async fn the_same_file_submitted_again_answers_with_the_first_import() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    let first = world.enqueue(&["-i", &file]).run().exits(0).id();
    // While it is loading, and when it is loaded; under another name, too.
    let again = world
        .enqueue(&["-i", &file])
        .run()
        .exits(0)
        .says("as import 1 (loading); --force loads them again");
    assert_eq!(again.id(), first);
    world.drain();
    let copy = world.file("copy.csv", orders("A", 3));
    let again = world
        .enqueue(&["-i", &copy, "--wait"])
        .run()
        .exits(0)
        .says("as import 1 (loaded)");
    assert_eq!(again.id(), first);
    // How it is loaded changes no row.
    for arguments in [&["--load-method", "copy"][..], &["--chunk-rows", "1"], &["--replace"]] {
        assert_eq!(
            world.enqueue(&[&["-i", &file], arguments].concat()).run().exits(0).id(),
            first
        );
    }
    world.drain();
    assert_eq!((world.sale_orders().await, world.imports().await), (3, 1));
}

#[tokio::test]
async fn what_changes_the_rows_makes_another_import() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a text, b text); CREATE TABLE u (LIKE t INCLUDING ALL)")
        .await;
    world
        .execute("CREATE SEQUENCE u_seq OWNED BY u.id; ALTER TABLE u ALTER id SET DEFAULT nextval('u_seq')")
        .await;
    let file = world.file("t.csv", "a;b\n1,2;3\n");
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
            world
                .enqueue(&[&["-i", &file], table, arguments].concat())
                .run()
                .exits(0)
                .id(),
        );
    }
    ids.dedup();
    assert_eq!((ids.len(), world.imports().await), (7, 7));
    world.drain();
    // Without a header there are two records; with commas the first of them has one field and is rejected.
    assert_eq!(world.number("SELECT count(*) FROM t").await, 7);
    assert_eq!(world.number("SELECT count(*) FROM u").await, 1);
}

#[tokio::test]
async fn of_two_that_submit_the_same_file_at_the_same_moment_one_does() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 500));
    let both = [(); 4].map(|()| world.enqueue(&["-i", &file, "--chunk-rows", "10"]).start());
    let ids = both.map(|one| one.finish().exits(0).id());
    assert_eq!(ids, [ids[0]; 4]);
    world.drain();
    assert_json(
        &world.status(ids[0]),
        &json!({"state": "loaded", "loaded": 500, "chunks": 50}),
    );
    assert_eq!((world.sale_orders().await, world.imports().await), (500, 1));
}

#[tokio::test]
async fn force_loads_the_same_file_again() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 3));
    let ids = [(); 2].map(|()| world.enqueue(&["-i", &file, "--force"]).run().exits(0).id());
    let keyed = world.enqueue(&["-i", &file]).run().exits(0).id();
    assert_eq!((ids, keyed), ([1, 2], 3));
    world.drain();
    assert_eq!(world.sale_orders().await, 9);
}

#[tokio::test]
async fn a_stream_is_loaded_each_time_unless_a_key_names_it() {
    let world = World::new().await;
    let submit = |arguments: &[&str], text: String| world.enqueue(arguments).input(text).run();
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
        .says("which has another format or column mapping");
    world.drain();
    submit(&other, orders("B", 3)).exits(1).says("another content");
    let file = world.file("orders.csv", orders("A", 4));
    world
        .enqueue(&["-i", &file, "--key", "monday"])
        .run()
        .exits(1)
        .says("another content");
    world.execute("CREATE TABLE t (LIKE sale_order INCLUDING ALL)").await;
    submit(&["--key", "monday", "--table", "t"], orders("A", 3))
        .exits(1)
        .says("which has another target");
    assert_eq!((world.sale_orders().await, world.imports().await), (9, 3));
}

#[tokio::test]
async fn two_streams_under_one_key_at_the_same_moment_become_one_import() {
    let world = World::new().await;
    let mut first = world.enqueue(&["--key", "k"]).pipe().start();
    let mut pipe = first.stdin();
    // The header is awaited before anything is stored.
    pipe.write_all(orders("A", 2).as_bytes()).unwrap();
    until_true("the first is being read", async || world.imports().await == 1).await;
    let second = world.enqueue(&["--key", "k"]).input(orders("A", 2)).start();
    second.until_says("waiting for it").await;
    drop(pipe);
    assert_eq!((first.finish().exits(0).id(), second.finish().exits(0).id()), (1, 1));
    world.drain();
    assert_eq!(world.sale_orders().await, 2);
}

#[tokio::test]
async fn a_failed_import_answers_with_its_failure() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE t (id bigserial PRIMARY KEY, a int);
             CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER skip BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skip();",
        )
        .await;
    let file = world.file("t.csv", "a\n1\n");
    world.enqueue(&["-i", &file, "--table", "t"]).run().exits(0);
    world.drain();
    let again = world
        .enqueue(&["-i", &file, "--table", "t"])
        .run()
        .exits(1)
        .says("as import 1 (failed)");
    assert_eq!(again.id(), 1);
}

#[tokio::test]
async fn a_cancelled_import_does_not_stand_in_the_way_of_the_same_file() {
    let world = World::new().await;
    let file = world.file("orders.csv", orders("A", 30));
    let arguments = ["-i", &file, "--chunk-rows", "10"];
    world.load(&arguments);
    world.enqueue(&["cancel", "1"]).run().exits(0);
    let submitting = world.enqueue(&arguments).start();
    submitting.until_says("is being cancelled: waiting for it").await;
    world.drain();
    let second = submitting.finish().exits(0).id();
    assert_ne!(second, 1);
    world.drain();
    assert_json(&world.status(1), &json!({"state": "cancelled", "deleted": 30}));
    assert_json(&world.status(second), &json!({"state": "loaded", "loaded": 30}));
    assert_eq!(world.sale_orders().await, 30);
}
