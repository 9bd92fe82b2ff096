//! Imports that an earlier version loaded, or had begun to undo: this one takes out exactly their rows.

use crate::fixture::{IMPORTS, OTHERS, ROWS, id, upgraded};
use crate::support::assert_json;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn each_import_that_was_loaded_before_is_undone_exactly() {
    let world = upgraded().await;
    world.drain();
    for import in IMPORTS.iter().filter(|import| import.state == "loaded") {
        let (name, rows) = (import.name, import.rows);
        assert_json(
            &world.dry_run(id(name), &[]),
            &json!({"would_delete": rows, "would_keep": 0, "edited": 0, "missing": 0, "cannot_tell": 0}),
        );
        assert_eq!(world.rows_of(name).await, rows);
        world
            .undo_exactly(
                name,
                &[],
                &json!({"state": "cancelled", "loaded": rows, "deleted": rows, "kept": 0, "missing": 0}),
            )
            .await;
        assert_eq!(world.rows_of(name).await, 0);
    }
    assert_eq!(world.rows_of("others").await, OTHERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_edited_or_deleted_after_the_upgrade_are_told_from_those_of_before() {
    let world = upgraded().await;
    world.drain();
    world
        .execute(
            "UPDATE public.sale_order SET \"Product\" = 'x' WHERE \"PointOfSale\" = 'orders' AND \"Stock\" IN (2, 9);
             DELETE FROM public.sale_order WHERE \"PointOfSale\" = 'orders' AND \"Stock\" = 11",
        )
        .await;
    assert_json(
        &world.dry_run(id("orders"), &["--keep-edited"]),
        &json!({"would_delete": 9, "would_keep": 2, "edited": 2, "missing": 1, "cannot_tell": 0}),
    );
    world
        .undo_exactly(
            "orders",
            &["--keep-edited"],
            &json!({"state": "kept", "deleted": 9, "kept": 2, "missing": 1}),
        )
        .await;
    assert_eq!(world.rows_of("orders").await, 2);
    world
        .undo_exactly(
            "orders",
            &["--include-edited"],
            &json!({"state": "cancelled", "deleted": 11, "kept": 0, "missing": 1}),
        )
        .await;
    assert_eq!(world.rows_of("orders").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_got_the_ids_of_before_again_stay() {
    let world = upgraded().await;
    world.drain();
    // The first id of the import's first chunk.
    world
        .execute(
            "DELETE FROM public.sale_order WHERE id = 3;
             ALTER SEQUENCE public.sale_order_id_seq RESTART WITH 3;
             INSERT INTO public.sale_order (\"PointOfSale\", \"Product\", \"Date\", \"Stock\") VALUES ('later', 'x', '2025-01-01', 1)",
        )
        .await;
    assert_eq!(world.rows_of("later").await, 1);
    world
        .undo_exactly("orders", &[], &json!({"state": "kept", "deleted": 11, "kept": 1}))
        .await;
    assert_eq!((world.rows_of("orders").await, world.rows_of("later").await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn undos_that_were_at_work_before_come_to_their_end() {
    let world = upgraded().await;
    let others = world
        .texts(&format!("SELECT whose || ' ' || content FROM {ROWS} WHERE whose NOT IN ('unfenced', 'fenced', 'early', 'cut', 'waiting') ORDER BY 1"))
        .await;
    world.drain();
    for (name, loaded) in [("unfenced", 12), ("fenced", 20), ("early", 0)] {
        assert_json(
            &world.status(id(name)),
            &json!({"state": "cancelled", "loaded": loaded, "deleted": loaded, "kept": 0, "missing": 0}),
        );
        assert_eq!(world.rows_of(name).await, 0);
    }
    assert_eq!(
        world
            .texts(&format!(
                "SELECT whose || ' ' || content FROM {ROWS} WHERE whose NOT IN ('cut', 'waiting') ORDER BY 1"
            ))
            .await,
        others
    );
    for what in ["import_registry", "import_payload"] {
        let left = format!(
            "SELECT count(*) FROM pgimport.{what} WHERE import_id IN ({}, {}, {})",
            id("unfenced"),
            id("fenced"),
            id("early")
        );
        assert_eq!(world.number(&left).await, 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_was_at_work_before_can_be_stopped_and_finished_later() {
    let world = upgraded().await;
    world
        .enqueue(&["keep", &id("fenced").to_string()])
        .run()
        .exits(0)
        .says("10 remain");
    world.drain();
    assert_json(&world.status(id("fenced")), &json!({"state": "kept", "deleted": 10}));
    assert_eq!(world.rows_of("fenced").await, 10);
    world
        .undo_exactly(
            "fenced",
            &[],
            &json!({"state": "cancelled", "deleted": 20, "kept": 0, "missing": 0}),
        )
        .await;
    assert_eq!(world.rows_of("fenced").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_before_is_kept_again_or_undone_by_another_cancel() {
    let world = upgraded().await;
    world.drain();
    let kept = json!({"state": "kept", "deleted": 10, "kept": 2, "missing": 0});
    world.undo_exactly("kept", &["--keep-edited"], &kept).await;
    assert_eq!(world.rows_of("kept").await, 2);
    world
        .undo_exactly(
            "kept",
            &["--include-edited"],
            &json!({"state": "cancelled", "deleted": 12, "kept": 0, "missing": 0}),
        )
        .await;
    assert_eq!(world.rows_of("kept").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_takes_out_what_was_loaded_before() {
    let world = upgraded().await;
    world.drain();
    let file = world.file("newer.csv", "product;price\nnewer 1;1.5\nnewer 2;2.5\n");
    let others = world.rows_but("tariff").await;
    world.load(&["-i", &file, "--table", "tariff", "--replace"]);
    assert_json(
        &world.status(id("tariff")),
        &json!({"state": "cancelled", "deleted": 10, "kept": 0, "missing": 0}),
    );
    let mut rows = world.rows_but("tariff").await;
    rows.retain(|row| !row.starts_with("newer "));
    assert_eq!(rows, others);
    assert_eq!((world.rows_of("newer").await, world.rows_of("tariff").await), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_before_are_forgotten_and_their_rows_stay() {
    let world = upgraded().await;
    world.drain();
    let rows = world.rows().await;
    world.enqueue(&["forget", "--older-than", "1d"]).run().exits(0);
    // What ended only now is remembered: the one that was loading, and the undos; the interrupted one has not ended.
    let left = world.texts("SELECT id::text FROM pgimport.import ORDER BY id").await;
    let expected = ["unfenced", "fenced", "cut", "early", "waiting"].map(|name| id(name).to_string());
    assert_eq!(left, expected);
    assert_eq!(world.rows().await, rows);
}
