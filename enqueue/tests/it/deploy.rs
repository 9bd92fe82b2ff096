//! What `deploy/` asks of the database is true.

use crate::support::{World, orders, role::Role, until_true};
use session::database::Duty;

/// The query by which KEDA knows how many workers are wanted.
fn keda_query() -> String {
    let manifest = include_str!("../../../deploy/kubernetes/keda.yaml");
    let (_, rest) = manifest.split_once("query: >-\n").expect("the query");
    let (query, _) = rest.split_once("authenticationRef").expect("its end");
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn keda_counts_what_waits_and_what_is_worked_on_and_nothing_else() {
    let world = World::new().await;
    let monitor = Role::new(&world, "").await;
    for grant in monitor.grants(Duty::Monitor.privileges()) {
        world.execute(&grant).await;
    }
    // As the role that only looks.
    let pool = sqlx::PgPool::connect(&monitor.url).await.expect("to connect");
    let wanted = async || -> i64 {
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(keda_query()));
        count.fetch_one(&pool).await.expect("a count")
    };
    assert_eq!(wanted().await, 0);
    // What is for workers of another queue.
    world.submit("n.csv", &orders("N", 500), &["--queue", "nightly"]);
    assert_eq!(wanted().await, 0);
    let id = world.submit("a.csv", &orders("A", 500), &[]);
    assert_eq!(wanted().await, 6);
    let mut worker = world
        .worker(&["--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=2*off->pause")
        .start();
    until_true("one is held", async || {
        world.count("pgimport.import_chunk WHERE state = 'loaded'").await == 2
            && world
                .count("pgimport.import_chunk WHERE state = 'pending' AND worker IS NOT NULL")
                .await
                >= 1
    })
    .await;
    assert_eq!(wanted().await, 4);
    worker.kill();
    world.drain();
    assert_eq!(wanted().await, 0);
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    assert!(wanted().await >= 1);
    world.drain();
    assert_eq!(wanted().await, 0);
    // One of which nothing was stored has to be ended, too.
    let path = world.file("b.csv", "PointOfSale;Product;Date;Stock\n");
    let empty = world.enqueue(&["-i", &path]).run().exits(0).id().to_string();
    world.enqueue(&["cancel", &empty]).run().exits(0);
    assert!(wanted().await >= 1 || world.state(empty.parse().unwrap()).await == "cancelled");
    world.drain();
    assert_eq!(wanted().await, 0);
}
