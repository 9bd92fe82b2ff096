//! Processes that do not die but stop: frozen by the system, blocked in their own runtime, and told to end while they work.

use std::time::{Duration, Instant};

use crate::support::{Held, Proc, World, until_true};
use rustix::process::Signal;

/// Freezes a worker within the transaction that loads a chunk: after its rows, or, for COPY, before the first of them.
async fn freeze_while_loading(world: &World, worker: &Proc, method: &str) -> String {
    // SHARE lets nobody write, and everybody read.
    let statement = match method {
        "copy" => "LOCK TABLE public.sale_order IN SHARE MODE",
        _ => "LOCK TABLE pgimport.import_registry IN SHARE MODE",
    };
    let lock = Held::take(world, statement).await;
    let name = world.until_working(worker).await;
    world
        .until_some(&format!(
            "pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock' AND state = 'active'"
        ))
        .await;
    worker.freeze();
    lock.release().await;
    // It holds its chunk's row until somebody ends its session.
    world
        .until_some(&format!(
            "pg_stat_activity WHERE application_name = '{name}' AND xact_start IS NOT NULL AND wait_event_type IS DISTINCT FROM 'Lock'"
        ))
        .await;
    name
}

async fn takes_over_from_a_frozen_worker(method: &str) {
    let world = World::new().await;
    let file = world.csv_file(3_000).await;
    let import = world
        .submit_file(&file, &["--chunk-rows", "200", "--load-method", method])
        .await;
    let frozen = world.worker(&["--concurrency", "2"]).start();
    let name = freeze_while_loading(&world, &frozen, method).await;
    let begin = Instant::now();
    let _other = world.worker(&[]).start();
    world.until_none("pgimport.import_chunk WHERE state = 'pending'").await;
    println!(
        "{method}: the chunks of a frozen worker were loaded after {:.1?}",
        begin.elapsed()
    );
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
    world
        .until_none(&format!("pg_stat_activity WHERE application_name = '{name}'"))
        .await;

    frozen.thaw();
    // It goes on under another name, and works.
    let pid = frozen.pid();
    let renamed = format!("pgimport.worker WHERE pid = {pid} AND name <> '{name}'");
    world.until_some(&renamed).await;
    world.assert_tidy().await;
    world.assert_loaded_once(&[&file]).await;
    drop(_other);
    let second = world.csv_file(500).await;
    let next = world.submit_file(&second, &["--load-method", method]).await;
    world.assert_settled(next, "loaded").await;
    world.assert_loaded_once(&[&file, &second]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_after_its_insert_is_replaced_and_may_come_back() {
    takes_over_from_a_frozen_worker("insert").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_within_its_copy_is_replaced_and_may_come_back() {
    takes_over_from_a_frozen_worker("copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_by_one_that_waits() {
    let world = World::new().await;
    let file = world.csv_file(3_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    let lock = Held::take(&world, "LOCK TABLE pgimport.import_registry IN SHARE MODE").await;
    let mut killed = world.worker(&["--concurrency", "2"]).start();
    let name = world.until_working(&killed).await;
    world
        .until_some(&format!(
            "pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
        ))
        .await;
    killed.kill();
    let begin = Instant::now();
    lock.release().await;
    let _other = world.worker(&[]).start();
    world.until_none("pgimport.import_chunk WHERE state = 'pending'").await;
    println!(
        "the chunks of a killed worker were loaded after {:.1?}",
        begin.elapsed()
    );
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_frozen_within_a_batch_is_replaced_by_the_same_command() {
    let world = World::new().await;
    let file = world.csv_file(3_000).await;
    let command = ["-i", file.path(), "--chunk-rows", "200"];
    let lock = Held::take(&world, "LOCK TABLE pgimport.import_payload IN SHARE MODE").await;
    let mut frozen = world.enqueue(&command).start();
    world.until_a_lock_is_waited_for().await;
    frozen.freeze();
    lock.release().await;
    let begin = Instant::now();
    // No worker: the command alone must free what the frozen one holds.
    let again = world.run(&command).await;
    println!("a frozen submitter was replaced after {:.1?}", begin.elapsed());
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("going on in its place"), "{again:?}");
    frozen.thaw();
    // It must not go on: the import is another's.
    let exit = frozen.exit().await;
    println!("the woken submitter: {exit} {}", frozen.words());
    let _worker = world.worker(&[]).start();
    world.assert_settled(again.id(), "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    assert_eq!(world.count("pgimport.import").await, 1);
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_runtime_is_blocked_loads_nothing_twice() {
    let world = World::new().await;
    let file = world.csv_file(4_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    // Longer than the heartbeat's limit, on the only thread of its runtime: its sessions are ended under it, and it goes on after.
    let environment = [
        ("FAILPOINTS", "after-rows=1*sleep(8000)->off"),
        ("TOKIO_WORKER_THREADS", "1"),
    ];
    let blocked = world.worker(&["--concurrency", "4"]).envs(environment).start();
    blocked.until_says("worker ready").await;
    world
        .until_some(
            "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-worker%' AND state = 'idle in transaction'",
        )
        .await;
    let _other = world.worker(&["--concurrency", "2"]).start();
    world.assert_settled(import, "loaded").await;
    blocked.until_says("starting again").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_leaves_no_trace() {
    let world = World::new().await;
    let file = world.csv_file(20_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    // Several times, for what is left behind depends on the moment.
    for _ in 0..5 {
        let worker = world.worker(&["--concurrency", "6"]).start();
        let loaded = world.count("pgimport.import_chunk WHERE state = 'loaded'").await;
        until_true("it loads", async || {
            world.count("pgimport.import_chunk WHERE state = 'loaded'").await > loaded
        })
        .await;
        worker.terminate();
        let finished = worker.finished().await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let held = "apalis.jobs WHERE status IN ('Queued', 'Running')";
        assert_eq!(world.count(held).await, 0, "{finished:?}");
        let begun = "pgimport.import_chunk WHERE state = 'pending' AND attempts > 0";
        assert_eq!(world.count(begun).await, 0, "{finished:?}");
        assert_eq!(world.count("pgimport.worker").await, 0, "{finished:?}");
    }
    assert!(
        world.count("pgimport.import_chunk WHERE state = 'pending'").await > 0,
        "stopped while it worked"
    );
    let _worker = world.worker(&[]).start();
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_while_chunks_are_blocked() {
    let world = World::new().await;
    let file = world.csv_file(1_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let lock = Held::take(&world, "LOCK TABLE public.sale_order IN SHARE MODE").await;
    let worker = world.worker(&["--concurrency", "2", "--shutdown-timeout", "1"]).start();
    world
        .until_some("pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-worker%' AND wait_event_type = 'Lock'")
        .await;
    worker.terminate();
    let begin = Instant::now();
    let finished = worker.finished().await;
    println!("ended {:.1?} after the signal", begin.elapsed());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    lock.release().await;
    assert_eq!(
        world.count("apalis.jobs WHERE status IN ('Queued', 'Running')").await,
        0
    );
    assert_eq!(world.count("pgimport.import_chunk WHERE attempts > 0").await, 0);
    let _worker = world.worker(&[]).start();
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reads_ahead_and_writes_no_more_at_once_than_it_was_told_to() {
    let world = World::new().await;
    let file = world.csv_file(1_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let lock = Held::take(&world, "LOCK TABLE public.sale_order IN SHARE MODE").await;
    let _worker = world.worker(&["--concurrency", "1"]).start();
    world
        .until_some("pgimport.import_chunk WHERE state = 'pending' AND worker IS NOT NULL HAVING count(*) > 1")
        .await;
    let blocked = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO public.sale_order%'";
    world.until_some(blocked).await;
    // Each look is a statement of its own; a second writer would wait for the lock within milliseconds.
    for _ in 0..200 {
        assert!(world.count(blocked).await <= 1);
    }
    lock.release().await;
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stuck_ends_in_time_and_at_once_after_a_second_signal() {
    let world = World::new().await;
    let file = world.csv_file(1_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let stuck = [("FAILPOINTS", "after-rows=pause"), ("TOKIO_WORKER_THREADS", "4")];
    let patient = world
        .worker(&["--concurrency", "1", "--shutdown-timeout", "600"])
        .envs(stuck)
        .start();
    let hasty = world
        .worker(&["--concurrency", "1", "--shutdown-timeout", "1"])
        .envs(stuck)
        .start();
    for worker in [&patient, &hasty] {
        let name = world.until_working(worker).await;
        world
            .until_some(&format!(
                "pg_stat_activity WHERE application_name = '{name}' AND state = 'idle in transaction' AND query LIKE '%to_regclass%'"
            ))
            .await;
        worker.terminate();
        worker.until_says("a second signal ends at once").await;
    }
    patient.terminate();
    let finished = patient.finished().await;
    assert_eq!(finished.code, Some(128 + Signal::TERM.as_raw()), "{finished:?}");
    let finished = hasty.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let _worker = world.worker(&[]).start();
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_for_a_moment_loses_nothing() {
    let world = World::new().await;
    let file = world.csv_file(10_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let (one, two) = (
        world.worker(&["--concurrency", "2"]).start(),
        world.worker(&["--concurrency", "2"]).start(),
    );
    for _ in 0..4 {
        for worker in [&one, &two] {
            worker.freeze();
            tokio::time::sleep(Duration::from_millis(400)).await;
            worker.thaw();
        }
    }
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}
