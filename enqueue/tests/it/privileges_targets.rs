//! Where an import goes, whatever a role writes by plain SQL: into a table that it may write to itself, and nowhere else.

use crate::privileges::{CHUNK, Company, connect, execute, import_by_hand, refused};
use crate::support::assert_json;
use serde_json::json;

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
        "spec_version = spec_version + 1".to_owned(),
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
