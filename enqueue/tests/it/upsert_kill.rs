//! Updates of rows that are there already, and their undo, while workers die, sessions are ended and others write to the same rows.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{Proc, World, assert_json, seeded};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::json;
use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;

/// Many starts of a chunk are this test's own doing.
const PATIENT: [&str; 4] = ["--concurrency", "2", "--max-attempts", "1000"];
const KEYS: i32 = 3_000;

/// Somebody else, who sets whole rows to what he means, and knows what he wrote last.
async fn write(world: &World, seed: u64, stop: CancellationToken) -> BTreeMap<i32, String> {
    let mut random: StdRng = rand::SeedableRng::seed_from_u64(seed);
    let mut conn = world.connect().await;
    let mut written = BTreeMap::new();
    let mut turn = 0;
    while !stop.is_cancelled() {
        turn += 1;
        let key = random.random_range(0..60) * 50;
        let note = format!("theirs {turn}");
        // What is seen before the commit may be somebody's, and what is written is his own.
        let mut tx = conn.begin().await.expect("a transaction");
        let done = sqlx::query("UPDATE price SET amount = $2, note = $3 WHERE key = $1")
            .bind(key)
            .bind(turn)
            .bind(&note)
            .execute(&mut *tx)
            .await
            .expect("to update");
        if random.random_range(0..4) == 0 {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
        }
        tx.commit().await.expect("to commit");
        if done.rows_affected() == 1 {
            written.insert(key, format!("({key},{turn},\"{note}\")"));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    written
}

/// Kills workers, or ends the sessions of all, so many times.
async fn harm(world: &World, random: &mut StdRng, workers: &mut [Proc], times: usize) {
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await;
        if random.random_range(0..3) == 0 {
            world.terminate("pg_import-worker", "").await;
            continue;
        }
        let victim = random.random_range(0..workers.len());
        workers[victim].kill();
        workers[victim] = world.worker(&PATIENT).start();
    }
}

async fn content(world: &World) -> BTreeMap<i32, String> {
    let rows: Vec<(i32, String)> = sqlx::query_as("SELECT key, t::text FROM price AS t")
        .fetch_all(world.pool())
        .await
        .expect("the rows");
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_what_they_were_but_for_those_of_others_however_often_workers_are_killed() {
    let world = World::new().await;
    let mut random = seeded();
    world
        .execute(&format!(
            "CREATE TABLE price (key int PRIMARY KEY, amount int, note text);
             INSERT INTO price SELECT n, n, 'before' FROM generate_series(0, {KEYS} - 1) AS n WHERE n % 2 = 0"
        ))
        .await;
    let before = content(&world).await;
    // Each key three times, the last record with its final value.
    let mut text = String::from("key;amount;note\n");
    for round in 0..3 {
        let mut keys: Vec<i32> = (0..KEYS).collect();
        rand::seq::SliceRandom::shuffle(keys.as_mut_slice(), &mut random);
        for key in keys {
            text.push_str(&format!("{key};{};round {round}\n", key * 10 + round));
        }
    }
    let file = world.file("price.csv", text);
    let stop = CancellationToken::new();
    let seed = random.random_range(0..u64::MAX);
    let others = write(&world, seed, stop.clone());
    let ours = async {
        let arguments = [
            "-i",
            &file,
            "--table",
            "price",
            "--on-conflict",
            "update",
            "--chunk-rows",
            "300",
        ];
        let id = world.run(&arguments).await.exits(0).id();
        let mut workers: Vec<_> = (0..3).map(|_| world.worker(&PATIENT).start()).collect();
        harm(&world, &mut random, &mut workers, 8).await;
        world.until_state(id, "loaded").await;
        let status = world.status(id);
        let number = |name: &str| status[name].as_i64().unwrap();
        assert_eq!(
            number("inserted") + number("updated") + number("unchanged") + number("skipped"),
            i64::from(KEYS) * 3
        );
        assert_eq!(number("rejected"), 0);
        let last = world
            .number("SELECT count(*) FROM price WHERE note NOT LIKE 'theirs%' AND (note, amount) <> ('round 2', key * 10 + 2)")
            .await;
        assert_eq!(last, 0, "each key has its last record's values");
        assert_eq!(world.number("SELECT count(*) FROM price").await, i64::from(KEYS));
        world.run(&["cancel", &id.to_string()]).await.exits(0);
        harm(&world, &mut random, &mut workers, 5).await;
        loop {
            let state = world.state(id).await;
            if state == "cancelled" || state == "kept" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.cancel();
        world.assert_no_job_stranded().await;
        (id, workers)
    };
    let (theirs, (id, _workers)) = tokio::join!(others, ours);
    let mut expected = before;
    expected.extend(theirs);
    assert_eq!(content(&world).await, expected);
    let status = world.status(id);
    let number = |name: &str| status[name].as_i64().unwrap();
    assert_eq!(
        number("deleted") + number("restored") + number("kept") + number("missing"),
        number("loaded"),
        "{status:#}"
    );
    assert_json(&status, &json!({"chunks_pending": 0, "chunks_failed": 0}));
}
