//! A database that an earlier version made and filled, the imports in it, and whose rows are whose.
//!
//! The database is `before.sql`, which `make-fixture` made with the programs of that version from `files`.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

use crate::support::{Finished, World, assert_json};

/// An import of the earlier version.
pub struct Before {
    /// Of its file, and in each of its rows.
    pub name: &'static str,
    pub how: &'static [&'static str],
    pub state: &'static str,
    pub loaded: u64,
    pub deleted: u64,
    /// Those that are in its table.
    pub rows: usize,
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
pub const IMPORTS: [Before; 17] = [
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

pub fn id(name: &str) -> i64 {
    let position = IMPORTS.iter().position(|import| import.name == name);
    i64::try_from(position.unwrap_or_else(|| panic!("no import '{name}'")) + 1).unwrap()
}

fn how(name: &str) -> &'static [&'static str] {
    IMPORTS.iter().find(|import| import.name == name).unwrap().how
}

/// All rows of all tables, and whose they are.
pub const ROWS: &str = r#"(SELECT "PointOfSale" AS whose, t::text AS content FROM public.sale_order AS t
     UNION ALL SELECT split_part(product, ' ', 1), t::text FROM public.stock AS t
     UNION ALL SELECT split_part(product, ' ', 1), t::text FROM public.tariff AS t
     UNION ALL SELECT split_part(payer, ' ', 1), t::text FROM public.transfer AS t) AS rows"#;

/// Rows that no import loaded.
pub const OTHERS: usize = 6 + 3 + 3 + 3;

/// The database of before, restored; what each test has is a copy.
const RESTORED: &str = "before";

/// A database of before that was just brought up to date, and the files of its imports.
pub async fn upgraded() -> World {
    let world = restored().await;
    world.enqueue(&["migrate"]).run().exits(0);
    world
}

/// A database of before, and the files of its imports.
pub async fn restored() -> World {
    static ONCE: OnceCell<()> = OnceCell::const_new();
    // Before the databases of the others are made: they would take the oids that the dump counts.
    ONCE.get_or_init(async || restore(&World::new().await.db.connect_options()).await)
        .await;
    let world = World::new().await;
    world.make_anew(RESTORED).await;
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/files");
    for file in fs::read_dir(files).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), world.path(file.file_name().to_str().unwrap())).unwrap();
    }
    let directory = world.dir().display().to_string();
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
    sqlx::raw_sql(include_str!("before.sql"))
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
    pub fn submit_again(&self, name: &str) -> Finished {
        let path = self.path(&format!("{name}.csv"));
        let all = [&["-i", path.to_str().unwrap(), "--chunk-rows", "5"], how(name)].concat();
        self.enqueue(&all).run()
    }

    /// The import agrees with the table, and each of its rows with the file.
    #[track_caller]
    pub fn verify(&self, name: &str) -> Value {
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
    pub async fn rows(&self) -> BTreeMap<String, usize> {
        let mut rows = BTreeMap::new();
        for whose in self.texts(&format!("SELECT whose FROM {ROWS}")).await {
            *rows.entry(whose).or_default() += 1;
        }
        rows
    }

    pub async fn rows_of(&self, name: &str) -> usize {
        self.rows().await.get(name).copied().unwrap_or_default()
    }

    /// All rows but those of one.
    pub async fn rows_but(&self, name: &str) -> Vec<String> {
        self.texts(&format!(
            "SELECT whose || ' ' || content FROM {ROWS} WHERE whose <> '{name}' ORDER BY 1"
        ))
        .await
    }

    /// Undoes an import; exactly its rows go.
    pub async fn undo_exactly(&self, name: &str, arguments: &[&str], expected: &Value) {
        // What else was at work.
        self.drain();
        let others = self.rows_but(name).await;
        assert_json(&self.undo(id(name), arguments), expected);
        assert_eq!(self.rows_but(name).await, others, "undoing {name}");
    }
}
