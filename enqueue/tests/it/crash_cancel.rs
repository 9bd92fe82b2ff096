//! Undoing what is still at work: cancels beside loads, other imports and other writers, and submissions that break off.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use crate::support::{Held, World, until_true};
use sqlx::AssertSqlSafe;

/// Somebody else's program, which inserts, updates and deletes rows of its own in the same table until it is told to stop.
struct Writer {
    stop: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    async fn start(world: &World) -> Self {
        world
            .execute(r#"CREATE TABLE foreign_rows (id bigint PRIMARY KEY, "Stock" integer)"#)
            .await;
        let stop = tokio_util::sync::CancellationToken::new();
        let stopped = stop.clone();
        let mut conn = world.connect().await;
        let task = tokio::spawn(async move {
            let mut round = 0;
            while !stopped.is_cancelled() {
                round += 1;
                let statement = format!(
                    r#"WITH mine AS (
                           INSERT INTO public.sale_order ("PointOfSale", "Product", "Date", "Stock")
                           SELECT 'foreign', 'row ' || n, '2024-02-29', n FROM generate_series(1, {round} % 7 + 1) AS n
                           RETURNING id, "Stock")
                       INSERT INTO foreign_rows SELECT * FROM mine"#
                );
                sqlx::raw_sql(AssertSqlSafe(statement))
                    .execute(&mut conn)
                    .await
                    .expect("to write");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { stop, task }
    }

    /// Stops it, and checks that exactly its rows are there beside those that the registry names.
    async fn assert_untouched(self, world: &World) {
        self.stop.cancel();
        self.task.await.expect("the other writer");
        let foreign = world.count("foreign_rows").await;
        assert!(foreign > 0);
        let lost = r#"foreign_rows AS f WHERE NOT EXISTS (
            SELECT FROM public.sale_order AS t WHERE t.id = f.id AND t."Stock" = f."Stock" AND t."PointOfSale" = 'foreign')"#;
        assert_eq!(world.count(lost).await, 0, "rows of somebody else were lost or changed");
        // Out of the way of the common checks.
        world
            .execute("DELETE FROM public.sale_order WHERE id IN (SELECT id FROM foreign_rows)")
            .await;
        println!("{foreign} rows of somebody else are intact");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_takes_its_own_rows_and_no_other() {
    let world = World::new().await;
    let (file, other) = (world.csv_file(20_000).await, world.csv_file(20_000).await);
    let writer = Writer::start(&world).await;
    let mut workers = [
        world.worker(&["--concurrency", "2"]).start(),
        world.worker(&["--concurrency", "2"]).start(),
    ];
    let goes = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let stays = world
        .submit_file(&other, &["--chunk-rows", "100", "--load-method", "copy"])
        .await;
    world
        .until_some(&format!(
            "pgimport.import_chunk WHERE state = 'loaded' AND import_id = {goes}"
        ))
        .await;
    workers[0].kill();
    assert_eq!(world.run(&["cancel", &goes.to_string()]).await.code, Some(0));
    // While it deletes, or has not begun to.
    workers[1].kill();
    let _healthy = world.worker(&[]).start();
    let again = world.run(&["cancel", &goes.to_string(), "--wait"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    world.until_state(stays, "loaded").await;
    writer.assert_untouched(&world).await;
    world.assert_settled(goes, "cancelled").await;
    world.assert_loaded_once(&[&other]).await;
    world.assert_no_job_stranded().await;

    // The same file is welcome again.
    let anew = world.submit_file(&file, &["--chunk-rows", "2000"]).await;
    assert_ne!(anew, goes);
    world.assert_settled(anew, "loaded").await;
    world.assert_loaded_once(&[&file, &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_waits_for_the_chunks_that_are_being_loaded() {
    let world = World::new().await;
    let file = world.csv_file(2_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    // Loads stop after their rows; both the fence and whoever holds a chunk have to wait in turn.
    let lock = Held::take(&world, "LOCK TABLE pgimport.import_registry IN SHARE MODE").await;
    let _workers = [
        world.worker(&["--concurrency", "2"]).start(),
        world.worker(&["--concurrency", "2"]).start(),
    ];
    world
        .until_some("pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-worker%' AND wait_event_type = 'Lock'")
        .await;
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    lock.release().await;
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
    let third = world.run(&["cancel", &import.to_string()]).await;
    assert_eq!(third.code, Some(0), "{third:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_is_cancelled_stops_and_says_so() {
    let world = World::new().await;
    let file = world.csv_file(20_000).await;
    // Nobody loads, so that it waits after its first batch.
    let submitter = world
        .enqueue(&["-i", file.path(), "--chunk-rows", "200", "--max-pending", "1K"])
        .start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    let import = world.latest_import().await;
    assert_eq!(world.state(import).await, "splitting");
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    let stopped = submitter.finished().await;
    assert_eq!(stopped.code, Some(4), "{stopped:?}");
    assert!(
        stopped.stderr.contains("was cancelled while it was submitted"),
        "{stopped:?}"
    );
    let _worker = world.worker(&[]).start();
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_is_stopped_keeps_what_is_left_and_can_go_on() {
    let world = World::new().await;
    let file = world.csv_file(4_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let drained = world.worker(&["--drain"]).start().finished().await;
    assert_eq!(drained.code, Some(0), "{drained:?}");
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    // One deletion, then the next waits in its transaction.
    let worker = world
        .worker(&["--concurrency", "1"])
        .env("FAILPOINTS", "before-delete-commit=1*off->pause")
        .start();
    world.until_some("pgimport.import_chunk WHERE state = 'deleted'").await;
    world
        .until_some("pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-worker%' AND state = 'idle in transaction' AND query LIKE '%import_registry%'")
        .await;
    drop(worker);
    let keep = world.run(&["keep", &import.to_string()]).await;
    assert_eq!(keep.code, Some(0), "{keep:?}");
    world.assert_settled(import, "kept").await;
    let left = world.count("public.sale_order").await;
    assert!(left > 0 && left < 4_000, "{left}");
    let _worker = world.worker(&[]).start();
    world.assert_no_job_stranded().await;
    assert_eq!(world.count("public.sale_order").await, left);
    assert_eq!(
        world.run(&["cancel", &import.to_string(), "--wait"]).await.code,
        Some(0)
    );
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_stream_is_undone_and_says_why() {
    let world = World::new().await;
    let file = world.csv_file(3_000).await;
    let _worker = world.worker(&[]).start();
    let mut submitter = world.enqueue(&["--chunk-rows", "100"]).pipe().start();
    let mut pipe = submitter.stdin();
    let text = std::fs::read(&file.path).expect("the file");
    pipe.write_all(&text[..text.len() / 2]).expect("to write to the pipe");
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    let import = world.latest_import().await;
    submitter.kill();
    let begin = Instant::now();
    world.assert_settled(import, "cancelled").await;
    println!("an interrupted stream was undone after {:.1?}", begin.elapsed());
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(status.contains("standard input was interrupted"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_submission_that_died_is_undone_and_can_be_made_again() {
    let world = World::new().await;
    let file = world.csv_file(20_000).await;
    // Nobody loads, so that it waits after its first batch.
    let command = ["-i", file.path(), "--force", "--chunk-rows", "200"];
    let mut submitter = world
        .enqueue(&[&command[..], &["--max-pending", "1K"]].concat())
        .start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    let import = world.latest_import().await;
    submitter.kill();
    assert_eq!(world.state(import).await, "splitting");
    let _worker = world.worker(&[]).start();
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(status.contains("was interrupted before its end was read"), "{status}");
    let again = world.run(&command).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    world.assert_settled(again.id(), "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_read_fails_its_import() {
    let world = World::new().await;
    let file = world.csv_file(60_000).await;
    let submitter = world
        .enqueue(&["-i", file.path(), "--chunk-rows", "2000", "--max-pending", "1K"])
        .start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    let mut append = std::fs::OpenOptions::new()
        .append(true)
        .open(&file.path)
        .expect("the file");
    append.write_all(b"S;late;2025-01-01;1\n").expect("to append");
    let _worker = world.worker(&[]).start();
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("changed while it was read"), "{finished:?}");
    // It waited after each of some thirty batches.
    let waits = finished.stderr.matches("wait for workers").count();
    assert!(waits <= 3, "it says once that it waits: {finished:?}");
    let import = finished.id();
    world.assert_settled(import, "failed").await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(status.contains("changed while it was read"), "{status}");
    assert_eq!(
        world.count("pgimport.import WHERE split_at IS NOT NULL").await,
        0,
        "it never became loading"
    );
    let cancel = world.run(&["cancel", &import.to_string(), "--wait"]).await;
    assert_eq!(cancel.code, Some(0), "{cancel:?}");
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
    until_true("the submitter is forgotten", async || {
        world
            .count("pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-enqueue%'")
            .await
            == 0
    })
    .await;
}
