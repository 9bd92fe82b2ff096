//! What only a newer version can read: it waits for that version, untouched, and everything else goes on beside it.

use crate::support::{Held, World, assert_json, orders, until_true};
use serde_json::{Value, json};

impl World {
    /// Changes an import as no program of this version would.
    async fn falsify(&self, id: i64, change: &str) {
        self.execute(&format!(
            "BEGIN; SET LOCAL session_replication_role = replica;
             UPDATE pgimport.import SET {change} WHERE id = {id}; COMMIT"
        ))
        .await;
    }

    /// Works off what is due, and what would come again only in a while.
    async fn drain_now(&self) {
        self.execute("UPDATE apalis.jobs SET run_at = now() - interval '2 seconds' WHERE status = 'Pending'")
            .await;
        self.drain();
    }

    /// The line of an import in the list of all.
    fn listed(&self, id: i64) -> String {
        let list = self.enqueue(&["status"]).run().exits(0);
        let starts = format!("{id} ");
        let line = list.stdout.lines().find(|line| line.trim_start().starts_with(&starts));
        line.unwrap_or_else(|| panic!("no import {id}: {list:#?}")).to_owned()
    }

    fn listed_as_json(&self, id: i64) -> Value {
        let list = self.enqueue(&["status", "--json"]).run().exits(0).json();
        let imports = list["imports"].as_array().unwrap();
        imports.iter().find(|import| import["import_id"] == id).unwrap().clone()
    }

    /// Both ways to look at an import say what it waits for, or that it waits for nothing.
    #[track_caller]
    fn assert_waits_for_a_newer_version(&self, id: i64, waits: bool) {
        let status = self.status(id);
        assert_eq!(status["unreadable"].is_string(), waits, "{status:#}");
        assert_eq!(self.listed_as_json(id)["unreadable"].is_string(), waits);
        let line = self.listed(id);
        assert_eq!(line.contains("newer"), waits, "{line}");
        let said = self.enqueue(&["status", &id.to_string()]).run().exits(0).stdout;
        assert_eq!(said.contains("newer"), waits, "{said}");
        if waits {
            let reason = status["unreadable"].as_str().unwrap();
            assert!(reason.contains("newer"), "{reason}");
        }
    }
}

/// What is done to an import, and what makes it readable again.
const SPECS: [(&str, &str); 4] = [
    ("spec_version = 99", "spec_version = 2"),
    (r#"spec = spec || '{"x": 1}'"#, "spec = spec - 'x'"),
    (
        r#"spec = jsonb_set(spec, '{format,kind}', '"parquet"')"#,
        r#"spec = jsonb_set(spec, '{format,kind}', '"csv"')"#,
    ),
    (
        r#"spec_version = 99, spec = '"another form"', totals = spec"#,
        "spec_version = 2, spec = totals, totals = NULL",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_only_a_newer_version_can_load_waits_for_it_and_nothing_waits_with_it() {
    for (change, back) in SPECS {
        let world = World::new().await;
        let waits = world.submit("waits.csv", &orders("waits", 300), &[]);
        let other = world.submit("other.csv", &orders("other", 300), &[]);
        world.assert_waits_for_a_newer_version(waits, false);
        world.falsify(waits, change).await;
        world.assert_waits_for_a_newer_version(waits, true);
        // It ends, although there is one that is open.
        world.drain_now().await;
        assert_json(
            &world.status(waits),
            &json!({"state": "loading", "loaded": 0, "chunks_pending": 3, "chunk_errors": [], "error": null}),
        );
        assert_json(&world.status(other), &json!({"state": "loaded", "loaded": 300}));
        let touched =
            "SELECT count(*) FROM pgimport.import_chunk WHERE import_id = 1 AND (attempts, retries) <> (0, 0)";
        assert_eq!(world.number(touched).await, 0, "{change}");
        assert_eq!(world.number("SELECT count(*) FROM pgimport.import_payload").await, 3);
        world.assert_waits_for_a_newer_version(waits, true);
        world.assert_waits_for_a_newer_version(other, false);
        assert_eq!(world.undo(other, &[])["state"], "cancelled");
        world.falsify(waits, back).await;
        world.assert_waits_for_a_newer_version(waits, false);
        world.drain_now().await;
        assert_json(&world.status(waits), &json!({"state": "loaded", "loaded": 300}));
        assert_eq!(world.shops().await, ["waits"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_only_a_newer_version_can_read_deletes_nothing_until_it_is_readable() {
    for (change, back) in [
        ("undo_version = 99", "undo_version = 1"),
        (r#"undo = undo || '{"x": 1}'"#, "undo = undo - 'x'"),
        ("spec_version = 99", "spec_version = 2"),
    ] {
        let world = World::new().await;
        let waits = world.load_orders("waits", 300, &[]);
        let other = world.submit("other.csv", &orders("other", 300), &[]);
        world.enqueue(&["cancel", &waits.to_string()]).run().exits(0);
        world.falsify(waits, change).await;
        world.drain_now().await;
        assert_json(
            &world.status(waits),
            &json!({"state": "cancelling", "deleted": 0, "error": null, "chunk_errors": []}),
        );
        assert_json(&world.status(other), &json!({"state": "loaded", "loaded": 300}));
        assert_eq!(world.sale_orders().await, 600);
        world.assert_waits_for_a_newer_version(waits, true);
        // Between the fence and the deletions it is the same.
        world.falsify(waits, back).await;
        world.assert_waits_for_a_newer_version(waits, false);
        let held = Held::take(&world, "LOCK TABLE public.sale_order IN ACCESS EXCLUSIVE MODE").await;
        let worker = world.worker(&["--concurrency", "2"]).start();
        until_true("it is fenced", async || {
            world.number("SELECT count(fenced_at) FROM pgimport.import").await == 1
        })
        .await;
        world.until_a_lock_is_waited_for().await;
        drop(worker);
        until_true("nobody works", async || {
            let sessions =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import-worker%'";
            world.number(sessions).await == 0
        })
        .await;
        world.falsify(waits, change).await;
        held.release().await;
        world.drain_now().await;
        assert_json(&world.status(waits), &json!({"state": "cancelling", "deleted": 0}));
        assert_eq!(world.sale_orders().await, 600);
        world.falsify(waits, back).await;
        world.drain_now().await;
        assert_json(&world.status(waits), &json!({"state": "cancelled", "deleted": 300}));
        assert_eq!(world.shops().await, ["other"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_newer_version_is_left_in_the_queue_and_what_is_no_job_is_dropped() {
    let newer = [
        r#"{"version":2,"kind":"load_chunk","import":1,"ordinal":0}"#,
        r#"{"version":1,"kind":"polish_chunk","import":1,"ordinal":0}"#,
        r#"{"version":7,"kind":"fold","sheets":[1,2,3]}"#,
    ];
    let junk = [
        r"\xff00",
        "",
        "{}",
        r#""?""#,
        r#"{"version":1,"kind":"load_chunk"}"#,
        r#"{"version":1,"kind":"delete_chunk","import":"one","ordinal":0}"#,
    ];
    let world = World::new().await;
    for (n, job) in newer.iter().chain(&junk).enumerate() {
        let bytes = match job.strip_prefix(r"\x") {
            Some(_) => format!("'{job}'"),
            None => format!("convert_to('{job}', 'UTF8')"),
        };
        world
            .execute(&format!(
                "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
                 VALUES ('01J000000000000000000000{n:02}', 'pg_import', {bytes}, 'Pending', 0, 1, now() - interval '2 seconds', 1)"
            ))
            .await;
    }
    let worker = world.worker(&["--concurrency", "2"]).start();
    until_true("what was added by hand is worked off", async || {
        world
            .number("SELECT count(*) FROM apalis.jobs WHERE id LIKE '01J0000%'")
            .await
            == 0
    })
    .await;
    // It is never gone, whoever looks at it in between.
    let waiting = "FROM apalis.jobs WHERE status IN ('Pending', 'Queued', 'Running')";
    for job in newer {
        let again = format!(
            "SELECT count(*) {waiting} AND job = convert_to('{job}', 'UTF8') AND run_at > (SELECT started_at FROM pgimport.worker)"
        );
        assert!(world.number(&again).await > 0, "{job}");
    }
    assert_eq!(world.number(&format!("SELECT count(DISTINCT job) {waiting}")).await, 3);
    let file = world.file("a.csv", orders("A", 30));
    world
        .enqueue(&["-i", &file, "--wait", "--chunk-rows", "5"])
        .run()
        .exits(0);
    world.enqueue(&["cancel", "1", "--wait"]).run().exits(0);
    // The same worker as in the beginning.
    assert_eq!(world.number("SELECT count(*) FROM pgimport.worker").await, 1);
    assert_eq!(worker.words().matches("worker ready").count(), 1);
    // What it has done, it has said so of.
    let kinds = format!("SELECT count(DISTINCT job) {waiting}");
    until_true("only the jobs of newer versions wait", async || {
        world.number(&kinds).await == 3
    })
    .await;
    drop(worker);
    // Nor does what it cannot do keep a worker from ending.
    world.drain_now().await;
    assert_eq!(world.number(&kinds).await, 3);
}
