//! `--replace`: the table's earlier imports go once the new one is loaded, and not before.

use crate::support::{Held, World, orders, until_true};

impl World {
    fn replace(&self, shop: &str, content: &str, arguments: &[&str], code: i32) -> i64 {
        let path = self.file(&format!("{shop}.csv"), content);
        let all = [&["-i", &path, "--replace", "--wait"], arguments].concat();
        let worker = self.worker(&["--concurrency", "2"]).start();
        let id = self.enqueue(&all).run().exits(code).id();
        drop(worker);
        self.drain();
        id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_import_cancels_the_earlier_ones_of_its_table_alone() {
    let world = World::new().await;
    world
        .execute("CREATE TABLE public.other (id bigserial PRIMARY KEY, a int)")
        .await;
    let other = world.file("other.csv", "a\n1\n");
    let other = world.load(&["-i", &other, "--table", "public.other"]);
    let old = world.file("old.csv", orders("old", 300));
    let old = world.load(&["-i", &old])["import_id"].as_i64().unwrap();
    let new = world.replace("new", &orders("new", 200), &[], 0);
    assert_eq!(world.status(old)["state"], "cancelled");
    assert_eq!(world.status(new)["state"], "loaded");
    assert_eq!(world.shops().await, ["new"]);
    assert_eq!(world.status(other["import_id"].as_i64().unwrap())["state"], "loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_rejecting_replacement_leaves_the_old_rows_unless_waived() {
    let world = World::new().await;
    let old = world.file("old.csv", orders("old", 300));
    let old = world.load(&["-i", &old])["import_id"].as_i64().unwrap();
    world.replace("empty", "PointOfSale;Product;Date;Stock\n", &[], 0);
    assert_eq!(world.shops().await, ["old"]);
    let rejecting = orders("new", 10) + "new;p;2025-01-01;no number\n";
    world.replace("new", &rejecting, &[], 3);
    assert_eq!(world.shops().await, ["new", "old"]);
    world.replace("newer", &rejecting.replace("new;", "newer;"), &["--replace-anyway"], 3);
    assert_eq!(world.shops().await, ["newer"]);
    assert_eq!(world.status(old)["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replacements_at_once_exactly_the_newest_is_left() {
    let world = World::new().await;
    let old = world.file("old.csv", orders("old", 300));
    world.load(&["-i", &old]);
    let first = world.file("first.csv", orders("first", 300));
    let second = world.file("second.csv", orders("second", 300));
    let first = world
        .enqueue(&["-i", &first, "--replace", "--chunk-rows", "100"])
        .run()
        .exits(0)
        .id();
    let second = world
        .enqueue(&["-i", &second, "--replace", "--chunk-rows", "100"])
        .run()
        .exits(0)
        .id();
    // The older one is held back until the newer one is loaded.
    let chunks = format!("SELECT FROM pgimport.import_chunk WHERE import_id = {first} FOR UPDATE");
    let held = Held::take(&world, &chunks).await;
    let worker = world.worker(&["--concurrency", "4"]).start();
    until_true("the newer one is loaded", async || {
        world.status(second)["state"] == "loaded"
    })
    .await;
    held.release().await;
    until_true("the older one is replaced", async || {
        world.status(first)["state"] == "cancelled"
    })
    .await;
    drop(worker);
    assert_eq!(world.status(second)["state"], "loaded");
    assert_eq!(world.shops().await, ["second"]);
}
