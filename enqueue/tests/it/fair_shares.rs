//! Imports that wait at the same time are loaded by turns: a small one does not wait for a large one, one that comes later does not wait for
//! all of those before it nor they for it, and whoever asks for less has less.

use crate::support::{World, assert_json, orders, until_true};
use serde_json::json;

/// The imports of chunks in the order in which these were finished, after the first `done`.
async fn finished(world: &World, done: usize) -> Vec<i64> {
    let order = world
        .texts("SELECT import_id::text FROM pgimport.import_chunk WHERE state = 'loaded' ORDER BY finished_at, ordinal")
        .await;
    order.iter().skip(done).map(|id| id.parse().expect("an id")).collect()
}

/// How many chunks of `other` were finished when the last of `import` was.
fn before_the_end(order: &[i64], import: i64, other: i64) -> usize {
    let end = order
        .iter()
        .rposition(|&id| id == import)
        .expect("a chunk of the import");
    order[..end].iter().filter(|&&id| id == other).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_import_does_not_wait_for_a_large_one() {
    let world = World::new().await;
    let large = world.submit("large.csv", &orders("L", 6_000), &[]);
    let small = world.submit("small.csv", &orders("S", 200), &[]);
    world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
    let order = finished(&world, 0).await;
    assert_eq!(order.len(), 62);
    let waited = before_the_end(&order, small, large);
    assert!(
        waited <= 6,
        "{waited} chunks of the large import were loaded before the small one was: {order:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_later_shares_what_is_left_with_the_one_before() {
    let world = World::new().await;
    let first = world.submit("first.csv", &orders("F", 6_000), &[]);
    let mut worker = world
        .worker(&["--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=20*off->pause")
        .start();
    until_true("twenty chunks are loaded", async || {
        finished(&world, 0).await.len() == 20
    })
    .await;
    worker.kill();
    let second = world.submit("second.csv", &orders("S", 3_000), &[]);
    world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
    let order = finished(&world, 20).await;
    assert_eq!(order.len(), 70);
    // Forty and thirty are left: the shorter one ends when about as many of the other are done.
    let meanwhile = before_the_end(&order, second, first);
    assert!((24..=36).contains(&meanwhile), "{meanwhile}: {order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_more_or_less_has_four_times_as_much_or_a_quarter() {
    let world = World::new().await;
    let submit = |name: &str, arguments: &[&str]| world.submit(&format!("{name}.csv"), &orders(name, 4_000), arguments);
    let (low, normal, high) = (
        submit("l", &["--priority", "low"]),
        submit("n", &[]),
        submit("h", &["--priority", "high"]),
    );
    world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
    let order = finished(&world, 0).await;
    assert_eq!(order.len(), 120);
    let [of_normal, of_low] = [normal, low].map(|other| before_the_end(&order, high, other));
    assert!(
        (7..=14).contains(&of_normal) && (1..=5).contains(&of_low),
        "{of_normal} and {of_low}: {order:?}"
    );
    let of_low = before_the_end(&order, normal, low);
    assert!((7..=14).contains(&of_low), "{of_low}: {order:?}");
    world
        .enqueue(&["-i", "n.csv", "--priority", "urgent"])
        .run()
        .exits(2)
        .says("expected low, normal or high");
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_which_few_chunks_are_in_line_have_their_share_and_no_more() {
    let world = World::new().await;
    let submit = |name: &str, arguments: &[&str]| world.submit(&format!("{name}.csv"), &orders(name, 4_000), arguments);
    let normal = submit("n", &[]);
    let wide = submit("w", &["--max-parallel", "16"]);
    let low: Vec<i64> = ["a", "b", "c"]
        .iter()
        .map(|name| submit(name, &["--priority", "low", "--max-parallel", "1"]))
        .collect();
    world.worker(&["--drain", "--concurrency", "1"]).run().exits(0);
    let order = finished(&world, 0).await;
    assert_eq!(order.len(), 200);
    let of_wide = before_the_end(&order, normal, wide);
    assert!((30..=40).contains(&of_wide), "{of_wide}: {order:?}");
    for low in low {
        let of_low = before_the_end(&order, normal, low);
        assert!((6..=15).contains(&of_low), "{of_low}: {order:?}");
    }
}

/// How many chunks of an import were worked on at once, at most.
async fn most_at_once(world: &World, id: i64) -> i64 {
    world
        .number(&format!(
            "SELECT max((SELECT count(*) FROM pgimport.import_chunk AS o
                         WHERE o.import_id = c.import_id AND o.started_at <= c.started_at AND o.finished_at > c.started_at))
             FROM pgimport.import_chunk AS c WHERE c.import_id = {id}"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_chunks_are_loaded_at_once_than_there_may_be() {
    let world = World::new().await;
    let id = world.submit("a.csv", &orders("A", 4_000), &["--max-parallel", "2"]);
    let jobs = "apalis.jobs WHERE status = 'Pending'";
    assert_eq!(world.count(jobs).await, 2);
    // Lost ones come again, and no others with them.
    world.execute("DELETE FROM apalis.jobs").await;
    let mut held = world
        .worker(&["--concurrency", "4"])
        .env("FAILPOINTS", "before-commit=5*off->pause")
        .start();
    // One task may have taken both: then the pause of one holds up the other, from when it is fetched to its commit.
    until_true("two are taken", async || {
        world.count("pgimport.import_chunk WHERE state = 'loaded'").await >= 4
            && world.count("apalis.jobs WHERE status IN ('Queued', 'Running')").await >= 2
    })
    .await;
    held.kill();
    let workers = [
        world.worker(&["--concurrency", "4"]).start(),
        world.worker(&["--concurrency", "4"]).start(),
    ];
    until_true("all is loaded", async || world.state(id).await == "loaded").await;
    drop(workers);
    assert!(most_at_once(&world, id).await <= 2);
    assert_json(&world.status(id), &json!({"loaded": 4_000, "chunks": 40}));
    // Without a limit there are more.
    let id = world.submit("b.csv", &orders("B", 4_000), &[]);
    world.worker(&["--drain", "--concurrency", "4"]).run().exits(0);
    assert!(most_at_once(&world, id).await > 2);
    // What failed is tried again under the same limit.
    let id = world.submit("c.csv", &orders("C", 500), &["--max-parallel", "1"]);
    world
        .execute("ALTER TABLE public.sale_order RENAME COLUMN \"Stock\" TO gone")
        .await;
    world.worker(&["--drain", "--concurrency", "4"]).run().exits(0);
    assert_json(&world.status(id), &json!({"state": "failed", "chunks_failed": 5}));
    world
        .execute("ALTER TABLE public.sale_order RENAME COLUMN gone TO \"Stock\"")
        .await;
    world.enqueue(&["retry", &id.to_string()]).run().exits(0);
    assert_eq!(world.count(jobs).await, 1);
    world.worker(&["--drain", "--concurrency", "4"]).run().exits(0);
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 500}));
    assert_eq!(most_at_once(&world, id).await, 1);
}
