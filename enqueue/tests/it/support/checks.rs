//! What must hold afterwards: of an import, of the ledger, of the queue, and of the table.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Row as _};

use super::{CsvFile, DEADLINE, LOOK, World, csv::COLUMNS, until};

const JOB_IS_OPEN: &str = "status IN ('Queued', 'Running', 'Pending')";

/// Some of the jobs that are open, and when each one's holder was seen last.
fn open_jobs() -> String {
    format!(
        "SELECT coalesce(jsonb_agg(j), '[]') FROM (
             SELECT j.id, j.status, convert_from(j.job, 'UTF8') AS job, j.attempts, j.run_at, j.lock_at, j.lock_by, w.last_seen, now() AS now
             FROM apalis.jobs AS j LEFT JOIN apalis.workers AS w ON w.id = j.lock_by WHERE {JOB_IS_OPEN} LIMIT 5) AS j"
    )
}

/// What a table holds: count, sum of "Stock", and a checksum that does not depend on the order.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    pub rows: i64,
    pub stock: i64,
    pub checksum: String,
}

impl World {
    pub async fn state(&self, import: i64) -> String {
        until("the import is there", async || {
            self.ask(&format!("SELECT state FROM pgimport.import WHERE id = {import}"))
                .await
        })
        .await
    }

    pub async fn until_state(&self, import: i64, state: &str) {
        let begin = Instant::now();
        let mut found = String::new();
        while begin.elapsed() < DEADLINE {
            found = self.state(import).await;
            if found == state {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!(
            "import {import} is {found}, not {state}: {}",
            self.describe(import).await
        );
    }

    /// For the message of a failed test.
    pub async fn describe(&self, import: i64) -> String {
        let chunks = format!(
            "SELECT coalesce(jsonb_agg(c), '[]') FROM (SELECT ordinal, state, attempts, retries, last_error, worker, job_id
             FROM pgimport.import_chunk WHERE import_id = {import} AND state NOT IN ('loaded', 'deleted') LIMIT 5) AS c"
        );
        let error = format!("SELECT error FROM pgimport.import WHERE id = {import}");
        format!(
            "{:?} {:?} {:?}",
            self.ask(&error).await,
            self.ask(&chunks).await,
            self.ask(&open_jobs()).await
        )
    }

    pub async fn contents(&self, from: &str) -> Contents {
        let statement = format!(
            r#"SELECT count(*) AS rows, coalesce(sum("Stock"), 0)::bigint AS stock,
                   coalesce(sum(hashtextextended(ROW("PointOfSale", "Product", "Date", "Stock")::text, 0)), 0)::text AS checksum
               FROM {from}"#
        );
        let row = sqlx::raw_sql(AssertSqlSafe(statement))
            .fetch_one(self.pool())
            .await
            .expect("the contents");
        Contents {
            rows: row.get("rows"),
            stock: row.get("stock"),
            checksum: row.get("checksum"),
        }
    }

    /// The records of `files`, as a table.
    fn expected(files: &[&CsvFile]) -> String {
        let parts = files
            .iter()
            .map(|file| format!(" UNION ALL SELECT * FROM {}", file.expected));
        format!(
            "(SELECT {COLUMNS} FROM public.sale_order WHERE false{}) AS expected",
            parts.collect::<String>()
        )
    }

    /// Each record of `files` is in the target once, and nothing else.
    pub async fn assert_loaded_once(&self, files: &[&CsvFile]) {
        let expected = self.contents(&Self::expected(files)).await;
        assert_eq!(self.contents("public.sale_order").await, expected);
    }

    /// Records of `files` that are not in the target, and rows of the target that are in none of them, or too often.
    pub async fn difference(&self, files: &[&CsvFile]) -> (u64, u64) {
        let (there, expected) = ("public.sale_order".to_owned(), Self::expected(files));
        let without = |a: &str, b: &str| {
            format!("(SELECT {COLUMNS} FROM {a} EXCEPT ALL SELECT {COLUMNS} FROM {b}) AS difference")
        };
        let lost = self.count(&without(&expected, &there)).await;
        (lost, self.count(&without(&there, &expected)).await)
    }

    /// The import ended as `state`; its ledger is whole, its ranges name exactly the rows there are, and nothing is left over.
    pub async fn assert_settled(&self, import: i64, state: &str) {
        self.until_state(import, state).await;
        self.assert_tidy().await;
    }

    /// Of no import that ended, anything is left over; and the registry names exactly the rows of the target.
    pub async fn assert_tidy(&self) {
        for (count, what) in self.leftovers().await {
            assert_eq!(count, 0, "{what}");
        }
    }

    /// How much there is of what must not be.
    pub async fn leftovers(&self) -> [(u64, &'static str); 4] {
        let open = "pgimport.import_chunk AS c JOIN pgimport.import AS i ON i.id = c.import_id
             WHERE i.state IN ('loaded', 'failed', 'cancelled', 'kept') AND c.state = 'pending'";
        let payloads = "pgimport.import_payload AS p JOIN pgimport.import_chunk AS c USING (import_id, ordinal)
             WHERE c.state NOT IN ('pending', 'failed')";
        let registered = "pgimport.import_chunk AS c
             WHERE c.loaded_count - coalesce(c.deleted_count, 0) - coalesce(c.missing_count, 0) <> (
                 SELECT coalesce(sum((end_id - start_id) / step + 1), 0) FROM pgimport.import_registry AS r
                 WHERE r.import_id = c.import_id AND r.ordinal = c.ordinal)";
        let strays = "(SELECT id FROM pgimport.import_registry, generate_series(start_id, end_id, step) AS id WHERE voided_by IS NULL) AS r
             FULL JOIN public.sale_order AS t ON t.id = r.id WHERE r.id IS NULL OR t.id IS NULL";
        [
            (self.count(open).await, "pending chunks of imports that ended"),
            (self.count(payloads).await, "payloads of chunks that are done"),
            (
                self.count(registered).await,
                "chunks whose ids are not as many as their rows",
            ),
            (
                self.count(strays).await,
                "ids that are registered or there, but not both",
            ),
        ]
    }

    /// No job is left: neither held by anybody nor waiting. Needs a worker that lives.
    pub async fn assert_no_job_stranded(&self) {
        let begin = Instant::now();
        while begin.elapsed() < DEADLINE {
            if self.count(&format!("apalis.jobs WHERE {JOB_IS_OPEN}")).await == 0 {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("jobs are stranded: {:?}", self.ask(&open_jobs()).await);
    }
}

/// What tables are like.
impl World {
    /// Name and type of each column, `!` where it takes no NULL, and the primary key.
    pub async fn columns(&self, table: &str) -> Vec<String> {
        self.texts(&format!(
            "SELECT attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0
             UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'p'"
        ))
        .await
    }

    pub async fn has_table(&self, table: &str) -> bool {
        self.number(&format!("SELECT count(to_regclass('{table}'))")).await == 1
    }
}
