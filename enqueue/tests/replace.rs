//! `--replace`: the table's earlier imports go once the new one is loaded, and not before.

mod support;

use support::{Bench, orders, until};

impl Bench {
    fn replace(&self, shop: &str, content: &str, arguments: &[&str], code: i32) -> i64 {
        let path = self.file(&format!("{shop}.csv"), content);
        let mut all = vec!["-i", &path, "--replace", "--wait"];
        all.extend(arguments);
        let worker = self.worker(["--concurrency", "2"]).start();
        let id = self.enqueue(all).run().exits(code).id();
        drop(worker);
        self.drain();
        id
    }

    fn state(&self, id: i64) -> String {
        self.status(id)["state"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_import_cancels_the_earlier_ones_of_its_table_alone() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE public.other (id bigserial PRIMARY KEY, a int)")
        .await;
    let other = bench.file("other.csv", "a\n1\n");
    let other = bench.load(&["-i", &other, "--table", "public.other"]);
    let old = bench.file("old.csv", orders("old", 300));
    let old = bench.load(&["-i", &old])["import_id"].as_i64().unwrap();
    let new = bench.replace("new", &orders("new", 200), &[], 0);
    assert_eq!(
        (bench.state(old).as_str(), bench.state(new).as_str()),
        ("cancelled", "loaded")
    );
    assert_eq!(bench.shops().await, ["new"]);
    assert_eq!(bench.state(other["import_id"].as_i64().unwrap()), "loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_rejecting_replacement_leaves_the_old_rows_unless_waived() {
    let bench = Bench::new().await;
    let old = bench.file("old.csv", orders("old", 300));
    let old = bench.load(&["-i", &old])["import_id"].as_i64().unwrap();
    bench.replace("empty", "PointOfSale;Product;Date;Stock\n", &[], 0);
    assert_eq!(bench.shops().await, ["old"]);
    let rejecting = orders("new", 10) + "new;p;2025-01-01;no number\n";
    bench.replace("new", &rejecting, &[], 3);
    assert_eq!(bench.shops().await, ["new", "old"]);
    bench.replace("newer", &rejecting.replace("new;", "newer;"), &["--replace-anyway"], 3);
    assert_eq!(bench.shops().await, ["newer"]);
    assert_eq!(bench.state(old), "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replacements_at_once_exactly_the_newest_is_left() {
    let bench = Bench::new().await;
    let old = bench.file("old.csv", orders("old", 300));
    bench.load(&["-i", &old]);
    let first = bench.file("first.csv", orders("first", 300));
    let second = bench.file("second.csv", orders("second", 300));
    let first = bench
        .enqueue(["-i", &first, "--replace", "--chunk-rows", "100"])
        .run()
        .exits(0)
        .id();
    let second = bench
        .enqueue(["-i", &second, "--replace", "--chunk-rows", "100"])
        .run()
        .exits(0)
        .id();
    // The older one is held back until the newer one is loaded.
    let mut held = bench.db.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM pgimport.import_chunk WHERE import_id = $1 FOR UPDATE")
        .bind(first)
        .execute(&mut *held)
        .await
        .unwrap();
    let worker = bench.worker(["--concurrency", "4"]).start();
    until("the newer one is loaded", async || bench.state(second) == "loaded").await;
    held.rollback().await.unwrap();
    until("the older one is replaced", async || bench.state(first) == "cancelled").await;
    drop(worker);
    assert_eq!(bench.state(second), "loaded");
    assert_eq!(bench.shops().await, ["second"]);
}
