//! Wrong input, settings, tables and privileges: the exit code, what is said, and that nothing is stored.

mod support;

use std::fs;

use serde_json::json;
use shared::testing::TestServer;
use support::{Bench, Call, assert_json, orders, until};

const SECRET: &str = "s3cret/Pa:ss@w0rd?";

#[tokio::test]
async fn wrong_usage_exits_with_2_before_anything_is_asked() {
    let bench = Bench::new().await;
    for (arguments, text) in [
        (&["-d", ";;"][..], "expected exactly one byte"),
        (&["-d", "→"], "expected exactly one byte"),
        (&["-d", ""], "expected exactly one byte"),
        (&["--chunk-rows", "0"], "chunk-rows"),
        (&["--max-record", "many"], "expected a number of bytes"),
        (&["--load-method", "magic"], "insert, copy"),
        (&["--force", "--key", "k"], "cannot be used with"),
        (&["cancel"], "<ID>"),
        (&["cancel", "0"], "positive whole number"),
        (&["forget"], "required"),
        (&["--no-such-flag"], "unexpected argument"),
    ] {
        // No settings: the database is not even looked for.
        let output = bench
            .bare(arguments)
            .env("PG_IMPORT_STAGING", "nowhere")
            .run()
            .exits(2)
            .says(text);
        assert_eq!(output.stdout, "");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let bench = Bench::new().await;
    bench
        .enqueue(["-i", "none.csv"])
        .run()
        .exits(1)
        .says("none.csv")
        .says("No such file");
    fs::create_dir(bench.path("folder.csv")).unwrap();
    bench
        .enqueue(["-i", "folder.csv"])
        .run()
        .exits(1)
        .says("folder.csv is a directory");
    assert_eq!(bench.imports().await, 0);
}

#[tokio::test]
async fn a_file_that_does_not_fit_the_table_is_refused_whole() {
    let bench = Bench::new().await;
    for (content, arguments, text) in [
        (
            "PointOfSale;Produkt;Date;Stock\nA;x;2025-01-01;1\n",
            &[][..],
            "'Produkt' (field 2) is not a column of public.sale_order",
        ),
        (
            "PointOfSale;Product;Date\nA;x;2025-01-01\n",
            &[],
            "the file has no column 'Stock'",
        ),
        (
            "PointOfSale;Product;Date;Stock;stock\n",
            &[],
            "'Stock' is named twice (field 5)",
        ),
        (
            "id;PointOfSale;Product;Date;Stock\n",
            &[],
            "'id' (field 1) is the id of public.sale_order",
        ),
        ("PointOfSale,Product,Date,Stock\n", &[], "check -d/--delimiter"),
        (
            "A;x;2025-01-01;1\n",
            &["--no-header", "--columns", "a,b"],
            "'a' (field 1) is not a column",
        ),
    ] {
        let file = bench.file("orders.csv", content);
        let output = bench
            .enqueue([&["-i", &file], arguments].concat())
            .run()
            .exits(1)
            .says(text)
            .says("orders.csv");
        assert_eq!(output.stdout, "");
    }
    bench.file("zipped.csv", b"\x1f\x8b\x08\0\xff\xfe\xfd\n");
    bench
        .enqueue(["-i", "zipped.csv"])
        .run()
        .exits(1)
        .says("zipped.csv, line 1: the header is not UTF-8 text");
    let header = bench.file("long.csv", "x".repeat(4000));
    bench
        .enqueue(["-i", &header, "--max-record", "1K"])
        .run()
        .exits(1)
        .says("long.csv")
        .says("line 1");
    assert_eq!(bench.imports().await, 0);
}

#[tokio::test]
async fn a_table_that_cannot_be_loaded_is_refused_with_what_to_do() {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE VIEW a_view AS SELECT * FROM sale_order;
             CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM sale_order;
             CREATE TABLE no_id (a int PRIMARY KEY);
             CREATE TABLE not_unique (id bigint GENERATED ALWAYS AS IDENTITY, a int);
             CREATE TABLE partly_unique (id bigserial, a int);
             CREATE UNIQUE INDEX ON partly_unique (id) WHERE a > 0;
             CREATE TABLE jointly_unique (id bigserial, a int, PRIMARY KEY (id, a));
             CREATE TABLE two_ids (id bigserial PRIMARY KEY, other bigserial UNIQUE, a int);
             CREATE TABLE with_rule (id bigserial PRIMARY KEY, a int);
             CREATE RULE r AS ON INSERT TO with_rule DO INSTEAD NOTHING;
             CREATE TABLE id_alone (id bigserial PRIMARY KEY);",
        )
        .await;
    let file = bench.file("t.csv", "1\n");
    for (table, text) in [
        ("none", "there is no table none in this database"),
        ("none.none", "there is no table none.none"),
        ("a_view", "public.a_view is a view"),
        ("a_matview", "public.a_matview is a materialized view"),
        ("no_id", "public.no_id has no integer column filled by a sequence"),
        ("not_unique", "CREATE UNIQUE INDEX ON public.not_unique (\"id\")"),
        ("partly_unique", "CREATE UNIQUE INDEX ON public.partly_unique (\"id\")"),
        (
            "jointly_unique",
            "CREATE UNIQUE INDEX ON public.jointly_unique (\"id\")",
        ),
        ("two_ids", "several columns filled by a sequence (id, other)"),
        ("with_rule", "public.with_rule has a rule on INSERT"),
        ("id_alone", "public.id_alone has no column that a file could fill"),
        ("not_unique_id_seq", "only ordinary and partitioned tables"),
        ("a b", "'a b' is not a table's name"),
        ("", "'' is not a table's name"),
        ("x; DROP TABLE sale_order", "is not a table's name"),
    ] {
        bench
            .enqueue(["-i", &file, "--no-header", "--table", table])
            .run()
            .exits(1)
            .says(text);
    }
    assert_eq!((bench.imports().await, bench.sale_orders().await), (0, 0));
}

#[tokio::test]
async fn names_that_need_quotes_are_quoted_everywhere() {
    let bench = Bench::new().await;
    bench
        .execute(
            r#"CREATE SCHEMA "My Schema";
               CREATE TABLE "My Schema"."T;x" ("the ""ID""" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "a b" text, "select" int, "C;d" text)"#,
        )
        .await;
    let table = r#""My Schema"."T;x""#;
    let file = bench.file("t.csv", "A B;SELECT;\"c;D\"\nx;1;y\nx;wrong;y\n");
    for (id, method) in [(1, "insert"), (2, "copy")] {
        bench
            .enqueue(["-i", &file, "--table", table, "--load-method", method, "--force"])
            .run()
            .exits(0);
        bench.drain();
        assert_json(
            &bench.status(id),
            &json!({"state": "loaded", "loaded": 1, "rejected": 1, "target": table}),
        );
    }
    let rejects = bench.enqueue(["rejects", "1"]).run().exits(0).stdout;
    assert_eq!(rejects, "a b;select;\"C;d\"\nx;wrong;y\n");
    let corrected = bench.file("rejects.csv", rejects.replace("wrong", "2"));
    bench.load(&["-i", &corrected, "--table", table]);
    bench.enqueue(["cancel", "1"]).run().exits(0);
    bench.drain();
    assert_eq!(
        bench
            .texts(r#"SELECT concat_ws('|', "the ""ID""", "a b", "select", "C;d") FROM "My Schema"."T;x" ORDER BY 1"#)
            .await,
        ["2|x|1|y", "3|x|2|y"]
    );
}

#[tokio::test]
async fn an_import_that_does_not_exist_is_an_error_of_every_command() {
    let bench = Bench::new().await;
    for command in ["status", "cancel", "keep", "rejects", "retry"] {
        let output = bench
            .enqueue([command, "99"])
            .run()
            .exits(1)
            .says("there is no import 99");
        assert_eq!(output.stdout, "");
    }
    bench
        .enqueue(["cancel", "99", "--dry-run"])
        .run()
        .exits(1)
        .says("there is no import 99");
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_told_from_a_broken_one() {
    let bench = Bench::new().await;
    bench
        .execute("DROP SCHEMA pgimport CASCADE; DROP SCHEMA apalis CASCADE")
        .await;
    let file = bench.file("orders.csv", orders("A", 1));
    for call in [
        bench.enqueue(["-i", &file]),
        bench.enqueue(["status"]),
        bench.worker(["--drain"]),
    ] {
        call.run().exits(1).says("run `enqueue migrate`");
    }
    // Two at once, and once more.
    let migrations = [(); 2].map(|()| bench.enqueue(["migrate"]).start());
    for migration in migrations {
        migration.finish().exits(0).says("is up to date");
    }
    bench.enqueue(["migrate"]).run().exits(0);
    bench.load(&["-i", &file]);
}

#[tokio::test]
async fn a_staging_says_where_the_database_is_and_a_wrong_one_is_named() {
    let bench = Bench::new().await;
    bench.db.credentials().write(&bench.path("stagings/test")).unwrap();
    let path = bench.path("stagings");
    let status = || bench.bare(["status"]).env("PG_IMPORT_CONFIG_PATH", &path);
    status().env("PG_IMPORT_STAGING", "test").run().exits(0);
    // A typo must not lead to another database.
    status()
        .env("PG_IMPORT_STAGING", "tset")
        .run()
        .exits(1)
        .says("the staging 'tset' (from PG_IMPORT_STAGING)")
        .says("stagings/tset");
    status()
        .env("PG_IMPORT_STAGING", "../test")
        .run()
        .exits(1)
        .says("cannot be a staging's name");
    bench.file(".staging", "test\n");
    status().run().exits(0);
    bench.file(".staging", "tset\n");
    status()
        .run()
        .exits(1)
        .says("the staging 'tset' (from ")
        .says(".staging)");
    fs::write(bench.path("stagings/test/.postgres.port"), "no\n").unwrap();
    status()
        .env("PG_IMPORT_STAGING", "test")
        .run()
        .exits(1)
        .says("stagings/test/.postgres.port holds no port");
}

#[tokio::test]
async fn a_url_that_is_none_is_not_shown() {
    let bench = Bench::new().await;
    for url in [
        &format!("garbage {SECRET}"),
        &format!("postgres//u:{SECRET}@h/d"),
        "postgres://u:s3cret/Pa@h:port/d",
    ] {
        for call in [
            bench.bare(["status", "--database-url", url]),
            bench.bare(["status"]).env("DATABASE_URL", url),
            bench.worker(["--drain"]).env("DATABASE_URL", url),
        ] {
            let output = call.run().exits(1).says("is not a PostgreSQL connection URL");
            assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let bench = Bench::new().await;
    let mut wrong = bench.db.credentials().clone();
    wrong.password = SECRET.to_owned();
    wrong.write(&bench.path("credentials/dev")).unwrap();
    let output = bench
        .bare(["status"])
        .env("RUST_LOG", "trace")
        .run()
        .exits(1)
        .says("password authentication failed")
        .says("cannot reach the database 'test_");
    assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
}

#[tokio::test]
async fn the_password_appears_in_no_output_and_no_argument() {
    let bench = Bench::new().await;
    let role = Role::new(&bench, "SUPERUSER").await;
    let worker = role.run(bench.worker([""; 0])).env("RUST_LOG", "trace").start();
    let mut submitting = role
        .run(bench.enqueue(["--wait"]))
        .env("RUST_LOG", "trace")
        .pipe()
        .start();
    let mut pipe = submitting.child.stdin.take().unwrap();
    until("the worker works", async || {
        bench.number("SELECT count(*) FROM pgimport.worker").await == 1
    })
    .await;
    for pid in [worker.child.id(), submitting.child.id()] {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&arguments).contains("s3cret"));
    }
    std::io::Write::write_all(&mut pipe, orders("A", 3).as_bytes()).unwrap();
    drop(pipe);
    let submitted = submitting.finish().exits(0);
    let said = format!("{submitted:?} {} {}", worker.stdout_so_far(), worker.stderr_so_far());
    assert!(said.contains("TRACE") && !said.contains("s3cret"), "{said}");
    // What the file holds is nobody's business either.
    assert!(!said.contains("Product 2"), "{said}");
    // The parent of this shell is psql.
    let psql = role
        .run(bench.enqueue(["psql", "--", "-c", r"\! cat /proc/$PPID/cmdline"]))
        .run()
        .exits(0);
    assert!(
        psql.stdout.contains("psql") && !psql.stdout.contains("s3cret"),
        "{psql:?}"
    );
}

#[tokio::test]
async fn a_missing_privilege_is_named_with_the_grant_that_mends_it() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int)").await;
    let role = Role::new(&bench, "").await;
    for grant in role.submitter_grants() {
        bench.execute(&grant).await;
    }
    let file = bench.file("t.csv", "a\n1\n");
    let submit = || role.run(bench.enqueue(["-i", &file, "--table", "t"])).run();
    let name = &role.name;
    let grant = format!("GRANT SELECT, INSERT, DELETE ON public.t TO \"{name}\"");
    submit().exits(1).says(&format!(
        "the role '{name}' may not read and insert into public.t: {grant}"
    ));
    bench.execute(&grant).await;
    let grant = format!("GRANT USAGE ON SEQUENCE t_id_seq TO \"{name}\"");
    submit().exits(1).says(&format!(
        "the role '{name}' may not take values from the sequence t_id_seq: {grant}"
    ));
    assert_eq!(bench.imports().await, 0);
    bench.execute(&grant).await;
    submit().exits(0);
    bench
        .execute("CREATE SCHEMA closed; CREATE TABLE closed.t (id bigserial PRIMARY KEY, a int)")
        .await;
    role.run(bench.enqueue(["-i", &file, "--table", "closed.t"]))
        .run()
        .exits(1)
        .says("permission denied for schema closed");
}

#[tokio::test]
async fn a_role_with_the_documented_grants_can_submit_work_and_undo() {
    let bench = Bench::new().await;
    bench
        .execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int NOT NULL)")
        .await;
    let role = Role::new(&bench, "").await;
    let name = &role.name;
    for grant in role.submitter_grants().into_iter().chain(role.worker_grants()) {
        bench.execute(&grant).await;
    }
    bench
        .execute(&format!(
            "GRANT SELECT, INSERT, DELETE ON t TO {name}; GRANT USAGE ON SEQUENCE t_id_seq TO {name}"
        ))
        .await;
    let file = bench.file("t.csv", "a\n1\n2\nx\n");
    let worker = role.run(bench.worker([""; 0])).start();
    role.run(bench.enqueue(["-i", &file, "--table", "t", "--wait"]))
        .run()
        .exits(3);
    role.run(bench.enqueue(["status"])).run().exits(0);
    role.run(bench.enqueue(["rejects", "1"])).run().exits(0);
    role.run(bench.enqueue(["cancel", "1", "--dry-run"])).run().exits(0);
    role.run(bench.enqueue(["cancel", "1", "--wait"])).run().exits(0);
    assert_eq!(bench.number("SELECT count(*) FROM t").await, 0);
    role.run(bench.enqueue(["forget", "1"])).run().exits(0);
    // Maintenance prunes the finished jobs, so it came to its end.
    until("maintenance has passed", async || {
        bench.number("SELECT count(*) FROM apalis.jobs").await == 0
    })
    .await;
    assert!(!worker.stderr_so_far().contains("WARN"), "{}", worker.stderr_so_far());
    let log = TestServer::shared().await.log();
    let denied = log.lines().find(|line| {
        line.contains(&format!(
            " {} ERROR:  permission denied",
            bench.db.credentials().database
        ))
    });
    assert_eq!(denied, None);
}

/// A role with nothing but its login and what a test grants.
struct Role {
    name: String,
    url: String,
}

impl Role {
    async fn new(bench: &Bench, attributes: &str) -> Self {
        let credentials = bench.db.credentials();
        let name = format!("role_{}", credentials.database);
        bench
            .execute(&format!("CREATE ROLE {name} LOGIN {attributes} PASSWORD '{SECRET}'"))
            .await;
        Self {
            url: format!(
                "postgres://{name}:s3cret%2FPa%3Ass%40w0rd%3F@{}:{}/{}",
                credentials.host, credentials.port, credentials.database
            ),
            name,
        }
    }

    /// The program as this role.
    fn run(&self, call: Call) -> Call {
        call.env("DATABASE_URL", &self.url)
    }

    /// What submitting and `status` need, beside SELECT and INSERT on the table and USAGE on its sequence.
    fn submitter_grants(&self) -> Vec<String> {
        self.grants(&[
            "USAGE ON SCHEMA pgimport, apalis",
            "SELECT ON ALL TABLES IN SCHEMA pgimport",
            "INSERT, UPDATE ON pgimport.import, pgimport.import_chunk",
            "INSERT ON pgimport.import_payload, apalis.jobs",
        ])
    }

    /// What a worker, `cancel`, `keep`, `retry` and `forget` need as well, beside DELETE on the table.
    fn worker_grants(&self) -> Vec<String> {
        self.grants(&[
            "DELETE ON pgimport.import, pgimport.import_payload",
            "INSERT, UPDATE, DELETE ON pgimport.import_registry, pgimport.worker",
            "INSERT ON pgimport.import_reject",
            "SELECT, UPDATE, DELETE ON apalis.jobs",
            "SELECT, INSERT, UPDATE, DELETE ON apalis.workers",
        ])
    }

    fn grants(&self, privileges: &[&str]) -> Vec<String> {
        privileges
            .iter()
            .map(|what| format!("GRANT {what} TO {}", self.name))
            .collect()
    }
}
