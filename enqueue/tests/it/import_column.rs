//! A column with the import's id finds rows that were edited since, where the table has no ids.

use crate::support::{Held, World, assert_json};
use serde_json::json;

/// Tables without a sequence, with the columns `batch`, `name` and `n`.
const TABLES: [&str; 3] = [
    "CREATE TABLE things (batch bigint, name text, n int)",
    "CREATE TABLE things (n int, name text, batch bigint, PRIMARY KEY (n)); CREATE INDEX ON things (batch)",
    "CREATE TABLE things (name text, n int, batch bigint) PARTITION BY RANGE (n);
     CREATE TABLE few PARTITION OF things FOR VALUES FROM (0) TO (25);
     CREATE TABLE many PARTITION OF things DEFAULT",
];

/// Loads 100 things in ten chunks.
fn load(world: &World) -> i64 {
    let mut text = String::from("name;n\n");
    for n in 0..100 {
        text.push_str(&format!("thing {n};{n}\n"));
    }
    let file = world.file("things.csv", text);
    let arguments = [
        "-i",
        &file,
        "--table",
        "things",
        "--import-column",
        "batch",
        "--chunk-rows",
        "10",
    ];
    world.load(&arguments)["import_id"].as_i64().unwrap()
}

#[tokio::test]
async fn edited_rows_are_told_from_deleted_ones() {
    for create in TABLES {
        let world = World::new().await;
        world.execute(create).await;
        world
            .execute("INSERT INTO things (batch, name, n) VALUES (NULL, 'theirs', -1), (99, 'other', -2), (1, 'same id', -3)")
            .await;
        let id = load(&world);
        assert_eq!(id, 1);
        // One moves to another partition, one is no longer the import's.
        world
            .execute(
                "UPDATE things SET name = 'edited' WHERE n IN (3, 4, 55); UPDATE things SET n = 1030 WHERE n = 30;
                 UPDATE things SET batch = NULL WHERE n = 31; DELETE FROM things WHERE n IN (5, 90, 91)",
            )
            .await;
        // Somebody's row has the id too, which nobody can tell from an edited one.
        let preview = json!({"would_delete": 92, "edited": 5, "would_keep": 5, "cannot_tell": 0, "missing": 3});
        assert_json(&world.dry_run(id, &[]), &preview);
        let undone = world.undo(id, &[]);
        assert_json(
            &undone,
            &json!({"state": "kept", "deleted": 92, "kept": 5, "missing": 3}),
        );
        let left = world.texts("SELECT name || n FROM things ORDER BY n").await;
        assert_eq!(
            left,
            [
                "same id-3",
                "other-2",
                "theirs-1",
                "edited3",
                "edited4",
                "thing 31",
                "edited55",
                "thing 301030"
            ]
            .map(str::to_owned)
            .map(|name| if name == "thing 31" {
                "thing 3131".to_owned()
            } else {
                name
            }),
            "{create}"
        );
        // On request they go too, but for what has another id by now.
        world.execute("DELETE FROM things WHERE name = 'same id'").await;
        let preview = json!({"would_delete": 4, "edited": 4, "would_keep": 0});
        assert_json(&world.dry_run(id, &["--include-edited"]), &preview);
        let undone = world.undo(id, &["--include-edited"]);
        assert_json(
            &undone,
            &json!({"state": "cancelled", "deleted": 96, "kept": 0, "missing": 4}),
        );
        let left = world.texts("SELECT name FROM things ORDER BY n").await;
        assert_eq!(left, ["other", "theirs", "thing 31"], "{create}");
    }
}

#[tokio::test]
async fn rows_that_others_deleted_keep_nothing_open() {
    let world = World::new().await;
    world.execute(TABLES[0]).await;
    let id = load(&world);
    world.execute("DELETE FROM things WHERE n % 7 = 0").await;
    assert_json(
        &world.undo(id, &[]),
        &json!({"state": "cancelled", "deleted": 85, "kept": 0, "missing": 15}),
    );
    assert_eq!(world.number("SELECT count(*) FROM things").await, 0);
}

#[tokio::test]
async fn no_more_rows_are_deleted_than_were_loaded() {
    let world = World::new().await;
    world.execute(TABLES[0]).await;
    let id = load(&world);
    // Copies have the import's id, and are nobody's edits.
    world
        .execute("INSERT INTO things SELECT * FROM things WHERE n < 50; DELETE FROM things WHERE n = 99")
        .await;
    let undone = world.undo(id, &["--include-edited"]);
    assert_json(&undone, &json!({"state": "cancelled", "deleted": 100}));
    assert_eq!(world.number("SELECT count(*) FROM things").await, 49);
}

#[tokio::test]
async fn an_edit_in_the_middle_of_an_undo_stays_and_is_counted() {
    let world = World::new().await;
    world.execute(TABLES[1]).await;
    let id = load(&world);
    let held = Held::take(&world, "UPDATE things SET name = 'edited' WHERE n IN (7, 77)").await;
    let _worker = world.worker(&["--concurrency", "2"]).start();
    world.run(&["cancel", &id.to_string()]).await.exits(0);
    world.until_a_lock_is_waited_for().await;
    held.commit().await;
    world.until_state(id, "kept").await;
    assert_json(&world.status(id), &json!({"deleted": 98, "kept": 2, "missing": 0}));
    let file = world.path("things.csv");
    let verified = world.run(&["verify", &id.to_string(), file.to_str().unwrap()]).await;
    assert!(
        verified
            .stdout
            .contains("not compared: 20 records of chunks that are undone in part"),
        "{verified:?}"
    );
    world
        .run(&["cancel", &id.to_string(), "--include-edited", "--wait"])
        .await;
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 100}));
}

#[tokio::test]
async fn a_sequence_still_comes_first_and_other_columns_find_nothing() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE numbered (id bigserial PRIMARY KEY, batch bigint, name text);
             CREATE TABLE worded (batch text, name text)",
        )
        .await;
    let file = world.file("a.csv", "name\na\n");
    let identity = |id: i64| format!("SELECT spec->'identity' = $${{}}$$ FROM pgimport.import WHERE id = {id}");
    for (table, more, expected) in [
        ("numbered", &[][..], r#"{"kind": "sequence", "column": "id"}"#),
        (
            "numbered",
            &["--identity", "transaction"],
            r#"{"kind": "transaction", "import_column": "batch"}"#,
        ),
        ("worded", &[], r#"{"kind": "transaction"}"#),
    ] {
        let arguments = [
            &["-i", &file, "--table", table, "--import-column", "batch", "--force"],
            more,
        ]
        .concat();
        let id = world.load(&arguments)["import_id"].as_i64().unwrap();
        let same = identity(id).replace("$${}$$", &format!("'{expected}'::jsonb"));
        assert_eq!(world.ask(&same).await.as_deref(), Some("true"), "{table} {more:?}");
        if table == "worded" {
            let refused = world
                .enqueue(&["cancel", &id.to_string(), "--include-edited"])
                .run()
                .exits(1);
            assert!(refused.stderr.contains("--import-column"), "{refused:?}");
        }
        assert_json(&world.undo(id, &[]), &json!({"state": "cancelled", "deleted": 1}));
    }
}
