//! Whose rights count for what the commands do: the submitter's for a load, the canceller's for an undo, and nobody acts for another.

use crate::privileges::{Company, connect, execute, refused};
use crate::support::{assert_json, until_true};
use serde_json::{Value, json};

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
    submitting.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
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
