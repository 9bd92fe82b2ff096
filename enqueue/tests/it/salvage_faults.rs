//! Records that the server refuses while something else goes wrong: processes that die, locks, deadlocks, a cancel.

use crate::support::{Held, World, assert_json, until};
use serde_json::{Value, json};

const TABLE: &str =
    "CREATE TABLE t (id bigserial PRIMARY KEY, k int CONSTRAINT once UNIQUE, v int CONSTRAINT low CHECK (v < 100))";
/// Many starts of a chunk are these tests' own doing.
const PATIENT: [&str; 4] = ["--concurrency", "1", "--max-attempts", "1000"];
/// Where a worker can be hit on its way through a chunk that has such records.
const STEPS: [&str; 8] = [
    "before-salvage",
    "after-ids",
    "after-refusal",
    "after-batch",
    "after-rows",
    "after-registry",
    "before-commit",
    "after-commit",
];

/// Some 6,000 records in two chunks, of which ten are refused.
fn records() -> String {
    let mut text = "k;v\n".to_owned();
    for n in 0..6000 {
        let v = if n % 600 == 7 { 1000 } else { 1 };
        text.push_str(&format!("{n};{v}\n"));
    }
    text
}

/// Everything is there once, and goes again.
async fn assert_loaded_once(world: &World, id: i64, file: &str) {
    world.until_state(id, "loaded").await;
    assert_json(
        &world.status(id),
        &json!({"loaded": 5990, "rejected": 10, "records": 6000}),
    );
    assert_eq!(world.count("t").await, 5990);
    assert_eq!(
        world
            .number("SELECT count(DISTINCT record) FROM pgimport.import_reject WHERE constraint_name = 'low'")
            .await,
        10
    );
    world.run(&["verify", &id.to_string(), file]).await.exits(0);
    world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
    assert_eq!(world.count("t").await, 0);
    for (count, what) in world.leftovers().await {
        assert_eq!(count, 0, "{what}");
    }
}

/// Kills a worker at each step of a chunk that is loaded like this.
async fn killed_at_any_step(method: &str) {
    let world = World::new().await;
    world.execute(TABLE).await;
    let file = world.file("t.csv", records());
    let submit = [
        "-i",
        &file,
        "--table",
        "t",
        "--chunk-rows",
        "3000",
        "--load-method",
        method,
    ];
    let id = world.run(&submit).await.exits(0).id();
    for step in STEPS {
        // The first time the step is come to, or later, when one batch stands already.
        let failpoint = format!("{step}={}panic", if step == "after-batch" { "1*off->" } else { "" });
        let mut dying = world
            .worker(&PATIENT)
            .env("FAILPOINTS", &failpoint)
            .env("FAILPOINTS_ABORT", "1")
            .start();
        if world.state(id).await == "loaded" {
            break;
        }
        dying.exit().await;
    }
    let _worker = world.worker(&PATIENT).start();
    assert_loaded_once(&world, id, &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_of_an_insert_leaves_the_chunk_to_another_which_loads_it_once() {
    killed_at_any_step("insert").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_worker_killed_at_any_step_of_a_copy_leaves_the_chunk_to_another_which_loads_it_once() {
    killed_at_any_step("copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_by_itself_is_waited_for_and_rejects_nothing() {
    let world = World::new().await;
    world.execute(TABLE).await;
    world
        .execute(
            "CREATE TABLE state (code text); INSERT INTO state VALUES ('40001');
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
                 DECLARE
                     code text := (SELECT s.code FROM public.state AS s);
                 BEGIN
                     IF code IS NOT NULL AND NEW.k IN (5, 2000) THEN RAISE 'made to fail' USING ERRCODE = code; END IF;
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER look BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION look()",
        )
        .await;
    let file = world.file("t.csv", records());
    let id = world.run(&["-i", &file, "--table", "t"]).await.exits(0).id();
    let _worker = world.worker(&PATIENT).start();
    for code in ["40001", "40P01", "57014", "53200", "55P03"] {
        world.execute(&format!("UPDATE state SET code = '{code}'")).await;
        world.execute("UPDATE pgimport.import_chunk SET retries = 0").await;
        world
            .until_some(
                "pgimport.import_chunk WHERE state = 'pending' AND retries >= 1 AND last_error LIKE '%made to fail%'",
            )
            .await;
    }
    assert_eq!(world.count("pgimport.import_reject").await, 0);
    world.execute("DELETE FROM state").await;
    assert_loaded_once(&world, id, &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_while_records_are_found_is_no_reject() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let file = world.file("t.csv", records());
    // Keys that the chunk comes to in its second batch; the session waits for one of the first.
    let rival = Held::take(
        &world,
        "SET LOCAL deadlock_timeout = '60s'; INSERT INTO t (k, v) VALUES (2000, 1)",
    )
    .await;
    let id = world.run(&["-i", &file, "--table", "t"]).await.exits(0).id();
    let _worker = world.worker(&PATIENT).start();
    world
        .until_some("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE 'pg_import-worker%'")
        .await;
    let rival = tokio::spawn(rival.also("INSERT INTO t (k, v) VALUES (3, 1)"));
    let rival = rival.await.expect("the rival");
    let errors = until("the deadlock was noted", async || {
        let chunk = format!("SELECT last_error FROM pgimport.import_chunk WHERE import_id = {id} AND retries > 0");
        world.ask(&chunk).await
    })
    .await;
    assert!(
        errors.contains("deadlock detected") || errors.contains("lock timeout"),
        "{errors}"
    );
    rival.release().await;
    assert_loaded_once(&world, id, &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_session_has_in_hand_is_refused_once_it_has_it() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let file = world.file("t.csv", records());
    let rival = Held::take(&world, "INSERT INTO t (k, v) VALUES (2000, 1)").await;
    let id = world.run(&["-i", &file, "--table", "t"]).await.exits(0).id();
    let _worker = world.worker(&PATIENT).start();
    // As long as nobody knows, nothing is decided.
    world.until_some("pgimport.import_chunk WHERE retries > 0").await;
    assert_eq!(world.count("pgimport.import_reject").await, 0);
    rival.commit().await;
    world.until_state(id, "loaded").await;
    assert_json(&world.status(id), &json!({"loaded": 5989, "rejected": 11}));
    let reason = "SELECT reason FROM pgimport.import_reject WHERE constraint_name = 'once'";
    assert_eq!(
        world.texts(reason).await,
        ["duplicate key value violates unique constraint \"once\"; Key (k)=(2000) already exists."]
    );
    // Whose it is stays.
    world.run(&["cancel", &id.to_string(), "--wait"]).await.exits(0);
    assert_eq!(world.count("t").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_records_are_found_leaves_nothing() {
    let world = World::new().await;
    world.execute(TABLE).await;
    let file = world.file("t.csv", records());
    let id = world.run(&["-i", &file, "--table", "t"]).await.exits(0).id();
    let worker = world
        .worker(&PATIENT)
        .env("FAILPOINTS", "after-refusal=sleep(300)")
        .start();
    world
        .until_some("pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%SAVEPOINT pgimport_%'")
        .await;
    let cancelled = world
        .run(&["cancel", &id.to_string(), "--wait", "--json"])
        .await
        .exits(0);
    let status: Value = cancelled.json();
    assert_json(&status, &json!({"state": "cancelled", "kept": 0}));
    drop(worker);
    assert_eq!(world.count("t").await, 0);
    for (count, what) in world.leftovers().await {
        assert_eq!(count, 0, "{what}");
    }
}
