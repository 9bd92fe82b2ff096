//! What a migration does to a database that is in use.

mod support;

use serde_json::json;
use support::{Bench, assert_json};

/// Takes the database back to what the first two migrations made of it.
async fn take_back(bench: &Bench) {
    bench
        .execute(
            "ALTER TABLE pgimport.import_registry DROP COLUMN sequence_filenode;
             DELETE FROM pgimport._sqlx_migrations WHERE version > 2",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_an_earlier_version_go_on_and_are_undone() {
    let bench = Bench::new().await;
    let old = bench.load_orders("old", 300, &[]);
    let waiting = bench.submit("waiting.csv", "PointOfSale;Product;Date;Stock\na;b;2025-01-01;1\n", &[]);
    take_back(&bench).await;
    bench.worker(["--drain"]).run().exits(1).says("run `enqueue migrate`");
    bench.enqueue(["migrate"]).run().exits(0);
    bench
        .execute("UPDATE public.sale_order SET \"Stock\" = -1 WHERE \"Stock\" = 5")
        .await;
    assert_json(
        &bench.undo(old, &[]),
        &json!({"state": "cancelled", "deleted": 300, "kept": 0}),
    );
    assert_json(&bench.status(waiting), &json!({"state": "loaded", "loaded": 1}));
}

#[tokio::test]
async fn a_migration_gives_up_rather_than_hold_up_everybody() {
    let bench = Bench::new().await;
    take_back(&bench).await;
    let mut reader = bench.db.pool().begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM pgimport.import_registry")
        .execute(&mut *reader)
        .await
        .unwrap();
    bench.enqueue(["migrate"]).run().exits(1).says("lock timeout");
    reader.rollback().await.unwrap();
    bench.enqueue(["migrate"]).run().exits(0);
}
