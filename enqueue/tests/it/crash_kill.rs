//! Processes that die: killed at random, at each step of a chunk, and by a chunk that kills whoever begins it.

use std::time::Duration;

use crate::support::{Held, Proc, World, seeded};
use rand::RngExt as _;

/// Where a worker that loads can be hit, in the order of its statements.
const LOAD_STEPS: [&str; 8] = [
    "after-attempt",
    "before-claim",
    "after-claim",
    "after-ids",
    "after-rows",
    "after-registry",
    "before-commit",
    "after-commit",
];
const DELETE_STEPS: [&str; 6] = [
    "after-delete-claim",
    "after-ranges",
    "after-describe",
    "after-cascades",
    "after-delete",
    "before-delete-commit",
];

/// Many starts of a chunk are this test's own doing.
const PATIENT: [&str; 4] = ["--concurrency", "2", "--max-attempts", "1000"];

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_loaded_once_however_often_workers_are_killed() {
    let world = World::new().await;
    let mut random = seeded();
    let file = world.csv_file(30_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    let mut workers: Vec<_> = (0..3).map(|_| world.worker(&PATIENT).start()).collect();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        let victim = random.random_range(0..workers.len());
        workers[victim].kill();
        workers[victim] = world.worker(&PATIENT).start();
    }
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_loaded_once_when_submitters_and_workers_are_killed() {
    let world = World::new().await;
    let mut random = seeded();
    let file = world.csv_file(30_000).await;
    // Little may be pending, so that the submission lasts as long as the workers do.
    let command = ["-i", file.path(), "--chunk-rows", "200", "--max-pending", "64K"];
    let mut worker = world.worker(&PATIENT).start();
    for round in 0..3 {
        let mut submitter = world.enqueue(&command).start();
        world
            .until_some(&format!(
                "pgimport.import WHERE submitter LIKE '%:{}:%'",
                submitter.pid()
            ))
            .await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
        submitter.kill();
        if round == 1 {
            worker.kill();
            worker = world.worker(&PATIENT).start();
        }
        if world.count("pgimport.import WHERE state <> 'splitting'").await > 0 {
            break;
        }
    }
    // Two at once, as an impatient cron would.
    let (first, second) = tokio::join!(world.run(&command), world.run(&command));
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{first:?} {second:?}");
    assert_eq!(first.id(), second.id());
    world.assert_settled(first.id(), "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    assert_eq!(world.count("pgimport.import").await, 1);
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_killed_between_two_statements_of_a_batch_leaves_no_half_of_it() {
    let world = World::new().await;
    let file = world.csv_file(5_000).await;
    let command = ["-i", file.path(), "--chunk-rows", "200"];
    let lock = Held::take(&world, "LOCK TABLE pgimport.import_payload IN SHARE MODE").await;
    let mut submitter = world.enqueue(&command).start();
    world.until_a_lock_is_waited_for().await;
    submitter.kill();
    lock.release().await;
    let _worker = world.worker(&PATIENT).start();
    let again = world.run(&command).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("going on in its place"), "{again:?}");
    world.assert_settled(again.id(), "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

async fn dies_between_any_two_statements_of_a_load(method: &str) {
    let world = World::new().await;
    let file = world.csv_file(6_000).await;
    let import = world
        .submit_file(&file, &["--chunk-rows", "200", "--load-method", method])
        .await;
    let mut dying: Vec<_> = LOAD_STEPS
        .iter()
        .map(|step| {
            let failpoint = format!("{step}=panic");
            let environment = [("FAILPOINTS", failpoint.as_str()), ("FAILPOINTS_ABORT", "1")];
            world
                .worker(&["--concurrency", "1", "--max-attempts", "1000"])
                .envs(environment)
                .start()
        })
        .collect();
    for (worker, step) in std::iter::zip(&mut dying, LOAD_STEPS) {
        worker.exit().await;
        let words = worker.words();
        assert!(
            words.contains("aborting"),
            "{step} was not reached; is the worker built with failpoints (test the whole workspace)? {words}"
        );
    }
    let _healthy = world.worker(&["--concurrency", "1"]).start();
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_die_between_any_two_statements_of_a_load() {
    tokio::join!(
        dies_between_any_two_statements_of_a_load("insert"),
        dies_between_any_two_statements_of_a_load("copy")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_die_between_any_two_statements_of_a_deletion() {
    let world = World::new().await;
    let (file, other) = (world.csv_file(4_000).await, world.csv_file(1_000).await);
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    let stays = world.submit_file(&other, &["--chunk-rows", "200"]).await;
    let loaded = world.run(&["status", &import.to_string()]).await;
    assert_eq!(loaded.code, Some(0));
    let drain = world.worker(&["--drain"]).start().finished().await;
    assert_eq!(drain.code, Some(0), "{drain:?}");
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    for step in DELETE_STEPS {
        let failpoint = format!("{step}=panic");
        let environment = [("FAILPOINTS", failpoint.as_str()), ("FAILPOINTS_ABORT", "1")];
        let mut worker = world.worker(&["--concurrency", "1"]).envs(environment).start();
        worker.exit().await;
        assert!(worker.words().contains("aborting"), "{step}: {}", worker.words());
    }
    let _healthy = world.worker(&[]).start();
    world.assert_settled(import, "cancelled").await;
    world.assert_settled(stays, "loaded").await;
    world.assert_loaded_once(&[&other]).await;
    world.assert_no_job_stranded().await;
}

/// One worker for each step, which it takes its time before.
async fn dawdling_workers(world: &World, steps: &[&str]) -> Vec<Proc> {
    let start = |step: &&str| {
        let failpoint = format!("{step}=3*sleep(700)->off");
        world
            .worker(&["--concurrency", "1", "--max-attempts", "1000"])
            .env("FAILPOINTS", &failpoint)
            .start()
    };
    let workers: Vec<_> = steps.iter().map(start).collect();
    for worker in &workers {
        worker.until_says("worker ready").await;
    }
    workers
}

async fn cut_sessions(world: &World) {
    let mut cut = 0;
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Without its other sessions, a worker only begins anew.
        let which = if round % 2 == 0 { "idle in transaction" } else { "" };
        cut += world.terminate("pg_import-worker", which).await;
    }
    println!("{cut} sessions cut");
    assert!(cut > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_cut_between_any_two_statements_of_a_load() {
    let world = World::new().await;
    let file = world.csv_file(10_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let _workers = dawdling_workers(&world, &LOAD_STEPS).await;
    cut_sessions(&world).await;
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_cut_between_any_two_statements_of_a_deletion() {
    let world = World::new().await;
    let file = world.csv_file(10_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let drain = world.worker(&["--drain"]).start().finished().await;
    assert_eq!(drain.code, Some(0), "{drain:?}");
    let _workers = dawdling_workers(&world, &DELETE_STEPS).await;
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    cut_sessions(&world).await;
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_kills_its_workers_is_given_up_and_can_be_retried() {
    let world = World::new().await;
    let file = world.csv_file(2_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let poison = [("FAILPOINTS", "begin-chunk-3=panic"), ("FAILPOINTS_ABORT", "1")];
    let arguments = ["--max-attempts", "2", "--concurrency", "4", "--drain"];
    // Whatever is begun beside the chunk dies with it.
    let mut lock = Some(Held::take(&world, "LOCK TABLE public.sale_order IN SHARE MODE").await);
    let mut said = String::new();
    let mut deaths = 0;
    let code = loop {
        // As systemd would: again and again.
        let ended = world.worker(&arguments).envs(poison).start().finished().await;
        said.push_str(&ended.stderr);
        if ended.code.is_some() {
            break ended.code;
        }
        deaths += 1;
        assert!(deaths < 10, "the chunk is never given up\n{said}");
        if deaths == 2 {
            lock.take().expect("held until now").release().await;
        }
    };
    assert_eq!((code, deaths), (Some(0), 2), "{said}");
    world.assert_settled(import, "failed").await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(
        status.contains("begun 2 times, and each time its worker ended"),
        "{status}\n{said}"
    );
    let loaded = world.count("pgimport.import_chunk WHERE state = 'loaded'").await;
    assert_eq!(loaded, 19, "{status}\n{said}");
    let given_up = "pgimport.import_chunk WHERE state = 'failed' AND ordinal = 3";
    assert_eq!(world.count(given_up).await, 1, "{status}\n{said}");

    let _healthy = world.worker(&[]).start();
    let retry = world.run(&["retry", &import.to_string(), "--wait"]).await;
    assert_eq!(retry.code, Some(0), "{retry:?}");
    assert!(retry.stderr.contains("1 failed chunks are open again"), "{retry:?}");
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_whose_handler_panics_is_given_up_too() {
    let world = World::new().await;
    let file = world.csv_file(1_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let panics = [("FAILPOINTS", "begin-chunk-2=panic")];
    let _worker = world.worker(&["--max-attempts", "2"]).envs(panics).start();
    world.assert_settled(import, "failed").await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(status.contains("the worker panicked"), "{status}");
    assert_eq!(world.count("pgimport.import_chunk WHERE state = 'loaded'").await, 9);
    world.assert_no_job_stranded().await;
}
