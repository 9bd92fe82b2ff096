//! Roles that submit, and what they try by plain SQL: each acts for itself alone, and the workers' rights are nobody's to borrow.

mod support;

use std::io::Write as _;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use support::{Call, Finished, Proc, World, assert_json, role::Role, until_true};
use testkit::TestServer;

/// Two who submit and one who works; each submitter has a table of its own, and only the worker may write to that of a third.
struct Company {
    world: World,
    alice: Role,
    bob: Role,
    worker: Role,
}

impl Company {
    async fn new() -> Self {
        let world = World::new().await;
        world
            .execute(
                "CREATE TABLE public.a (id bigserial PRIMARY KEY, n int);
                 CREATE TABLE public.b (id bigserial PRIMARY KEY, n int);
                 CREATE TABLE public.both (id bigserial PRIMARY KEY, n int);
                 CREATE SCHEMA vault;
                 CREATE TABLE vault.secret (id bigserial PRIMARY KEY, n int);
                 INSERT INTO vault.secret (n) SELECT generate_series(1, 100)",
            )
            .await;
        let (alice, bob, worker) = (
            Role::named(&world, "alice", "").await,
            Role::named(&world, "bob", "").await,
            Role::named(&world, "worker", "").await,
        );
        let mut grants = [
            alice.submitter_grants(),
            bob.submitter_grants(),
            worker.submitter_grants(),
            worker.worker_grants(),
            alice.grants_on("public.a"),
            bob.grants_on("public.b"),
            worker.grants(&["USAGE ON SCHEMA vault"]),
            worker.grants_on("vault.secret"),
            worker.grants_on("public.a"),
            worker.grants_on("public.b"),
            worker.grants_on("public.both"),
            // For ending the sessions of those who fell silent.
            vec![format!("GRANT {}, {} TO {}", alice.name, bob.name, worker.name)],
        ]
        .concat();
        grants.extend([&alice, &bob].iter().flat_map(|role| role.grants_on("public.both")));
        for grant in grants {
            world.execute(&grant).await;
        }
        Self {
            world,
            alice,
            bob,
            worker,
        }
    }

    /// Three records, submitted in chunks of one by this role.
    fn submit(&self, role: &Role, table: &str, arguments: &[&str]) -> i64 {
        // Of another content than the others': else the second would be the first.
        let text = format!("n\n1\n2\n{}\n", if role.name == self.bob.name { 4 } else { 3 });
        let file = self.world.file(&format!("{}.csv", role.name), text);
        let all = [&["-i", &file, "--table", table, "--chunk-rows", "1"], arguments].concat();
        self.enqueue(role, &all).exits(0).id()
    }

    fn enqueue(&self, role: &Role, arguments: &[&str]) -> Finished {
        self.call(role, arguments).run()
    }

    fn call(&self, role: &Role, arguments: &[&str]) -> Call {
        role.run(self.world.enqueue(arguments))
    }

    /// Works as the worker's role until nothing is left to do.
    #[track_caller]
    fn drain(&self) {
        self.worker.run(self.world.worker(&["--drain"])).run().exits(0);
    }

    fn working(&self) -> Proc {
        self.worker.run(self.world.worker(&["--concurrency", "2"])).start()
    }

    async fn count(&self, table: &str) -> i64 {
        self.world.number(&format!("SELECT count(*) FROM {table}")).await
    }

    async fn oid(&self, table: &str) -> i64 {
        self.world
            .number(&format!("SELECT '{table}'::regclass::oid::bigint"))
            .await
    }

    /// Nothing was written to what nobody but the worker may write, and nothing deleted from it.
    async fn assert_vault_untouched(&self) {
        let left = "SELECT count(*) FROM vault.secret WHERE n = id AND id <= 100";
        assert_eq!(self.world.number(left).await, 100);
        assert_eq!(self.count("vault.secret").await, 100);
    }

    /// What an import says of itself, whole, but for when it was last heard of.
    async fn row(&self, id: i64) -> String {
        let row = format!("SELECT i::text FROM pgimport.import AS i WHERE id = {id}");
        self.world.texts(&row).await.remove(0)
    }
}

async fn connect(role: &Role) -> PgConnection {
    PgConnection::connect(&role.url).await.unwrap()
}

async fn execute(conn: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(done.rows_affected())
}

/// The role tries it, and is told that it may not.
#[track_caller]
fn assert_refused(tried: Result<u64, sqlx::Error>, sql: &str, word: &str) {
    match tried {
        Err(sqlx::Error::Database(error)) => {
            let (code, message) = (error.code().unwrap_or_default(), error.message());
            assert!(code == "42501" && message.contains(word), "{sql}: {code} {message}");
        }
        other => panic!("{sql}: {other:?}"),
    }
}

async fn refused(role: &Role, sql: &str, word: &str) {
    let tried = execute(&mut connect(role).await, sql).await;
    assert_refused(tried, sql, word);
}

/// What every worker can read: the first version's options.
const OPTIONS: &str = r#"{"delimiter": 59, "header": false, "load_method": "insert", "chunk_rows": 9, "chunk_bytes": 99, "max_record": 99}"#;

const CHUNK: &str = "(import_id, ordinal, start_byte, end_byte, first_line, record_count, payload_bytes)";

/// An import that a role writes down by itself.
fn import_by_hand(target: &str, oid: i64, more: &[(&str, &str)]) -> String {
    let columns: String = more.iter().map(|(column, _)| format!(", {column}")).collect();
    let values: String = more.iter().map(|(_, value)| format!(", {value}")).collect();
    format!(
        "INSERT INTO pgimport.import (state, source, resumable, target, target_oid, id_column, columns, options, submitter, lease_until{columns})
         VALUES ('splitting', 'by hand', false, '{target}', {oid}, 'id', '{{n}}', '{OPTIONS}', 'by hand', now() + interval '1 hour'{values})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_is_and_where_it_goes_cannot_be_changed_before_it_is_loaded_nor_before_it_is_undone() {
    let company = Company::new().await;
    let id = company.submit(&company.alice, "public.a", &[]);
    let oid = company.oid("vault.secret").await;
    let changes = [
        "target = 'vault.secret'".to_owned(),
        format!("target_oid = {oid}"),
        format!("target = 'vault.secret', target_oid = {oid}, state = 'cancelling'"),
        format!("target_oid = {oid}, submitter = 'x', lease_until = now()"),
        "id_column = 'n'".to_owned(),
        "columns = '{id}'".to_owned(),
        r#"options = options || '{"load_method": "copy"}'"#.to_owned(),
        r#"spec = spec || '{"x": 1}'"#.to_owned(),
        "spec = NULL".to_owned(),
        "spec = NULL, spec_version = NULL".to_owned(),
        "spec_version = 3".to_owned(),
        "source = 'another', resumable = false".to_owned(),
        "id = DEFAULT".to_owned(),
        "created_at = created_at - interval '1 year'".to_owned(),
        format!("submitted_by = '{}'", company.bob.name),
        "submitted_by = NULL".to_owned(),
    ];
    let before = company.row(id).await;
    for state in ["loading", "loaded"] {
        assert_eq!(company.world.status(id)["state"], state);
        for change in &changes {
            let update = format!("UPDATE pgimport.import SET {change} WHERE id = {id}");
            refused(&company.alice, &update, "cannot be changed after its submission").await;
        }
        if state == "loading" {
            assert_eq!(company.row(id).await, before);
            company.drain();
        }
    }
    // And what holds them back is not theirs to put aside.
    for (sql, word) in [
        ("SET session_replication_role = replica", "permission denied"),
        ("ALTER TABLE pgimport.import DISABLE TRIGGER guard", "must be owner"),
        ("DROP TRIGGER guard ON pgimport.import_chunk", "must be owner"),
        (
            "CREATE FUNCTION pgimport.is_worker(int DEFAULT 0) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
            "permission denied for schema",
        ),
        (
            "ALTER FUNCTION pgimport.guard_import() RESET search_path",
            "must be owner",
        ),
        ("TRUNCATE pgimport.import CASCADE", "permission denied"),
        (
            "INSERT INTO pgimport.import_registry SELECT FROM pgimport.import_registry",
            "permission denied",
        ),
    ] {
        refused(&company.alice, sql, word).await;
    }
    company.assert_vault_untouched().await;
    assert_eq!(company.count("public.a").await, 3);
    company.enqueue(&company.alice, &["cancel", &id.to_string()]).exits(0);
    for change in &changes {
        let update = format!("UPDATE pgimport.import SET {change} WHERE id = {id}");
        refused(&company.alice, &update, "cannot be changed").await;
    }
    company.drain();
    assert_json(&company.world.status(id), &json!({"state": "cancelled", "deleted": 3}));
    company.assert_vault_untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_written_by_hand_names_a_table_that_its_writer_may_insert_into_and_is_its_writers() {
    let company = Company::new().await;
    let model = company.submit(&company.alice, "public.a", &[]);
    assert_eq!(model, 1);
    company.drain();
    let secret = company.oid("vault.secret").await;
    let own = company.oid("public.a").await;
    // The name says one thing and the oid another.
    for target in ["vault.secret", "public.a"] {
        let insert = import_by_hand(target, secret, &[]);
        refused(&company.alice, &insert, "may not insert into").await;
    }
    refused(
        &company.alice,
        &import_by_hand("public.b", company.oid("public.b").await, &[]),
        "may not insert into",
    )
    .await;
    refused(
        &company.alice,
        &import_by_hand("public.gone", 4_000_000_000, &[]),
        "may not insert into",
    )
    .await;
    let began = import_by_hand("public.a", own, &[]).replace("'splitting'", "'loading'");
    refused(&company.alice, &began, "begins as splitting").await;
    // A right on the table that does not reach through its schema.
    company
        .world
        .execute(&format!(
            "GRANT SELECT, INSERT, DELETE ON vault.secret TO {}",
            company.alice.name
        ))
        .await;
    refused(
        &company.alice,
        &import_by_hand("vault.secret", secret, &[]),
        "may not insert into",
    )
    .await;
    // Another's name, a request of somebody else, and an end that it had not.
    let bob = format!("'{}'", company.bob.name);
    let insert = import_by_hand(
        "public.a",
        own,
        &[
            ("submitted_by", &bob),
            ("cancelled_by", &bob),
            ("fenced_at", "now()"),
            ("replacing", "true"),
            ("created_at", "'2001-01-01'"),
            ("ended_at", "'2001-01-01'"),
        ],
    );
    execute(&mut connect(&company.alice).await, &insert).await.unwrap();
    let found = company
        .world
        .texts("SELECT concat_ws(' ', submitted_by, cancelled_by, fenced_at, replacing, ended_at, created_at > now() - interval '1 hour') FROM pgimport.import WHERE source = 'by hand'")
        .await;
    assert_eq!(found, [format!("{} f t", company.alice.name)]);
    company.assert_vault_untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_by_hand_that_names_another_table_than_its_oid_goes_where_the_oid_says() {
    let company = Company::new().await;
    let model = company.submit(&company.alice, "public.a", &[]);
    // The oid of what it may write to, and the name of what it may not.
    let forged = import_by_hand("vault.secret", company.oid("public.a").await, &[]);
    let mut alice = connect(&company.alice).await;
    execute(&mut alice, &forged).await.unwrap();
    let id = company.world.number("SELECT max(id) FROM pgimport.import").await;
    for sql in [
        format!("INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 0, 0, 2, 1, 1, 2)"),
        format!(
            "INSERT INTO pgimport.import_payload SELECT {id}, 0, codec, data FROM pgimport.import_payload WHERE (import_id, ordinal) = ({model}, 0)"
        ),
        format!("UPDATE pgimport.import SET state = 'loading', split_at = now() WHERE id = {id}"),
    ] {
        execute(&mut alice, &sql).await.unwrap();
    }
    company.drain();
    company.assert_vault_untouched().await;
    let expected = json!({"state": "loaded", "loaded": 1, "target": "public.a"});
    assert_json(&company.world.status(id), &expected);
    assert_eq!(company.count("public.a").await, 4);
    // And its undo too.
    company.enqueue(&company.alice, &["cancel", &id.to_string()]).exits(0);
    company.drain();
    company.assert_vault_untouched().await;
    assert_eq!(company.count("public.a").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_payloads_and_the_standing_of_anothers_import_cannot_be_changed() {
    let company = Company::new().await;
    let id = company.submit(&company.bob, "public.b", &[]);
    let own = company.submit(&company.alice, "public.a", &[]);
    for sql in [
        format!("INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 9, 0, 2, 1, 1, 2)"),
        format!(
            "INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 0, 0, 2, 1, 1, 2) ON CONFLICT (import_id, ordinal) DO UPDATE SET state = 'failed'"
        ),
        format!("INSERT INTO pgimport.import_payload VALUES ({id}, 9, 'none', '7')"),
        format!("UPDATE pgimport.import_chunk SET state = 'loaded', loaded_count = 1 WHERE import_id = {id}"),
        format!(
            "UPDATE pgimport.import_chunk SET import_id = {id}, ordinal = 9 WHERE import_id = {own} AND ordinal = 0"
        ),
        format!(
            "UPDATE pgimport.import_chunk SET import_id = {own}, ordinal = 9 WHERE import_id = {id} AND ordinal = 0"
        ),
        format!("DELETE FROM pgimport.import_payload WHERE import_id = {id}"),
        "DELETE FROM pgimport.import_payload".to_owned(),
        format!("UPDATE pgimport.import SET state = 'loaded', ended_at = now() WHERE id = {id}"),
        format!("UPDATE pgimport.import SET state = 'failed' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET lease_until = now() - interval '1 hour' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET key = NULL WHERE id = {id}"),
        format!("UPDATE pgimport.import SET submitter = 'me' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET totals = '{{}}' WHERE id = {id}"),
        format!("UPDATE pgimport.import SET state = 'cancelling' WHERE id = {id}"),
        format!("DELETE FROM pgimport.import WHERE id = {id}"),
    ] {
        refused(&company.alice, &sql, "was submitted by the role").await;
    }
    // Those that the grants do not reach.
    for sql in [
        format!("UPDATE pgimport.import_payload SET data = '7' WHERE import_id = {id}"),
        format!("DELETE FROM pgimport.import_chunk WHERE import_id = {id}"),
        "DELETE FROM apalis.jobs".to_owned(),
    ] {
        refused(&company.alice, &sql, "permission denied").await;
    }
    company.drain();
    assert_eq!(
        (company.count("public.a").await, company.count("public.b").await),
        (3, 3)
    );
    assert_eq!(company.world.number("SELECT sum(n) FROM public.b").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_import_that_another_is_just_writing_down_are_refused_too() {
    let company = Company::new().await;
    let mut bob = connect(&company.bob).await;
    let mut alice = connect(&company.alice).await;
    let oid = company.oid("public.b").await;
    let begin = import_by_hand("public.b", oid, &[]);
    let chunk = |id: &str| format!("INSERT INTO pgimport.import_chunk {CHUNK} VALUES ({id}, 0, 0, 2, 1, 1, 2)");
    // It exists for nobody yet.
    execute(&mut bob, "BEGIN").await.unwrap();
    execute(&mut bob, &begin).await.unwrap();
    let id: i64 = sqlx::query_scalar("SELECT max(id) FROM pgimport.import")
        .fetch_one(&mut bob)
        .await
        .unwrap();
    let early = execute(&mut alice, &chunk(&id.to_string())).await;
    assert!(early.unwrap_err().to_string().contains("there is no import"));
    // Nor in a transaction that looked before.
    execute(
        &mut alice,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgimport.import",
    )
    .await
    .unwrap();
    execute(&mut bob, "COMMIT").await.unwrap();
    let early = execute(&mut alice, &chunk(&id.to_string())).await;
    assert!(early.unwrap_err().to_string().contains("there is no import"));
    execute(&mut alice, "ROLLBACK").await.unwrap();
    // One statement that begins before the import is there, and writes its chunk after: it waits in between for a lock of ours.
    let mut held = company.world.pool().begin().await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(77)")
        .execute(&mut *held)
        .await
        .unwrap();
    let next = id + 1;
    let waiting = tokio::spawn(async move {
        let sql = format!(
            "WITH waits AS MATERIALIZED (SELECT pg_advisory_xact_lock(77))
             INSERT INTO pgimport.import_chunk {CHUNK}
             SELECT {next}, 0, 0, 2, 1, 1, 2 FROM waits"
        );
        let tried = execute(&mut alice, &sql).await;
        (sql, tried)
    });
    company.world.until_a_lock_is_waited_for().await;
    execute(&mut bob, &begin).await.unwrap();
    held.rollback().await.unwrap();
    let (sql, tried) = waiting.await.unwrap();
    assert_eq!(company.world.number("SELECT max(id) FROM pgimport.import").await, next);
    assert_refused(tried, &sql, "was submitted by the role");
    assert_eq!(company.count("pgimport.import_chunk").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_submitter_may_no_longer_insert_is_not_loaded_until_it_may_again() {
    let company = Company::new().await;
    let (world, alice) = (&company.world, &company.alice);
    let id = company.submit(alice, "public.a", &[]);
    world
        .execute(&format!("REVOKE INSERT ON public.a FROM {}", alice.name))
        .await;
    company.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "failed", "loaded": 0, "chunks_failed": 3}));
    let error = status["chunk_errors"][0]["error"].as_str().unwrap();
    assert!(
        error.contains(&alice.name) && error.contains("GRANT") && error.contains("INSERT"),
        "{error}"
    );
    assert!(error.contains("public.a"), "{error}");
    assert_eq!(company.count("public.a").await, 0);
    world
        .execute(&format!("GRANT INSERT ON public.a TO {}", alice.name))
        .await;
    company.enqueue(alice, &["retry", &id.to_string()]).exits(0);
    company.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 3}));
    assert_eq!(company.count("public.a").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_canceller_may_no_longer_delete_stays_and_whose_right_is_missing_is_said() {
    let company = Company::new().await;
    let (world, alice) = (&company.world, &company.alice);
    let id = company.submit(alice, "public.a", &[]);
    company.drain();
    company.enqueue(alice, &["cancel", &id.to_string()]).exits(0);
    world
        .execute(&format!("REVOKE DELETE ON public.a FROM {}", alice.name))
        .await;
    company.drain();
    let status = world.status(id);
    assert_json(&status, &json!({"state": "kept", "deleted": 0, "kept": 3}));
    let reasons = format!("{} {}", status["error"], status["chunk_errors"]);
    assert!(
        reasons.contains(&alice.name) && reasons.contains("DELETE"),
        "{status:#}"
    );
    assert_eq!(company.count("public.a").await, 3);
    world
        .execute(&format!("GRANT DELETE ON public.a TO {}", alice.name))
        .await;
    company.enqueue(alice, &["cancel", &id.to_string()]).exits(0);
    company.drain();
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 3}));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_delete_from_the_table_may_cancel_anothers_import_and_nobody_else_may() {
    let company = Company::new().await;
    let (world, alice, bob) = (&company.world, &company.alice, &company.bob);
    world
        .execute(&format!("REVOKE DELETE ON public.both FROM {}", bob.name))
        .await;
    let id = company.submit(alice, "public.both", &[]);
    company.drain();
    let cancel = ["cancel", &id.to_string()];
    company.enqueue(bob, &cancel).exits(1).says(&alice.name);
    assert_eq!(world.status(id)["state"], "loaded");
    company.drain();
    assert_eq!(company.count("public.both").await, 3);
    world
        .execute(&format!("GRANT DELETE ON public.both TO {}", bob.name))
        .await;
    // As itself, whatever it says.
    let forged = format!(
        "UPDATE pgimport.import SET cancelled_by = '{}' WHERE id = {id}",
        alice.name
    );
    refused(bob, &forged, "was submitted by the role").await;
    company.enqueue(bob, &cancel).exits(0);
    let by = "SELECT cancelled_by::text FROM pgimport.import";
    assert_eq!(world.texts(by).await, std::slice::from_ref(&bob.name));
    execute(&mut connect(bob).await, &forged).await.unwrap();
    assert_eq!(world.texts(by).await, std::slice::from_ref(&bob.name));
    company.drain();
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 3}));
    let events = "SELECT concat_ws(' ', event, role) FROM pgimport.import_event WHERE event = 'cancel'";
    assert_eq!(world.texts(events).await, [format!("cancel {}", bob.name)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_by_a_role_that_may_not_delete_replaces_nothing_and_says_why() {
    let company = Company::new().await;
    let (world, alice, bob) = (&company.world, &company.alice, &company.bob);
    let old = company.submit(alice, "public.both", &[]);
    company.drain();
    world
        .execute(&format!("REVOKE DELETE ON public.both FROM {}", bob.name))
        .await;
    let new = company.submit(bob, "public.both", &["--replace"]);
    company.drain();
    assert_eq!(world.status(old)["state"], "loaded");
    let status = world.status(new);
    assert_eq!(status["state"], "loaded", "{status:#}");
    assert_eq!(company.count("public.both").await, 6);
    let said = company.enqueue(bob, &["status", &new.to_string()]).exits(0);
    let said = format!("{}{}", said.stdout, said.stderr);
    assert!(
        said.contains(&bob.name) && said.contains("DELETE"),
        "{said}\n{status:#}"
    );
    // Nor by hand.
    let by_hand = format!("UPDATE pgimport.import SET replacing = true WHERE id = {new}");
    refused(bob, &by_hand, "take the place of others").await;
    // Who may, replaces both.
    let file = world.file("newest.csv", "n\n7\n");
    let newest = ["-i", &file, "--table", "public.both", "--replace"];
    company.enqueue(alice, &newest).exits(0);
    company.drain();
    company.drain();
    assert_eq!(company.count("public.both").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_tables_themselves_are_no_targets() {
    let company = Company::new().await;
    let file = company.world.file("x.csv", "source\nx\n");
    for table in ["pgimport.import", "pgimport.import_event", "apalis.jobs"] {
        for call in [
            company.call(&company.alice, &["-i", &file, "--table", table]),
            company.world.enqueue(&["-i", &file, "--table", table]),
        ] {
            let refused = call.run();
            assert!(refused.code == Some(1) && refused.stderr.contains(table), "{refused:?}");
        }
        let oid = company.oid(table).await;
        let by_hand = import_by_hand("public.a", oid, &[]);
        refused(&company.alice, &by_hand, "does not load its own tables").await;
        refused(&company.worker, &by_hand, "does not load its own tables").await;
    }
    assert_eq!(company.world.imports().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_written_by_who_writes_them_and_ids_are_not_taken_in_advance() {
    let company = Company::new().await;
    let (world, alice) = (&company.world, &company.alice);
    let own = company.submit(alice, "public.a", &[]);
    let bobs = company.submit(&company.bob, "public.b", &[]);
    let event = |import: i64, event: &str, to: &str| {
        format!(
            "INSERT INTO pgimport.import_event (import_id, event, from_state, to_state, at, role, process)
             VALUES ({import}, '{event}', 'splitting', '{to}', '2001-01-01', '{}', 'another')",
            company.bob.name
        )
    };
    for (import, what, to) in [
        (bobs, "source_ended", "loading"),
        (bobs, "cancel", "loading"),
        (own, "all_loaded", "loaded"),
        (77, "submitted", "splitting"),
    ] {
        refused(alice, &event(import, what, to), "may not write this event").await;
    }
    execute(&mut connect(alice).await, &event(own, "forged", "loading"))
        .await
        .unwrap();
    let found = "SELECT concat_ws(' ', role, process, at > now() - interval '1 hour') FROM pgimport.import_event WHERE event = 'forged'";
    assert_eq!(world.texts(found).await, [format!("{}  t", alice.name)]);
    for sql in [
        "UPDATE pgimport.import_event SET role = 'bob'",
        "DELETE FROM pgimport.import_event",
        "SELECT nextval('pgimport.import_event_id_seq')",
        "SELECT setval('pgimport.import_id_seq', 1)",
    ] {
        refused(alice, sql, "permission denied").await;
    }
    let oid = company.oid("public.a").await;
    let import = import_by_hand("public.a", oid, &[("id", "1000")]).replace("VALUES", "OVERRIDING SYSTEM VALUE VALUES");
    let of_event = format!(
        "INSERT INTO pgimport.import_event (id, import_id, event, to_state) OVERRIDING SYSTEM VALUE VALUES (1000, {own}, 'x', 'loading')"
    );
    // Whether or not the session was given an id of its own before.
    let mut used = connect(alice).await;
    let began = import_by_hand("public.a", oid, &[]);
    execute(&mut used, &began).await.unwrap();
    execute(&mut used, &event(own, "forged", "loading")).await.unwrap();
    for sql in [import, of_event] {
        assert_refused(execute(&mut used, &sql).await, &sql, "are not chosen");
        let fresh = execute(&mut connect(alice).await, &sql).await.unwrap_err().to_string();
        assert!(fresh.contains("are not chosen") || fresh.contains("currval"), "{fresh}");
    }
    let taken = "SELECT count(*) FROM pgimport.import WHERE id >= 1000";
    assert_eq!(world.number(taken).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_submission_is_taken_over_by_its_own_role_alone() {
    let company = Company::new().await;
    let (world, alice, bob) = (&company.world, &company.alice, &company.bob);
    let text: String = (0..2_000).map(|n| format!("{n}\n")).collect();
    let file = world.file("n.csv", format!("n\n{text}"));
    let arguments = [
        "-i",
        &file,
        "--table",
        "public.both",
        "--chunk-rows",
        "10",
        "--max-pending",
        "1",
    ];
    let mut submitting = company.call(alice, &arguments).start();
    submitting.until_says("NO WORKER IS ALIVE").await;
    submitting.kill();
    world
        .execute("UPDATE pgimport.import SET lease_until = now() - interval '1 second'")
        .await;
    let id = world.number("SELECT id FROM pgimport.import").await;
    let _worker = company.working();
    company.enqueue(bob, &arguments).exits(1).says(&alice.name);
    assert_eq!(company.enqueue(alice, &arguments).exits(0).id(), id);
    until_true("it is loaded", async || world.status(id)["state"] == "loaded").await;
    assert_eq!(company.count("public.both").await, 2_000);
    assert_eq!(world.imports().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_the_sessions_of_others_ended_by_naming_them_as_its_submitter() {
    let company = Company::new().await;
    let (world, alice) = (&company.world, &company.alice);
    let worker = company.working();
    until_true("the worker works", async || company.count("pgimport.worker").await == 1).await;
    let working = world.texts("SELECT name FROM pgimport.worker").await.remove(0);
    let mut submitting = company
        .call(&company.bob, &["--table", "public.b", "--chunk-rows", "1"])
        .pipe()
        .start();
    let mut pipe = submitting.stdin();
    pipe.write_all(b"n\n1\n2\n").unwrap();
    until_true("bob submits", async || world.imports().await == 1).await;
    let bobs = world.texts("SELECT submitter FROM pgimport.import").await.remove(0);
    // What is named alike and is alice's own is ended: so the others could have been.
    let own = "pg_import-enqueue:alice".to_owned();
    let mut alices = connect(alice).await;
    execute(&mut alices, &format!("SET application_name = '{own}'"))
        .await
        .unwrap();
    let oid = company.oid("public.a").await;
    for name in [&working, &bobs, &own] {
        let began = import_by_hand("public.a", oid, &[]).replace(
            "'by hand', now() + interval '1 hour'",
            &format!("'{name}', now() - interval '1 hour'"),
        );
        execute(&mut connect(alice).await, &began).await.unwrap();
    }
    until_true("they are undone", async || {
        world
            .number("SELECT count(*) FROM pgimport.import WHERE source = 'by hand' AND state = 'cancelled'")
            .await
            == 3
    })
    .await;
    until_true("alice's own session is ended", async || {
        execute(&mut alices, "SELECT 1").await.is_err()
    })
    .await;
    assert_eq!(
        world.texts("SELECT name FROM pgimport.worker").await,
        std::slice::from_ref(&working)
    );
    let database = &world.db.credentials().database;
    let log = TestServer::shared().await.log();
    let ended: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("terminating connection") && line.contains(&format!(" {database} ")))
        .collect();
    assert!(
        !ended.is_empty() && ended.iter().all(|line| line.contains(&own)),
        "{ended:?}"
    );
    drop(pipe);
    submitting.finish().exits(0);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_import_is_not_forgotten() {
    let company = Company::new().await;
    let (world, alice, bob) = (&company.world, &company.alice, &company.bob);
    let id = company.submit(alice, "public.both", &[]).to_string();
    company.drain();
    company.enqueue(bob, &["forget", &id]).exits(1).says(&alice.name);
    // Nor with all that are old.
    let all = company.enqueue(bob, &["forget", "--older-than", "0s"]);
    assert_eq!(world.imports().await, 1, "{all:?}");
    assert_eq!(company.count("pgimport.import_registry").await, 3);
    company.enqueue(alice, &["forget", &id]).exits(0);
    assert_eq!(world.imports().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_the_submitters_role_acts_for_it() {
    let company = Company::new().await;
    let (world, alice, bob) = (&company.world, &company.alice, &company.bob);
    let id = company.submit(alice, "public.a", &[]);
    company.drain();
    world.execute(&format!("GRANT {} TO {}", alice.name, bob.name)).await;
    company.enqueue(bob, &["cancel", &id.to_string()]).exits(0);
    company.drain();
    let status: Value = world.status(id);
    assert_json(&status, &json!({"state": "cancelled", "deleted": 3}));
}
