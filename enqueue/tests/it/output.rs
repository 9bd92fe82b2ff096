//! What people see: of pipes that close, of names that are no names, and of what cannot be done yet.

use std::process::{Command, Stdio};

use crate::support::{World, assert_json, orders, role::Role, until_true};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_of_the_rejects_is_no_error() {
    let world = World::new().await;
    // Far more than a pipe holds.
    let bad: String = (0..20_000).map(|n| format!("A;p{n};never;1\n")).collect();
    let file = world.file("a.csv", format!("PointOfSale;Product;Date;Stock\n{bad}"));
    world.enqueue(&["-i", &file]).run().exits(0);
    world.drain();
    let check = format!("--check -i {file}");
    for (command, header, pipe) in [
        ("rejects 1", "PointOfSale;Product;Date;Stock\n", "head -n 1"),
        ("rejects 1", "", "true"),
        (&check, "line,column,reason,file,constraint\n", "head -n 1"),
        (&check, "", "true"),
    ] {
        let script = format!("\"$0\" {command} | {pipe}");
        let done = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_enqueue")])
            .env("DATABASE_URL", world.db.url())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
        );
        assert!(done.status.success() && err.is_empty(), "{command} | {pipe}: {err}");
        assert_eq!(out, header, "{command} | {pipe}");
    }
    let all = world.enqueue(&["rejects", "1"]).run().exits(0);
    assert_eq!(all.stdout.lines().count(), 20_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_files_name_cannot_play_tricks_on_a_terminal_and_scripts_get_it_as_it_is() {
    let world = World::new().await;
    let name = "a\nloaded\u{1b}[31mred\u{202e}vsc.\u{9b}8m\r.csv";
    let path = world.file(name, orders("A", 3));
    let id = world.enqueue(&["-i", &path]).run().exits(0).id();
    assert_eq!(world.status(id)["source"], path.as_str());
    let list = world.enqueue(&["status", "--json"]).run().exits(0).json();
    assert_eq!(list["imports"][0]["source"], path.as_str());
    let calls: [&[&str]; 4] = [
        &["status"],
        &["status", "1"],
        &["-i", &path],
        &["-i", "no\u{1b}such\u{202e}file"],
    ];
    for call in calls {
        let said = world.enqueue(call).run();
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(
            !text.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\r']),
            "{call:?}: {text:?}"
        );
        assert!(!text.contains("a\nloaded"), "{text:?}");
    }
    let text = world.enqueue(&["status", "1"]).run().exits(0).stdout;
    let line = text.lines().find(|line| line.contains("vsc.")).unwrap();
    assert!(line.contains("loaded") && line.contains("red"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_cannot_be_run_says_why_waits_longer_and_goes_through_once_it_can() {
    let world = World::new().await;
    let worker = Role::named(&world, "worker", "").await;
    for grant in worker.worker_grants() {
        world.execute(&grant).await;
    }
    world.execute(&worker.table_grant()).await;
    let id = world.submit("a.csv", &orders("A", 300), &[]);
    worker.run(world.worker(&["--drain"])).run().exits(0);
    // A worker looks at its rights when it begins.
    let working = worker.run(world.worker(&["--concurrency", "1"])).start();
    working.until_says("worker ready").await;
    world
        .execute(&format!(
            "REVOKE DELETE ON pgimport.import_payload FROM {}",
            worker.name
        ))
        .await;
    world.enqueue(&["cancel", &id.to_string()]).run().exits(0);
    let retries = "SELECT cancel_retries::bigint FROM pgimport.import";
    until_true("it was tried again, and again", async || {
        world.number(retries).await >= 3
    })
    .await;
    until_true("the next try waits", async || {
        let waiting = "SELECT count(*) FROM apalis.jobs AS j JOIN pgimport.import AS i ON i.job_id = j.id WHERE j.status = 'Pending' AND j.run_at > now()";
        world.number(waiting).await == 1
    })
    .await;
    let status = world.status(id);
    assert_json(&status, &json!({"state": "cancelling", "deleted": 0}));
    let error = status["error"].as_str().unwrap_or_default();
    assert!(
        error.contains("permission denied") && error.contains("import_payload"),
        "{status:#}"
    );
    let said = world.enqueue(&["status", &id.to_string()]).run().exits(0).stdout;
    assert!(said.contains("import_payload"), "{said}");
    // One job at a time, however often it is tried, and the one that has just added it.
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE status IN ('Pending', 'Queued', 'Running')";
    assert!(world.number(jobs).await <= 2);
    assert_eq!(world.sale_orders().await, 300);
    world
        .execute(&format!("GRANT DELETE ON pgimport.import_payload TO {}", worker.name))
        .await;
    until_true("the undo is decided", async || {
        world.status(id)["state"] != "cancelling"
    })
    .await;
    drop(working);
    assert_json(
        &world.status(id),
        &json!({"state": "cancelled", "deleted": 300, "error": null}),
    );
    assert_eq!(world.number(retries).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_which_nothing_was_stored_does_not_hold_its_key() {
    let world = World::new().await;
    let long = format!("PointOfSale;Product;Date;Stock\nA;{};2025-01-01;1\n", "x".repeat(2_000));
    let file = world.file("a.csv", long);
    for key in [&[][..], &["--key", "monday"]] {
        let call = |limit: &str| {
            let arguments = [&["-i", &file, "--max-record", limit], key].concat();
            world.enqueue(&arguments).run()
        };
        let refused = call("1K");
        assert!(
            refused.code == Some(1) && refused.stderr.contains("record"),
            "{refused:#?}"
        );
        let id = call("4K").exits(0).id();
        world.drain();
        assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 1}));
        // This one does.
        assert_eq!(call("8K").exits(0).id(), id);
    }
    assert_eq!(world.sale_orders().await, 2);
}
