//! A server that goes away, refuses, or lost its queue: restarts, errors that pass and errors that do not, jobs that lie.

use std::time::Duration;

use crate::support::{Held, World, orders, seeded, until_true};
use local_server::ShutdownMode;
use rand::RngExt as _;
use rustix::process::{Pid, Signal, kill_process};
use testkit::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_submitters_outlive_restarts_of_the_server() {
    let server = TestServer::start().await;
    let world = World::on(&server).await;
    let mut random = seeded();
    let file = world.csv_file(60_000).await;
    let workers = [
        world.worker(&["--concurrency", "2"]).start(),
        world.worker(&["--concurrency", "2"]).start(),
    ];
    let submitter = world
        .enqueue(&[
            "-i",
            file.path(),
            "--chunk-rows",
            "200",
            "--max-pending",
            "64K",
            "--wait",
        ])
        .start();
    world.until_some("pgimport.import_chunk").await;
    for mode in [
        ShutdownMode::Fast,
        ShutdownMode::Immediate,
        ShutdownMode::Fast,
        ShutdownMode::Immediate,
    ] {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1200))).await;
        server.restart(mode).await;
    }
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    world.assert_settled(finished.id(), "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
    for mut worker in workers {
        assert!(worker.ended().is_none(), "{}", worker.words());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_seconds_costs_seconds() {
    let server = TestServer::start().await;
    let world = World::on(&server).await;
    let file = world.csv_file(30_000).await;
    let mut worker = world.worker(&["--concurrency", "2"]).start();
    let submitter = world
        .enqueue(&[
            "-i",
            file.path(),
            "--chunk-rows",
            "200",
            "--max-pending",
            "64K",
            "--wait",
        ])
        .start();
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    // Every session ends, and the postmaster neither refuses nor accepts new ones.
    let mut conn = world.connect().await;
    let postmaster = Pid::from_raw(server.postmaster_pid()).expect("a process id");
    kill_process(postmaster, Signal::STOP).expect("to freeze the server");
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pg_import%'")
        .execute(&mut conn)
        .await
        .expect("to end the sessions");
    tokio::time::sleep(Duration::from_secs(10)).await;
    kill_process(postmaster, Signal::CONT).expect("to thaw the server");
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    world.assert_settled(finished.id(), "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
    assert!(worker.ended().is_none(), "{}", worker.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_loaded_once_however_often_sessions_are_ended() {
    let world = World::new().await;
    let mut random = seeded();
    let file = world.csv_file(40_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    let _workers = [
        world.worker(&["--concurrency", "3"]).start(),
        world.worker(&["--concurrency", "3"]).start(),
    ];
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
        let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'pg_import-worker%' ORDER BY random() LIMIT 2";
        world.execute(one).await;
    }
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

/// Makes every insert into the target fail with an SQLSTATE, until the trigger is dropped.
async fn refuse(world: &World, sqlstate: &str) {
    world
        .execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON public.sale_order FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_attempt_and_is_waited_for() {
    let world = World::new().await;
    let file = world.csv_file(600).await;
    refuse(&world, "53100").await;
    let import = world.submit_file(&file, &["--chunk-rows", "200"]).await;
    let _worker = world.worker(&["--max-attempts", "2"]).start();
    world.until_some("pgimport.import_chunk WHERE retries >= 3").await;
    assert_eq!(world.count("pgimport.import_chunk WHERE state = 'pending'").await, 3);
    assert_eq!(world.count("pgimport.import_chunk WHERE attempts > 1").await, 0);
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    println!("{status}");
    world.execute("DROP TRIGGER refuse ON public.sale_order").await;
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

/// Breaks the target between submission and load; the import fails at once and says why.
async fn fails_with(breakage: &str, words: &str) {
    let world = World::new().await;
    let file = world.csv_file(300).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    world.execute(breakage).await;
    let _worker = world.worker(&[]).start();
    world.until_state(import, "failed").await;
    assert_eq!(world.count("pgimport.import_chunk WHERE state <> 'failed'").await, 0);
    assert_eq!(world.count("pgimport.import_registry").await, 0);
    world.assert_no_job_stranded().await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(status.contains(words), "{status}");
    assert_eq!(world.count("pgimport.import_chunk WHERE attempts > 1").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_mend_fails_at_once_with_a_reason() {
    tokio::join!(
        fails_with("DROP TABLE public.sale_order", "the table public.sale_order was dropped"),
        fails_with(
            "DROP TABLE public.sale_order; CREATE TABLE public.sale_order
             (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \"PointOfSale\" text, \"Product\" text, \"Date\" date, \"Stock\" integer)",
            "dropped and made again"
        ),
        fails_with(r#"ALTER TABLE public.sale_order DROP COLUMN "Stock""#, "no longer has the column Stock"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_privilege_fails_at_once_with_a_reason() {
    // A trigger that refuses as the server would: the tests' role is a superuser, from whom nothing can be revoked.
    let world = World::new().await;
    let file = world.csv_file(300).await;
    let import = world.submit_file(&file, &[]).await;
    refuse(&world, "42501").await;
    let _worker = world.worker(&[]).start();
    world.assert_settled(import, "failed").await;
    let status = world.run(&["status", &import.to_string()]).await.stdout;
    assert!(status.contains("made to fail"), "{status}");
    // Mended, it goes on from where it stopped.
    world.execute("DROP TRIGGER refuse ON public.sale_order").await;
    assert_eq!(world.run(&["retry", &import.to_string(), "--wait"]).await.code, Some(0));
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_emptied_is_filled_again() {
    let world = World::new().await;
    let file = world.csv_file(10_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let _worker = world.worker(&["--concurrency", "2"]).start();
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    world.execute("DELETE FROM apalis.jobs").await;
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;

    // The same for an undo.
    let lock = Held::take(&world, "LOCK TABLE public.sale_order IN SHARE MODE").await;
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    world.until_a_lock_is_waited_for().await;
    world.execute("DELETE FROM apalis.jobs").await;
    lock.release().await;
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_delivered_twice_load_nothing_twice() {
    let world = World::new().await;
    let file = world.csv_file(6_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let twice =
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
         SELECT left(id, 25) || CASE right(id, 1) WHEN 'Z' THEN 'Y' ELSE 'Z' END,
             job_type, job, 'Pending', attempts, max_attempts, run_at, priority, metadata FROM apalis.jobs";
    world.execute(twice).await;
    assert_eq!(world.count("apalis.jobs").await, 120);
    let _workers = [
        world.worker(&["--concurrency", "4"]).start(),
        world.worker(&["--concurrency", "4"]).start(),
    ];
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
    assert_eq!(world.run(&["cancel", &import.to_string()]).await.code, Some(0));
    world.assert_settled(import, "cancelled").await;
    world.assert_loaded_once(&[]).await;
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_can_read_stops_nobody() {
    let world = World::new().await;
    let garbage = |id: &str, job: &str| {
        format!(
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
             VALUES ('{id}', 'pg_import', {job}, 'Pending', 0, 1, now() - interval '1 minute', 100)"
        )
    };
    for (id, job) in [
        ("01ARZ3NDEKTSV4RRFFQ69G5FA1", r"'\xdeadbeef'::bytea"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA2", r"''::bytea"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA3", r#"'{"foreign": true}'::bytea"#),
        (
            "01ARZ3NDEKTSV4RRFFQ69G5FA4",
            r#"'{"version": 99, "kind": "load_chunk"}'::bytea"#,
        ),
    ] {
        world.execute(&garbage(id, job)).await;
    }
    let file = world.csv_file(1_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let worker = world.worker(&["--concurrency", "1"]).start();
    world.assert_settled(import, "loaded").await;
    world.assert_loaded_once(&[&file]).await;
    assert!(!worker.words().contains("starting again"), "{}", worker.words());
    // The one of a newer version waits for a newer worker; the others are passed over.
    let newer = "apalis.jobs WHERE status <> 'Done' AND job = '{\"version\": 99, \"kind\": \"load_chunk\"}'::bytea";
    assert_eq!(world.count(newer).await, 1);
    world.execute(&format!("DELETE FROM {newer}")).await;
    world.assert_no_job_stranded().await;

    // One whose id is none ends the session that fetches it; the next sets it aside.
    world.execute(&garbage("no ULID", r"'\x00'::bytea")).await;
    let file = world.csv_file(1_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    world.assert_settled(import, "loaded").await;
    assert!(worker.words().contains("were set aside"), "{}", worker.words());
    world.assert_no_job_stranded().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_pruned_and_disturbs_nobody() {
    let world = World::new().await;
    // As a queue that nobody pruned: half a million jobs that are done.
    let history = "SET session_replication_role = replica;
         INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, lock_by, priority)
         SELECT lpad(n::text, 26, '0'), 'pg_import', '{}', 'Done', 1, 1, now(), now(), NULL, 1 FROM generate_series(1, 500000) AS n;
         SET session_replication_role = origin";
    world.execute(history).await;
    let file = world.csv_file(5_000).await;
    let import = world.submit_file(&file, &["--chunk-rows", "100"]).await;
    let begin = std::time::Instant::now();
    let _worker = world.worker(&[]).start();
    world.assert_settled(import, "loaded").await;
    println!("loaded beside 500,000 finished jobs after {:.1?}", begin.elapsed());
    world.assert_loaded_once(&[&file]).await;
    world.assert_no_job_stranded().await;
    let pruned = "apalis.jobs HAVING count(*) < 450000";
    world.until_some(pruned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_lost_with_its_work_is_given_again_while_its_worker_lives() {
    let world = World::new().await;
    let id = world.submit("a.csv", &orders("A", 300), &[]);
    // As a restart leaves it that took what a load had done together with the word that it was done: held for long by one that lives.
    world
        .execute(
            "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen)
             VALUES ('one that lives', 'pg_import', 'PostgresStorage', now() + interval '1 hour');
             UPDATE apalis.jobs SET status = 'Running', lock_by = 'one that lives', lock_at = now() - interval '40 minutes'",
        )
        .await;
    let _worker = world.worker(&[]).start();
    until_true("all is loaded", async || world.state(id).await == "loaded").await;
    assert_eq!(world.count("public.sale_order").await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_end_the_server_never_heard_of_is_ended_while_its_worker_lives() {
    let world = World::new().await;
    let worker = world.worker(&[]).start();
    world.until_working(&worker).await;
    let id = world.submit("a.csv", &orders("A", 300), &[]);
    until_true("all is loaded", async || world.state(id).await == "loaded").await;
    world.assert_no_job_stranded().await;
    // As a restart in that moment leaves it: held by one of the living worker's, begun long ago, and of a chunk that is long done.
    world
        .execute(&format!(
            "UPDATE pgimport.import_chunk SET finished_at = now() - interval '1 hour';
             INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, lock_at, lock_by, priority)
             SELECT '01M8FBSPADZVR257K0JPDRVG8' || n, 'pg_import',
                 convert_to(format('{{\"version\":1,\"kind\":\"%s\",\"import\":{id},\"ordinal\":%s}}', kind, n), 'UTF8'),
                 'Running', 0, 1, now() - interval '1 hour', now() - interval '1 hour', (SELECT max(id) FROM apalis.workers), 0
             FROM (VALUES (0, 'load_chunk'), (1, 'load_chunk'), (2, 'delete_chunk')) AS j (n, kind)"
        ))
        .await;
    // What is loaded is not undone: that job is still to be done, or its holder's own affair.
    until_true("two jobs are ended", async || {
        world.count("apalis.jobs WHERE status = 'Running'").await == 1
    })
    .await;
    let left = world
        .texts("SELECT convert_from(job, 'UTF8') FROM apalis.jobs WHERE status = 'Running'")
        .await;
    assert!(left[0].contains("delete_chunk"), "{left:?}");
    assert_eq!(world.count("public.sale_order").await, 300);
}
