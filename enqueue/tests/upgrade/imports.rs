//! Imports that an earlier version left behind, once this one has brought their database up to date: each is told as it was, goes on
//! from where it stopped, and answers for its file.

use std::fs;

use crate::fixture::{IMPORTS, OTHERS, id, restored, upgraded};
use crate::support::{Held, assert_json};
use serde_json::json;

#[tokio::test]
async fn programs_of_this_version_ask_for_the_migration() {
    let world = restored().await;
    world.worker(&["--drain"]).run().exits(1).says("run `enqueue migrate`");
    world.enqueue(&["status"]).run().exits(1).says("run `enqueue migrate`");
}

#[tokio::test]
async fn a_migration_gives_up_rather_than_hold_up_everybody() {
    let world = restored().await;
    let reader = Held::take(&world, "SELECT FROM pgimport.import_registry").await;
    world.enqueue(&["migrate"]).run().exits(1).says("lock timeout");
    reader.release().await;
    world.enqueue(&["migrate"]).run().exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_before_are_told_as_they_were() {
    let world = upgraded().await;
    for import in &IMPORTS {
        let status = world.status(id(import.name));
        let source = world.path(&format!("{}.csv", import.name));
        assert_json(
            &status,
            &json!({"state": import.state, "loaded": import.loaded, "deleted": import.deleted, "source": source.to_str().unwrap()}),
        );
        assert_eq!(
            world.rows_of(import.name).await,
            import.rows,
            "{}: {status:#}",
            import.name
        );
    }
    assert_eq!(world.rows_of("others").await, OTHERS);
    assert_json(
        &world.status(id("cut")),
        &json!({"interrupted": true, "chunks": 6, "chunks_loaded": 3, "chunks_pending": 3}),
    );
    assert_json(&world.status(id("kept")), &json!({"kept": 2, "missing": 0}));
    for (name, error) in [("transfer", "transfer_amount"), ("unsplit", "longer than 60 bytes")] {
        let status = world.status(id(name));
        assert!(status["error"].as_str().unwrap().contains(error), "{status:#}");
    }
    let list = world.enqueue(&["status", "--json"]).run().exits(0).json();
    assert_eq!(list["imports"].as_array().unwrap().len(), IMPORTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_loaded_is_finished_and_agrees_with_its_file() {
    let world = upgraded().await;
    world.drain();
    assert_json(
        &world.status(id("waiting")),
        &json!({"state": "loaded", "records": 12, "loaded": 12, "rejected": 0}),
    );
    // Of the interrupted one, what is stored.
    assert_json(
        &world.status(id("cut")),
        &json!({"state": "splitting", "interrupted": true, "loaded": 30, "chunks_pending": 0}),
    );
    let rows = world.rows().await;
    assert_eq!((rows["waiting"], rows["cut"], rows["others"]), (12, 30, OTHERS));
    for (name, records, rejected) in [
        ("orders", 12, 0),
        ("rejects", 12, 2),
        ("copied", 12, 0),
        ("keyed", 12, 0),
        ("stock", 10, 0),
        ("bare", 10, 0),
        ("tariff", 10, 0),
        ("waiting", 12, 0),
    ] {
        assert_json(
            &world.verify(name),
            &json!({"records": records, "rows": records - rejected, "rejected": rejected, "undone": 0}),
        );
    }
    // Those that were taken out again, whole.
    for (name, records) in [("gone", 12), ("tariff-old", 10)] {
        assert_json(&world.verify(name), &json!({"rows": 0, "undone": records}));
    }
    assert_eq!(world.number("SELECT count(*) FROM pgimport.import_payload WHERE (import_id, ordinal) NOT IN (SELECT import_id, ordinal FROM pgimport.import_chunk WHERE state = 'failed')").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_before_answers_with_its_import() {
    let world = upgraded().await;
    // Also what a submission waits for is done.
    world.drain();
    let rows = world.rows().await;
    for (name, code) in [
        ("orders", 0),
        ("rejects", 3),
        ("copied", 0),
        ("keyed", 0),
        ("stock", 0),
        ("bare", 0),
        ("tariff", 0),
        ("transfer", 1),
        ("unsplit", 1),
        ("kept", 4),
        ("waiting", 0),
    ] {
        let again = world
            .submit_again(name)
            .exits(code)
            .says(&format!("as import {} (", id(name)));
        assert_eq!(again.id(), id(name));
    }
    let stream = ["--key", "monday"];
    let keyed = fs::read(world.path("keyed.csv")).unwrap();
    let again = world.enqueue(&stream).input(&keyed).run().exits(0);
    assert_eq!(again.id(), id("keyed"));
    world
        .enqueue(&stream)
        .input([&keyed[..], b"keyed;more;2025-01-01;1\n"].concat())
        .run()
        .exits(1)
        .says("another content");
    world.drain();
    assert_eq!(world.imports().await, i64::try_from(IMPORTS.len()).unwrap());
    assert_eq!(world.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_import_was_cancelled_before_is_loaded_anew() {
    let world = upgraded().await;
    world.drain();
    let mut newest = i64::try_from(IMPORTS.len()).unwrap();
    for name in ["gone", "tariff-old", "unfenced", "fenced", "early"] {
        newest += 1;
        assert_eq!(world.submit_again(name).exits(0).id(), newest);
        world.drain();
        assert_json(&world.status(newest), &json!({"state": "loaded", "rejected": 0}));
    }
    let rows = world.rows().await;
    assert_eq!(
        ["gone", "tariff-old", "unfenced", "fenced", "early", "tariff", "others"].map(|whose| rows[whose]),
        [12, 10, 12, 20, 12, 10, OTHERS]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_was_interrupted_before_is_taken_over() {
    let world = upgraded().await;
    let path = world.path("cut.csv");
    // The chunks are cut as they were cut before, whatever is said now.
    let taken = world
        .enqueue(&["-i", path.to_str().unwrap(), "--chunk-rows", "7"])
        .run()
        .exits(0)
        .says(&format!(
            "the process that submitted import {} is gone: going on in its place",
            id("cut")
        ));
    assert_eq!(taken.id(), id("cut"));
    world.drain();
    assert_json(
        &world.status(id("cut")),
        &json!({"state": "loaded", "records": 40, "loaded": 40, "rejected": 0, "chunks": 8, "interrupted": false}),
    );
    assert_eq!(world.rows_of("cut").await, 40);
    world.verify("cut");
    world
        .undo_exactly(
            "cut",
            &[],
            &json!({"state": "cancelled", "deleted": 40, "kept": 0, "missing": 0}),
        )
        .await;
    assert_eq!(world.rows_of("cut").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_failed_before_is_retried_and_loses_no_more_than_the_record_that_was_refused() {
    let world = upgraded().await;
    let import = id("transfer").to_string();
    world.enqueue(&["retry", &import]).run().exits(0);
    world.drain();
    assert_json(
        &world.status(id("transfer")),
        &json!({"state": "loaded", "records": 15, "loaded": 14, "rejected": 1, "chunks_failed": 0, "error": null}),
    );
    let refused = "SELECT concat_ws('|', line, convert_from(raw, 'UTF8'), constraint_name) FROM pgimport.import_reject WHERE sqlstate = '23514'";
    assert_eq!(world.texts(refused).await, ["8|transfer 6;-7|transfer_amount"]);
    assert_eq!(world.rows_of("transfer").await, 14);
    assert_json(&world.verify("transfer"), &json!({"rows": 14, "rejected": 1}));
    world
        .undo_exactly(
            "transfer",
            &[],
            &json!({"state": "cancelled", "deleted": 14, "kept": 0, "missing": 0}),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_failed_before_is_retried_once_its_cause_is_mended() {
    let world = upgraded().await;
    let import = id("transfer").to_string();
    world
        .execute("ALTER TABLE public.transfer DROP CONSTRAINT transfer_amount")
        .await;
    world
        .enqueue(&["retry", &import])
        .run()
        .exits(0)
        .says("1 failed chunks");
    world.drain();
    assert_json(
        &world.status(id("transfer")),
        &json!({"state": "loaded", "records": 15, "loaded": 15, "rejected": 0, "chunks_failed": 0, "error": null}),
    );
    assert_eq!(world.rows_of("transfer").await, 15);
    world.verify("transfer");
    world
        .undo_exactly(
            "transfer",
            &[],
            &json!({"state": "cancelled", "deleted": 15, "kept": 0, "missing": 0}),
        )
        .await;
    assert_eq!(world.rows_of("transfer").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_source_could_not_be_split_before_is_undone_and_submitted_anew() {
    let world = upgraded().await;
    let import = id("unsplit");
    world
        .enqueue(&["retry", &import.to_string()])
        .run()
        .exits(1)
        .says("could not be split to its end");
    world
        .undo_exactly(
            "unsplit",
            &[],
            &json!({"state": "cancelled", "deleted": 15, "kept": 0, "missing": 0}),
        )
        .await;
    assert_eq!(world.rows_of("unsplit").await, 0);
    let anew = world.submit_again("unsplit").exits(0).id();
    assert!(anew > import);
    world.drain();
    assert_json(&world.status(anew), &json!({"state": "loaded", "loaded": 16}));
    assert_eq!(world.rows_of("unsplit").await, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_before_is_listed_and_can_be_corrected() {
    let world = upgraded().await;
    let reasons = world.path("why.csv");
    let listed = world
        .enqueue(&[
            "rejects",
            &id("rejects").to_string(),
            "--reasons",
            reasons.to_str().unwrap(),
        ])
        .run()
        .exits(0)
        .says("rejected records: 2");
    assert_eq!(
        listed.stdout,
        "PointOfSale;Product;Date;Stock\nrejects;Product 3;2025-02-30;3\nrejects;Product 8;2025-03-09\n"
    );
    let file = world.path("rejects.csv").display().to_string();
    assert_eq!(
        fs::read_to_string(reasons).unwrap(),
        format!(
            "line,column,reason,file,constraint\n5,Date,no such day in the calendar,{file},\n10,,\"expected 4 fields, found 3\",{file},\n"
        )
    );
    let corrected = listed.stdout.replace("02-30", "02-28").replace("03-09", "03-09;8");
    let corrected = world.file("corrected.csv", corrected);
    world.load(&["-i", &corrected]);
    assert_eq!(world.rows_of("rejects").await, 12);
}
