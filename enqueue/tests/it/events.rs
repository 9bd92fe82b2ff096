//! What happened to an import, and what it came to: an event for each change, and figures that cost the same however large it was.

use crate::support::{Held, World, assert_json, orders, role::submitter_and_worker, until_true};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// An import's events: what happened, from where, to where, and whose process it was.
async fn events(world: &World, id: i64) -> Vec<String> {
    let events = format!(
        "SELECT concat_ws(' ', event, coalesce(from_state, '-'), to_state, split_part(role, '_', 1), split_part(process, ':', 1))
         FROM pgimport.import_event WHERE import_id = {id} ORDER BY id"
    );
    world.texts(&events).await
}

const SUBMITTED: &str = "submitted - splitting submitter pg_import-enqueue";
const SOURCE_ENDED: &str = "source_ended splitting loading submitter pg_import-enqueue";
const ALL_LOADED: &str = "all_loaded loading loaded worker pg_import-worker";
const SOME_FAILED: &str = "some_failed loading failed worker pg_import-worker";
const ALL_DELETED: &str = "all_deleted cancelling cancelled worker pg_import-worker";

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_state_is_one_event_that_says_whose_it_was() {
    let world = World::new().await;
    let (submitter, worker) = submitter_and_worker(&world).await;
    let enqueue = |arguments: &[&str]| submitter.run(world.enqueue(arguments)).run();
    let drain = || worker.run(world.worker(&["--drain"])).run().exits(0);
    let cancel = |from: &str| format!("cancel {from} cancelling submitter pg_import-enqueue");

    // Loaded, stopped in its undo, undone; what is asked for twice happens once.
    let file = world.file("a.csv", orders("A", 30));
    let id = enqueue(&["-i", &file, "--chunk-rows", "10"]).exits(0).id();
    let text = id.to_string();
    enqueue(&["-i", &file]).exits(0);
    drain();
    for command in ["cancel", "cancel", "keep", "keep", "cancel"] {
        enqueue(&[command, &text]).exits(0);
    }
    drain();
    enqueue(&["cancel", &text]).exits(0);
    let expected = [
        SUBMITTED,
        SOURCE_ENDED,
        ALL_LOADED,
        &cancel("loaded"),
        "keep cancelling kept submitter pg_import-enqueue",
        &cancel("kept"),
        ALL_DELETED,
    ];
    assert_eq!(events(&world, id).await, expected);

    // Failed, tried again in vain, tried again, and undone.
    world
        .execute(
            "CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE 'too many' USING ERRCODE = 'insufficient_privilege'; END $$;
             CREATE TRIGGER few BEFORE INSERT ON public.sale_order FOR EACH ROW WHEN (NEW.\"Stock\" >= 25) EXECUTE FUNCTION few()",
        )
        .await;
    let id = enqueue(&["-i", &file, "--chunk-rows", "10"]).exits(0).id();
    let text = id.to_string();
    drain();
    enqueue(&["retry", &text]).exits(0);
    drain();
    world.execute("DROP TRIGGER few ON public.sale_order").await;
    enqueue(&["retry", &text]).exits(0);
    drain();
    let retry = "retry failed loading submitter pg_import-enqueue";
    let expected = [
        SUBMITTED,
        SOURCE_ENDED,
        SOME_FAILED,
        retry,
        SOME_FAILED,
        retry,
        ALL_LOADED,
    ];
    assert_eq!(events(&world, id).await, expected);

    // Cancelled while it waits.
    let file = world.file("b.csv", orders("B", 30));
    let id = enqueue(&["-i", &file]).exits(0).id();
    enqueue(&["cancel", &id.to_string()]).exits(0);
    drain();
    let expected = [SUBMITTED, SOURCE_ENDED, &cancel("loading"), ALL_DELETED];
    assert_eq!(events(&world, id).await, expected);

    // A source that breaks off after its first chunks.
    let broken = format!("{}B;\"{}\";2025-01-01;1\n", orders("B", 30), "x".repeat(2_000));
    let file = world.file("c.csv", broken);
    let refused = enqueue(&["-i", &file, "--chunk-rows", "10", "--max-record", "1K"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let id = world.number("SELECT max(id) FROM pgimport.import").await;
    enqueue(&["cancel", &id.to_string()]).exits(0);
    drain();
    let expected = [
        SUBMITTED,
        "split_failed splitting failed submitter pg_import-enqueue",
        &cancel("failed"),
        ALL_DELETED,
    ];
    assert_eq!(events(&world, id).await, expected);

    // Of all of them: each begins where the one before ended, and the import stands where the last one did.
    let gaps = "SELECT count(*) FROM (
            SELECT from_state, lag(to_state) OVER w AS before, to_state, lead(id) OVER w AS next, i.state
            FROM pgimport.import_event AS e JOIN pgimport.import AS i ON i.id = e.import_id
            WINDOW w AS (PARTITION BY import_id ORDER BY e.id)) AS e
        WHERE from_state IS DISTINCT FROM before OR next IS NULL AND to_state <> state";
    assert_eq!(world.number(&gaps.replace("lead(id)", "lead(e.id)")).await, 0);
    // And where it ended, what it came to is written down once, and the same in both places.
    let ends = "SELECT count(*) FROM pgimport.import_event WHERE (totals IS NOT NULL) <> (to_state IN ('loaded', 'failed', 'cancelled', 'kept'))";
    assert_eq!(world.number(ends).await, 0);
    let differ = "SELECT count(*) FROM pgimport.import AS i WHERE totals IS DISTINCT FROM (
            SELECT e.totals FROM pgimport.import_event AS e WHERE e.import_id = i.id ORDER BY e.id DESC LIMIT 1)";
    assert_eq!(world.number(differ).await, 0);
}

/// Chunks that are added by hand to those of an import: each of five records.
const MANY: i64 = 20_000;
/// What a look at an import may read of them, several times over.
const FEW: i64 = 2_000;

impl World {
    /// A session of its own, for what it reads to be counted when it has ended. Named like the programs' for [`World::chunks_read`] to wait.
    async fn session(&self) -> PgConnection {
        let options = self.db.connect_options().application_name("pg_import-test");
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// Changes the ledger as the programs would.
    async fn rewrite(&self, sql: &str) {
        let mut conn = self.session().await;
        sqlx::raw_sql(AssertSqlSafe(format!("SET session_replication_role = replica; {sql}")))
            .execute(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
    }

    /// An import of three records and [`MANY`] chunks, of which three wait.
    async fn large(&self) -> i64 {
        let path = self.file("a.csv", orders("A", 3));
        let id = self.enqueue(&["-i", &path, "--chunk-rows", "1"]).run().exits(0).id();
        self.rewrite(&format!(
            "INSERT INTO pgimport.import_chunk (import_id, ordinal, state, start_byte, end_byte, first_line, record_count, payload_bytes,
                 loaded_count, rejected_count, worker, finished_at)
             SELECT {id}, n, 'loaded', n * 1000, n * 1000 + 999, n * 5, 5, 100, 5 - (n % 100 = 0)::int, (n % 100 = 0)::int, 'w', now()
             FROM generate_series(3, {MANY} + 2) AS n;
             UPDATE pgimport.import SET chunk_count = {MANY} + 3, record_count = {MANY} * 5 + 3;
             ANALYZE pgimport.import_chunk"
        ))
        .await;
        id
    }

    /// In life changes come over time, and the server tidies up after them.
    async fn tidy_up(&self) {
        self.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) pgimport.import_chunk")
            .await;
    }

    /// Has the import fenced that is being cancelled, and nothing of it deleted yet.
    async fn until_fenced(&self) {
        let held = Held::take(self, "LOCK TABLE public.sale_order IN ACCESS EXCLUSIVE MODE").await;
        let worker = self.worker(&["--concurrency", "1"]).start();
        until_true("it is fenced", async || {
            self.number("SELECT count(fenced_at) FROM pgimport.import").await == 1
        })
        .await;
        drop(worker);
        held.release().await;
    }

    /// How many rows of chunks, and entries of their indexes, sessions have read that have ended.
    async fn chunks_read(&self) -> i64 {
        until_true("no program is connected", async || {
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg_import%'";
            self.number(sessions).await == 0
        })
        .await;
        self.number(
            "SELECT (coalesce(max(t.seq_tup_read + t.idx_tup_fetch), 0) + coalesce(sum(x.idx_tup_read), 0))::bigint
             FROM pg_stat_user_tables AS t JOIN pg_stat_user_indexes AS x USING (relid) WHERE relid = 'pgimport.import_chunk'::regclass",
        )
        .await
    }

    /// Looks at the import in every way; what is said of it is what its chunks add up to, and costs little.
    async fn assert_looked_at_cheaply(&self, id: i64, when: &str) -> Value {
        let before = self.chunks_read().await;
        let status = self.status(id);
        let list = self.enqueue(&["status", "--json"]).run().exits(0).json();
        self.enqueue(&["status", &id.to_string()]).run().exits(0);
        let read = self.chunks_read().await - before;
        assert!(read < FEW, "{when}: {read}");
        let sums = "SELECT json_build_object('records', sum(record_count), 'loaded', sum(coalesce(loaded_count, 0)),
                'rejected', sum(coalesce(rejected_count, 0)), 'deleted', sum(coalesce(deleted_count, 0)),
                'kept', sum(coalesce(kept_count, 0)), 'missing', sum(coalesce(missing_count, 0)), 'chunks', count(*),
                'chunks_pending', count(*) FILTER (WHERE state = 'pending'), 'chunks_failed', count(*) FILTER (WHERE state = 'failed'),
                'chunks_loaded', count(*) FILTER (WHERE state = 'loaded'))::text FROM pgimport.import_chunk";
        let mut conn = self.session().await;
        let sums: String = sqlx::query_scalar(sums).fetch_one(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        let sums: Value = serde_json::from_str(&sums).unwrap();
        assert_json(&status, &sums);
        assert_json(&list["imports"][0], &sums);
        status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_large_import_reads_few_of_its_chunks_and_says_what_they_add_up_to() {
    let world = World::new().await;
    let id = world.large().await;
    // What is measured is what is read.
    let before = world.chunks_read().await;
    world
        .rewrite("SELECT sum(record_count) FROM pgimport.import_chunk")
        .await;
    assert!(world.chunks_read().await - before >= MANY);

    assert_eq!(world.assert_looked_at_cheaply(id, "loading").await["state"], "loading");
    world.drain();
    assert_eq!(world.assert_looked_at_cheaply(id, "loaded").await["state"], "loaded");
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    assert_eq!(
        world.assert_looked_at_cheaply(id, "before the fence").await["state"],
        "cancelling"
    );
    world.until_fenced().await;
    assert_eq!(
        world.assert_looked_at_cheaply(id, "just fenced").await["state"],
        "cancelling"
    );
    // Most of it deleted, in order but for the last ones, and some kept.
    for (undecided, when) in [(100, "nearly undone"), (0, "decided")] {
        world
            .rewrite(&format!(
                "UPDATE pgimport.import_chunk SET state = 'deleted', deleted_count = loaded_count - 1, kept_count = 0, missing_count = 1
                 WHERE ordinal < 10 AND kept_count IS NULL;
                 UPDATE pgimport.import_chunk SET kept_count = 1, missing_count = 1, deleted_count = loaded_count - 2
                 WHERE ordinal BETWEEN 10 AND 39 AND kept_count IS NULL;
                 UPDATE pgimport.import_chunk SET state = 'deleted', deleted_count = loaded_count, kept_count = 0, missing_count = 0
                 WHERE NOT ordinal BETWEEN {MANY} - {undecided} AND {MANY} - 1 AND kept_count IS NULL"
            ))
            .await;
        world.tidy_up().await;
        assert_eq!(world.assert_looked_at_cheaply(id, when).await["state"], "cancelling");
    }
    world.drain();
    let status = world.assert_looked_at_cheaply(id, "kept").await;
    assert_json(&status, &json!({"state": "kept", "kept": 30}));
    // Another undo of what the first one left.
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    world.until_fenced().await;
    world.tidy_up().await;
    let status = world.assert_looked_at_cheaply(id, "fenced again").await;
    assert_json(&status, &json!({"state": "cancelling", "chunks_loaded": 30}));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_of_each_change_when_it_is_committed() {
    let world = World::new().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(world.pool()).await.unwrap();
    listener.listen("pgimport").await.unwrap();
    let id = world.load_orders("A", 10, &[]);
    world.undo(id, &[]);
    let expected = [
        ("submitted", "splitting"),
        ("source_ended", "loading"),
        ("all_loaded", "loaded"),
        ("cancel", "cancelling"),
        ("all_deleted", "cancelled"),
    ];
    for (event, state) in expected {
        let told = listener.recv().await.unwrap();
        let told: Value = serde_json::from_str(told.payload()).unwrap();
        assert_eq!(told, json!({"import_id": id, "event": event, "state": state}));
    }
}
