//! A database that an earlier version made and filled: this version brings it up to date, and each of its imports goes on, answers,
//! and is undone.
//!
//! The database is `upgrade/before.sql`, which `upgrade/make-fixture` made with the programs of that version from `upgrade/files`.

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use support::{World, assert_json};
use tokio::sync::OnceCell;

/// An import of the earlier version.
struct Before {
    /// Of its file, and in each of its rows.
    name: &'static str,
    how: &'static [&'static str],
    state: &'static str,
    loaded: u64,
    deleted: u64,
    /// Those that are in its table.
    rows: usize,
}

const fn before(
    name: &'static str,
    how: &'static [&'static str],
    state: &'static str,
    loaded: u64,
    deleted: u64,
) -> Before {
    Before {
        name,
        how,
        state,
        loaded,
        deleted,
        rows: (loaded - deleted) as usize,
    }
}

const TO_TRANSFER: [&str; 2] = ["--table", "transfer"];
const TO_TARIFF: [&str; 2] = ["--table", "tariff"];
const STOCK: [&str; 6] = ["-d", ",", "--null", "\\N", "--table", "public.stock"];
const BARE: [&str; 7] = [
    "-d",
    ",",
    "--no-header",
    "--columns",
    "day,product,pieces",
    "--table",
    "stock",
];

/// In the order of their ids, which begin with 1.
const IMPORTS: [Before; 17] = [
    before("orders", &[], "loaded", 12, 0),
    before("rejects", &[], "loaded", 10, 0),
    before("copied", &["--load-method", "copy"], "loaded", 12, 0),
    before("keyed", &["--key", "monday"], "loaded", 12, 0),
    before("stock", &STOCK, "loaded", 10, 0),
    before("bare", &BARE, "loaded", 10, 0),
    before("tariff-old", &TO_TARIFF, "cancelled", 10, 10),
    before("tariff", &["--table", "tariff", "--replace"], "loaded", 10, 0),
    // One of its three chunks breaks a CHECK.
    before("transfer", &TO_TRANSFER, "failed", 10, 0),
    // The last record is longer than allowed.
    before("unsplit", &TO_TRANSFER, "failed", 15, 0),
    before("gone", &[], "cancelled", 12, 12),
    // Two of its rows were edited.
    before("kept", &[], "kept", 12, 10),
    // A cancel that no worker has begun.
    before("unfenced", &[], "cancelling", 12, 0),
    // A cancel of which two chunks of four are done.
    before("fenced", &[], "cancelling", 20, 10),
    // Its submitter died: of eight chunks three are loaded, three wait, and two are still to be read.
    before("cut", &[], "splitting", 15, 0),
    // Cancelled before a worker came.
    before("early", &[], "cancelling", 0, 0),
    before("waiting", &[], "loading", 0, 0),
];

fn id(name: &str) -> i64 {
    let position = IMPORTS.iter().position(|import| import.name == name);
    i64::try_from(position.unwrap_or_else(|| panic!("no import '{name}'")) + 1).unwrap()
}

fn how(name: &str) -> &'static [&'static str] {
    IMPORTS.iter().find(|import| import.name == name).unwrap().how
}

/// All rows of all tables, and whose they are.
const ROWS: &str = r#"(SELECT "PointOfSale" AS whose, t::text AS content FROM public.sale_order AS t
     UNION ALL SELECT split_part(product, ' ', 1), t::text FROM public.stock AS t
     UNION ALL SELECT split_part(product, ' ', 1), t::text FROM public.tariff AS t
     UNION ALL SELECT split_part(payer, ' ', 1), t::text FROM public.transfer AS t) AS rows"#;

/// Rows that no import loaded.
const OTHERS: usize = 6 + 3 + 3 + 3;

/// The database of before, restored; what each test has is a copy.
const RESTORED: &str = "before";

/// A database of before that was just brought up to date, and the files of its imports.
async fn upgraded() -> World {
    let world = restored().await;
    world.enqueue(&["migrate"]).run().exits(0);
    world
}

/// A database of before, and the files of its imports.
async fn restored() -> World {
    static ONCE: OnceCell<()> = OnceCell::const_new();
    // Before the databases of the others are made: they would take the oids that the dump counts.
    ONCE.get_or_init(async || restore(&World::new().await.db.connect_options()).await)
        .await;
    let world = World::new().await;
    let options = world.db.connect_options();
    let name = options.get_database().unwrap();
    let mut admin = connect(&options, "postgres").await;
    for statement in [
        format!("DROP DATABASE {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name} TEMPLATE {RESTORED}"),
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/files");
    for file in fs::read_dir(files).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), world.path(file.file_name().to_str().unwrap())).unwrap();
    }
    let directory = world.path("x").parent().unwrap().display().to_string();
    world
        .execute(&format!(
            "UPDATE pgimport.import SET source = replace(source, '@directory@', '{directory}')"
        ))
        .await;
    world
}

async fn connect(options: &PgConnectOptions, database: &str) -> PgConnection {
    PgConnection::connect_with(&options.clone().database(database))
        .await
        .unwrap()
}

/// Restores the dump, and then what a dump cannot keep but an update in place would: that the rows of a chunk are those that its
/// transaction wrote, and the file of the sequence that gave their ids.
async fn restore(options: &PgConnectOptions) {
    let mut admin = connect(options, "postgres").await;
    for statement in [
        format!("DROP DATABASE IF EXISTS {RESTORED}"),
        format!("CREATE DATABASE {RESTORED}"),
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let mut conn = connect(options, RESTORED).await;
    sqlx::raw_sql(include_str!("upgrade/before.sql"))
        .execute(&mut conn)
        .await
        .unwrap();
    // The dump leaves settings behind.
    conn.close().await.unwrap();
    let mut conn = connect(options, RESTORED).await;
    // The keys hold them.
    let moved: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pgimport.import WHERE to_regclass(target) IS DISTINCT FROM target_oid",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(moved, 0, "tables have other oids than before");
    let as_loaded: Vec<String> = sqlx::query_scalar(
        "SELECT format('UPDATE ONLY %1$s SET %2$I = %2$I WHERE %2$I BETWEEN %3$s AND %4$s AND (%2$I - %3$s) %% %5$s = 0;
                        UPDATE pgimport.import_registry SET row_xids = ARRAY[pg_current_xact_id()::xid::text::bigint],
                            sequence_filenode = pg_relation_filenode(pg_get_serial_sequence(%1$L, %2$L))
                        WHERE import_id = %6$s AND ordinal = %7$s AND start_id = %3$s',
                       i.target, i.id_column, r.start_id, r.end_id, r.step, r.import_id, r.ordinal)
         FROM pgimport.import_registry AS r JOIN pgimport.import AS i ON i.id = r.import_id ORDER BY r.import_id, r.ordinal",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(!as_loaded.is_empty());
    // Each text is one transaction.
    for statements in as_loaded {
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    // Edited after they were loaded.
    let edited = sqlx::raw_sql("UPDATE public.sale_order SET \"Stock\" = -1 WHERE \"Stock\" = -1")
        .execute(&mut conn)
        .await
        .unwrap();
    assert_eq!(edited.rows_affected(), 2);
    // Nobody may be connected to what is copied.
    conn.close().await.unwrap();
}

impl World {
    /// Submits the file of an import as it was submitted before.
    #[track_caller]
    fn submit_again(&self, name: &str) -> support::Finished {
        let path = self.path(&format!("{name}.csv"));
        let all = [&["-i", path.to_str().unwrap(), "--chunk-rows", "5"], how(name)].concat();
        self.enqueue(&all).run()
    }

    /// The import agrees with the table, and each of its rows with the file.
    #[track_caller]
    fn verify(&self, name: &str) -> Value {
        let path = self.path(&format!("{name}.csv"));
        let report = self
            .enqueue(&["verify", &id(name).to_string(), path.to_str().unwrap(), "--json"])
            .run()
            .exits(0)
            .json();
        assert_json(&report, &json!({"file": true, "differences": []}));
        report
    }

    /// How many rows there are of whom.
    async fn rows(&self) -> BTreeMap<String, usize> {
        let mut rows = BTreeMap::new();
        for whose in self.texts(&format!("SELECT whose FROM {ROWS}")).await {
            *rows.entry(whose).or_default() += 1;
        }
        rows
    }

    async fn rows_of(&self, name: &str) -> usize {
        self.rows().await.get(name).copied().unwrap_or_default()
    }

    /// All rows but those of one.
    async fn rows_but(&self, name: &str) -> Vec<String> {
        self.texts(&format!(
            "SELECT whose || ' ' || content FROM {ROWS} WHERE whose <> '{name}' ORDER BY 1"
        ))
        .await
    }

    /// Undoes an import; exactly its rows go.
    async fn undo_exactly(&self, name: &str, arguments: &[&str], expected: &Value) {
        // What else was at work.
        self.drain();
        let others = self.rows_but(name).await;
        assert_json(&self.undo(id(name), arguments), expected);
        assert_eq!(self.rows_but(name).await, others, "undoing {name}");
    }
}

#[tokio::test]
async fn programs_of_this_version_ask_for_the_migration() {
    let world = restored().await;
    world.worker(&["--drain"]).run().exits(1).says("run `enqueue migrate`");
    world.enqueue(&["status"]).run().exits(1).says("run `enqueue migrate`");
}

#[tokio::test]
async fn a_migration_gives_up_rather_than_hold_up_everybody() {
    let world = restored().await;
    let mut reader = world.pool().begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM pgimport.import_registry")
        .execute(&mut *reader)
        .await
        .unwrap();
    world.enqueue(&["migrate"]).run().exits(1).says("lock timeout");
    reader.rollback().await.unwrap();
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
async fn an_import_that_failed_before_is_retried_once_its_cause_is_mended() {
    let world = upgraded().await;
    let import = id("transfer").to_string();
    world
        .enqueue(&["retry", &import])
        .run()
        .exits(0)
        .says("1 failed chunks");
    world.drain();
    assert_json(
        &world.status(id("transfer")),
        &json!({"state": "failed", "loaded": 10, "chunks_failed": 1}),
    );
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
    assert_eq!(
        fs::read_to_string(reasons).unwrap(),
        "line,column,reason\n5,\"Date\",\"no such day in the calendar\"\n10,\"\",\"expected 4 fields, found 3\"\n"
    );
    let corrected = listed.stdout.replace("02-30", "02-28").replace("03-09", "03-09;8");
    let corrected = world.file("corrected.csv", corrected);
    world.load(&["-i", &corrected]);
    assert_eq!(world.rows_of("rejects").await, 12);
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
